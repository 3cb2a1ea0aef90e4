"""Inputs of strangers by the hundred thousand: each is read or gets a named error, at once and in little memory.

Every kind has whole inputs to begin with. An attack changes one in a few places: bits, lengths, numbers, pieces cut out, doubled,
put in or exchanged with those of another input.
"""

import contextlib
import io
import json
import random
import resource
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.cifar10 import read_records
from datamodules.dna_motifs import read as read_dna
from datamodules.formats.characters import encode
from datamodules.formats.midi import KEYS, read_midi, write_midi
from datamodules.formats.pieces import tokenizer_of
from datamodules.formats.smiles import from_smiles, molecular_weight
from datamodules.formats.words import split
from datamodules.mnist import read_idx
from datamodules.usps import read_libsvm
from tests.faults.counts import FULL, count, record
from zoo import index
from zoo.core.files import is_plain
from zoo.core.images import Transform
from zoo.errors import ZooError
from zoo.store.hub import locate
from zoo.store.pin import read_pin

LONGEST = 5.0  # seconds of processor time of one input
GROWTH = 2**30  # bytes by which a whole attack may grow this process
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
PIECES = (b"\0", b"\xff" * 8, b"\r\n", b"9" * 30, b"-1", b"NaN", b"1e999", b'"', b"[", b"{", b"}", b"\xed\xa0\x80")
PIECES = (*PIECES, "é☕\u202e".encode())


def attacked(chance: random.Random, seeds: list[bytes]) -> bytes:
    raw = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(len(raw) + 1), chance.randrange(8)
        if kind == 0 and at < len(raw):
            raw[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del raw[at : at + chance.randint(1, 40)]
        elif kind == 2:
            raw[at:at] = chance.choice(PIECES)
        elif kind == 3:
            raw[at:at] = raw[at : at + chance.randint(1, 40)]
        elif kind == 4:
            wide = chance.choice((1, 2, 4))
            raw[at : at + wide] = (chance.choice(EDGES) % 256**wide).to_bytes(wide, chance.choice(("big", "little")))
        elif kind == 5:
            other = chance.choice(seeds)
            raw[at : at + 20] = other[at : at + 20]
        elif kind == 6 and chance.random() < 0.3:
            del raw[at:]
        elif kind == 7 and at < len(raw):
            raw[at] = chance.randrange(256)
    return bytes(raw)


def attack(kind: str, n: int, seeds: list[bytes], read: Callable[[bytes], object]) -> None:
    chance, slowest, worst = random.Random(kind if not FULL else time.time_ns()), 0.0, b""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for raw in seeds:
        with contextlib.suppress(ZooError):
            read(raw)
    for _ in range(n):
        raw = attacked(chance, seeds)
        started = time.thread_time()
        try:
            with contextlib.suppress(ZooError):
                read(raw)
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__} for {raw!r}") from error
        if (took := time.thread_time() - started) > slowest:
            slowest, worst = took, raw
    assert slowest < LONGEST, worst
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < GROWTH
    record(f"fuzzed {kind}", n, f"read or a named error; the slowest took {max(slowest, 0.01):.2f} s")


def on_disk(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def run(raw: bytes) -> object:
        path.write_bytes(raw)
        return read(path)

    return run


def as_json(read: Callable[[object], object]) -> Callable[[bytes], object]:
    """`read` of what the bytes mean as JSON; bytes that mean nothing are none of its business."""

    def run(raw: bytes) -> object:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return read(value)

    return run


# Pictures ----------------------------------------------------------------------------------------------------------------


def picture(kind: str, mode: str, **options: object) -> bytes | None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    try:
        (image.convert("L").convert(mode) if mode in ("I;16", "F", "1", "LA") else image.convert(mode)).save(
            buffer, kind, **options
        )
    except (OSError, KeyError, ValueError, SystemError):  # not in this build of Pillow
        return None
    return buffer.getvalue()


FORMATS = [
    ("PNG", "RGB"), ("PNG", "L"), ("PNG", "1"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("PNG", "LA"), ("JPEG", "RGB"),
    ("JPEG", "L"), ("JPEG", "CMYK"), ("GIF", "P"), ("BMP", "RGB"), ("BMP", "P"), ("TIFF", "RGB"), ("TIFF", "F"), ("TIFF", "CMYK"),
    ("WEBP", "RGB"), ("PPM", "RGB"), ("AVIF", "RGB"), ("JPEG2000", "RGB"), ("ICO", "RGBA"), ("TGA", "RGB"), ("PCX", "RGB"),
    ("DDS", "RGB"), ("EPS", "RGB"), ("SGI", "RGB"), ("IM", "RGB"), ("XBM", "1"), ("MSP", "1"), ("ICNS", "RGBA"), ("MPO", "RGB"),
    ("BLP", "P"), ("SPIDER", "F"),
]  # fmt: skip


def test_pictures(tmp_path):
    seeds = [raw for kind, mode in FORMATS if (raw := picture(kind, mode)) is not None]
    seeds += [
        raw
        for how in ("tiff_lzw", "packbits", "tiff_deflate")
        if (raw := picture("TIFF", "RGB", compression=how)) is not None
    ]
    assert len({kind for kind, mode in FORMATS if picture(kind, mode) is not None}) >= 20
    transform = Transform([8, 8], "L", [0.5], [0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on damaged notes
        attack("pictures in 20 formats", count(150, 15_000), seeds, on_disk(tmp_path / "a.png", transform))


# Music, molecules, text --------------------------------------------------------------------------------------------------


def test_midi(tmp_path):
    roll = torch.rand(12, KEYS, generator=torch.Generator().manual_seed(0)) > 0.98
    one = write_midi(roll, tmp_path / "seed.mid", steps_per_beat=2).read_bytes()
    two = one[:8] + struct.pack(">HHH", 1, 2, 480) + one[14:] + one[14:]
    attack("MIDI files", count(100, 10_000), [one, two], on_disk(tmp_path / "a.mid", read_midi))


def test_smiles():
    seeds = [
        b"CC(=O)Oc1ccccc1C(=O)O",
        b"N[C@@H](C)C(=O)O",
        b"[NH4+].[Cl-]",
        b"C%12CCCC%12",
        b"F/C=C/F",
        b"[Zn++]",
        b"c1cc[nH]c1",
    ]

    def read(raw: bytes) -> None:
        text = raw.decode("latin1")
        from_smiles(text)
        molecular_weight(text)

    attack("SMILES strings", count(100, 15_000), seeds, read)


def test_texts():
    seeds = [b"Ein Hund rennt.", "\ufeffIt isn't\r\nthe film's fault … ☕\0".encode(), b"", "e\u0301".encode()]

    def read(raw: bytes) -> None:
        text = raw.decode("utf-8", "surrogateescape")
        with contextlib.suppress(ZooError):
            split(text, "word")
        encode(text, "abcdefghijklmnopqrstuvwxyz .")

    attack("texts", count(100, 20_000), seeds, read)


def test_tokenizers():
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    pieces = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab={"[UNK]": 0, "a": 1, "##b": 2}))
    seeds = [made.to_str().encode(), pieces.to_str().encode()]
    attack("tokenizer JSON", count(100, 10_000), seeds, lambda raw: tokenizer_of(raw.decode("utf-8", "replace")))


# Data files --------------------------------------------------------------------------------------------------------------


def test_data_files(tmp_path):
    idx = struct.pack(">IIII", 0x803, 2, 3, 4) + bytes(24)
    attack(
        "idx files",
        count(100, 10_000),
        [idx],
        on_disk(tmp_path / "a-idx3-ubyte", lambda path: read_idx(path, dimensions=3)),
    )
    import gzip

    packed = gzip.compress(idx)
    attack(
        "packed idx files",
        count(100, 10_000),
        [packed],
        on_disk(tmp_path / "a.gz", lambda path: read_idx(path, dimensions=3)),
    )
    attack("CIFAR records", count(50, 5_000), [bytes(3073), bytes(2 * 3073)], on_disk(tmp_path / "a.bin", read_records))
    import bz2

    line = "1 " + " ".join(f"{i + 1}:{i / 256 - 0.5:.3f}" for i in range(256))
    attack("USPS files", count(50, 3_000), [bz2.compress(line.encode())], on_disk(tmp_path / "a.bz2", read_libsvm))
    rows = "FoldID\tEventID\tseq\tBound\nA\tp1\tACGTACGT\t1\nA\tp2\tTTTTACGT\t0"
    attack("DNA tables", count(100, 10_000), [rows.encode()], on_disk(tmp_path / "a.seq", read_dna))


# Facts of a checkpoint ---------------------------------------------------------------------------------------------------


def test_facts(tmp_path, monkeypatch):
    fine = {"size": [28, 28], "mode": "L", "mean": [0.1], "std": [0.3], "interpolation": "bilinear", "antialias": True}
    grey = np.zeros((20, 20), np.uint8)

    def transform(value: object) -> None:
        if isinstance(value, dict) and value.keys() <= fine.keys():
            Transform(**(fine | value))(grey)

    attack(
        "preprocess settings", count(100, 15_000), [json.dumps(fine).encode(), b'{"size": [8, 9]}'], as_json(transform)
    )
    entry = {
        "architecture": "lenet5",
        "task": "image-classification",
        "dataset": "mnist",
        "parameters": 1,
        "size": 2,
        "sha256": "a",
    }
    entry |= {
        "licence": "l",
        "paper": "p",
        "summary": "s",
        "metrics": [{"dataset": "d", "split": "test", "metric": "accuracy"}],
    }
    entry["metrics"][0] |= {"value": 0.5, "how": "h", "better": "higher"}
    path = tmp_path / "index.json"
    monkeypatch.setattr(index, "INDEX", path)

    def listed(raw: bytes) -> None:
        path.write_bytes(raw)
        index.entries.cache_clear()
        str(index.models("*"))

    try:
        attack("index.json", count(100, 8_000), [json.dumps({"models": {"a-mnist": entry}}).encode()], listed)
    finally:
        monkeypatch.undo()
        index.entries.cache_clear()
    pin = json.dumps({"repo": "a/b", "revision": "c", "sha256": "d"}).encode()
    attack(
        "hub.json", count(100, 10_000), [pin], on_disk(tmp_path / "hub.json", lambda file: read_pin(file.parent, "d"))
    )


def test_names():
    seeds = [b"lenet5-mnist", b"../x", b"a/b", b"hf:/a", b"a\0b", b"a" * 300, "näh ☕".encode()]

    def read(raw: bytes) -> None:
        name = raw.decode("utf-8", "surrogateescape")
        is_plain(name)
        if not name.startswith("hf://"):  # which asks the Hub
            locate(name)

    attack("names", count(60, 3_000), seeds, read)
