"""The main job: load ddpm-mnist from this checkout, draw 64 digits, write the grid, and say what each step took.

python scripts/demo.py          # or: make demo
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "ddpm-mnist"


def timed(what: str, call: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = call()
    print(f"{what:46} {time.perf_counter() - started:6.2f} s", flush=True)
    return result


def load() -> Any:
    import zoo

    return zoo.load(NAME)


def main() -> None:
    import zoo

    model = timed(f'zoo.load("{NAME}"), with importing lightning', load)
    timed("golden tensors agree", lambda: zoo.verify(NAME))
    images = timed("64 samples, 50 network calls each", lambda: model.sample(64, seed=0))
    path = timed("PNG grid", lambda: zoo.save_grid(images, Path("demo.png")))
    print(f"\n{path.resolve()}: {len(images)} digits that nobody wrote")


if __name__ == "__main__":
    main()
