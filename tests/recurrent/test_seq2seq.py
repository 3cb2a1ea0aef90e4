"""Translation: attention by its equation, decoding step by step, padding, and byte pairs that travel with the weights."""

import pytest
import torch
from torch import nn

import zoo
from datamodules.multi30k import BEGIN, END, Multi30k, PairLoader, learn_byte_pairs
from zoo.errors import InputError
from zoo.recurrent.seq2seq import AttentionSeq2Seq

LINES = ["Ein Hund läuft.", "A dog runs.", "Zwei Hunde laufen im Schnee.", "Two dogs run in the snow."]


def make() -> AttentionSeq2Seq:
    torch.manual_seed(0)
    byte_pairs = learn_byte_pairs(LINES, 270)
    model = AttentionSeq2Seq(270, 12, embedding=8, dropout=0.5, tokenizer=byte_pairs.to_str(), source="de", target="en")
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sources, targets = (torch.randint(3, 270, (3, n), generator=generator) for n in (7, 5))
    return sources, torch.tensor([7, 4, 1]), targets


def test_attention_by_its_equation():
    model, (sources, lengths, targets) = make(), batch()
    memory, real, state = model.encode(sources, lengths)
    logits, _, weight = model.decode(targets, memory, real, state)
    h = model.decoder(model.embedding(targets), state)[0]
    for row in range(3):
        m = memory[row, : lengths[row]]
        alpha = (h[row] @ model.attention.weight.T @ m.T).softmax(1)
        torch.testing.assert_close(weight[row, :, : lengths[row]], alpha)
        assert not weight[row, :, lengths[row] :].any()
        both = torch.cat([h[row], alpha @ m], 1)
        out = torch.tanh(both @ model.combine.weight.T + model.combine.bias)
        torch.testing.assert_close(logits[row], out @ model.embedding.weight.T + model.bias)


def test_padding_and_reading_step_by_step_change_nothing():
    model, (sources, lengths, targets) = make(), batch()
    whole = model(sources, lengths, targets)
    for row in range(3):
        alone = model(sources[row : row + 1, : lengths[row]], lengths[row : row + 1], targets[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row])
    memory, real, state = model.encode(sources, lengths)
    steps = []
    for token in targets.split(1, dim=1):
        logits, state, _ = model.decode(token, memory, real, state)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole)


@torch.inference_mode()
def test_one_beam_takes_the_likeliest_token_each_time():
    model = make()
    sources, tokens = model._search("Ein Hund läuft.", 1, 1.0)
    memory, newest, expected = model.encode(sources[None], torch.tensor([len(sources)])), BEGIN, []
    state = memory[2]
    for _ in range(2 * len(sources) + 10):
        logits, state, _ = model.decode(torch.tensor([[newest]]), *memory[:2], state)
        logits[0, 0, :2] = -torch.inf
        newest = int(logits[0, 0].argmax())
        if newest == END:
            break
        expected.append(newest)
    assert tokens == expected


def test_translations_maps_and_bad_input(tmp_path):
    model = make()
    assert model.translate("Ein Hund") == model.translate(["Ein Hund", "Schnee"])[0]
    columns, rows, weight = model.attend("Ein Hund.")
    assert weight.shape == (len(rows), len(columns)) and "".join(columns) == "EinHund."
    torch.testing.assert_close(weight.sum(1), torch.ones(len(rows)))
    assert model.attention_map("Ein Hund", tmp_path / "map.png").stat().st_size > 1000
    loaded = zoo.load(model.save_pretrained(tmp_path / "m"))
    assert loaded.translate("Zwei Hunde laufen.") == model.translate("Zwei Hunde laufen.")
    for call, word in (
        (lambda: model.translate(""), "something in it"),
        (lambda: model.translate("  "), "something in it"),
        (lambda: model.translate("a", beams=0), "beams"),
        (lambda: model.translate("a", penalty=-1.0), "penalty"),
        (lambda: AttentionSeq2Seq(270, 12).translate("a"), "no byte pairs yet"),
        (lambda: AttentionSeq2Seq(270, 13), "even"),
        (lambda: Multi30k(source="xx"), "'xx'"),
        (lambda: Multi30k(target="de"), "nothing to translate"),
        (lambda: Multi30k(vocab_size=9), "vocab_size is 9"),
    ):
        with pytest.raises(InputError, match=word):
            call()


def test_byte_pairs_lose_nothing_and_leave_nothing_unknown():
    byte_pairs = learn_byte_pairs(LINES, 270)
    for text in [*LINES, "naïve ☃ 你好", "  spaces  inside"]:
        assert byte_pairs.decode(byte_pairs.encode(text).ids).strip() == text.strip()
    assert byte_pairs.to_str() == learn_byte_pairs(LINES, 270).to_str()


def test_pairs_stay_together():
    sources = [torch.full((1 + i % 5,), i + 3) for i in range(20)]
    targets = [torch.tensor([BEGIN, i + 3, END]) for i in range(20)]
    seen = []
    for tokens, lengths, target in PairLoader(sources, targets, 6, shuffle=True):
        assert (tokens[:, 0] == target[:, 1]).all() and target.shape[1] == 3
        seen += (tokens[:, 0] - 3).tolist()
        assert tokens.shape[1] == lengths.max()
    assert sorted(seen) == list(range(20))


@pytest.mark.data
def test_the_parts_are_those_published():
    data = Multi30k(vocab_size=300)
    try:
        data.prepare_data()
    except FileNotFoundError:
        pytest.skip("ZOO_DATA doesn't hold the data set")
    assert {part: len(data.lines(part, "de")) for part in data.counts} == data.counts
    assert not set(data.lines("train", "en")) >= set(data.lines("test", "en"))
    sources, lengths, targets = next(iter(data.val_dataloader()))
    assert (targets[:, 0] == BEGIN).all() and ((targets == END).sum(1) == 1).all() and sources.shape[1] == lengths.max()
    assert data.tokenizer.get_vocab_size() == 300
