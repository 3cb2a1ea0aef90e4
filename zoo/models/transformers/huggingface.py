"""GPT and BERT as the networks of Hugging Face's transformers that compute the same, with the same weights.

    positions learned, norms with biases     GPT    GPT2LMHeadModel            norm after each sum      BERT    BertForMaskedLM
    positions rotary, RMS norms, q and k too GPT    ApertusForCausalLM         norm before each half    BERT    EsmForMaskedLM

The tables below say what each tensor is called there. Three things differ beside names: queries, keys and values lie apart there;
a rotation turns channels i and i + d/2 together there, 2i and 2i + 1 here; and GPT-2 stores its linear layers transposed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.module import ZooModule
from zoo.errors import InputError, MissingExtraError
from zoo.models.transformers.bert import BERT
from zoo.models.transformers.convert import LINEAR, names
from zoo.models.transformers.gpt import GPT

Tensors = dict[str, Tensor]
Renaming = Callable[[Tensors], Tensors]
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "relu2": "relu2"}


def to_transformers(model: ZooModule) -> nn.Module:
    """A language model of transformers with a model's weights, in eval mode.

    Raises:
        InputError: for a model that transformers doesn't have, with what differs.
        MissingExtraError: if transformers isn't installed.
    """
    net, there, _ = _language(model)
    missing, unexpected = net.load_state_dict(
        there({k: v.detach() for k, v in model.state_dict().items()}), strict=False
    )
    constants = ("inv_freq", "position_ids", "contact_head.regression.weight", "contact_head.regression.bias")
    tied = () if not getattr(net.config, "tie_word_embeddings", True) else ("lm_head.weight",)
    if left := [name for name in missing if not name.endswith((*constants, *tied))] + unexpected:
        raise InputError(f"this version of transformers lays {type(net).__name__} out otherwise: {', '.join(left[:3])}")
    return net.eval()


def from_transformers(model: ZooModule, net: nn.Module) -> ZooModule:
    """Copy the weights of a network of transformers into a GPT or BERT of the same shape; returns the model.

    Raises:
        InputError: for a network of other tensors.
    """
    _, _, back = _language(model)
    try:
        missing, unexpected = model.load_state_dict(back(net.state_dict()), strict=False)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"these aren't the weights of a network like {_called(model)}: {error}") from None
    if left := [*(set(missing) - {"head.weight", "head.decoder.weight"}), *unexpected]:
        raise InputError(f"these aren't the weights of a network like {_called(model)}: {left[0]} is left over")
    return model.eval()


def _language(model: ZooModule) -> tuple[Any, Renaming, Renaming]:
    """An empty network of transformers like the model, and how tensors are renamed there and back.

    Raises:
        InputError: if there is none.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("a network of transformers", "transformers", "test") from None
    init = model.hparams
    if isinstance(model, GPT):
        sizes = {"vocab_size": init["vocab_size"], "bos_token_id": None, "eos_token_id": None}
        activation = ACTIVATIONS[init["activation"]]
        if init["positions"] == "learned":
            _require(model, {"norm": "layer", "qk_norm": False}, "GPT-2")
            config = transformers.GPT2Config(
                n_positions=init["context"], n_embd=init["width"], n_layer=init["layers"], n_head=init["heads"],
                activation_function=activation, tie_word_embeddings=init["tied"], **sizes,
            )  # fmt: skip
            return transformers.GPT2LMHeadModel(config), *_gpt2(model)
        _require(model, {"norm": "rms", "qk_norm": True, "bias": False}, "Apertus")
        net: Any = transformers.ApertusForCausalLM(
            transformers.ApertusConfig(
                hidden_size=init["width"], intermediate_size=4 * init["width"], num_hidden_layers=init["layers"],
                num_attention_heads=init["heads"], max_position_embeddings=init["context"], hidden_act=activation,
                tie_word_embeddings=init["tied"], pad_token_id=None,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **sizes,
            )
        )  # fmt: skip
        return net, *_renaming(_apertus(init["layers"]), "self_attn.{}_proj", model, ("q_norm", "k_norm"))
    if not isinstance(model, BERT):
        raise InputError(f"{_called(model)} is neither a GPT nor a BERT: transformers has no such network")
    common: dict[str, Any] = {
        "vocab_size": init["vocab_size"], "hidden_size": init["width"], "num_hidden_layers": init["layers"],
        "num_attention_heads": init["heads"], "intermediate_size": 4 * init["width"], "layer_norm_eps": 1e-12,
        "pad_token_id": 0, "max_position_embeddings": init["context"],
    }  # fmt: skip
    if init["positions"] == "learned":
        _require(model, {"norm_first": False}, "BERT")
        net = transformers.BertForMaskedLM(transformers.BertConfig(**common, type_vocab_size=1))
        there, back = _renaming(_bert(init["layers"]), "attention.self.{}", model)
        return net, lambda t: there(t) | _bert_only(model), lambda t: back(_with_sentence(t))
    _require(model, {"norm_first": True}, "ESM")
    options: dict[str, Any] = {
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": True,
        "token_dropout": False,
    }
    net = transformers.EsmForMaskedLM(transformers.EsmConfig(**common, **options, mask_token_id=2))
    there, back = _renaming(_esm(init["layers"]), "attention.self.{}", model)
    ours, theirs = "lm_head.decoder.bias", "lm_head.bias"  # ESM's read-out keeps its bias beside it
    return net, lambda t: _moved(there(t), ours, theirs), lambda t: back(_moved(t, theirs, ours))


def _gpt2(model: GPT) -> tuple[Renaming, Renaming]:
    """GPT-2's linear layers have biases always: zeros where ours have none."""
    table = names(model.hparams["layers"])

    def there(tensors: Tensors) -> Tensors:
        found: Tensors = {}
        for name, tensor in tensors.items():
            module, _, kind = name.rpartition(".")
            linear = module.endswith(LINEAR)
            found[f"{table[module]}.{kind}"] = tensor.T.contiguous() if linear and kind == "weight" else tensor
            if linear and not model.hparams["bias"]:
                found[f"{table[module]}.bias"] = torch.zeros(len(tensor))
        return found

    def back(tensors: Tensors) -> Tensors:
        found: Tensors = {}
        for name in model.state_dict():
            module, _, kind = name.rpartition(".")
            given = tensors[f"{table[module]}.{kind}"]
            found[name] = given.T if module.endswith(LINEAR) and kind == "weight" else given
        linear = [f"{theirs}.bias" for ours, theirs in table.items() if ours.endswith(LINEAR)]
        if not model.hparams["bias"] and any(tensors[name].any() for name in linear):
            raise InputError(f"the network has biases, {_called(model)} has none: make it with bias=True")
        return found

    return there, back


def _require(model: ZooModule, wanted: dict[str, Any], library: str) -> None:
    if wrong := [f"{key}={model.hparams[key]!r}" for key, value in wanted.items() if model.hparams[key] != value]:
        raise InputError(f"transformers' {library} has no {', '.join(wrong)}, which {_called(model)} has")


def _apertus(layers: int) -> dict[str, str]:
    table = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
    block = {
        "norm1": "attention_layernorm", "norm2": "feedforward_layernorm", "attention.qkv": "", "up": "mlp.up_proj",
        "attention.out": "self_attn.o_proj", "attention.q_norm": "self_attn.q_norm",
        "attention.k_norm": "self_attn.k_norm", "down": "mlp.down_proj",
    }  # fmt: skip
    return table | {f"blocks.{i}.{a}": f"model.layers.{i}.{b}" for i in range(layers) for a, b in block.items()}


def _bert(layers: int) -> dict[str, str]:
    head = "cls.predictions."
    table = {
        "embedding": "bert.embeddings.word_embeddings", "places": "bert.embeddings.position_embeddings",
        "norm": "bert.embeddings.LayerNorm", "head.dense": f"{head}transform.dense",
        "head.norm": f"{head}transform.LayerNorm", "head.decoder": f"{head}decoder",
    }  # fmt: skip
    block = {
        "qkv": "", "out": "attention.output.dense", "norm1": "attention.output.LayerNorm", "up": "intermediate.dense",
        "down": "output.dense", "norm2": "output.LayerNorm",
    }  # fmt: skip
    return table | {f"blocks.{i}.{a}": f"bert.encoder.layer.{i}.{b}" for i in range(layers) for a, b in block.items()}


def _esm(layers: int) -> dict[str, str]:
    table = {
        "embedding": "esm.embeddings.word_embeddings", "norm": "esm.embeddings.layer_norm",
        "last_norm": "esm.encoder.emb_layer_norm_after", "head.dense": "lm_head.dense",
        "head.norm": "lm_head.layer_norm", "head.decoder": "lm_head.decoder",
    }  # fmt: skip
    block = {
        "qkv": "", "out": "attention.output.dense", "norm1": "attention.LayerNorm", "up": "intermediate.dense",
        "down": "output.dense", "norm2": "LayerNorm",
    }  # fmt: skip
    return table | {f"blocks.{i}.{a}": f"esm.encoder.layer.{i}.{b}" for i in range(layers) for a, b in block.items()}


def _renaming(
    table: dict[str, str], part: str, model: ZooModule, also_turned: tuple[str, ...] = ()
) -> tuple[Renaming, Renaming]:
    """How tensors are renamed there and back: by the table, with queries, keys and values apart, and with the pairs that turn
    together in the order of transformers where positions are rotary."""
    heads = model.hparams["heads"]
    words = ("q", "k", "v") if part.endswith("_proj") else ("query", "key", "value")
    rotary = model.hparams["positions"] == "rotary"

    def turned(tensor: Tensor, back: bool, pieces: int) -> Tensor:
        """Ours turns channels 2i and 2i + 1 together, transformers i and i + d/2: rows [heads · d, …] in the other order."""
        if not rotary:
            return tensor
        rows = tensor.unflatten(0, (pieces, -1, 2) if not back else (pieces, 2, -1))
        return rows.transpose(1, 2).flatten(0, 2).contiguous()

    def split(name: str) -> tuple[str, str, str]:
        module, _, kind = name.rpartition(".")
        return module, kind, table.get(module, "")

    def there(tensors: Tensors) -> Tensors:
        found: Tensors = {}
        for name, tensor in tensors.items():
            module, kind, theirs = split(name)
            if module.endswith("qkv"):
                for i, (word, rows) in enumerate(zip(words, tensor.chunk(3), strict=True)):
                    found[f"{theirs}{part.format(word)}.{kind}"] = turned(rows, False, heads) if i < 2 else rows
            else:
                found[f"{theirs}.{kind}"] = (
                    turned(tensor, False, 1) if module.endswith(also_turned or ("?",)) else tensor
                )
        return found

    def back(tensors: Tensors) -> Tensors:
        found: Tensors = {}
        for name in model.state_dict():
            module, kind, theirs = split(name)
            if module.endswith("qkv"):
                rows = [tensors[f"{theirs}{part.format(word)}.{kind}"] for word in words]
                found[name] = torch.cat([turned(rows[0], True, heads), turned(rows[1], True, heads), rows[2]])
            else:
                given = tensors[f"{theirs}.{kind}"]
                found[name] = turned(given, True, 1) if module.endswith(also_turned or ("?",)) else given
        return found

    return there, back


def _bert_only(model: ZooModule) -> Tensors:
    """BERT adds a vector for the first or second sentence to every place, which ours has in its places; and it has the
    read-out's bias twice."""
    kinds = torch.zeros(1, model.hparams["width"])
    bias = model.get_parameter("head.decoder.bias").detach()
    return {"bert.embeddings.token_type_embeddings.weight": kinds, "cls.predictions.bias": bias}


def _with_sentence(tensors: Tensors) -> Tensors:
    places, kinds = "bert.embeddings.position_embeddings.weight", "bert.embeddings.token_type_embeddings.weight"
    return tensors | {places: tensors[places] + tensors[kinds][0]}


def _called(model: ZooModule) -> str:
    return model.name or type(model).__name__


def _moved(tensors: Tensors, old: str, new: str) -> Tensors:
    return {new if name == old else name: tensor for name, tensor in tensors.items()}
