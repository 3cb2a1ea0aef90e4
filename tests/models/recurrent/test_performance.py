"""Performances: exact round trips between notes, events and MIDI files; what the LSTM is told; what is refused."""

import random

import pytest
import torch

from datamodules.formats import performance
from datamodules.formats.performance import DOWN, EVENTS, STRIKE, UP, WAIT, Note
from datamodules.jsb_chorales import sample
from datamodules.performances import NAMES, PerformanceFolder, transpose
from zoo.errors import InputError
from zoo.models.recurrent.performance import PerformanceRNN, pitch_class_shares


def recital(seed: int, notes: int = 60) -> list[Note]:
    """Notes as a careless pianist plays them: keys struck again while they sound, long rests, all velocities."""
    draw = random.Random(seed)
    found = []
    for _ in range(notes):
        start = draw.randrange(0, 2000)
        found.append(Note(draw.randrange(40, 50), draw.randrange(1, 128), start, start + draw.choice([0, 1, 7, 300])))
    return found


def test_there_are_413_events():
    assert EVENTS == len(NAMES) == len(set(NAMES)) == 413
    assert [NAMES[i] for i in (60, UP + 60, WAIT, WAIT + 124, STRIKE + 31)] == [
        "down 60",
        "up 60",
        "wait 8 ms",
        "wait 1000 ms",
        "strike 126",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_notes_to_events_and_back_and_to_midi_and_back(seed, tmp_path):
    notes = performance.canonical(recital(seed))
    assert performance.canonical(notes) == notes
    events = performance.events_of(notes)
    assert performance.notes_of(events) == notes
    assert torch.equal(performance.events_of(performance.notes_of(events)), events)
    file = performance.write_performance(notes, tmp_path / "recital.mid")
    assert performance.read_performance(file) == notes
    assert torch.equal(performance.events_of(performance.read_performance(file)), events)


def test_a_chord_a_rest_and_a_louder_note_in_events():
    notes = [Note(60, 74, 0, 10), Note(64, 74, 0, 10), Note(60, 98, 160, 170)]
    assert performance.events_of(notes).tolist() == [
        STRIKE + 18, DOWN + 60, DOWN + 64, WAIT + 9, UP + 60, UP + 64,
        WAIT + 124, WAIT + 24, STRIKE + 24, DOWN + 60, WAIT + 9, UP + 60,
    ]  # fmt: skip


def test_a_key_that_is_struck_again_ends_its_note():
    assert performance.canonical([Note(60, 50, 0, 100), Note(60, 50, 40, 60)]) == [
        Note(60, 50, 0, 40),
        Note(60, 50, 40, 60),
    ]


def test_a_roll_is_what_its_notes_say():
    roll = sample()[0]
    again = torch.zeros_like(roll)
    for note in performance.notes_of_roll(roll, units=60):
        again[note.start // 60 : note.end // 60, note.pitch - 21] = True
    assert torch.equal(again, roll)


def test_any_events_make_some_performance():
    events = torch.randint(EVENTS, (500,), generator=torch.Generator().manual_seed(0))
    notes = performance.notes_of(events)
    assert notes == performance.canonical(notes) and performance.notes_of(performance.events_of(notes)) == notes


def test_another_key_moves_all_pitches_alike():
    events = performance.events_of([Note(60, 74, 0, 10), Note(67, 74, 5, 20)])
    assert [note.pitch for note in performance.notes_of(transpose(events, -3))] == [57, 64]
    assert torch.equal(transpose(events, 100), events)


def test_shares_of_pitch_classes():
    shares = pitch_class_shares(torch.tensor([[60, UP + 60, 72, 64, WAIT]]))[0]
    assert shares[0] == 1 and shares[1].item() == pytest.approx(2 / 3) and shares[5].item() == pytest.approx(1 / 3)


def test_reading_event_by_event_gives_what_reading_at_once_gives():
    torch.manual_seed(0)
    model, events = PerformanceRNN(16, 2, embedding=8).eval(), torch.randint(EVENTS, (2, 9))
    told, state, found = torch.rand(2, 13), None, []
    for event in events.split(1, 1):
        logits, state = model.step(event, told, state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, 1), model(events, told))
    assert not torch.allclose(model(events, told), model(events))


def test_performs_as_long_as_asked_and_follows_the_seed():
    torch.manual_seed(0)
    model = PerformanceRNN(16, 1, embedding=8).eval()
    notes = model.perform(3.0, seed=1)
    assert notes == model.perform(3.0, seed=1) != model.perform(3.0, seed=2)
    assert notes[-1].start * performance.UNIT <= 4.0
    torch.nn.init.normal_(model.rnn.weight_ih_l0)  # a model that listens to what it is told
    torch.nn.init.normal_(model.head.weight)
    told = model.perform(1.0, pitch_classes=[1] + [0] * 11, primer=[Note(60, 64, 0, 10)], seed=1)
    assert told != model.perform(1.0, primer=[Note(60, 64, 0, 10)], seed=1)


def test_what_makes_no_sense_is_refused(tmp_path):
    model = PerformanceRNN(8, 1, embedding=8)
    for bad, word in (
        ({"seconds": 0}, "above 0"),
        ({"seconds": 1, "pitch_classes": [1, 2]}, "twelve weights"),
        ({"seconds": 1, "primer": []}, "no note"),
    ):
        with pytest.raises(InputError, match=word):
            model.perform(**bad)
    with pytest.raises(InputError, match="velocity"):
        performance.canonical([Note(60, 0, 0, 1)])
    with pytest.raises(InputError, match="0 to 412"):
        performance.notes_of([413])
    (tmp_path / "no.mid").write_bytes(b"hello")
    with pytest.raises(InputError, match="MThd"):
        performance.read_performance(tmp_path / "no.mid")
    with pytest.raises(InputError, match="holds 1 MIDI files"):
        PerformanceFolder(str(tmp_path))


def test_a_folder_of_midi_files_is_split_by_files(tmp_path):
    for i in range(12):
        performance.write_performance(recital(i, 80), tmp_path / f"{i:02}.mid")
    data = PerformanceFolder(str(tmp_path), batch_size=2, context=16)
    assert {part: len(files) for part, files in data.files.items()} == {"test": 2, "val": 2, "train": 8}
    x, y = next(iter(data.train_dataloader()))
    assert x.shape == y.shape == (2, 16) and torch.equal(x[:, 1:], y[:, :-1])
