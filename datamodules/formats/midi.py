"""Piano rolls to standard MIDI files, and any such file to a piano roll (MIDI 1.0, file formats 0 and 1).

A file is a header and tracks; a track is a sequence of events, each after a number of ticks, written in groups of seven bits. The
writer needs one track and five kinds of events; files of others are read by mido.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.core.files import read_bounded, write_bytes
from zoo.errors import InputError, MissingExtraError

LOWEST, KEYS = 21, 88  # A0; the keys of a piano
TICKS, MOST_TICKS = 96, 2**15 - 1  # of a step; of a beat
PERCUSSION = 9  # the channel of drums
NOTE = "steps_per_beat={}"  # a text event, where it isn't 1
LARGEST, MOST_STEPS = 2**22, 100_000  # bytes of a file that is read; steps of a piece: hours
ON, OFF, TEMPO, END = 0x90, 0x80, b"\xff\x51\x03", b"\xff\x2f\x00"


def write_midi(
    roll: Tensor, path: str | Path, *, bpm: float = 90.0, steps_per_beat: int = 1, velocity: int = 72
) -> Path:
    """Write a piano roll [T, 88]; a key that sounds in neighbouring steps is held.

    Raises:
        InputError: for another shape, or a number out of its range.
    """
    roll = torch.as_tensor(roll)
    if roll.ndim != 2 or roll.shape[1] != KEYS or not len(roll):
        raise InputError(f"a piano roll is [steps, {KEYS}], not {list(roll.shape)}")
    if isinstance(bpm, bool) or not isinstance(bpm, int | float) or not 4 <= bpm <= 1000:
        raise InputError(f"bpm must be between 4 and 1000, not {bpm!r}")
    if isinstance(velocity, bool) or not isinstance(velocity, int) or not 1 <= velocity <= 127:
        raise InputError(f"velocity must be a whole number between 1 and 127, not {velocity!r}")
    if check_count(steps_per_beat, "steps_per_beat") > MOST_TICKS // TICKS:
        raise InputError(f"steps_per_beat must be at most {MOST_TICKS // TICKS}, not {steps_per_beat}")
    sounds = torch.cat([torch.zeros(1, KEYS), roll.cpu() > 0.5, torch.zeros(1, KEYS)]).bool()
    track = bytearray(b"\x00" + TEMPO + round(60e6 / bpm).to_bytes(3, "big"))
    if steps_per_beat > 1:
        text = NOTE.format(steps_per_beat).encode()
        track += b"\x00\xff\x01" + variable_length(len(text)) + text
    wait = 0
    for before, now in pairwise(sounds):
        for status, keys in ((OFF, before & ~now), (ON, now & ~before)):
            for key in keys.nonzero().flatten().tolist():
                track += variable_length(wait) + bytes([status, LOWEST + key, velocity])
                wait = 0
        wait += TICKS
    track += variable_length(0) + END
    division = TICKS * steps_per_beat
    header = b"MThd" + (6).to_bytes(4, "big") + b"".join(n.to_bytes(2, "big") for n in (0, 1, division))
    path = Path(path)
    write_bytes(path, header + b"MTrk" + len(track).to_bytes(4, "big") + track)
    return path


def read_midi(path: str | Path, *, steps_per_beat: int | None = None) -> Tensor:
    """The piano roll, bool [T, 88], of a MIDI file of format 0 or 1: a key sounds in every step that its note reaches into.

    Notes begin and end at the nearest step, and last for one at least; those that no piano has and percussion are left out.

    Args:
        steps_per_beat: steps of a quarter note; None for what `write_midi` noted, else 1.

    Raises:
        InputError: for a file that is none, is too long, or measures time by a film's frames.
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
        song = mido.MidiFile(file=BytesIO(raw), clip=True)
        tracks = [list(_at_times(track)) for track in song.tracks]
    except EOFError:
        raise InputError(f"{path} is cut: it ends in the middle of a track") from None
    except Exception as error:  # whatever the bytes happen to mean to the reader
        raise InputError(f"{path} is a damaged MIDI file: {type(error).__name__}: {error}") from None
    if song.type not in (0, 1):
        raise InputError(f"{path} is a MIDI file of format {song.type}; formats 0 and 1 are read")
    if not 0 < song.ticks_per_beat < 2**15:
        raise InputError(f"{path} has {song.ticks_per_beat} ticks a beat; 1 to 32767 are read")
    steps = _noted(tracks) if steps_per_beat is None else check_count(steps_per_beat, "steps_per_beat")
    spans = []
    for key, first, last in (note for track in tracks for note in _notes(track)):
        begin, end = (round(tick * steps / song.ticks_per_beat) for tick in (first, last))
        spans.append((key, begin, max(begin + 1, end)))
    length = max((end for _, _, end in spans), default=0)
    if length > MOST_STEPS:
        raise InputError(f"{path} lasts {length:,} steps, the limit is {MOST_STEPS:,}: cut it")
    roll = torch.zeros(length, KEYS, dtype=torch.bool)
    for key, begin, end in spans:
        if LOWEST <= key < LOWEST + KEYS:
            roll[begin:end, key - LOWEST] = True
    return roll


def _at_times(track: Any) -> Iterator[tuple[int, Any]]:
    """The messages of a track with their times in ticks from its beginning."""
    time = 0
    for message in track:
        time += message.time
        yield time, message


def _noted(tracks: list[list[tuple[int, Any]]]) -> int:
    for _, message in (pair for track in tracks for pair in track[:8]):
        if message.type == "text" and (found := re.fullmatch(NOTE.format(r"(\d{1,3})"), message.text)):
            return max(1, int(found[1]))
    return 1


def _notes(track: list[tuple[int, Any]]) -> Iterator[tuple[int, int, int]]:
    """(key, first tick, last tick) of every note; a note-on of velocity 0 ends one, and each end the oldest of its key."""
    sounding: dict[tuple[int, int], list[int]] = {}
    time = 0
    for time, message in track:
        if message.type not in ("note_on", "note_off") or message.channel == PERCUSSION:
            continue
        held = sounding.setdefault((message.channel, message.note), [])
        if message.type == "note_on" and message.velocity:
            held.append(time)
        elif held:
            yield message.note, held.pop(0), time
    for (_, key), begun in sounding.items():  # what never ends does so with its track
        for first in begun:
            yield key, first, time


def variable_length(number: int) -> bytes:
    """A number in groups of seven bits, the highest first; all but the last have their eighth bit set."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))
