"""What holds for every translator: padding, the order of time, decoding step by step, beams, byte pairs, and bad input."""

import pytest
import torch
from torch import nn

import zoo
from datamodules.multi30k import BEGIN, END, LANGUAGES, Multi30k, PairLoader, learn_byte_pairs
from zoo.cli.main import main
from zoo.core import protocols
from zoo.errors import InputError, Interrupted
from zoo.models.text.translation import AttentiveTranslator, Translator

LINES = ["Ein Hund läuft.", "A dog runs.", "Zwei Hunde laufen im Schnee.", "Two dogs run in the snow."]
SIZES = {
    "seq2seq": {"width": 12, "embedding": 8, "layers": 2},
    "attention-seq2seq": {"width": 12, "embedding": 8},
    "transformer": {"width": 12, "layers": 2, "heads": 2, "inner": 20},
}
every = pytest.mark.parametrize("name", SIZES)


def make(name: str) -> Translator:
    torch.manual_seed(0)
    byte_pairs = learn_byte_pairs(LINES, 270).to_str()
    model = zoo.create(name, vocab_size=270, dropout=0.5, tokenizer=byte_pairs, source="de", target="en", **SIZES[name])
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sources, targets = (torch.randint(3, 270, (3, n), generator=generator) for n in (7, 5))
    return sources, torch.tensor([7, 4, 1]), targets


@every
def test_padding_changes_nothing(name):
    model, (sources, lengths, targets) = make(name), batch()
    whole = model(sources, lengths, targets)
    for row in range(3):
        alone = model(sources[row : row + 1, : lengths[row]], lengths[row : row + 1], targets[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row])
    filled = sources.masked_fill(torch.arange(7) >= lengths[:, None], 0)
    assert torch.equal(model(filled, lengths, targets), whole)


@every
def test_no_logit_sees_a_later_target_and_all_see_the_whole_source(name):
    """By the gradient: a leak through a mask shows however small it is."""
    model, (sources, _, targets) = make(name), batch()
    read: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor], vectors: torch.Tensor) -> torch.Tensor:
        read.append(vectors.detach().requires_grad_())
        return read[-1]

    model.embedding.register_forward_hook(keep)
    for t in range(5):
        read.clear()
        model(sources, torch.full((3,), 7), targets)[:, t].sum().backward()
        of_source, of_target = (vectors.grad.abs().sum((0, 2)) for vectors in read)
        assert (of_source > 0).all() and (of_target[: t + 1] > 0).all() and not of_target[t + 1 :].any()


@every
@torch.inference_mode()
def test_decoding_step_by_step_equals_the_whole(name):
    """A state begins as one row, branches into three, and these change places, as beams do."""
    model, (sources, _, targets) = make(name), batch()
    targets[:, 0] = BEGIN
    lengths = torch.full((3,), 7)
    whole = model(sources[:1].expand(3, -1), lengths, targets)
    logits, state = model.step(torch.tensor([BEGIN]), model.begin(sources[:1]))
    torch.testing.assert_close(logits, whole[:1, 0])
    state = model.reorder(state, torch.tensor([0, 0, 0]))
    for t in range(1, 5):
        logits, state = model.step(targets[:, t], state)
        torch.testing.assert_close(logits, whole[:, t])
        turn = torch.tensor([2, 0, 1])
        state, targets, whole = model.reorder(state, turn), targets[turn], whole[turn]


def log_prob(model: Translator, sources: torch.Tensor, tokens: list[int]) -> float:
    """log p(tokens, END | sources) under the tokens that a translation may have."""
    path = torch.tensor([[BEGIN, *tokens, END]])
    logits = model(sources[None], torch.tensor([len(sources)]), path[:, :-1])[0]
    logits[:, [0, BEGIN]] = -torch.inf
    return float(logits.log_softmax(1)[torch.arange(len(tokens) + 1), path[0, 1:]].sum())


@every
@torch.inference_mode()
def test_one_beam_is_greedy_and_more_are_no_worse(name):
    model = make(name)
    if name == "transformer":
        model.embedding.weight[END] += 0.4 * model.embedding.weight.std()
    for text in LINES:
        sources, tokens = model._search(text, 1, 1.0)
        newest, expected, state = torch.tensor([BEGIN]), [], model.begin(sources[None])
        for _ in range(2 * len(sources) + 10):
            logits, state = model.step(newest, state)
            logits[0, [0, BEGIN]] = -torch.inf
            newest = logits.argmax(1)
            if newest == END:
                break
            expected.append(int(newest))
        assert tokens == expected
        best = model._search(text, 40, 1.0)[1]
        if newest == END:
            scores = [log_prob(model, sources, found) / (len(found) + 1) for found in (best, tokens)]
            assert scores[0] >= scores[1] - 1e-5


@every
def test_verbs_and_saving(name, tmp_path, capsys):
    model = make(name)
    assert isinstance(model, protocols.Translates)
    assert model.translate("Ein Hund") == model.translate(["Ein Hund", "Schnee"])[0]
    folder = model.save_pretrained(tmp_path / "m")
    loaded = zoo.load(folder)
    assert loaded.translate("Zwei Hunde laufen.") == model.translate("Zwei Hunde laufen.")
    assert main(["translate", str(folder), "Ein Hund", "Schnee", "--beams", "2"]) == 0
    assert capsys.readouterr().out == "\n".join(model.translate(["Ein Hund", "Schnee"], beams=2)) + "\n"
    drawn = main(["translate", str(folder), "Ein Hund", "--map", str(tmp_path / "map.png")])
    if not isinstance(model, AttentiveTranslator):
        assert drawn == 2 and "no attention" in capsys.readouterr().err
        return
    assert drawn == 0 and (tmp_path / "map.png").stat().st_size > 1000
    columns, rows, weight = model.attend("Ein Hund.")
    assert weight.shape == (len(rows), len(columns)) and "".join(columns) == "EinHund." and rows[-1] == "[end]"
    torch.testing.assert_close(weight.sum(1), torch.ones(len(rows)))


@every
def test_bad_input_is_named(name, tmp_path, capsys):
    model = make(name)
    for call, word in (
        (lambda: model.translate(""), "something in it"),
        (lambda: model.translate(["Hund", "  "]), "something in it"),
        (lambda: model.translate(7), "a string"),
        (lambda: model.translate("a", beams=0), "beams"),
        (lambda: model.translate("a", penalty=-1.0), "penalty"),
        (lambda: zoo.create(name).translate("a"), "no byte pairs yet"),
        (lambda: zoo.create(name, source="xx"), "'xx'"),
        (lambda: zoo.create(name, vocab_size=0), "vocab_size"),
        (lambda: model.evaluate(Multi30k(source="en", target="de")), "from en to de, the model from de to en"),
    ):
        with pytest.raises(InputError, match=word):
            call()
    assert main(["translate", str(model.save_pretrained(tmp_path / "m")), ""]) == 2
    assert "something in it" in capsys.readouterr().err
    assert main(["translate", "lenet5-mnist", "Hund"]) == 2 and "doesn't translate" in capsys.readouterr().err


def test_bad_data_is_named():
    for call, word in (
        (lambda: Multi30k(source="xx"), "'xx'"),
        (lambda: Multi30k(target="de"), "nothing to translate"),
        (lambda: Multi30k(vocab_size=9), "vocab_size is 9"),
        (lambda: Multi30k(0), "batch_size is 0"),
    ):
        with pytest.raises(InputError, match=word):
            call()
    assert set(LANGUAGES) == {"en", "de", "fr", "cs"}


def test_byte_pairs_lose_nothing_and_leave_nothing_unknown():
    byte_pairs = learn_byte_pairs(LINES, 270)
    for text in [*LINES, "naïve ☃ 你好", "  spaces  inside"]:
        assert byte_pairs.decode(byte_pairs.encode(text).ids).strip() == text.strip()
    assert byte_pairs.to_str() == learn_byte_pairs(LINES, 270).to_str()


def test_pairs_stay_together_and_batches_hold_equally_many_tokens():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 12, (300, 2), generator=generator).tolist()
    sources = [torch.full((n,), i + 3) for i, (n, _) in enumerate(sizes)]
    targets = [torch.tensor([BEGIN, *[i + 3] * n, END]) for i, (_, n) in enumerate(sizes)]
    loader, orders = PairLoader(sources, targets, 4, shuffle=True), set()
    budget = 4 * sum(len(target) for target in targets) / 300
    for epoch in range(2):
        loader.set_epoch(epoch)
        seen, filled, places = [], 0, 0
        for tokens, lengths, target in loader:
            assert (tokens[:, 0] == target[:, 1]).all() and tokens.shape[1] == lengths.max()
            assert target.shape[1] == (target != 0).sum(1).max() and (target != 0).sum() <= budget + 13
            assert lengths.max() - lengths.min() <= 1
            seen.append(tuple((tokens[:, 0] - 3).tolist()))
            filled, places = filled + int((target == 0).sum()), places + target.numel()
        assert sorted(i for batch in seen for i in batch) == list(range(300)) and len(seen) == len(loader)
        assert filled < 0.2 * places  # sorted by the sources alone it would be over a quarter
        orders.add(tuple(seen))
    assert len(orders) == 2


@pytest.mark.data("multi30k")
def test_the_parts_are_those_published():
    data = Multi30k(vocab_size=300)
    data.prepare_data()
    assert {part: len(data.lines(part, "de")) for part in data.counts} == data.counts
    assert not set(data.lines("train", "en")) >= set(data.lines("test", "en"))
    sources, lengths, targets = next(iter(data.val_dataloader()))
    assert (targets[:, 0] == BEGIN).all() and ((targets == END).sum(1) == 1).all() and sources.shape[1] == lengths.max()
    assert data.tokenizer.get_vocab_size() == 300


@every
@pytest.mark.parametrize("beams", [1, 4])
def test_a_list_is_translated_as_its_texts_one_by_one(name, beams, monkeypatch):
    """In batches of unlike lengths, several of them."""
    from zoo.models.text import translation

    model = make(name).double()  # no rounding may decide between two tokens
    texts = [*LINES, "Ein", "Ein Hund läuft und läuft und läuft durch den Schnee.", *LINES[::-1]]
    monkeypatch.setattr(translation, "ROWS", 3 * beams)
    assert model.translate(texts, beams=beams) == [model.translate(text, beams=beams) for text in texts]
    assert model.translate([], beams=beams) == []
    with pytest.raises(InputError, match="string"):
        model.translate([*texts, " "], beams=beams)


def test_an_interrupt_keeps_the_translations_that_are_made(monkeypatch):
    from zoo.models.text import translation

    model, texts = make("transformer"), [LINES[0], "Ein", *LINES[1:]]
    monkeypatch.setattr(translation, "ROWS", 1)
    translate, left = model._translate, iter([True, True])

    def cut(*arguments: object) -> list[list[int]]:
        if not next(left, False):
            raise KeyboardInterrupt
        return translate(*arguments)

    whole = model.translate(texts, beams=1)
    monkeypatch.setattr(model, "_translate", cut)
    with pytest.raises(Interrupted) as stopped:
        model.translate(texts, beams=1)
    assert sum(text is not None for text in stopped.value.done) == 2
    assert all(text in (None, right) for text, right in zip(stopped.value.done, whole, strict=True))
