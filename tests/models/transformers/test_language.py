"""The verbs that all causal language models share, on a recurrent one and a Transformer."""

import itertools
import math

import pytest
import torch
from torch import nn

import zoo
from datamodules.text import IGNORED
from datamodules.tinyshakespeare import CHARACTERS, sample_text
from zoo.core.protocols import Generates
from zoo.errors import CheckpointError, InputError
from zoo.models.recurrent.char_rnn import CharRNN
from zoo.models.text.causal import CausalLM
from zoo.models.text.sampling import Choice
from zoo.models.transformers.gpt import GPT


def make(kind: str) -> CausalLM:
    torch.manual_seed(0)
    model: CausalLM
    if kind == "gpt":
        model = GPT(65, 16, layers=2, heads=2, width=24)
    else:
        model = CharRNN(65, 24, embedding=12, dropout=0.5)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    model.classes = list(CHARACTERS)
    return model


both = pytest.fixture(params=["gpt", "char-rnn"])(lambda request: make(request.param))


def test_generate_follows_seed_length_and_stream(both):
    assert isinstance(both, Generates)
    text = both.generate("ROMEO:", 40, seed=1)
    assert len(text) == 40 and set(text) <= set(CHARACTERS)
    assert text == both.generate("ROMEO:", 40, seed=1) != both.generate("ROMEO:", 40, seed=2)
    assert text == "".join(both.stream("ROMEO:", 40, seed=1))
    greedy = both.generate("ROMEO:", 40, temperature=0)
    assert greedy == both.generate("ROMEO:", 40, temperature=0) == both.generate("ROMEO:", 40, top_k=1)
    assert greedy == both.generate("ROMEO:", 40, top_p=1e-9) == both.generate("ROMEO:", 40, temperature=1e-300)


def test_beams_find_the_likeliest_text(both):
    both.eval().context = None if both.stateful else 16

    def values(texts: list[str]) -> torch.Tensor:
        tokens = torch.stack([both.tokens("ab" + text) for text in texts])
        with torch.no_grad():
            p = both(tokens).log_softmax(2)
        return sum(p[:, t - 1].gather(1, tokens[:, t, None])[:, 0] for t in (2, 3))

    def value(text: str) -> float:
        return values([text]).item()

    pairs = [a + b for a, b in itertools.product(CHARACTERS[:65:4], CHARACTERS)]
    every = pairs[values(pairs).argmax()]
    exact = both.generate("ab", 2, beams=65)  # as many beams as first characters: nothing is lost
    assert value(exact) >= value(every) - 1e-5
    assert both.generate("ab", 6, beams=1) == both.generate("ab", 6, temperature=0)
    assert value(both.generate("ab", 2, beams=3)) >= value(both.generate("ab", 2, beams=1)) - 1e-5
    assert both.generate("a", 3, beams=2) == both.generate("a", 3, beams=2, seed=7)
    for bad, word in (
        ({"beams": 0}, "beams must be"),
        ({"beams": 2, "top_k": 3}, "beams look for the likeliest"),
        ({"beams": 2, "n": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=word):
            both.generate(**({"prompt": "ab", "n": 4} | bad))
    if not both.stateful:
        with pytest.raises(InputError, match="n can't be 16"):
            both.generate("ab", 16, beams=2)
        with pytest.warns(UserWarning, match="the model sees 12: the first 4 are cropped"):
            assert len(both.generate("To be, or not to", 4, beams=2)) == 4


def test_streaming_is_lazy_and_endless_if_asked(both):
    assert len(list(itertools.islice(both.stream("a", 10**9), 5))) == 5


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m: m.generate("", 5), "the prompt is empty"),
        (lambda m: m.generate("naïve", 5), r"'ï' at position 2"),
        (lambda m: m.generate(3, 5), "must be a string, not int"),
        (lambda m: m.generate("a", 0), "at least 1, not 0"),
        (lambda m: m.generate("a", 2.0), "at least 1, not 2.0"),
        (lambda m: m.generate("a", 5, temperature=-0.1), "temperature .* not -0.1"),
        (lambda m: m.generate("a", 5, temperature=math.nan), "temperature .* not nan"),
        (lambda m: m.generate("a", 5, temperature=math.inf), "temperature .* not inf"),
        (lambda m: m.generate("a", 5, temperature="hot"), "temperature .* not 'hot'"),
        (lambda m: m.generate("a", 5, top_k=0), "top_k must be .* not 0"),
        (lambda m: m.generate("a", 5, top_k=66), "top_k is 66, but there are 65"),
        (lambda m: m.generate("a", 5, top_p=0.0), "top_p .* not 0.0"),
        (lambda m: m.generate("a", 5, top_p=1.1), "top_p .* not 1.1"),
        (lambda m: m.generate("a", 5, top_p=math.nan), "top_p .* not nan"),
        (lambda m: m.stream("", 5), "empty"),  # said at once, not at the first character
        (lambda m: m.perplexity(""), "empty"),
        (lambda m: m.perplexity("a"), "nothing to predict"),
        (lambda m: m.perplexity("ab€"), r"'€' at position 2"),
        (lambda m: m.embed(""), "empty"),
        (lambda m: m.nats("backwards", torch.zeros(9, dtype=torch.long)), "'backwards'"),
        (lambda m: m.transitions(), "at most 64"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(both, call, word):
    with pytest.raises(InputError, match=word):
        call(both)


def test_logits_that_are_not_finite_are_never_sampled(both):
    nn.init.constant_(both.head.weight, math.nan)
    for call in (
        lambda: both.generate("a", 5),
        lambda: both.generate("a", 5, temperature=0),
        lambda: both.perplexity("abc"),
    ):
        with pytest.raises(InputError, match="aren't finite"):
            call()


def test_a_model_without_characters_says_so(both):
    both.classes = None
    with pytest.raises(InputError, match="no characters yet"):
        both.generate("a", 5)
    for wrong in (["a"] * 65, list("abc"), ["ab", *CHARACTERS[1:]]):
        both.classes = wrong
        with pytest.raises(CheckpointError, match="65 distinct"):
            both.generate("a", 5)


def test_a_lower_case_model_reads_capitals_and_no_other_does(both):
    with pytest.raises(InputError, match="'É' at position 1"):
        both.generate("AÉ", 3)
    both.classes = [chr(ord("a") + i) for i in range(26)] + [chr(0x4E00 + i) for i in range(39)]
    assert both.generate("Call", 9, seed=0) == both.generate("call", 9, seed=0)
    assert both.perplexity("ABBA") == both.perplexity("abba")
    with pytest.raises(InputError, match="'é' at position 3"):
        both.generate("CafÉ", 3)


def test_a_long_prompt_is_cropped_with_a_warning():
    model = make("gpt")
    prompt = "To be, or not to be, that is the question"
    with pytest.warns(UserWarning, match=r"41 characters, the model sees 16: the first 25 are cropped"):
        text = model.generate(prompt, 10, seed=0)
    assert text == model.generate(prompt[-16:], 10, seed=0)
    assert len(make("char-rnn").generate(prompt, 10)) == 10  # a state has no end
    with pytest.raises(InputError, match="embed it in parts"):
        model.embed(prompt)


def test_perplexity_by_its_definition():
    text = sample_text()[:50]
    rnn, gpt = make("char-rnn").eval(), make("gpt").eval()
    tokens = torch.tensor([CHARACTERS.index(c) for c in text])

    def nats(model: CausalLM, start: int, t: int) -> float:
        with torch.no_grad():
            return -model(tokens[None, start:t])[0, -1].log_softmax(0)[tokens[t]].item()

    whole = sum(nats(rnn, 0, t) for t in range(1, 50)) / 49
    assert rnn.perplexity(text) == pytest.approx(math.exp(whole), rel=1e-4)
    # windows of 16, 8 apart: 0-16, 8-24, 16-32, 24-40, 32-48, and one that ends with the text
    starts = {t: 0 if t <= 16 else min(8 * (-(-(t - 16) // 8)), 50 - 17) for t in range(1, 50)}
    sliding = sum(nats(gpt, starts[t], t) for t in range(1, 50)) / 49
    assert gpt.perplexity(text) == pytest.approx(math.exp(sliding), rel=1e-4)
    for model in (rnn, gpt):
        for parameter in model.head.parameters():
            nn.init.zeros_(parameter)
        assert model.perplexity(text) == pytest.approx(65, rel=1e-5)  # knows nothing: every character as likely


def test_embed_gives_a_state_a_character_that_later_ones_cannot_change(both):
    first, longer = both.embed("To be"), both.embed("To be, or")
    assert first.shape == (5, 24) and longer.shape == (9, 24)
    torch.testing.assert_close(longer[:5], first, rtol=1e-4, atol=1e-5)


def test_evaluation_names_every_way_of_reading(both, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(sample_text()[:4000], encoding="utf-8")
    data = zoo.datamodule("text-file", path=str(path), vocabulary=CHARACTERS, val_share=0.2)
    whole, both.nats = both.nats, lambda reading, tokens: whole(reading, tokens, batches=2, batch_size=4)
    entries = {entry["metric"]: entry for entry in both.evaluate(data)}
    assert {"nats_per_char", "bits_per_char", "nats_per_char_random", "bits_per_char_random"} <= entries.keys()
    assert ("nats_per_char_stream" in entries) == both.stateful
    for name, entry in entries.items():
        assert entry["split"] == "val" and "weights as the run ended" in entry["how"]
        if name.startswith("bits"):
            assert entry["value"] == pytest.approx(entries[name.replace("bits", "nats")]["value"] / math.log(2))
    both.classes = both.classes[::-1]
    with pytest.raises(InputError, match="other characters"):
        both.evaluate(data)


def test_evaluation_of_patterns_and_the_table_of_a_small_machine(tmp_path):
    model = GPT(2, 2, layers=1, heads=2, width=8)
    model.classes = ["0", "1"]
    entries = {entry["metric"]: entry["value"] for entry in model.evaluate(zoo.datamodule("xor"))}
    table = model.transitions()
    assert list(table) == ["00", "01", "10", "11"]
    assert entries["worst_probability"] == pytest.approx(min(table[c][int(c[0] != c[1])].item() for c in table))
    assert entries["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    assert model.preview(tmp_path / "table.png").stat().st_size > 100
    assert len(model.generate("1", 20)) == 20


def test_choices():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    p = logits.double().softmax(0)
    torch.testing.assert_close(Choice(1.0, None, None, 4).probabilities(logits), p)
    torch.testing.assert_close(Choice(0.5, None, None, 4).probabilities(logits), (2 * logits.double()).softmax(0))
    torch.testing.assert_close(Choice(1.0, 2, None, 4).probabilities(logits)[:2], p[:2] / p[:2].sum())
    assert Choice(1.0, 2, None, 4).probabilities(logits)[2:].sum() == 0
    for top_p, kept in ((0.5, 1), (p[0].item() + 1e-6, 2), (0.95, 3), (1.0, 4)):
        assert (Choice(1.0, None, top_p, 4).probabilities(logits) > 0).sum() == kept
    draws = [
        Choice(1.0, None, None, 4).draw(logits, g) for g in [torch.Generator().manual_seed(0)] for _ in range(2000)
    ]
    torch.testing.assert_close(torch.bincount(torch.tensor(draws)) / 2000, p.float(), atol=0.03, rtol=0)


def test_training_takes_the_characters_over_and_refuses_others(both):
    class Trainer:
        datamodule = type("Data", (), {"classes": tuple("ab")})

    both._trainer = Trainer()
    with pytest.raises(InputError, match="other characters than the model"):
        both.setup("fit")
    both.classes = None
    with pytest.raises(InputError, match="the data has 2 characters, the model vocab_size=65"):
        both.setup("fit")
    Trainer.datamodule = zoo.datamodule("tinyshakespeare")
    both.setup("fit")
    assert both.characters == list(CHARACTERS)


def test_ignored_targets_do_not_count():
    from zoo.models.text.causal import cross_entropy

    logits, y = torch.randn(2, 4, 65), torch.randint(65, (2, 4))
    y[:, 2:] = IGNORED
    torch.testing.assert_close(cross_entropy(logits, y), cross_entropy(logits[:, :2], y[:, :2]))


PUBLISHED = zoo.list_models(task="text-generation")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_keeps_its_claim_on_the_packaged_sample(name):
    model, info = zoo.load(name), zoo.info(name)
    if info.dataset == "xor":
        assert {c: int(p.argmax()) for c, p in model.transitions().items()} == {"00": 0, "01": 1, "10": 1, "11": 0}
        assert model.generate("01", 7, temperature=0) == "1011011"
    elif info.dataset == "moby-dick":
        from datamodules.moby_dick import sample_text as of_the_whale

        assert abs(model.nats("sliding", model.tokens(of_the_whale())) - info.metric("nats_per_char")) < 0.1
    elif info.dataset == "tinyshakespeare":
        tokens = torch.tensor([CHARACTERS.index(c) for c in sample_text()])
        assert abs(model.nats("sliding", tokens) - info.metric("nats_per_char")) < 0.1
        assert len(model.generate("ROMEO:", 20, seed=0)) == 20
    else:
        pytest.skip(f"no text of {info.dataset} is packaged")
