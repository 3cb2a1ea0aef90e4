"""What the shared suites can't know about a GPT: causality, the cache, and that it is the one others train."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.errors import CheckpointError, InputError
from zoo.models.transformers.convert import from_gpt2, to_gpt2
from zoo.models.transformers.gpt import GPT, RMSNorm, rotate, rotations
from zoo.store.folder import read_tensors

OPTIONS = [
    {},
    {"positions": "learned", "norm": "layer", "activation": "gelu_tanh", "bias": True},
    {"activation": "relu2", "qk_norm": True, "tied": False},
]


def small(context: int = 16, **options) -> GPT:
    torch.manual_seed(0)
    model = GPT(10, context, layers=2, heads=2, width=24, **options)
    for parameter in model.parameters():  # fresh weights are so small that a mistake would hide
        nn.init.normal_(parameter, std=0.3)
    model.classes = list("0123456789")
    return model.eval()


@pytest.mark.parametrize("options", OPTIONS)
def test_no_token_sees_those_after_it(options):
    model, tokens, seen = small(**options), torch.randint(10, (1, 16)), []

    def leaf(_module, _inputs, output):
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    model.embedding.register_forward_hook(leaf)
    logits = model(tokens)
    for t in (0, 7, 15):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), seen[-1], retain_graph=True)
        reached = gradient[0].abs().sum(1) > 0  # [T]
        assert reached.tolist() == [s <= t for s in range(16)]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_cache_changes_nothing(options):
    model, tokens = small(**options), torch.randint(10, (3, 16))
    state, pieces = None, []
    for piece in tokens.split([5, 1, 1, 6, 3], dim=1):
        logits, state = model.step(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), model(tokens).detach(), rtol=1e-4, atol=1e-4)


def uncached(model: GPT, prompt: str, n: int) -> str:
    """Greedy continuation that runs the whole window through the network for every token."""
    seen = [model.classes.index(c) for c in prompt]
    out = ""
    for _ in range(n):
        with torch.inference_mode():
            token = int(model(torch.tensor([seen]))[0, -1].argmax())
        seen.append(token)
        if len(seen) > model.context:
            seen = seen[-(model.context - model.context // 4) :]
        out += model.classes[token]
    return out


@pytest.mark.parametrize("options", OPTIONS)
def test_generation_equals_that_without_a_cache_beyond_the_context(options):
    model = small(**options)
    assert model.generate("31415", 60, temperature=0) == uncached(model, "31415", 60)
    assert model.generate("0123456789012345", 3, temperature=0) == uncached(model, "0123456789012345", 3)


def test_the_cache_is_five_times_faster_at_256_tokens():
    """The next token after 255, on nanoGPT's sizes: one step from the cache against the whole window again."""
    model = GPT(65, 256, layers=6, heads=6, width=384).eval()
    tokens = torch.randint(65, (1, 256))

    def seconds(run: Callable[[], Tensor], times: int) -> float:
        started = time.process_time()  # of this process alone: a neighbour's load counts little
        for _ in range(times):
            run()
        return (time.process_time() - started) / times

    def step() -> Tensor:
        for layer in state:
            layer.length = 255
        return model.step(tokens[:, -1:], state)[0]

    with torch.inference_mode():
        _, state = model.step(tokens[:, :-1])
        torch.testing.assert_close(step()[:, -1], model(tokens)[:, -1], rtol=1e-4, atol=1e-4)
        with_cache, without = seconds(step, 10), seconds(lambda: model(tokens), 2)
    print(f"{1e3 * with_cache:.1f} ms with, {1e3 * without:.1f} ms without: {without / with_cache:.1f} times faster")
    assert without > 5 * with_cache


def test_rotary_scores_depend_on_the_distance_alone():
    rotation = rotations(20, 8)
    q, k = torch.randn(8), torch.randn(8)
    q, k = (rotate(v.expand(1, 1, 20, 8), rotation)[0, 0] for v in (q, k))
    scores = q @ k.T
    for distance in range(-5, 6):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(q.norm(dim=1), q[0].norm().expand(20))


def test_norms_are_torchs_own_with_their_gradients():
    torch.manual_seed(0)
    norm, x = RMSNorm(8, eps=1e-5), torch.randn(2, 16, 8, requires_grad=True)
    nn.init.normal_(norm.weight)
    own, torchs = norm(x), nn.functional.rms_norm(x, (8,), norm.weight, 1e-5)
    torch.testing.assert_close(own, torchs, rtol=0, atol=1e-6)
    towards = torch.randn_like(own)
    gradients = [torch.autograd.grad(y, (x, norm.weight), towards) for y in (own, torchs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=4e-6)
    assert norm(torch.zeros(1, 8)).abs().max() == 0


def test_sizes_of_the_published_models():
    assert sum(p.numel() for p in GPT().parameters()) == 795_904
    xor = GPT(2, 2, width=16, positions="learned", norm="layer")
    assert sum(p.numel() for p in xor.parameters()) == 12_640
    assert xor.head.weight is xor.embedding.weight


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    model = small()
    folder = model.save_pretrained(tmp_path / "gpt-small")
    assert "head.weight" not in read_tensors(folder / "model.safetensors")
    loaded = zoo.load(folder)
    assert loaded.head.weight is loaded.embedding.weight and loaded.classes == list("0123456789")
    assert zoo.verify(folder) and (folder / "preview.png").stat().st_size > 500
    tokens = torch.randint(10, (2, 16))
    assert torch.equal(loaded(tokens), model(tokens))
    assert loaded.generate("3", 20, seed=0) == model.generate("3", 20, seed=0)


def test_logits_equal_those_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=33, n_positions=24, n_embd=32, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.4)
    ours = from_gpt2(theirs.state_dict(), heads=4, layout="huggingface")
    tokens = torch.randint(33, (2, 24))
    with torch.no_grad():
        expected = theirs(tokens).logits
        assert expected.std() > 0.5
        torch.testing.assert_close(ours(tokens), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.step(tokens)[0], expected, rtol=1e-4, atol=1e-4)
    back = to_gpt2(ours, "huggingface")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back[name], tensor), name


BLOCK = ["attn.c_attn", "attn.c_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj"]
NANOGPT = ["lm_head.weight", "transformer.wte.weight", "transformer.wpe.weight", "transformer.ln_f.weight"]
NANOGPT += [f"transformer.h.0.{name}.weight" for name in BLOCK]


@pytest.mark.parametrize("bias", [False, True])
def test_nanogpts_names_there_and_back(bias):
    torch.manual_seed(0)
    model = GPT(10, 8, layers=1, heads=2, width=8, positions="learned", norm="layer", bias=bias).eval()
    theirs = to_gpt2(model)
    biases = [name.replace("weight", "bias") for name in NANOGPT if ".h." in name or "ln_f" in name]
    assert sorted(theirs) == sorted([*NANOGPT, *(biases if bias else [])])
    assert theirs["transformer.h.0.attn.c_attn.weight"].shape == (24, 8)
    tokens = torch.randint(10, (2, 8))
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in theirs.items()}
    torch.testing.assert_close(from_gpt2(compiled, heads=2)(tokens), model(tokens))


def test_what_is_no_gpt2_is_refused():
    ours = to_gpt2(small(positions="learned", norm="layer", bias=True))
    nn.init.ones_((biased := small(positions="learned", norm="layer")).norm.bias)
    for call, word in (
        (lambda: to_gpt2(small()), "positions='rotary', norm='rms'"),
        (lambda: to_gpt2(biased), "norms have biases"),
        (lambda: to_gpt2(small(), "keras"), "'keras'"),
        (lambda: from_gpt2({**ours, "conv.weight": torch.ones(1)}, heads=2), "conv.weight is no tensor"),
        (lambda: from_gpt2({}, heads=2), "embedding.weight, places.weight"),
        (lambda: from_gpt2({**ours, "lm_head.weight": torch.ones(10, 24)}, heads=2), "tied"),
        (lambda: from_gpt2(ours, heads=5), "5 heads"),
    ):
        with pytest.raises(InputError, match=word):
            call()
    del ours["transformer.h.1.ln_2.bias"]
    with pytest.raises(CheckpointError, match=r"missing blocks.1.norm2.bias"):
        from_gpt2(ours, heads=2)


@pytest.mark.parametrize(
    ("init", "word"),
    [
        ({"heads": 3}, "3 heads"),
        ({"width": 12, "heads": 4}, "even length"),
        ({"layers": 0}, "layers"),
        ({"context": True}, "context"),
        ({"positions": "sine"}, "rotary, learned"),
        ({"norm": "batch"}, "layer, rms"),
        ({"activation": "tanh"}, "'tanh'"),
    ],
)
def test_wrong_arguments(init, word):
    with pytest.raises(InputError, match=word):
        GPT(**{"width": 16, **init})


def test_too_many_tokens_are_refused():
    with pytest.raises(InputError, match="17 tokens"):
        small()(torch.zeros(1, 17, dtype=torch.long))
    _, state = (model := small()).step(torch.zeros(1, 16, dtype=torch.long))
    with pytest.raises(InputError, match="17 tokens"):
        model.step(torch.zeros(1, 1, dtype=torch.long), state)


def test_training_attends_as_evaluation_does():
    """On a CPU the two take different kernels."""
    torch.manual_seed(0)
    model, tokens = GPT(11, 12, layers=2, heads=2, width=16, qk_norm=True), torch.randint(11, (3, 12))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    gradients = []
    for mode in (True, False):
        model.train(mode).zero_grad()
        logits = model(tokens)
        logits.square().mean().backward()
        gradients.append((logits, model.blocks[0].attention.qkv.weight.grad.clone()))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)
