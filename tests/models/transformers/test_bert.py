"""BERT: Hugging Face's logits from the same weights, nothing hidden leaks, the verbs by their definitions."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import zoo
from datamodules.gutenberg_pieces import MASK, SPECIAL, learn_word_pieces
from datamodules.tinyshakespeare import sample_text
from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.models.transformers.bert import BERT

tokenizers = pytest.importorskip("tokenizers")
TEXT = sample_text()[:20_000]
PIECES = learn_word_pieces([TEXT], 300).to_str()
SIZE = tokenizers.Tokenizer.from_str(PIECES).get_vocab_size()


def make(**options) -> BERT:
    torch.manual_seed(0)
    model = BERT(SIZE, 16, **({"layers": 2, "heads": 2, "width": 24, "tokenizer": PIECES} | options))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.mark.parametrize("lengths", [(12, 12), (12, 5)])
def test_logits_are_those_of_hugging_face_from_the_same_weights(lengths):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        max_position_embeddings=16,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    theirs = transformers.BertForMaskedLM(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    ours = BERT(50, 16, layers=2, heads=3, width=24, positions="learned", norm_first=False).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), 2))
    tokens = torch.randint(3, 50, (2, 12))
    real = torch.arange(12) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=real.long()).logits
        found = ours(tokens, None if all(n == 12 for n in lengths) else real)
        torch.testing.assert_close(found[real], expected[real], rtol=1e-5, atol=1e-5)
        ours.train()  # no dropout here: what training computes by itself on a CPU is the same
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)


def renamed(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """Weights of BertForMaskedLM under our names; the vector of the first sentence joins those of the places."""
    kinds = state["bert.embeddings.token_type_embeddings.weight"]
    found = {
        "embedding.weight": state["bert.embeddings.word_embeddings.weight"],
        "places.weight": state["bert.embeddings.position_embeddings.weight"] + kinds[0],
    }
    pairs = {"norm": "bert.embeddings.LayerNorm", "head.norm": "cls.predictions.transform.LayerNorm"}
    pairs |= {"head.dense": "cls.predictions.transform.dense", "head.decoder": "cls.predictions.decoder"}
    for i in range(layers):
        block, layer = f"blocks.{i}.", f"bert.encoder.layer.{i}."
        pairs |= {
            block + "out": layer + "attention.output.dense",
            block + "norm1": layer + "attention.output.LayerNorm",
        }
        pairs |= {block + "up": layer + "intermediate.dense", block + "down": layer + "output.dense"}
        pairs |= {block + "norm2": layer + "output.LayerNorm"}
        for kind in ("weight", "bias"):
            parts = [state[f"{layer}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            found[f"{block}qkv.{kind}"] = torch.cat(parts)
    found |= {
        f"{ours}.{kind}": state[f"{theirs}.{kind}"] for ours, theirs in pairs.items() for kind in ("weight", "bias")
    }
    return found


@pytest.mark.parametrize("options", [{}, {"positions": "learned", "norm_first": False}])
def test_what_is_hidden_or_fills_up_changes_nothing(options):
    model = make(**options)
    tokens = torch.randint(len(SPECIAL), SIZE, (3, 16))
    seen, places, held = model.hide(tokens, 0.25, always=True, generator=torch.Generator().manual_seed(0))
    assert places.shape == held.shape == (3, 4) and (seen.gather(1, places) == MASK).all()
    assert torch.equal(held, tokens.gather(1, places))
    other = tokens.scatter(1, places, (held - len(SPECIAL) + 7) % (SIZE - len(SPECIAL)) + len(SPECIAL))
    again, same, _ = model.hide(other, 0.25, always=True, generator=torch.Generator().manual_seed(0))
    assert torch.equal(same, places) and torch.equal(again, seen)  # the input is all that the network gets
    real = torch.arange(16) < torch.tensor([16, 9, 4])[:, None]
    whole = model(tokens, real)
    torch.testing.assert_close(model(tokens.masked_fill(~real, 5), real)[real], whole[real])
    torch.testing.assert_close(model(tokens[1:2, :9])[0], whole[1, :9], rtol=1e-4, atol=1e-5)
    x = model.embedding(tokens).detach()
    assert not torch.allclose(model(tokens.flip(1)).flip(1), whole)  # order counts, and so does what comes after:
    model.embedding.register_forward_hook(lambda *_: x.requires_grad_())
    (gradient,) = torch.autograd.grad(model(tokens)[0, 3].square().sum(), x)
    assert gradient[0].abs().sum(1).all() and not gradient[1:].any()


def test_shares_of_what_is_hidden():
    model, tokens = make(), torch.full((4000, 20), 9)
    seen, places, held = model.hide(tokens, 0.15)
    assert places.shape == (4000, 3) and (held == 9).all()
    assert all(len(set(row)) == 3 for row in places[:50].tolist())
    now = seen.gather(1, places)
    assert (now == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    random = (now != MASK) & (now != 9)
    assert random.float().mean() == pytest.approx(0.1, abs=0.02) and now[random].min() >= len(SPECIAL)
    untouched = torch.ones_like(tokens, dtype=torch.bool).scatter(1, places, False)
    assert (seen[untouched] == 9).all()
    assert torch.bincount(places.flatten(), minlength=20).float().std() / 600 < 0.1  # every place as often


def test_pseudo_perplexity_by_its_definition():
    model, text = make(), "First Citizen: Before we proceed any further, hear me speak. All: Speak, speak."
    tokens = model.tokens(text)
    assert len(tokens) > 16
    found = model.pseudo_nats(tokens)
    for t in (0, 5, len(tokens) // 2, len(tokens) - 1):
        start = min(max(0, t - 8), len(tokens) - 16)
        window = tokens[start : start + 16].clone()
        window[t - start] = MASK
        with torch.no_grad():
            expected = F.cross_entropy(model(window[None])[0, t - start], tokens[t])
        assert found[t].item() == pytest.approx(expected.item(), rel=1e-4)
    assert model.perplexity(text) == pytest.approx(math.exp(found.mean().item()))
    nn.init.zeros_(model.embedding.weight)
    nn.init.zeros_(model.head.decoder.bias)
    assert model.perplexity("Speak, speak.") == pytest.approx(SIZE, rel=1e-5)  # knows nothing


def test_fill_mask_gives_probabilities_of_each_hole():
    model = make()
    one = model.fill_mask("Speak, [MASK].", top=SIZE)
    assert sum(p for _, p in one) == pytest.approx(1, abs=1e-5) and one[0][1] >= one[1][1]
    two = model.fill_mask("[MASK], [MASK].", top=3)
    assert len(two) == 2 and all(len(row) == 3 for row in two)
    tokens = model.tokens("Speak, [MASK].")
    assert tokens.tolist().count(MASK) == 1
    with torch.no_grad():
        best = model(tokens[None])[0, tokens.tolist().index(MASK)].argmax()
    assert one[0][0] == model.tokenizer.id_to_token(int(best))


def test_embeddings_are_means_that_company_does_not_change():
    model = make()
    texts = ["Speak.", "We are all resolved."]
    both = model.embed(texts)
    for text, row in zip(texts, both, strict=True):
        torch.testing.assert_close(model.embed(text), row, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(model.states(model.tokens(text)[None])[0].mean(0), row, rtol=1e-4, atol=1e-5)


def test_classify_tells_examples_apart():
    model = make()
    examples = {"citizens": ["Speak, speak.", "Resolved. resolved."], "kings": ["My gracious lord!", "Good my lord"]}
    for name, texts in examples.items():
        for row in model.classify(texts, examples):
            assert row[0][0] == name and sum(p for _, p in row) == pytest.approx(1)
    assert model.classify("My lord!", examples, top=1)[0][0] in examples


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m: m.fill_mask("Speak."), r"no \[MASK\]"),
        (lambda m: m.fill_mask("[MASK]", top=0), "top must be"),
        (lambda m: m.fill_mask(""), "is empty"),
        (lambda m: m.fill_mask("[MASK] €5"), "'€5' at position 7"),
        (lambda m: m.perplexity("   "), "is empty"),
        (lambda m: m.perplexity(3), "string, not int"),
        (lambda m: m.embed("speak " * 30), r"has .* pieces, the model sees 16"),
        (lambda m: m.embed([]), "no text"),
        (lambda m: m.classify("Speak.", {"a": ["b"]}), "two or more classes"),
        (lambda m: m.classify("Speak.", {"a": ["b"], "c": []}), "two or more classes"),
        (lambda m: m(torch.zeros(1, 17, dtype=torch.long)), "don't fit into a context of 16"),
        (lambda m: BERT(3), "special pieces alone"),
        (lambda m: BERT(mask_share=1.0), "mask_share"),
        (lambda m: BERT(width=30, heads=4), "heads of an even length"),
        (lambda m: BERT(positions="none"), "'rotary' or 'learned'"),
        (lambda m: BERT(300).embed("a"), "no word pieces yet"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, word):
    with pytest.raises(InputError, match=word):
        call(make())


def test_the_command_line_fills_holes(tmp_path, capsys):
    from zoo.cli.main import main

    folder = str(make().save_pretrained(tmp_path / "bert-small"))
    assert main(["fill", folder, "Speak, [MASK]. [MASK]!", "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(len(line.split()) == 4 for line in lines)
    assert main(["fill", folder, "Speak."]) == 2
    assert "no [MASK]" in capsys.readouterr().err


def test_the_pieces_lie_beside_the_weights_for_other_tools(tmp_path):
    model = make()
    folder = model.save_pretrained(tmp_path / "bert-small")
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert theirs.encode("Speak, [MASK].").ids == model.tokens("Speak, [MASK].").tolist()
    assert zoo.load(folder).hparams["tokenizer"] == PIECES
    images = zoo.create("vit", in_channels=1, image_size=28, patch=14, depth=1, heads=1, dim=8, mlp_dim=8)
    images.transform = Transform(**zoo.datamodule("mnist").preprocess)
    assert not (images.save_pretrained(tmp_path / "vit-small") / "tokenizer.json").exists()  # a word, no pieces


def test_logits_that_are_not_finite_are_never_used():
    model = make()
    nn.init.constant_(model.head.decoder.bias, math.nan)
    for call in (lambda: model.fill_mask("a [MASK]"), lambda: model.perplexity("Speak.")):
        with pytest.raises(InputError, match="aren't finite"):
            call()


def test_training_takes_the_pieces_over_and_refuses_others():
    class Trainer:
        datamodule = type("Data", (), {"tokenizer": tokenizers.Tokenizer.from_str(PIECES)})

    model = make(tokenizer=None)
    model._trainer = Trainer()
    model.setup("fit")
    assert model.hparams["tokenizer"] == PIECES
    model = BERT(SIZE + 1)
    model._trainer = Trainer()
    with pytest.raises(InputError, match="make them equal"):
        model.setup("fit")
    model = make(tokenizer=learn_word_pieces([TEXT.upper()[::-1]], SIZE).to_str())
    model._trainer = Trainer()
    with pytest.raises(InputError, match="other word pieces"):
        model.setup("fit")


@pytest.mark.parametrize("name", zoo.list_models(task="fill-mask"))
def test_a_published_model_fills_holes_in_english(name):
    model = zoo.load(name)
    assert "not" in {piece for piece, _ in model.fill_mask("I do [MASK] know what you mean, sir.", top=3)}
    order = "the captain stood upon the deck and looked at the sea."
    assert model.perplexity(order) < model.perplexity(" ".join(order.split()[::-1]))
