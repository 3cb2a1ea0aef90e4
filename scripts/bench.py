"""How fast the zoo is, each figure beside its alternative, measured side by side in this run.

    python -m scripts.bench                        # print the table
    python -m scripts.bench --only pixels gpt      # some of its rows
    python -m scripts.bench --write                # put the table into docs/speed.md, between its markers

Every pair is measured alternately, in processor time, child processes included: a busy machine changes that little. A row shows
the medians of its rounds, the median of the rounds' ratios, and the lowest and highest of them.
"""

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import zoo
from datamodules.base import TensorLoader
from scripts.peers.loops import PLAYED, bare_epoch, baselines_ppo, trainer_epoch, zoo_ppo
from scripts.peers.plain_gpt import PlainGPT
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


Row = tuple[str, str, str, str]  # what, the zoo's figure, the alternative's, ratio


def processor_time() -> float:
    """Seconds that this process and its ended children have had a processor for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def rounds(*calls: Callable[[], Any], repeats: int = 3) -> list[list[float]]:
    """Processor seconds of each call in each of several alternating rounds: [call][round]."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, found in zip(calls, seconds, strict=True):
            started = processor_time()
            call()
            found.append(processor_time() - started)
    return seconds


def pair(what: str, ours: Callable[[], Any], other: Callable[[], Any], unit: str = "s", repeats: int = 3) -> Row:
    """The row of two calls; where the other one's package is missing, of ours alone."""
    try:
        return _row(what, *rounds(ours, other, repeats=repeats), unit)
    except ImportError:
        (alone,) = rounds(ours, repeats=repeats)
        return what, _row("", alone, alone, unit)[1], "not installed", ""


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


def import_rows() -> list[Row]:
    nothing, light, heavy = rounds(python("pass"), python("import zoo"), python("import torch"))
    # the interpreter's own start is in all of them
    light, heavy = ([b - a for a, b in zip(nothing, found, strict=True)] for found in (light, heavy))
    return [_row("`import zoo` / `import torch`", light, heavy, "ms")]


def load_rows() -> list[Row]:
    weights = CHECKPOINTS / "lenet5-mnist" / "model.safetensors"
    raw = f"import lightning; from safetensors.torch import load_file; load_file({str(weights)!r})"
    what = "cold `zoo.load`, checked / `import lightning` + raw safetensors"
    rows = [pair(what, python('import zoo; zoo.load("lenet5-mnist")'), python(raw))]
    with tempfile.TemporaryDirectory() as place:
        return [*rows, predict_row(Path(place) / "digit.png", weights), warm_row()]


def image_rows() -> list[Row]:
    x = torch.randint(0, 256, (MNIST_SIZE, 1, 28, 28), dtype=torch.uint8)
    y = torch.randint(0, 10, (MNIST_SIZE,))
    batches = pair(
        "an epoch of MNIST batches / Dataset + DataLoader",
        lambda: sum(len(b) for b, _ in TensorLoader(x, y, 256, shuffle=True, mean=(0.1307,), std=(0.3081,))),
        lambda: sum(len(b) for b, _ in DataLoader(PerSample(x, y), 256, shuffle=True)),
    )
    some = x[: 256 * 60], y[: 256 * 60]
    steps = pair(
        "60 training steps of LeNet-5, batch 256, Trainer / bare loop",
        lambda: trainer_epoch(*some),
        lambda: bare_epoch(*some),
    )
    with tempfile.TemporaryDirectory() as place:
        return [photo_row(Path(place) / "photo.jpg"), batches, steps]


def agent_rows() -> list[Row]:
    what = f"PPO on CartPole, {PLAYED:,} steps of play and learning / Stable-Baselines3"
    return [pair(what, zoo_ppo, baselines_ppo)]


def text_rows() -> list[Row]:
    translator: Any = zoo.load("transformer-multi30k")
    texts = [f"{who} {does} {where}." for who in WHO for does in DOES for where in WHERE]
    writer: Any = zoo.load("gpt-shakespeare")
    prompts = [f"{name}:\n" for name in ("ROMEO", "JULIET", "KING", "FIRST CITIZEN")] * 4
    return [
        pair(
            f"{len(texts)} sentences translated with 5 beams, as a list / one by one",
            lambda: translator.translate(texts),
            lambda: [translator.translate(text) for text in texts],
            repeats=2,
        ),
        pair(
            f"{len(prompts)} prompts continued by 100 characters, as a list / one by one",
            lambda: writer.generate(prompts, 100, seed=0),
            lambda: [writer.generate(prompt, 100, seed=0) for prompt in prompts],
            repeats=2,
        ),
    ]


def diffusion_rows() -> list[Row]:
    model: Any = zoo.load("ddpm-mnist")
    settings = (("ancestral", 50), ("ddim", 20), ("dpm-solver++", 20), ("heun", 10))
    found = rounds(
        *(
            lambda name=name, steps=steps: model.sample(16, seed=0, sampler=name, steps=steps)
            for name, steps in settings
        )
    )
    slowest = "`ancestral`, 50 steps"
    table = [
        _row(f"16 digits, `{name}`, {steps} steps / {slowest}", seconds, found[0], "s")
        for (name, steps), seconds in zip(settings[1:], found[1:], strict=True)
    ]
    return [*table, *evaluation_rows(model)]


def evaluation_rows(model: Any) -> list[Row]:
    """The two parts of a diffusion model's evaluation: drawing beside its network alone, and measuring beside drawing."""
    from zoo.metrics.generation import evaluate_images

    x, t, count = torch.randn(16, 1, 28, 28), torch.full((16,), 500), 2000
    images = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8)

    @torch.no_grad()
    def passes() -> None:
        for _ in range(50):
            model(x, t)

    evaluate_images(images, "mnist")  # features of the training images are made once
    drawing, network, measuring = rounds(
        lambda: model.sample(16, seed=0, steps=50), passes, lambda: evaluate_images(images, "mnist")
    )
    one, drawn = [value / count for value in measuring], [value / 16 for value in drawing]
    return [
        _row("16 digits as an evaluation draws them, 50 steps / the network's 50 passes", drawing, network, "s"),
        _row(f"all measures of one of {count:,} generated digits / drawing it in 50 steps", one, drawn, "ms"),
    ]


def pixel_rows() -> list[Row]:
    """Against the same number of multiplications at one go: each weight of a convolution counts once a pixel."""
    table = []
    for name in ("pixelcnn-mnist", "pixelrnn-mnist"):
        model: Any = zoo.load(name)
        weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d))
        a, b = torch.rand(16 * model.dim, 512), torch.rand(512, weights // 512)
        what = f"16 images of `{name}` / their multiplications as one product of matrices"
        table.append(pair(what, lambda model=model: model.sample(16, seed=0), lambda a=a, b=b: a @ b))
    return table


def compose_rows() -> list[Row]:
    model: Any = zoo.load("music-transformer-chorales")
    lengths = (16, 64, 256)
    found = rounds(*(lambda n=n: model.compose(n, seed=0) for n in lengths))
    steps = [[value / n for value in seconds] for n, seconds in zip(lengths, found, strict=True)]
    return [
        _row(f"a step of `compose` in a piece of {n} / of {lengths[0]}", seconds, steps[0], "ms")
        for n, seconds in zip(lengths[1:], steps[1:], strict=True)
    ]


def graph_rows() -> list[Row]:
    from torch_geometric.data import Data

    from zoo.models.layouts import to_pyg

    model: Any = zoo.create("gcn", in_channels=64).eval()
    data = Data(x=torch.rand(100_000, 64), edge_index=torch.randint(100_000, (2, 1_000_000)))
    net, x = to_pyg(model).eval(), data.x / data.x.sum(1, keepdim=True)

    @torch.no_grad()
    def forward() -> Tensor:
        return net(x, data.edge_index).softmax(1)

    what = "`predict_proba` of a GCN, 100,000 nodes and 1,000,000 edges, checked / a bare pass of PyG's"
    return [pair(what, lambda: model.predict_proba(data), forward)]


def metric_rows() -> list[Row]:
    from zoo.metrics.frechet import frechet_distance, gaussian_statistics
    from zoo.metrics.kernel import kernel_distance

    a, b = torch.randn(10_000, 128), torch.randn(10_000, 128) + 0.1

    def frechet() -> Any:
        from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

        return fid_statistics_to_metric(fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False)

    def kernel() -> Any:
        from torch_fidelity.metric_kid import kid_features_to_metric

        return kid_features_to_metric(a, b, kid_subsets=20, kid_subset_size=1000, verbose=False)

    ours = lambda: frechet_distance(*gaussian_statistics(a), *gaussian_statistics(b))  # noqa: E731
    return [
        pair("Fréchet distance of 10,000 features of length 128 / torch-fidelity", ours, frechet, "ms"),
        pair("KID of the same, 20 subsets / torch-fidelity", lambda: kernel_distance(a, b, subsets=20), kernel),
    ]


def gpt_rows() -> list[Row]:
    tokens, targets = torch.randint(65, (2, 32, 128))
    calls = []
    for model in (zoo.create("gpt").train(), PlainGPT()):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

        def step(model: nn.Module = model, optimizer: Any = optimizer) -> None:
            loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        step()  # the optimiser's state is made once
        calls.append(step)
    return [pair("a training step of a GPT, 0.8M weights, 4,096 tokens / nanoGPT's network", *calls, repeats=5)]


ROWS: dict[str, Callable[[], list[Row]]] = {
    "import": import_rows,
    "load": load_rows,
    "images": image_rows,
    "agents": agent_rows,
    "texts": text_rows,
    "diffusion": diffusion_rows,
    "pixels": pixel_rows,
    "compose": compose_rows,
    "graphs": graph_rows,
    "metrics": metric_rows,
    "gpt": gpt_rows,
}


def said(value: float) -> str:
    """A number with three digits, in full from a thousand on."""
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _row(what: str, ours: list[float], other: list[float], unit: str) -> Row:
    scale = 1e3 if unit == "ms" else 1
    ratios = sorted(a / b for a, b in zip(ours, other, strict=True))
    spread = f"{median(ratios):.2f}× ({ratios[0]:.2f}–{ratios[-1]:.2f})"
    return what, f"{said(median(ours) * scale)} {unit}", f"{said(median(other) * scale)} {unit}", spread


def predict_row(digit: Path, weights: Path) -> Row:
    """A command of its own against what it can't do without."""
    write_picture(digit, Image.effect_noise((28, 28), 90))
    floor = f"import torch, PIL.Image; from safetensors.torch import load_file; load_file({str(weights)!r})"
    command = [sys.executable, "-m", "zoo", "predict", "lenet5-mnist", str(digit)]
    return pair(
        "`zoo predict` of a picture / `import torch` + raw safetensors",
        lambda: subprocess.run(command, check=True, cwd=CHECKPOINTS.parent, stdout=subprocess.DEVNULL),
        python(floor),
    )


def photo_row(photo: Path) -> Row:
    """A photograph of twelve megapixels for a network of 224 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    write_picture(photo, Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC), quality=90)
    transform = Transform([224, 224], "RGB", [0.5] * 3, [0.5] * 3)

    def pillow() -> np.ndarray:
        with Image.open(photo, formats=["JPEG"]) as opened:
            opened.draft("RGB", (448, 448))
            return np.asarray(opened.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))

    what = "a 12-megapixel photo at 224 pixels / Pillow's reduced decoding"
    return pair(what, lambda: transform(photo), pillow, "ms", repeats=5)


def warm_row() -> Row:
    """Loading once more, with all its checks, against a module without first values that is given the file's tensors."""
    model: Any = zoo.load("ddpm-mnist")

    def assigned() -> None:
        with torch.device("meta"):
            made = type(model)(**init_arguments(model))
        made.load_state_dict(load_file(CHECKPOINTS / "ddpm-mnist" / "model.safetensors"), assign=True, strict=False)

    what = "warm `zoo.load` of 1.5M weights, checked / built on meta + assigned"
    return pair(what, lambda: zoo.load("ddpm-mnist"), assigned, "ms", repeats=5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/speed.md")
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROWS", help=f"some of {', '.join(ROWS)}")
    args = parser.parse_args()
    if args.only and args.write:
        parser.error("--write puts the whole table into docs/speed.md: leave out --only")
    load = os.getloadavg()[0]
    lines = ["| measured, in processor time | zoo | beside it | ratio (lowest–highest) |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for name in args.only or ROWS for row in ROWS[name]()]
    machine = f"{cpu_name()}, {torch.get_num_threads()} threads, load {load:.1f} before"
    versions = f"python {platform.python_version()}, torch {torch.__version__}, lightning {L.__version__}"
    text = "\n".join([*lines, f"\n{machine}; {versions}."])
    print(text)
    print(f"{processor_time():.0f} s of processor time in all", file=sys.stderr)
    if args.write:
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
