"""Performances as events: what a player does at a piano, one thing after another (Oore et al., 2018, arXiv:1808.03715).

    0 … 127      a key goes down          128 … 255    a key goes up
    256 … 380    time passes, 8 ms to 1 s in steps of 8 ms
    381 … 412    how hard the keys are struck from here on, in 32 steps of 4

These 413 events tell a performance apart from a score: when exactly, how long, how loud. A note is (pitch, velocity, start, end)
with times in units of 8 ms. Notes in canonical form (`canonical`) go to events, or to a MIDI file, and come back exactly.
"""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from datamodules.formats.midi import END as END_OF_TRACK
from datamodules.formats.midi import LARGEST, LOWEST, OFF, ON, PERCUSSION, TEMPO, variable_length
from zoo.core.files import read_bounded, write_bytes
from zoo.errors import InputError, MissingExtraError

PITCHES, SHIFTS, LOUDNESS = 128, 125, 32
DOWN, UP, WAIT, STRIKE = 0, PITCHES, 2 * PITCHES, 2 * PITCHES + SHIFTS
EVENTS = 2 * PITCHES + SHIFTS + LOUDNESS  # 413
UNIT = 0.008  # seconds
MOST = 2**20  # events of a piece


class Note(NamedTuple):
    """A key's number, how hard it is struck (1 … 127), and when it goes down and up, in units of 8 ms."""

    pitch: int
    velocity: int
    start: int
    end: int


def loudness(velocity: int) -> int:
    """The middle of the step of 4 that a velocity falls into."""
    return 4 * (velocity // 4) + 2


def canonical(notes: Iterable[Note]) -> list[Note]:
    """Notes in the order of their starts and pitches, velocities in steps, each at least a unit long.

    A key that goes down again ends its note before; of two notes of a key that start at once the longer stays.

    Raises:
        InputError: for a pitch, a velocity or a time that no MIDI file has.
    """
    found: dict[tuple[int, int], Note] = {}
    for pitch, velocity, start, end in notes:
        if not 0 <= pitch < PITCHES or not 1 <= velocity <= 127 or start < 0:
            raise InputError(
                f"a note has pitch 0..127, velocity 1..127 and starts at 0 or later, not {(pitch, velocity, start)}"
            )
        note = Note(pitch, loudness(velocity), start, max(end, start + 1))
        if (start, pitch) not in found or found[start, pitch].end < note.end:
            found[start, pitch] = note
    kept: list[Note] = []
    last: dict[int, int] = {}  # the place of each key's latest note
    for _, note in sorted(found.items()):
        if (place := last.get(note.pitch)) is not None and kept[place].end > note.start:
            kept[place] = kept[place]._replace(end=note.start)
        last[note.pitch] = len(kept)
        kept.append(note)
    return kept


def events_of(notes: Iterable[Note]) -> Tensor:
    """The events of notes, int64 [L]; at one time keys go up before others go down, and lower keys before higher ones."""
    changes: list[tuple[int, int, int, int]] = []  # time, down, pitch, velocity
    for note in canonical(notes):
        changes += [(note.start, 1, note.pitch, note.velocity), (note.end, 0, note.pitch, 0)]
    events, now, struck = [], 0, -1
    for time, down, pitch, velocity in sorted(changes):
        while now < time:
            step = min(SHIFTS, time - now)
            events.append(WAIT + step - 1)
            now += step
        if down and velocity // 4 != struck:
            struck = velocity // 4
            events.append(STRIKE + struck)
        events.append(DOWN + pitch if down else UP + pitch)
    return torch.tensor(events, dtype=torch.int64)


def notes_of(events: Tensor | list[int]) -> list[Note]:
    """The notes of any sequence of events, canonical: a key that goes up without having gone down is passed over, and what
    is still down at the end goes up then.

    Raises:
        InputError: for numbers that are no events.
    """
    listed = torch.as_tensor(events).flatten().tolist()
    notes: list[Note] = []
    sounding: dict[int, tuple[int, int]] = {}
    now, velocity = 0, loudness(64)
    for event in listed:
        if not 0 <= event < EVENTS:
            raise InputError(f"events are 0 to {EVENTS - 1}, not {event}")
        if event >= STRIKE:
            velocity = max(2, 4 * (event - STRIKE) + 2)
        elif event >= WAIT:
            now += event - WAIT + 1
        else:
            pitch = event % PITCHES
            if pitch in sounding:
                start, struck = sounding.pop(pitch)
                notes.append(Note(pitch, struck, start, now))
            if event < UP:
                sounding[pitch] = (now, velocity)
    notes += [Note(pitch, struck, start, now) for pitch, (start, struck) in sounding.items()]
    return canonical(note for note in notes)


def notes_of_roll(roll: Tensor, *, units: int = 60, velocity: int = 72) -> list[Note]:
    """The notes of a piano roll [T, 88] whose steps last `units`; a key that sounds in neighbouring steps is held."""
    sounds = torch.nn.functional.pad(roll.cpu() > 0.5, (0, 0, 1, 1)).int()
    change = sounds.diff(dim=0).T  # [88, T + 1]
    notes = []
    for key, row in enumerate(change):
        starts, ends = (row == 1).nonzero().flatten().tolist(), (row == -1).nonzero().flatten().tolist()
        notes += [Note(LOWEST + key, velocity, units * a, units * b) for a, b in zip(starts, ends, strict=True)]
    return canonical(notes)


def write_performance(notes: Iterable[Note], path: str | Path) -> Path:
    """Write notes as a MIDI file with a tick of 8 ms: 60 ticks a beat, 125 beats a minute."""
    changes: list[tuple[int, int, int, int]] = []
    for note in canonical(notes):
        changes += [(note.start, 1, note.pitch, note.velocity), (note.end, 0, note.pitch, 0)]
    track, now = bytearray(b"\x00" + TEMPO + (480_000).to_bytes(3, "big")), 0
    for time, down, pitch, velocity in sorted(changes):
        track += variable_length(time - now) + bytes([ON if down else OFF, pitch, velocity])
        now = time
    track += variable_length(0) + END_OF_TRACK
    header = b"MThd" + (6).to_bytes(4, "big") + b"".join(n.to_bytes(2, "big") for n in (0, 1, 60))
    path = Path(path)
    write_bytes(path, header + b"MTrk" + len(track).to_bytes(4, "big") + track)
    return path


def read_performance(path: str | Path) -> list[Note]:
    """The notes of a MIDI file of format 0 or 1, at the nearest 8 ms by its own tempo; the pedal isn't heard.

    Raises:
        InputError: for a file that is none, or is damaged.
        MissingExtraError: without the package mido.
    """
    try:
        import mido
    except ImportError:
        raise MissingExtraError("reading MIDI files", "mido", "music") from None
    raw = read_bounded(path, LARGEST)
    if not raw.startswith(b"MThd"):
        raise InputError(f"{path} isn't a MIDI file: it doesn't begin with MThd")
    try:
        song: Any = mido.MidiFile(file=BytesIO(raw), clip=True)
        messages = list(song)  # all tracks in one, with times in seconds
    except EOFError:
        raise InputError(f"{path} is cut: it ends in the middle of a track") from None
    except Exception as error:  # whatever the bytes happen to mean to the reader
        raise InputError(f"{path} is a damaged MIDI file: {type(error).__name__}: {error}") from None
    notes: list[Note] = []
    sounding: dict[int, tuple[int, int]] = {}
    seconds = 0.0
    for message in messages[:MOST]:
        seconds += message.time
        if message.type not in ("note_on", "note_off") or message.channel == PERCUSSION:
            continue
        now = round(seconds / UNIT)
        if message.note in sounding:
            notes.append(Note(message.note, *sounding.pop(message.note), now))
        if message.type == "note_on" and message.velocity:
            sounding[message.note] = (message.velocity, now)
    last = round(seconds / UNIT)
    notes += [Note(pitch, velocity, start, last) for pitch, (velocity, start) in sounding.items()]
    return canonical(notes)
