"""How fast the zoo is, each figure beside its alternative, measured side by side in this run.

    python scripts/bench.py             # print the table
    python scripts/bench.py --write     # put it into docs/speed.md, between its markers

Every pair is measured alternately and the best of its repeats counts, so that a busy machine hurts both sides alike. Rows that
say "CPU time" count the processor time of both sides, their child processes included.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

import zoo
from datamodules.base import TensorLoader
from zoo.cli.main import ended
from zoo.core.files import write_picture, write_text
from zoo.core.images import Transform
from zoo.core.module import init_arguments
from zoo.paths import CHECKPOINTS
from zoo.train.callbacks import cpu_name

PAGE = CHECKPOINTS.parent / "docs" / "speed.md"
MARKERS = ("<!-- bench -->", "<!-- /bench -->")
MNIST_SIZE = 60_000
WHO, DOES, WHERE = (  # 32 sentences such as those that the translator knows
    ("Ein Mann", "Eine Frau mit einem roten Hut", "Der Hund", "Zwei kleine Kinder"),
    ("sitzt", "steht"),
    ("auf einer Bank", "im Schnee", "vor einem großen Haus mit vielen Fenstern", "am Strand"),
)


def best(*calls: Callable[[], Any], repeats: int = 3, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call, the best of several alternating rounds."""
    seconds = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            started = clock()
            call()
            seconds[i] = min(seconds[i], clock() - started)
    return seconds


def processor_time() -> float:
    """Seconds that this process and its ended children have had a processor for."""
    return sum(os.times()[:4])


def python(code: str) -> Callable[[], None]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKPOINTS.parent)


class PerSample(Dataset):
    """What the usual tutorial does: one Python call per image."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return (self.x[i].float() / 255 - 0.1307) / 0.3081, int(self.y[i])


def rows() -> list[tuple[str, str, str, str]]:
    """(what, the zoo's figure, the alternative's, ratio) for each pair."""
    table = []

    nothing, light, heavy = best(python("pass"), python("import zoo"), python("import torch"))
    light, heavy = light - nothing, heavy - nothing  # the interpreter's own start is in both
    table.append(_row("`import zoo` / `import torch`", light, heavy, "ms"))

    weights = CHECKPOINTS / "lenet5-mnist" / "model.safetensors"
    raw = f"import lightning; from safetensors.torch import load_file; load_file({str(weights)!r})"
    ours, bare = best(python('import zoo; zoo.load("lenet5-mnist")'), python(raw))
    table.append(_row("cold `zoo.load`, checked / `import lightning` + raw safetensors", ours, bare, "s"))

    with tempfile.TemporaryDirectory() as place:
        table += [predict_row(Path(place) / "digit.png", weights), photo_row(Path(place) / "photo.jpg"), warm_row()]

    x = torch.randint(0, 256, (MNIST_SIZE, 1, 28, 28), dtype=torch.uint8)
    y = torch.randint(0, 10, (MNIST_SIZE,))
    ours, bare = best(
        lambda: sum(len(b) for b, _ in TensorLoader(x, y, 256, shuffle=True, mean=(0.1307,), std=(0.3081,))),
        lambda: sum(len(b) for b, _ in DataLoader(PerSample(x, y), 256, shuffle=True)),
    )
    table.append(_row("an epoch of MNIST batches / Dataset + DataLoader", ours, bare, "s"))

    x, y = x[: 256 * 60], y[: 256 * 60]
    ours, bare = best(lambda: trainer_epoch(x, y), lambda: bare_epoch(x, y), repeats=5)
    table.append(_row("60 training steps of LeNet-5, batch 256, Trainer / bare loop", ours, bare, "s"))

    speeds = [steps_per_second(train) for train in (zoo_ppo, baselines_ppo)]
    ours, other = speeds[0] or 0.0, speeds[1]
    beside, ratio = (f"{other:,.0f} a CPU second", f"{ours / other:.2f}×") if other else ("not installed", "")
    table.append(
        ("PPO on CartPole, steps of play and learning / Stable-Baselines3", f"{ours:,.0f} a CPU second", beside, ratio)
    )

    model: Any = zoo.load("transformer-multi30k")
    texts = [f"{who} {does} {where}." for who in WHO for does in DOES for where in WHERE]
    ours, other = best(lambda: model.translate(texts), lambda: [model.translate(text) for text in texts], repeats=2)
    table.append(_row(f"{len(texts)} sentences translated with 5 beams, as a list / one by one", ours, other, "s"))

    model = zoo.load("gpt-shakespeare")
    prompts = [f"{name}:\n" for name in ("ROMEO", "JULIET", "KING", "FIRST CITIZEN")] * 4
    ours, other = best(
        lambda: model.generate(prompts, 100, seed=0),
        lambda: [model.generate(prompt, 100, seed=0) for prompt in prompts],
        repeats=2,
    )
    table.append(_row(f"{len(prompts)} prompts continued by 100 characters, as a list / one by one", ours, other, "s"))

    model = zoo.load("ddpm-mnist")
    first = None
    for name, steps in (("ancestral", 50), ("ddim", 20), ("dpm-solver++", 20), ("heun", 10)):
        (seconds,) = best(lambda name=name, steps=steps: model.sample(16, seed=0, sampler=name, steps=steps), repeats=2)
        first = first or seconds
        table.append(
            (
                f"16 digits, `{name}`, {steps} steps",
                f"{seconds:.2f} s",
                f"{16 / seconds:.1f} images/s",
                f"{seconds / first:.2f}×",
            )
        )
    return table


def said(value: float) -> str:
    """A number with three digits, in full from a thousand on."""
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _row(what: str, ours: float, other: float, unit: str) -> tuple[str, str, str, str]:
    scale = 1e3 if unit == "ms" else 1
    return what, f"{said(ours * scale)} {unit}", f"{said(other * scale)} {unit}", f"{ours / other:.2f}×"


def predict_row(digit: Path, weights: Path) -> tuple[str, str, str, str]:
    """A command of its own against what it can't do without."""
    write_picture(digit, Image.effect_noise((28, 28), 90))
    floor = f"import torch, PIL.Image; from safetensors.torch import load_file; load_file({str(weights)!r})"
    command = [sys.executable, "-m", "zoo", "predict", "lenet5-mnist", str(digit)]
    ours, bare = best(
        lambda: subprocess.run(command, check=True, cwd=CHECKPOINTS.parent, stdout=subprocess.DEVNULL),
        python(floor),
        clock=processor_time,
    )
    return _row("`zoo predict` of a picture / `import torch` + raw safetensors, CPU time", ours, bare, "s")


def photo_row(photo: Path) -> tuple[str, str, str, str]:
    """A photograph of twelve megapixels for a network of 224 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    write_picture(photo, Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC), quality=90)
    transform = Transform([224, 224], "RGB", [0.5] * 3, [0.5] * 3)

    def pillow() -> np.ndarray:
        with Image.open(photo, formats=["JPEG"]) as opened:
            opened.draft("RGB", (448, 448))
            return np.asarray(opened.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))

    ours, other = best(lambda: transform(photo), pillow, repeats=5, clock=time.process_time)
    return _row("a 12-megapixel photo at 224 pixels / Pillow's reduced decoding, CPU time", ours, other, "ms")


def warm_row() -> tuple[str, str, str, str]:
    """Loading once more, with all its checks, against a module without first values that is given the file's tensors."""
    model: Any = zoo.load("ddpm-mnist")

    def assigned() -> None:
        with torch.device("meta"):
            made = type(model)(**init_arguments(model))
        made.load_state_dict(load_file(CHECKPOINTS / "ddpm-mnist" / "model.safetensors"), assign=True, strict=False)

    ours, other = best(lambda: zoo.load("ddpm-mnist"), assigned, repeats=5, clock=time.process_time)
    return _row("warm `zoo.load` of 1.5M weights, checked / built on meta + assigned, CPU time", ours, other, "ms")


def trainer_epoch(x: torch.Tensor, y: torch.Tensor) -> None:
    """One epoch as the recipes run it: Trainer without logger, rare logging, no bar refresh between."""
    torch.manual_seed(0)
    model = zoo.create("lenet5", batch_norm=True)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_progress_bar=False, **quiet)
    trainer.fit(model, TensorLoader(x, y, 256, shuffle=True))


def bare_epoch(x: torch.Tensor, y: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = zoo.create("lenet5", batch_norm=True)
    optimizer = model.configure_optimizers()
    for images, labels in TensorLoader(x, y, 256, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


PLAYED = 8192  # steps of the environment, in the settings of stable-baselines3's zoo for CartPole


def zoo_ppo() -> None:
    from datamodules.environment import Environment

    agent = zoo.create("ppo", epochs=20, minibatch=256, gamma=0.98, lam=0.8)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_progress_bar=False, **quiet)
    trainer.fit(agent, Environment("CartPole-v1", 8, steps=32, rollouts=PLAYED // 256))


def baselines_ppo() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    settings: dict[str, Any] = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8}
    PPO("MlpPolicy", make_vec_env("CartPole-v1", 8), learning_rate=1e-3, ent_coef=0.0, device="cpu", **settings).learn(
        PLAYED
    )


def steps_per_second(train: Callable[[], None], repeats: int = 3) -> float | None:
    """Steps of the environment for each second of processor time, the best of several; None where the package is missing."""
    seconds = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        try:
            train()
        except ImportError:
            return None
        seconds = min(seconds, time.process_time() - started)
    return PLAYED / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/speed.md")
    write = parser.parse_args().write
    lines = ["| measured | zoo | beside it | ratio |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows()]
    machine = f"{cpu_name()}, {torch.get_num_threads()} threads"
    lines.append(
        f"\n{machine}; python {platform.python_version()}, torch {torch.__version__}, lightning {L.__version__}."
    )
    text = "\n".join(lines)
    print(text)
    if write:
        start, end = MARKERS
        old = PAGE.read_text(encoding="utf-8")
        new = re.sub(f"{start}.*{end}", lambda _: f"{start}\n{text}\n{end}", old, flags=re.DOTALL)
        write_text(PAGE, new)
    return 0


if __name__ == "__main__":
    import logging
    import warnings

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    sys.exit(ended(main))
