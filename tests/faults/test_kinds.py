"""The kinds of input that people bring, each with its inputs: read right, or refused in one sentence.

What is right of each stands in the tests of its place: tests/core/test_pictures.py, tests/models/graphs/test_strange_graphs.py,
tests/datamodules/test_midi.py, tests/test_habits.py, tests/test_strange_calls.py. Here every kind is counted for the table.
"""

import io
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import zoo
from datamodules.formats.midi import LOWEST, read_midi
from datamodules.image_folder import ImageFolder
from datamodules.own import read_text
from tests.datamodules.test_midi import END, off, on, song
from tests.faults.counts import record
from tests.tiny import TINY
from zoo.core.images import Transform
from zoo.errors import ZooError

GREY = Transform([9, 9], "L", [0.0], [1.0])
MODES = (
    "1",
    "L",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "LA",
    "PA",
    "RGBX",
    "RGBa",
    "La",
    "I;16",
    "I;16B",
)
FILES = ("1", "L", "P", "RGB", "RGBA", "I", "LA", "I;16", "CMYK", "F")  # modes that PNG or TIFF store
DTYPES = ("u1", "?", "<u2", ">u2", "<i4", ">i8", "<f2", "<f4", ">f4", "<f8", "g", "c8", "O", "U1", "M8[s]")
SHAPES = ((9, 9), (9, 9, 1), (9, 9, 3), (3, 9, 9), (9, 9, 4), (0, 9), (2, 9, 9, 3), (1,), (9, 9, 5), (1, 1))
TEXTS = ("", " ", "\ufeffa", "a\r\nb", "e\u0301", "a\0", "☕" * 500, "\u202eabc", "\ud800", "a" * 10_000)
WORDS = ("quux", "", " ", "é☕", "\u202e", "a" * 300, "seven", "$5_$10", "\ud800", 3, None)
FOLDERS = ("$5_$10", "<b>", "שלום ☕", "a b", "-x", "'", '"', "%s", "{0}", "*", "[x]", "a\nb", "\x1b[31m", "e\u0301")
NUMBERS = (0, -1, 1, True, 1.5, "3", None, np.int64(2), np.float64(2), float("nan"), 2**70, [1])


def melodies() -> list[bytes]:
    """MIDI files in the habits of other programs: divisions, formats, ends of notes, running status, changes of tempo."""
    tempo, ends = b"\x00\xff\x51\x03\x07\xa1\x20", (off(24, 5), on(24, 5, 0), bytes([24, LOWEST + 5, 0]), b"")
    notes = [
        before + on(0, 5) + end + more + END for before in (b"", tempo) for end in ends for more in (b"", on(0, 5))
    ]
    return [
        song(*[note] * (1 + (kind == 1)), kind=kind, division=division)
        for note, kind, division in itertools.product(notes, (0, 1, 2), (1, 24, 480, 0))
    ]


def one_sentence(calls: list[Callable[[], object]]) -> int:
    """Make each call; what isn't an answer has to be a named error without a line break."""
    for number, call in enumerate(calls):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                call()
            except ZooError as error:
                if "\n" in str(error):
                    raise AssertionError(f"call {number}: {error}") from error
            except Exception as error:
                raise AssertionError(f"call {number}: {type(error).__name__}: {error}") from error
    return len(calls)


def turned(mode: str, orientation: int) -> Image.Image:
    image = Image.new(mode, (12, 7))
    image.getexif()[0x0112] = orientation
    return image


def kinds(place: Path) -> dict[str, list[Callable[[], object]]]:
    models = {name: zoo.create(name, **TINY[name].init).eval() for name in ("lenet5", "vae", "realnvp", "gpt", "gcn")}
    models["lenet5"].transform = Transform([28, 28], "L", [0.0], [1.0])
    models["gpt"].classes = [chr(ord("A") + i) for i in range(models["gpt"].vocab_size)]  # type: ignore[operator]
    words, painter = (zoo.create(name, **TINY[name].init).eval() for name in ("word2vec", "text-ldm"))
    words._take([chr(ord("a") + i) for i in range(words.hparams["vocab_size"])])  # type: ignore[operator]
    lenet5, vae, flow, gpt = (models[name] for name in ("lenet5", "vae", "realnvp", "gpt"))

    def saved(image: Image.Image) -> Callable[[], object]:
        raw = io.BytesIO()
        image.save(raw, "PNG" if image.mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16") else "TIFF")
        path = place / f"{len(list(place.iterdir()))}.img"
        path.write_bytes(raw.getvalue())
        return lambda: GREY(path)

    def written(text: str, encoding: str) -> Callable[[], object]:
        path = place / f"{len(list(place.iterdir()))}.txt"
        path.write_bytes(text.encode(encoding, "surrogatepass"))
        return lambda: read_text(path)

    def folder(name: str) -> Callable[[], object]:
        root = place / str(len(list(place.iterdir())))
        for part in (name, f"{name}2"):
            (root / part).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (8, 8), 60 * i).save(root / part / f"{i}.png")
            (root / part / ".hidden").mkdir()
            (root / part / "loop").symlink_to(root)
        return lambda: ImageFolder(str(root), image_size=8).setup("fit")

    def music(raw: bytes) -> Callable[[], object]:
        path = place / f"{len(list(place.iterdir()))}.mid"
        path.write_bytes(raw)
        return lambda: read_midi(path)

    arrays = [
        np.ones(shape).astype(kind) if kind != "M8[s]" else np.zeros(shape, kind) for shape in SHAPES for kind in DTYPES
    ]
    dtypes = (torch.float16, torch.bfloat16, torch.int64, torch.bool)
    tensors = [torch.ones(shape, dtype=kind) for shape in SHAPES for kind in dtypes]
    return {
        "pictures of every mode, turned eight ways": [
            lambda mode=mode, way=way: GREY(turned(mode, way)) for mode, way in itertools.product(MODES, range(1, 9))
        ],
        "picture files of every mode": [saved(turned(mode, 1)) for mode in FILES],
        "arrays and tensors of every dtype and shape": [lambda x=x: lenet5.predict(x) for x in [*arrays, *tensors]],  # type: ignore[operator]
        "texts by every writer": [written(text, how) for text in TEXTS for how in ("utf-8", "utf-16", "utf-8-sig")],
        "MIDI files by every habit of writing": [music(raw) for raw in melodies()],
        "folders of classes with strange names": [folder(name) for name in FOLDERS],
        "words that aren't in the vocabulary": [
            call
            for word in WORDS
            for call in (
                lambda word=word: words.neighbours(word),  # type: ignore[operator]
                lambda word=word: painter.sample(1, prompt=word),  # type: ignore[operator]
                lambda word=word: gpt.generate(word, 2),  # type: ignore[operator]
            )
        ],
        "prompts": [lambda text=text: gpt.generate(text, 2) for text in TEXTS],  # type: ignore[operator]
        "numbers where a count, a seed or a temperature is asked": [
            call
            for x in NUMBERS
            for call in (
                lambda x=x: vae.sample(x),  # type: ignore[operator]
                lambda x=x: vae.sample(1, seed=x),  # type: ignore[operator]
                lambda x=x: lenet5.predict(np.zeros((28, 28), np.uint8), top=x),  # type: ignore[operator]
                lambda x=x: gpt.generate("A", x),  # type: ignore[operator]
                lambda x=x: zoo.create("lenet5", num_classes=x),
                lambda x=x: vae.interpolate(torch.zeros(1, 28, 28), torch.zeros(1, 28, 28), steps=x),  # type: ignore[operator]
            )
        ],
        "points, codes and images of every kind": [
            call
            for x in (*arrays[:60], *tensors[:20], "x.png", None, [], [[0.0, 1.0]], {"a": 1}, 3)
            for call in (lambda x=x: flow.log_prob(x), lambda x=x: vae.encode(x), lambda x=x: vae.reconstruct(x))  # type: ignore[operator]
        ],
        "names, devices and keywords that aren't there": [
            *(
                lambda name=name: zoo.load(name)
                for name in ("", ".", "..", "a\0", "x" * 5000, "LENET", "hf://", 3, None)
            ),
            *(
                lambda d=d: zoo.load("perceptron-iris", device=d)
                for d in ("cuda", "cuda:9", "gpu", "mps", 3, None, "meta9")
            ),
            *(lambda k=k: zoo.load("perceptron-iris", **{k: 1}) for k in ("num_clases", "in_chans", "pretrained", "x")),
            *(lambda d=d: zoo.load("perceptron-iris", dtype=d) for d in ("float16", torch.int8, "half", 16)),
            lambda: zoo.list_models(3),  # type: ignore[arg-type]
            lambda: zoo.save_grid([1, 2], place / "x.png"),  # type: ignore[arg-type]
            lambda: zoo.evaluate("perceptron-iris", 3),  # type: ignore[arg-type]
            lambda: zoo.datamodule(3),  # type: ignore[arg-type]
            lambda: zoo.verify(3),  # type: ignore[call-overload]
            *(lambda k=k: vae.sample(1, **{k: 1}) for k in ("num_inference_steps", "generator", "labelz", "n_samples")),  # type: ignore[operator]
        ],
    }


def test_every_kind(tmp_path):
    for kind, calls in kinds(tmp_path).items():
        record(kind, one_sentence(calls), "read right, or refused in one sentence")
