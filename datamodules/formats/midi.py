"""Piano rolls to standard MIDI files and back, as much of the format as they need (MIDI 1.0, file format 0).

A file is a header and one track; a track is a sequence of events, each after a number of ticks, written in groups of seven bits.
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.core.files import write_bytes
from zoo.errors import InputError

LOWEST, KEYS = 21, 88  # A0; the keys of a piano
TICKS = 96  # of a step
ON, OFF, TEMPO, END = 0x90, 0x80, b"\xff\x51\x03", b"\xff\x2f\x00"


def write_midi(
    roll: Tensor, path: str | Path, *, bpm: float = 90.0, steps_per_beat: int = 1, velocity: int = 72
) -> Path:
    """Write a piano roll [T, 88]; a key that sounds in neighbouring steps is held.

    Raises:
        InputError: for another shape, or a number out of its range.
    """
    if roll.ndim != 2 or roll.shape[1] != KEYS or not len(roll):
        raise InputError(f"a piano roll is [steps, {KEYS}], not {list(roll.shape)}")
    if not 4 <= bpm <= 1000:
        raise InputError(f"bpm must be between 4 and 1000, not {bpm!r}")
    if not 1 <= velocity <= 127:
        raise InputError(f"velocity must be between 1 and 127, not {velocity!r}")
    sounds = torch.cat([torch.zeros(1, KEYS), roll.cpu() > 0.5, torch.zeros(1, KEYS)]).bool()
    track = bytearray(b"\x00" + TEMPO + round(60e6 / bpm).to_bytes(3, "big"))
    wait = 0
    for before, now in pairwise(sounds):
        for status, keys in ((OFF, before & ~now), (ON, now & ~before)):
            for key in keys.nonzero().flatten().tolist():
                track += variable_length(wait) + bytes([status, LOWEST + key, velocity])
                wait = 0
        wait += TICKS
    track += variable_length(0) + END
    division = TICKS * check_count(steps_per_beat, "steps_per_beat")
    header = b"MThd" + (6).to_bytes(4, "big") + b"".join(n.to_bytes(2, "big") for n in (0, 1, division))
    path = Path(path)
    write_bytes(path, header + b"MTrk" + len(track).to_bytes(4, "big") + track)
    return path


def read_midi(path: str | Path) -> Tensor:
    """The piano roll, bool [T, 88], of a file that `write_midi` wrote.

    Raises:
        InputError: for any other file.
    """
    try:
        return _steps(Path(path).read_bytes(), path)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    except IndexError:
        raise InputError(f"{path} is cut: it ends before its last event") from None


def _steps(raw: bytes, path: str | Path) -> Tensor:
    if raw[:4] != b"MThd" or raw[8:12] != b"\x00\x00\x00\x01" or raw[14:18] != b"MTrk":
        raise InputError(f"{path} isn't a MIDI file of one track")
    at, time, steps, sounding = 22, 0, [], torch.zeros(KEYS, dtype=torch.bool)
    while raw[at + 1 : at + 4] != END:
        wait = 0
        while True:
            wait, at = wait * 128 + (raw[at] & 0x7F), at + 1
            if not raw[at - 1] & 0x80:
                break
        for _ in range((time + wait) // TICKS - time // TICKS):
            steps.append(sounding.clone())
        time += wait
        if raw[at : at + 3] == TEMPO:
            at += 6
        elif raw[at] in (ON, OFF) and LOWEST <= raw[at + 1] < LOWEST + KEYS:
            sounding[raw[at + 1] - LOWEST] = raw[at] == ON
            at += 3
        else:
            raise InputError(f"{path} has an event that write_midi doesn't write, at byte {at}")
    return torch.stack(steps) if steps else torch.zeros(0, KEYS, dtype=torch.bool)


def variable_length(number: int) -> bytes:
    """A number in groups of seven bits, the highest first; all but the last have their eighth bit set."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))
