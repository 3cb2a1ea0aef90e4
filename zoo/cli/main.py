"""The command line: zoo list | info | sample | predict | generate | fill | compose | translate | verify | evaluate …

Errors that a person can act on end with exit code 2 and one line; anything else is a bug and shows its traceback.
"""

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zoo
from zoo.core.allocator import keep_freed_memory
from zoo.errors import InputError, ZooError


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = parser().parse_args(argv)
    keep_freed_memory()
    try:
        options.run(options)
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `zoo list | head`
        sys.stderr.close()
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="zoo", description="Pretrained teaching models: list, look at, use and check them."
    )
    top.add_argument("--version", action="version", version=zoo.__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Callable[[argparse.Namespace], None], *names: str) -> argparse.ArgumentParser:
        doc = (run.__doc__ or "").strip()
        command = commands.add_parser(run.__name__.rstrip("_"), help=doc.splitlines()[0], description=doc)
        for name in names:
            command.add_argument(name)
        command.set_defaults(run=run)
        return command

    listing = add(list_)
    listing.add_argument("pattern", nargs="?", default="*", help="shell pattern of names")
    listing.add_argument("--task", help='such as "image-classification", or its end')
    listing.add_argument("--dataset", help='such as "mnist"')
    listing.add_argument("--sort", help="a metric, best first")
    add(info, "name")
    sampling = add(sample, "name")
    sampling.add_argument("-n", type=int, default=64, help="number of images")
    sampling.add_argument("-o", "--output", type=Path, default=Path("samples.png"))
    sampling.add_argument("--seed", type=int, default=0)
    sampling.add_argument("--sampler", help="diffusion models: ancestral, ddim, dpm-solver++, heun")
    sampling.add_argument("--steps", type=int, help="diffusion models: network calls")
    sampling.add_argument(
        "--labels", type=int, nargs="+", help="conditional models: a class for all images, or one for each"
    )
    sampling.add_argument(
        "--guidance", type=float, help="conditional diffusion models: how strongly the condition pulls"
    )
    sampling.add_argument("--prompt", help="text-conditional models: what to draw")
    sampling.add_argument("--control", type=Path, help="edge-controlled models: an image file whose edges to follow")
    predicting = add(predict, "name")
    predicting.add_argument("files", nargs="+", help="image files")
    predicting.add_argument("--top", type=int, default=3)
    generating = add(generate, "name", "prompt")
    generating.add_argument("-n", "--n", type=int, default=500, help="number of characters")
    generating.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest each time")
    generating.add_argument("--top-k", type=int, help="choose among so many of the likeliest")
    generating.add_argument("--top-p", type=float, help="choose among the fewest that hold this probability")
    generating.add_argument("--seed", type=int, default=0)
    generating.add_argument(
        "--beams", type=int, help="in place of all these: the likeliest text that so many beams find"
    )
    filling = add(fill, "name")
    filling.add_argument("texts", nargs="+", help="sentences, each in quotation marks")
    filling.add_argument("--top", type=int, default=5)
    composing = add(compose, "name")
    composing.add_argument("-n", type=int, default=64, help="number of steps")
    composing.add_argument("-o", "--output", type=Path, default=Path("piece.mid"))
    composing.add_argument("--primer", type=Path, help="a MIDI file of this program to go on from")
    composing.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest each time")
    composing.add_argument("--seed", type=int, default=0)
    translating = add(translate, "name")
    translating.add_argument("texts", nargs="+", help="sentences, each in quotation marks")
    translating.add_argument("--beams", type=int, default=5, help="translations followed at once; 1 is greedy")
    translating.add_argument("--penalty", type=float, default=1.0, help="how much longer translations are favoured")
    translating.add_argument("--map", type=Path, help="draw what each piece of the first translation looked at")
    verifying = add(verify)
    verifying.add_argument("names", nargs="*", help="default: all of this checkout")
    evaluating = add(evaluate, "name")
    evaluating.add_argument("--root", help="folder of the data, where the default isn't it")
    downloading = add(download)
    downloading.add_argument("names", nargs="+")
    downloading.add_argument("--with-data", action="store_true", help="the data sets they were trained on, too")
    downloading.add_argument("--force", action="store_true", help="again, over a damaged copy in the cache")
    add(cache)
    return top


def list_(options: argparse.Namespace) -> None:
    """Table of the checkpoints."""
    from zoo.index import models

    print(models(options.pattern, task=options.task, dataset=options.dataset, sort=options.sort))


def info(options: argparse.Namespace) -> None:
    """Facts and metrics of one checkpoint."""
    print(zoo.info(options.name))


def sample(options: argparse.Namespace) -> None:
    """Draw images and save them as a PNG grid."""
    model: Any = zoo.load(options.name)
    if not hasattr(model, "sample"):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't draw samples")
    keys = ("sampler", "steps", "guidance", "prompt")
    chosen = {key: getattr(options, key) for key in keys if getattr(options, key) is not None}
    if options.labels:
        import torch

        labels = options.labels * (options.n if len(options.labels) == 1 and options.n > 0 else 1)
        chosen["labels"] = torch.tensor(labels)
    if options.control:
        chosen["control"] = options.control
    taken = inspect.signature(model.sample).parameters
    if refused := [f"--{key}" for key in chosen if key not in taken]:
        raise InputError(f"{options.name} takes no {' or '.join(refused)}")
    if options.control:
        from zoo.core.images import Transform
        from zoo.models.diffusion.controlnet import edge_map

        grey = Transform(model.image_shape[1:], "L", [0.0], [1.0])  # [1, H, W] in [0, 1]
        chosen["control"] = edge_map(grey(options.control)[None])
    images = model.sample(options.n, seed=options.seed, **chosen)
    print(zoo.save_grid(images, options.output))


def predict(options: argparse.Namespace) -> None:
    """Classes and probabilities of image files."""
    from zoo.core.protocols import Classifies

    model: Any = zoo.load(options.name)
    if not isinstance(model, Classifies):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't classify files")
    width = max(len(file) for file in options.files)
    for file, row in zip(options.files, model.predict(list(options.files), top=options.top), strict=True):
        print(f"{file:{width}}  " + "  ".join(f"{label} {p:.3f}" for label, p in row))


def generate(options: argparse.Namespace) -> None:
    """Continue a prompt; the text appears while it is written."""
    model: Any = zoo.load(options.name)
    if not hasattr(model, "stream"):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't write text")
    if options.beams is not None:
        print(options.prompt + model.generate(options.prompt, options.n, beams=options.beams))
        return
    chosen = {key: getattr(options, key) for key in ("temperature", "top_k", "top_p", "seed")}
    pieces = model.stream(options.prompt, options.n, **chosen)  # raises before anything is printed
    sys.stdout.write(options.prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def fill(options: argparse.Namespace) -> None:
    """The likeliest pieces for each [MASK] of a text, a line each."""
    model: Any = zoo.load(options.name)
    if not hasattr(model, "fill_mask"):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't fill holes")
    for text in options.texts:
        rows = model.fill_mask(text, top=options.top)
        for row in rows if isinstance(rows[0], list) else [rows]:
            print("  ".join(f"{piece} {p:.3f}" for piece, p in row))


def compose(options: argparse.Namespace) -> None:
    """Write music to a MIDI file, the primer first where there is one."""
    model: Any = zoo.load(options.name)
    if not hasattr(model, "compose"):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't write music")
    import torch

    from datamodules.formats.midi import read_midi, write_midi

    primer = None if options.primer is None else read_midi(options.primer)
    roll = model.compose(options.n, primer=primer, temperature=options.temperature, seed=options.seed)
    print(write_midi(roll if primer is None else torch.cat([primer, roll]), options.output))


def translate(options: argparse.Namespace) -> None:
    """Translate sentences, a line each."""
    model: Any = zoo.load(options.name)
    if not hasattr(model, "translate"):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't translate")
    if options.map and not hasattr(model, "attention_map"):
        raise InputError(f"{options.name} has no attention to draw: leave --map out")
    for text in options.texts:
        print(model.translate(text, beams=options.beams, penalty=options.penalty), flush=True)
    if options.map:
        print(model.attention_map(options.texts[0], options.map))


def verify(options: argparse.Namespace) -> None:
    """Check sha256 and golden tensors, without any data set."""
    from zoo.paths import CHECKPOINTS, names_in

    for name in options.names or names_in(CHECKPOINTS):
        worst = max(zoo.verify(name).values())
        print(f"{name}: sha256 and golden tensors agree (largest deviation {worst:.1e})")


def evaluate(options: argparse.Namespace) -> None:
    """Measure the published metrics again, on the full test split."""
    published = zoo.info(options.name).metrics if options.name in zoo.list_models() else {}
    data = zoo.datamodule(options.name, root=options.root) if options.root else None
    for entry in zoo.evaluate(options.name, data):
        claim = published.get(f"{entry['dataset']}/{entry['split']}/{entry['metric']}")
        beside = f"   published {claim.value:.5g}" if claim else ""
        print(f"{entry['dataset']}/{entry['split']}/{entry['metric']:24} {entry['value']:.5g}{beside}   {entry['how']}")


def download(options: argparse.Namespace) -> None:
    """Fetch checkpoints into the Hugging Face cache, and their data sets with --with-data."""
    from zoo.store.hub import locate

    for name in options.names:
        print(f"{name}: {locate(name, force=options.force)}")
        if options.with_data:
            zoo.datamodule(name).prepare_data()


def cache(options: argparse.Namespace) -> None:
    """What the zoo keeps in the Hugging Face cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    from zoo.index import entries

    ours = {entry.repo for entry in entries().values()}
    try:
        repos = [repo for repo in scan_cache_dir().repos if repo.repo_id in ours]
    except CacheNotFound:
        repos = []
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        print(f"{repo.repo_id:40} {repo.size_on_disk / 2**20:8.1f} MiB   {repo.repo_path}")
    print(f"{len(repos)} repositories, {sum(repo.size_on_disk for repo in repos) / 2**20:.1f} MiB")


if __name__ == "__main__":
    sys.exit(main())
