"""One experiment from recipe to checkpoint folder: fit each seed, export, evaluate the exported file, publish.

Each seed is fitted in a process of its own (or all in one, where the recipe's `export.together` says so) under
runs/NAME/seedK and leaves a checkpoint folder there; a further process evaluates exactly that folder. The first seed's folder
is published, never the best one's; all seeds give mean and std.
"""

import argparse
import contextlib
import importlib
import inspect
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import yaml

from zoo.core.allocator import keep_freed_memory
from zoo.core.files import plain_name, write_json, write_text
from zoo.errors import InputError, UnknownNameError, one_sentence
from zoo.paths import CHECKPOINTS, ROOT, names_in
from zoo.store.atomic import check_writable, owned, replacing
from zoo.store.files import OURS, REFERENCE


@one_sentence
def main(argv: list[str]) -> int:
    """The command line of scripts/train.py; returns the exit code."""
    parser = argparse.ArgumentParser(prog="train.py", allow_abbrev=False)
    parser.add_argument("name", help="a folder of checkpoints/ with a recipe.yaml")
    parser.add_argument("--seeds", type=int, help="number of seeds, in place of the recipe's")
    parser.add_argument("--into", type=Path, help="publish to this folder, in place of checkpoints/NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where runs are kept (default: runs)")
    parser.add_argument("--fresh", action="store_true", help="forget an earlier run of the same name")
    parser.add_argument("--overwrite", action="store_true", help="publish into a folder that holds other files, too")
    parser.add_argument(
        "--trust", action="store_true", help="import what a recipe names beyond this package, PyTorch and Lightning"
    )
    parser.add_argument("--fit", type=int, nargs="+", metavar="SEED", help=argparse.SUPPRESS)
    options, overrides = parser.parse_known_args(argv)
    end_on_sigterm()
    if options.fit is not None:
        keep_freed_memory()
        for seed in options.fit:
            fit_one(options.name, seed, options.runs, overrides)
    else:
        run(
            options.name,
            options.runs,
            overrides,
            options.seeds,
            options.into,
            options.fresh,
            options.overwrite,
            options.trust,
        )
    return 0


def forget(run: Path) -> None:
    """Remove a run that nobody owns: what training left in its seeds' folders.

    Raises:
        InputError: if one of them is still being trained.
    """
    with contextlib.ExitStack() as held:
        for seed in sorted(run.glob("seed*")):
            held.enter_context(owned(seed))
        shutil.rmtree(run, ignore_errors=True)


def recipe_of(name: str) -> Path:
    """The recipe of a checkpoint folder.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
    """
    path = CHECKPOINTS / plain_name(name, "the name of a recipe") / "recipe.yaml"
    if not path.is_file():
        raise UnknownNameError("recipe", name, names_in(CHECKPOINTS, "recipe.yaml"))
    return path


def run(
    name: str,
    runs: Path,
    overrides: list[str],
    seeds: int | None = None,
    into: Path | None = None,
    fresh: bool = False,
    overwrite: bool = False,
    trust: bool = False,
) -> Path:
    """Fit and evaluate all seeds of a recipe, then publish; returns the published folder.

    A part of a training (`--trainer.fast_dev_run`, fewer epochs or batches than the recipe's) never takes the place of a
    published checkpoint, and no training that of an extractor of `zoo.metrics`, whose distances would lose their scale: they
    stay in their run's folder, unless `into` names another place.

    torchrun and srun start this in many processes: all of them fit, and the first one measures and publishes.
    """
    if overrides and not overrides[0].startswith("-"):
        raise InputError(f"{overrides[0]!r} is no option, which begins with --; recipes are trained one at a time")
    recipe = recipe_of(name)
    rank, world = launched()
    export = export_of(recipe)
    count = int(export.get("seeds", 1)) if seeds is None else seeds
    if count < 1:
        raise InputError(f"--seeds is {count}; a training has at least one.")
    if fresh and world > 1:
        raise InputError(f"--fresh can't be given to {world} processes at once: remove {runs / name} first")
    if (strange := strange_paths(recipe, overrides)) and not trust:
        raise InputError(
            f"the recipe would import {', '.join(strange)}: read it, and add --trust if you trust its author"
        )
    if into is not None:
        check_writable(into, alone=True, overwrite=overwrite)
    if fresh:
        forget(runs / name)
    train = [sys.executable, "-m", "zoo.train"]
    evaluate = [sys.executable, "-m", "zoo.store.measure"]
    folders = [runs / name / f"seed{seed}" / name for seed in range(count)]
    every = list(range(count))
    for group in [every] if export.get("together") else [[seed] for seed in every]:
        for seed in group:
            check_same_run(folders[seed].parent, recipe, overrides)
        if unfitted := [str(seed) for seed in group if not (folders[seed] / "provenance.json").exists()]:
            call([*train, name, "--runs", str(runs), "--fit", *unfitted, *overrides])
        if rank:
            continue
        if unmeasured := [str(folders[seed]) for seed in group if not (folders[seed] / "metrics.json").exists()]:
            root = json.loads((folders[group[0]].parent / "run.json").read_text(encoding="utf-8"))["root"]
            call([*evaluate, *unmeasured, "--write", *(["--root", root] if root else [])], alone=True)
    target = into or CHECKPOINTS / name
    if rank:
        return target
    if into is None and (parts := partial(recipe, overrides)):
        print(f"{folders[0]} holds a part of the recipe's training ({' '.join(parts)}): publish it elsewhere by --into")
        return folders[0]
    if into is None and (target / REFERENCE).exists():
        print(f"generated images are measured with {target}, which stays: the new weights are in {folders[0]}")
        return folders[0]
    return put_in_place(name, folders, target)


BATCHES = (
    "fast_dev_run",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "max_time",
)
OWN = ("zoo.", "datamodules.", "torch.", "lightning.pytorch.", "pytorch_lightning.", "torchvision.", "timm.")


def partial(recipe: Path, overrides: list[str]) -> list[str]:
    """The overrides that leave a part of the recipe's training."""
    trainer = yaml.safe_load(recipe.read_text(encoding="utf-8")).get("trainer") or {}
    found = []
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.removeprefix("--trainer.")
        whole = value.lower() in ("false", "0", "null", "none", "1.0") and key != "limit_train_batches"
        if key in BATCHES and not whole:
            found.append(override)
        elif key in ("max_epochs", "max_steps") and value.lstrip("-").isdigit():
            planned = trainer.get(key)
            if not isinstance(planned, int) or (planned > 0 and int(value) < planned):
                found.append(override)
    return found


def strange_paths(recipe: Path, overrides: list[str]) -> list[str]:
    """Python paths that a recipe or its overrides name beyond this package and the libraries it stands on."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(path := value.get("class_path"), str):
                found.add(path)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(yaml.safe_load(recipe.read_text(encoding="utf-8")))
    found |= {override.partition("=")[2] for override in overrides if override.partition("=")[0].endswith("class_path")}
    return sorted(path for path in found if "." in path and not path.startswith(OWN))


def check_same_run(folder: Path, recipe: Path, overrides: list[str]) -> None:
    """Refuse to go on with, or publish, what another recipe or other options left in a run's folder.

    Raises:
        InputError: if the folder has a mark of those.
    """
    mark = folder / "recipe.json"
    if mark.exists() and mark.read_text(encoding="utf-8") != fingerprint(recipe, overrides):
        raise InputError(f"{folder} holds a run of another recipe or other options: add --fresh to start anew")


def fingerprint(recipe: Path, overrides: list[str]) -> str:
    return json.dumps([recipe.read_text(encoding="utf-8"), overrides])


PATIENCE = 10.0  # seconds that a process has to end after SIGTERM
LAUNCHERS = ("RANK", "LOCAL_", "WORLD_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_", "SLURM_")


def launched() -> tuple[int, int]:
    """(rank, number) of this process where torchrun or srun started several of the same command."""
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in os.environ and world in os.environ:
            return int(os.environ[rank]), int(os.environ[world])
    return 0, 1


def rank_in_run() -> int:
    """This process's rank, also where Lightning itself has started the others."""
    return launched()[0] or int(os.environ.get("LOCAL_RANK") or 0)


def export_of(recipe: Path) -> dict[str, Any]:
    """The `export` section of a recipe, before LightningCLI parses it."""
    return yaml.safe_load(recipe.read_text(encoding="utf-8")).get("export") or {}


def shuffles(recipe: Path) -> bool:
    """Whether the recipe's data module takes a seed for its shuffles and augmentation."""
    path = yaml.safe_load(recipe.read_text(encoding="utf-8"))["data"]["class_path"]
    module, _, name = path.rpartition(".")
    return "seed" in inspect.signature(getattr(importlib.import_module(module), name)).parameters


def fit_one(name: str, seed: int, runs: Path, overrides: list[str]) -> None:
    """Fit one seed, from its last saved state if there is one, and export it with provenance."""
    for known in ("LightningCLI's args parameter", "will be overridden by", "LeafSpec"):
        warnings.filterwarnings("ignore", f".*{known}")
    recipe, folder = recipe_of(name), runs / name / f"seed{seed}"
    with contextlib.nullcontext() if rank_in_run() else owned(folder):
        _fit_one(name, recipe, folder, seed, overrides)


def _fit_one(name: str, recipe: Path, folder: Path, seed: int, overrides: list[str]) -> None:
    from zoo.core.module import init_arguments
    from zoo.store.folder import write
    from zoo.train.recipe import fit

    check_same_run(folder, recipe, overrides)
    write_text(folder / "recipe.json", fingerprint(recipe, overrides))
    fold = export_of(recipe).get("fold")
    of_seed = [f"--seed_everything={seed}", *([f"--{fold}={seed}"] if fold else [])]
    if shuffles(recipe):
        of_seed.append(f"--data.init_args.seed={seed}")  # each seed has its own order of batches
    model, data, cli, history = fit(recipe, folder, [*of_seed, *overrides])
    if not cli.trainer.is_global_zero:
        return
    import torch

    from zoo import registry

    config = cli.config
    init = init_arguments(data)
    root = init.pop("root", None)  # a path of this machine: what is published holds none
    write_json(folder / "run.json", {"root": root})
    paired = {"name": registry.name_of(type(data), registry.DATAMODULES), "init": init}
    export = folder / name
    with replacing(export) as staged:
        shutil.rmtree(staged)  # nothing of an earlier export may stay
        write(
            model,
            staged,
            name=name,
            averaged=config.export.averaged,
            dtype=getattr(torch, config.export.dtype),
            data=paired,
            preview=seed == 0,
        )
        shutil.copyfile(recipe, staged / "recipe.yaml")
        if (folder / "history.csv").exists():
            shutil.copyfile(folder / "history.csv", staged / "history.csv")
        command = " ".join(["python scripts/train.py", *([f"--seed_everything={seed}"] if seed else []), *overrides])
        facts = provenance(cli.trainer, history, seed, command)
        (staged / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def provenance(trainer: Any, history: Any, seed: int, command: str) -> dict[str, Any]:
    """Where, when and with what a run was made; each part of it, if it went on on another machine."""
    from zoo.train.callbacks import machine

    facts = {
        "command": command,
        "seed": seed,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds": round(history.elapsed(), 1),
    }
    return facts | machine(trainer) | ({"parts": history.parts} if len(history.parts) > 1 else {})


def put_in_place(name: str, folders: list[Path], target: Path) -> Path:
    """Move the first seed's folder to its place, with mean and std over all seeds in its metrics.

    What has a spread of its own, such as the floor of a distance over draws of real images, keeps it: no seed changes it.
    """
    from zoo.store.cards import write_card

    measured = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in folders]
    facts = json.loads((folders[0] / "provenance.json").read_text(encoding="utf-8"))
    facts["command"] = facts["command"].replace("scripts/train.py", f"scripts/train.py {name}", 1)
    metrics = []
    for entry in measured[0]:
        values = [other["value"] for run in measured for other in run if _same_claim(entry, other)]
        if len(values) > 1 and "std" not in entry:
            spread: dict[str, float] = {
                "mean": statistics.mean(values),
                "std": statistics.stdev(values),
                "n_seeds": len(values),
            }
            entry.update(spread)
        metrics.append(entry)
    if len(folders) > 1:
        facts["seconds_all_seeds"] = [
            json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["seconds"] for folder in folders
        ]
    with replacing(target, overwrite=True) as staged:
        for file in (path for path in folders[0].iterdir() if path.name in OURS):
            shutil.copyfile(file, staged / file.name)
        (staged / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        (staged / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        write_card(staged)
    print(f"published {target}")
    for entry in metrics:
        text = f" (mean {entry['mean']:.5g} ± {entry['std']:.2g}, {entry['n_seeds']} seeds)" if "std" in entry else ""
        print(f"  {entry['dataset']}/{entry['split']}/{entry['metric']}: {entry['value']:.5g}{text}")
    return target


def _same_claim(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a[key] == b[key] for key in ("dataset", "split", "metric"))


def end_on_sigterm() -> None:
    """On SIGTERM, leave by an exception: processes that were started end, too, and nothing is left behind."""

    def leave(*_: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, leave)


def call(command: list[str], *, alone: bool = False) -> None:
    """Run a command in its own process, its output passed through; `alone` as if no launcher had started this one.

    Raises:
        InputError: if it fails; it has said why itself.
    """
    env = {key: value for key, value in os.environ.items() if not (alone and key.startswith(LAUNCHERS))}
    # neither an empty entry nor the folder of -m: they would put the working directory before the standard library
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env["PYTHONSAFEPATH"] = "1"
    process = subprocess.Popen(command, env=env)
    try:
        code = process.wait()
    finally:
        if process.poll() is None:  # SIGTERM came to this process: it is passed on to the one that it waits for
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
    if code:
        raise InputError(f"{command[2]} stopped with code {code}; the same command resumes what was saved")
