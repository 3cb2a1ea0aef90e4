"""Piano rolls: the likelihood by its definition, compositions, moves to other keys, and MIDI files byte by byte."""

import math

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.distributions import Bernoulli

import zoo
from datamodules.formats.midi import KEYS, read_midi, variable_length, write_midi
from datamodules.jsb_chorales import RollLoader, sample, to_roll, transpose
from zoo.errors import InputError
from zoo.models.recurrent.music import PianoRollRNN
from zoo.models.recurrent.rolls import draw_roll


def make(kind: str = "lstm", **options) -> PianoRollRNN:
    torch.manual_seed(0)
    model = PianoRollRNN(16, kind=kind, dropout=0.5, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_likelihood_by_its_definition(kind):
    model, roll = make(kind), sample()[0][:12]
    found = model.log_prob(roll)
    for t in range(1, 12):
        logits = model(roll[None, :t].float())[0, -1]
        torch.testing.assert_close(found[t - 1], Bernoulli(logits=logits).log_prob(roll[t].float()).sum())


def test_what_fills_a_short_roll_up_changes_nothing():
    model, rolls = make(), [sample()[0][:20], sample()[1][:7]]
    batch = next(iter(RollLoader(rolls, 2)))
    total, steps = model.nats(batch)
    torch.testing.assert_close(total, -torch.cat([model.log_prob(roll) for roll in rolls]).sum())
    assert steps == 19 + 6
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    assert -model.log_prob(rolls[0]).mean() == pytest.approx(KEYS * math.log(2))  # knows nothing: a coin a key


def test_compositions_follow_seed_primer_and_temperature():
    model, primer = make(), sample()[0][:9]
    roll = model.compose(30, seed=1)
    assert roll.dtype == torch.bool and roll.shape == (30, KEYS)
    assert torch.equal(roll, model.compose(30, seed=1)) and not torch.equal(roll, model.compose(30, seed=2))
    assert torch.equal(model.compose(9, temperature=0), model.compose(9, temperature=0, seed=5))
    on = model.compose(5, primer=primer, seed=0)
    first = Bernoulli(logits=model(primer[None].float())[0, -1].double()).probs
    coins = torch.rand(KEYS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(on[0], coins < first)
    for call, word in (
        (lambda: model.compose(0), "at least 1"),
        (lambda: model.compose(3, temperature=-1), "temperature"),
        (lambda: model.compose(3, primer=torch.zeros(3, 12)), "primer is"),
        (lambda: model.log_prob(torch.rand(5, KEYS)), "0 and 1 alone"),
        (lambda: model.log_prob(torch.zeros(1, KEYS)), "two or more"),
        (lambda: PianoRollRNN(kind="organ"), "rnn, gru, lstm"),
        (lambda: zoo.datamodule("jsb-chorales", shift=13), "0 to 12"),
        (lambda: to_roll([[60], [200]]), "step 1 has the pitch 200"),
    ):
        with pytest.raises(InputError, match=word):
            call()
    nn.init.constant_(model.head.bias, math.nan)
    with pytest.raises(InputError, match="finite"):
        model.compose(2)


def test_a_midi_file_byte_by_byte_and_back(tmp_path):
    roll = torch.zeros(3, KEYS)
    roll[:2, 39] = 1  # middle C, held for two steps
    roll[2, 43] = 1
    raw = write_midi(roll, tmp_path / "a.mid", bpm=120).read_bytes()
    expected = bytes.fromhex(
        "4d546864 00000006 0000 0001 0060"  # header: format 0, one track, 96 ticks a quarter
        "4d54726b 0000001c 00ff5103 07a120"  # track; 500,000 microseconds a quarter
        "00 903c48 8140 803c48 00 904048 60 804048 00ff2f00"
    )
    assert raw == expected
    for piece in sample():
        torch.testing.assert_close(read_midi(write_midi(piece, tmp_path / "b.mid")), held(piece))
    assert [variable_length(n).hex() for n in (0, 127, 128, 16383, 16384)] == ["00", "7f", "8100", "ff7f", "818000"]
    for call, word in (
        (lambda: write_midi(torch.zeros(2, 12), tmp_path / "c.mid"), "piano roll"),
        (lambda: write_midi(roll, tmp_path / "c.mid", bpm=0), "bpm"),
        (lambda: write_midi(roll, tmp_path / "c.mid", velocity=200), "velocity"),
        (lambda: read_midi(__file__), "isn't a MIDI"),
    ):
        with pytest.raises(InputError, match=word):
            call()


def held(piece: torch.Tensor) -> torch.Tensor:
    """Silence at the end leaves no event."""
    last = int(piece.any(1).nonzero().max())
    return piece[: last + 1]


def test_moves_keep_the_intervals():
    roll = sample()[0]
    up = transpose(roll, 5)
    assert torch.equal(up[:, 5:], roll[:, :-5]) and torch.equal(transpose(up, -5), roll)
    high = torch.zeros(2, KEYS, dtype=torch.bool)
    high[0, KEYS - 1] = True
    assert torch.equal(transpose(high, 1), high)  # no key is left: stays


def test_batches_hold_each_roll_once_and_follow_seed_and_epoch():
    rolls = [torch.zeros(3 + i, KEYS, dtype=torch.bool) for i in range(10)]

    def run(epoch: int, **options) -> list[list[int]]:
        loader = RollLoader(rolls, 4, shuffle=True, **options)
        loader.set_epoch(epoch)
        return [lengths.tolist() for _, lengths in loader]

    first = run(0)
    assert sorted(n for batch in first for n in batch) == list(range(3, 13)) and first == run(0) != run(1)
    cut = RollLoader(rolls, 4, shuffle=True)
    cut.load_state_dict({"epoch": 0, "batch": 1})
    assert [lengths.tolist() for _, lengths in cut] == first[1:]
    pieces = sample()
    moved = next(batch for batch, _ in RollLoader(pieces, 8, shuffle=True, shift=5))
    assert len(moved) == 8 and any(not torch.equal(m[: len(p)], p.float()) for m, p in zip(moved, pieces, strict=True))


@pytest.mark.data("jsb-chorales", "moby-dick")
def test_the_parts_are_those_published():
    data = zoo.datamodule("jsb-chorales")
    data.prepare_data()
    assert [sum(len(roll) for roll in data.rolls(part)) for part in ("train", "val", "test")] == [13_807, 4_602, 4_725]
    for packaged, roll in zip(sample(), data.rolls("test"), strict=False):
        assert torch.equal(packaged, roll)
    book = zoo.datamodule("moby-dick")
    assert {part: len(book.tokens(part)) for part in ("train", "val")} == book.counts


def test_a_drawn_key_stands_at_its_name():
    axis = Figure().subplots()
    roll = to_roll([[60], [60, 72]])  # C4, then C5 too
    draw_roll(axis, roll, roll.any(0))
    names = dict(zip((label.get_text() for label in axis.get_yticklabels()), axis.get_yticks(), strict=True))
    picture = axis.images[0].get_array()
    assert picture[names["C4"]].tolist() == [1, 1] and picture[names["C5"]].tolist() == [0, 1]
    low, high = axis.get_ylim()
    assert low < names["C4"] < names["C5"] < high


def test_silence_is_drawn():
    axis = Figure().subplots()
    draw_roll(axis, torch.zeros(4, KEYS), torch.zeros(KEYS))
    assert not axis.images[0].get_array().any()
