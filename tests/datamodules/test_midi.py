"""Other people's MIDI files: every habit of writing a note is read, and no file takes long or memory."""

import struct
import time

import pytest
import torch

from datamodules.formats.midi import KEYS, LOWEST, read_midi, write_midi
from zoo.errors import InputError

END = b"\x00\xff\x2f\x00"


def song(*tracks: bytes, kind: int = 0, division: int = 96) -> bytes:
    head = b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


def read(tmp_path, raw: bytes, **options) -> list[str]:
    """Keys that sound, a line of numbers above A0 for each step."""
    (tmp_path / "a.mid").write_bytes(raw)
    roll = read_midi(tmp_path / "a.mid", **options)
    assert roll.shape[1] == KEYS and roll.dtype == torch.bool
    return [" ".join(map(str, step.nonzero().flatten().tolist())) for step in roll]


def on(wait: int, key: int, velocity: int = 64, channel: int = 0) -> bytes:
    return variable(wait) + bytes([0x90 | channel, LOWEST + key, velocity])


def off(wait: int, key: int) -> bytes:
    return variable(wait) + bytes([0x80, LOWEST + key, 0])


def variable(n: int) -> bytes:
    return bytes([n & 0x7F]) if n < 128 else bytes([0x80 | n >> 7 & 0x7F, n & 0x7F])


@pytest.mark.parametrize(
    ("raw", "steps"),
    [
        (song(on(0, 5) + on(96, 5, 0) + on(0, 7) + off(96, 7) + END), ["5", "7"]),  # velocity 0 ends a note
        (song(on(0, 5) + off(960, 5) + END, division=480), ["5", "5"]),  # the header's division
        (song(on(0, 5) + on(96, 5) + off(96, 5) + off(96, 5) + END), ["5", "5", "5"]),  # two notes of one key overlap
        (song(on(0, 5) + off(10, 5) + on(86, 6) + off(96, 6) + END), ["5", "6"]),  # shorter than a step
        (
            song(
                b"\x00\xff\x51\x03\x07\xa1\x20" + END, on(0, 5) + off(96, 5) + END, on(96, 9) + off(96, 9) + END, kind=1
            ),
            ["5", "9"],
        ),
        (
            song(on(0, 5) + bytes([96, LOWEST + 5, 0, 0, LOWEST + 6, 64, 96, LOWEST + 6, 0]) + END),
            ["5", "6"],
        ),  # running status
        (song(on(0, 5) + b"\x60\xff\x51\x03\x03\xd0\x90" + off(96, 5) + END), ["5", "5"]),  # a change of tempo
        (song(on(0, 5) + b"\x60\xff\x06\x01x" + END), ["5"]),  # a note that never ends
        (song(on(0, 5, channel=9) + on(0, 7) + off(96, 7) + END), ["7"]),  # drums
        (song(b"\x00\x90\x01\x40" + on(0, 7) + off(96, 7) + END), ["7"]),  # below the piano
        (
            song(b"\x00\xf0\x03\x01\x02\xf7" + b"\x00\xc0\x05" + b"\x00\xb0\x40\x7f" + on(0, 1) + off(96, 1) + END),
            ["1"],
        ),
        (song(END), []),
    ],
)
def test_habits_of_writing(tmp_path, raw, steps):
    assert read(tmp_path, raw) == steps


def test_finer_steps(tmp_path):
    raw = song(on(0, 5) + off(48, 5) + on(0, 7) + off(48, 7) + END)
    assert read(tmp_path, raw, steps_per_beat=2) == ["5", "7"]
    roll = torch.zeros(6, KEYS)
    roll[0, 1] = roll[2:, 3] = 1
    for steps in (1, 4, 12):
        assert torch.equal(read_midi(write_midi(roll, tmp_path / "b.mid", steps_per_beat=steps)), roll.bool())


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"MThd", b"RIFF" + bytes(30), song(kind=2), song(END, kind=2), song(on(0, 5), division=0xE728),
        song(b"\xff\xff\xff\x7f\x90\x20\x40\xff\xff\xff\x7f\x80\x20\x40" + END, division=1), song(on(0, 5))[:-2],
        song(b"\x00\x20\x20"), song(END, division=0),
    ],
)  # fmt: skip
def test_no_file_takes_long(tmp_path, raw):
    started = time.process_time()
    with pytest.raises(InputError):
        read(tmp_path, raw)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"velocity": 72.5},
        {"velocity": 0},
        {"velocity": True},
        {"steps_per_beat": 1000},
        {"steps_per_beat": 0},
        {"bpm": "9"},
    ],
)
def test_numbers_out_of_range(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        write_midi(torch.ones(2, KEYS), tmp_path / "a.mid", **wrong)
    assert not list(tmp_path.iterdir())
