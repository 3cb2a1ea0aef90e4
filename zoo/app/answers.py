"""What the tabs of the demo app answer: plain functions that take what a page gives and raise a sentence for what can't work."""

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import zoo
from zoo.errors import InputError
from zoo.index import entries

MOST_IMAGES, MOST_CHARACTERS, MOST_STEPS, MOST_WORDS = 64, 1000, 128, 1000
SIDE, BOX = 28, 20  # pixels of a picture of MNIST, and of the digit in it
RATE, SECONDS = 16_000, 0.35  # of sound: values a second, seconds a step of music


def names(verb: str, task: str = "") -> list[str]:
    """The checkpoints that have a verb ("sample"), by their index alone."""
    return [m.name for m in entries().values() if task in m.task and any(v.startswith(f"{verb}(") for v in m.verbs)]


@lru_cache(maxsize=6)
def model_named(name: str) -> Any:
    return zoo.load(name)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="zoo-app-"))


def whole(value: Any, low: int, high: int, what: str) -> int:
    """A whole number of a field.

    Raises:
        InputError: for anything else, or one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or not low <= value <= high:
        raise InputError(f"{what} is a whole number from {low} to {high}, not {value!r:.40}")
    return int(value)


def words(value: Any, what: str, most: int = MOST_WORDS) -> str:
    text = str(value or "").strip("\r")
    if not text.strip():
        raise InputError(f"{what} is empty: write something first")
    if len(text) > most:
        raise InputError(f"{what} has {len(text):,} characters, {most:,} are allowed: shorten it")
    return text


def classify(name: str, picture: str | None) -> dict[str, float]:
    """Classes with probabilities of a picture's file."""
    if not picture:
        raise InputError("there is no picture yet: choose one or take an example")
    return dict(model_named(name).predict(picture, top=5))


def read_board(name: str, board: Any) -> dict[str, float]:
    """Classes with probabilities of what was drawn on a board, a dict with "composite" as Gradio gives it."""
    return dict(model_named(name).predict(digit(board), top=5))


def digit(board: Any) -> np.ndarray:
    """The ink of a board as a picture like MNIST's: white on black, 20 pixels high or wide, its centre of mass in the middle.

    Raises:
        InputError: for a board without ink.
    """
    pixels = np.asarray(board.get("composite") if isinstance(board, dict) else board)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise InputError("the board is empty: draw a digit first")
    ink = pixels[..., 3] if pixels.shape[2] == 4 and pixels[..., 3].min() < 255 else 255 - pixels[..., :3].max(2)
    rows, columns = np.nonzero(ink.max(1) > 20)[0], np.nonzero(ink.max(0) > 20)[0]
    if not len(rows):
        raise InputError("the board is empty: draw a digit first")
    part = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    scale = BOX / max(part.size)
    small = np.asarray(part.resize([max(1, round(n * scale)) for n in part.size], Image.Resampling.BOX), np.float64)
    centre = [(small.sum(1 - axis) @ np.arange(small.shape[axis])) / small.sum() for axis in (0, 1)]
    top, left = (int(np.clip(round(SIDE / 2 - 0.5 - c), 0, SIDE - n)) for c, n in zip(centre, small.shape, strict=True))
    picture: np.ndarray = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return picture


def draw(name: str, n: Any, seed: Any, label: str = "any", prompt: str = "") -> str:
    """The file of a generator's images in a grid; `label` is a class or "any", `prompt` for models that take words."""
    import inspect

    model = model_named(name)
    n = whole(n, 1, MOST_IMAGES, "the number of images")
    taken = inspect.signature(model.sample).parameters
    options: dict[str, Any] = {"seed": whole(seed, 0, 2**31 - 1, "the seed")}
    if prompt.strip() and "prompt" not in taken:
        raise InputError(f"{name} takes no words: leave the words empty or take text-ldm-mnist")
    if prompt.strip():
        options["prompt"] = words(prompt, "the prompt", 200)
    elif label != "any":
        options["labels"] = torch.full((n,), whole(int(label), 0, 9, "the digit"))
    return str(zoo.save_grid(model.sample(n, **options), _folder() / "grid.png", scale=4))


def write(name: str, prompt: str, n: Any, temperature: Any, seed: Any) -> Iterator[str]:
    """A text that grows as the model writes."""
    text = words(prompt, "the beginning")
    length = whole(n, 1, MOST_CHARACTERS, "the number of characters")
    options = {"temperature": float(temperature), "seed": whole(seed, 0, 2**31 - 1, "the seed")}
    for piece in model_named(name).stream(text, length, **options):
        text += piece
        yield text


def translate(name: str, text: str, beams: Any) -> str:
    return model_named(name).translate(words(text, "the text", 500), beams=whole(beams, 1, 10, "the number of beams"))


def compose(name: str, n: Any, temperature: Any, seed: Any) -> tuple[Image.Image, tuple[int, np.ndarray], str]:
    """A piece of music as a picture of its keys, as sound (rate, values), and as a MIDI file."""
    from datamodules.formats.midi import write_midi

    steps = whole(n, 1, MOST_STEPS, "the number of steps")
    options = {"temperature": float(temperature), "seed": whole(seed, 0, 2**31 - 1, "the seed")}
    roll = model_named(name).compose(steps, **options)  # bool [steps, 88]
    file = _folder() / "piece.mid"
    write_midi(roll, file)
    keys = Image.fromarray(((~roll.T.flip(0)).numpy() * 255).astype(np.uint8))
    return keys.resize((8 * len(roll), 4 * 88), Image.Resampling.NEAREST), (RATE, sound(roll)), str(file)


def sound(roll: Tensor) -> np.ndarray:
    """A piano roll [steps, 88] as int16 values: a tone with two overtones for each key, which fades where it isn't held."""
    length = int(RATE * SECONDS)
    time = np.arange(len(roll) * length) / RATE
    values = np.zeros(len(time))
    held = torch.nn.functional.pad(roll.int(), (0, 0, 1, 1)).diff(dim=0)  # 1 where a key begins, -1 where it ends
    for key in range(roll.shape[1]):
        starts, ends = ((held[:, key] == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
        for start, end in zip(starts, ends, strict=True):
            part = time[: (end - start) * length]
            pitch = 440 * 2 ** ((key - 48) / 12)  # key 48 of 88 is the A of 440 Hz
            fade = np.exp(-1.5 * part) * np.minimum(1, np.minimum(part, part[-1] - part) / 0.01)
            values[start * length : end * length] += fade * sum(
                np.sin(2 * np.pi * k * pitch * part) / k**2 for k in (1, 2, 3)
            )
    return (values / max(1e-9, np.abs(values).max()) * 2**14).astype(np.int16)


def explain(name: str, picture: str | None, method: str) -> str:
    """The file of a picture's map: what speaks for the answer and against it."""
    from zoo.explain import api

    if not picture:
        raise InputError("there is no picture yet: choose one or take an example")
    path = _folder() / "map.png"
    api.explain(model_named(name), picture, method=method).save(path)
    return str(path)


def play(name: str, episodes: Any, seed: Any) -> tuple[str, str]:
    """One episode as a moving picture's file, and the returns of all in a line."""
    path = _folder() / "episode.gif"
    count = whole(episodes, 1, 20, "the number of episodes")
    returns = model_named(name).play(count, seed=whole(seed, 0, 2**31 - 1, "the seed"), path=path)
    return str(path), str(returns)
