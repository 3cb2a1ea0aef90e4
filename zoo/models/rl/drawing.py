"""Pictures of an episode with PIL alone: a moving GIF or PNG, or a strip of moments."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from zoo.core.files import write_picture
from zoo.errors import InputError

SIZE = (240, 160)
INK, SOFT, ACCENT, WATER = (40, 44, 52), (200, 204, 210), (214, 93, 60), (214, 232, 242)
MOMENTS, FRAMES = 8, 60  # pictures of a strip, and at most of a moving file


def draw(env: Any) -> Image.Image:
    """The present state of a gymnasium environment.

    Raises:
        InputError: if it is none that is drawn here and can't render itself to an array.
    """
    inner = env.unwrapped
    spec = getattr(env, "spec", None)
    painter = PAINTERS.get((spec.id if spec is not None else "").rpartition("-v")[0])
    if painter is not None:
        picture = Image.new("RGB", SIZE, "white")
        painter(ImageDraw.Draw(picture), inner)
        return picture
    if getattr(env, "render_mode", None) != "rgb_array":
        raise InputError(
            f"{spec.id if spec is not None else type(inner).__name__} can't be drawn here: "
            "give env=gymnasium.make(…, render_mode='rgb_array')"
        )
    picture = Image.fromarray(np.asarray(env.render(), dtype=np.uint8)).convert("RGB")
    picture.thumbnail((320, 240))
    return picture


def cart_pole(pen: ImageDraw.ImageDraw, env: Any) -> None:
    x, _, angle, _ = env.state
    left, ground = 120 + 46 * float(x), 128
    pen.line((0, ground, 240, ground), SOFT, 2)
    for edge in (-2.4, 2.4):
        pen.line((120 + 46 * edge, ground - 6, 120 + 46 * edge, ground + 6), SOFT, 2)
    pen.rectangle((left - 18, ground - 20, left + 18, ground - 4), INK)
    top = (left + 88 * math.sin(angle), ground - 20 - 88 * math.cos(angle))
    pen.line((left, ground - 20, *top), ACCENT, 6)


def acrobot(pen: ImageDraw.ImageDraw, env: Any) -> None:
    a, b = float(env.state[0]), float(env.state[1])
    centre, length = (120, 84), 36
    pen.line((0, centre[1] - length, 240, centre[1] - length), SOFT, 2)
    elbow = (centre[0] + length * math.sin(a), centre[1] + length * math.cos(a))
    tip = (elbow[0] + length * math.sin(a + b), elbow[1] + length * math.cos(a + b))
    pen.line((*centre, *elbow), INK, 6)
    pen.line((*elbow, *tip), ACCENT, 6)
    for x, y in (centre, elbow):
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), INK)


def pendulum(pen: ImageDraw.ImageDraw, env: Any) -> None:
    angle = float(env.state[0])
    tip = (120 + 60 * math.sin(angle), 80 - 60 * math.cos(angle))
    pen.line((120, 80, *tip), ACCENT, 8)
    pen.ellipse((115, 75, 125, 85), INK)


def mag_lev(pen: ImageDraw.ImageDraw, env: Any) -> None:
    copy = env.world_copy
    height = 150 - 12 * float(copy.state[0, 1])
    aim = 150 - 12 * copy.target
    pen.rectangle((90, 4, 150, 16), INK)
    pen.line((60, aim, 180, aim), SOFT, 2)
    pen.ellipse((112, height - 8, 128, height + 8), ACCENT)


def cat_mouse(pen: ImageDraw.ImageDraw, env: Any) -> None:
    copy = env.world_copy
    x, y = (float(v) for v in copy.state[0])
    pen.ellipse((50, 10, 190, 150), WATER, SOFT, 2)
    inner = 70 / copy.ratio
    pen.ellipse((120 - inner, 80 - inner, 120 + inner, 80 + inner), None, SOFT)
    pen.ellipse((184, 74, 196, 86), INK)  # the cat: the picture turns with it
    pen.ellipse((120 + 70 * x - 4, 80 - 70 * y - 4, 120 + 70 * x + 4, 80 - 70 * y + 4), ACCENT)


def grid(rows: int, columns: int, colour: Callable[[int, int], Any]) -> Callable[[ImageDraw.ImageDraw, Any], None]:
    """A painter of square fields with the agent as a dot; `colour` gives a field's, or None."""

    def paint(pen: ImageDraw.ImageDraw, env: Any) -> None:
        side = min(SIZE[0] // columns, SIZE[1] // rows)
        x0, y0 = (SIZE[0] - side * columns) // 2, (SIZE[1] - side * rows) // 2
        for r in range(rows):
            for c in range(columns):
                box = (x0 + side * c, y0 + side * r, x0 + side * (c + 1), y0 + side * (r + 1))
                pen.rectangle(box, colour(r, c), SOFT)
        r, c = divmod(int(env.s), columns)
        at = (x0 + side * (c + 0.5), y0 + side * (r + 0.5))
        pen.ellipse((at[0] - side / 4, at[1] - side / 4, at[0] + side / 4, at[1] + side / 4), ACCENT)

    return paint


def _cliff(r: int, c: int) -> Any:
    return (INK if 0 < c < 11 else (WATER if c else "white")) if r == 3 else "white"


def frozen_lake(pen: ImageDraw.ImageDraw, env: Any) -> None:
    fields = env.desc.astype(str)
    kinds = {"H": INK, "G": (150, 200, 130), "S": "white", "F": WATER}
    rows, columns = fields.shape
    grid(rows, columns, lambda r, c: kinds[fields[r, c]])(pen, env)


def taxi(pen: ImageDraw.ImageDraw, env: Any) -> None:
    row, column, passenger, goal = env.decode(int(env.s))
    side, x0, y0 = 30, 45, 5
    fields = env.desc.astype(str)[1:-1]
    for r in range(5):
        for c in range(5):
            pen.rectangle((x0 + side * c, y0 + side * r, x0 + side * (c + 1), y0 + side * (r + 1)), "white", SOFT)
            if c < 4 and fields[r, 2 * c + 2] == "|":
                pen.line((x0 + side * (c + 1), y0 + side * r, x0 + side * (c + 1), y0 + side * (r + 1)), INK, 3)
    r, c = env.locs[goal]
    pen.rectangle((x0 + side * c + 3, y0 + side * r + 3, x0 + side * c + 27, y0 + side * r + 27), (150, 200, 130))
    if passenger < 4:
        r, c = env.locs[passenger]
        pen.ellipse((x0 + side * c + 9, y0 + side * r + 9, x0 + side * c + 21, y0 + side * r + 21), INK)
    box = (x0 + side * column + 6, y0 + side * row + 8, x0 + side * column + 24, y0 + side * row + 22)
    pen.rectangle(box, ACCENT, INK if passenger == 4 else None, 3)


def cat(pen: ImageDraw.ImageDraw, env: Any) -> None:
    from datamodules.worlds import CAT_REWARDS, CAT_STATES

    mood = int(env.world_copy.state[0, 0])
    for i, (name, reward) in enumerate(zip(CAT_STATES, CAT_REWARDS, strict=True)):
        x, y = 44 + 76 * (i % 3), 48 + 64 * (i // 3)
        pen.ellipse(
            (x - 34, y - 22, x + 34, y + 22),
            (250, 222, 210) if i == mood else "white",
            ACCENT if i == mood else SOFT,
            2,
        )
        pen.text((x, y - 5), name, INK, anchor="mm", font_size=10)
        pen.text((x, y + 9), f"{reward:+.0f}", INK, anchor="mm", font_size=10)


PAINTERS: dict[str, Callable[[ImageDraw.ImageDraw, Any], None]] = {
    "CartPole": cart_pole,
    "Acrobot": acrobot,
    "Pendulum": pendulum,
    "MagLev": mag_lev,
    "CatMouse": cat_mouse,
    "CliffWalking": grid(4, 12, _cliff),
    "FrozenLake": frozen_lake,
    "Taxi": taxi,
    "Cat": cat,
}


def thinned(frames: list[Image.Image], most: int) -> list[Image.Image]:
    """At most so many of the pictures, evenly spread, the first and the last among them."""
    if len(frames) <= most:
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, most).round().astype(int)]


def save_moving(frames: list[Image.Image], path: Path, *, milliseconds: int = 60) -> Path:
    """Write pictures as a moving GIF or PNG of 16 colours that begins anew at its end."""
    chosen = thinned(frames, FRAMES)
    palette = chosen[-1].quantize(16, dither=Image.Dither.NONE)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in chosen]
    durations = [milliseconds] * (len(small) - 1) + [800]
    kind = "GIF" if path.suffix.lower() == ".gif" else "PNG"
    rest: dict[str, Any] = {"save_all": True, "append_images": small[1:], "duration": durations, "loop": 0}
    write_picture(path, small[0], format=kind, optimize=True, **rest)
    return path


def save_strip(frames: list[Image.Image], path: Path) -> Path:
    """Write moments of an episode side by side, four a row."""
    chosen = thinned(frames, MOMENTS)
    width, height = chosen[0].size
    columns, rows = min(4, len(chosen)), math.ceil(len(chosen) / 4)
    sheet = Image.new("RGB", (width * columns, height * rows), "white")
    for i, frame in enumerate(chosen):
        sheet.paste(frame, (width * (i % 4), height * (i // 4)))
    write_picture(path, sheet, format="PNG", optimize=True)
    return path
