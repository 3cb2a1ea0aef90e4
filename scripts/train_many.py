"""Train many recipes side by side on one device within a time budget, and pack the results for the way home.

    python scripts/train_many.py --all --jobs 6 --minutes 50 --archives out
    python scripts/train_many.py resnet18-cifar10 dcgan-mnist --jobs 2 --minutes 20 --archives out
    python scripts/train_many.py --unpack out            # on the other machine: into checkpoints/

What is missing goes first, then what is stale (its recipe no longer says what was trained), the quickest first; what is current
only with --again. Each model is exported, measured and put into checkpoints/ as it finishes. When the time is up, running
ones are stopped: the same command goes on from their last saved state. Archives are complete tar files of at most
15 MiB; a larger file is cut into parts, which --unpack joins.

On a GPU few jobs at a time are best. On an H200 four image classifiers in batches of 512 did 150 TFLOP/s together, and twenty-two
jobs two and a half times less, as small kernels queue behind the large ones of others.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import yaml

from zoo.errors import InputError, UnknownNameError, one_sentence
from zoo.paths import CHECKPOINTS, names_in
from zoo.train.experiment import end_on_sigterm

LIMIT = 15 * 2**20
ROOT = Path(__file__).resolve().parents[1]
ORDER = ("missing", "stale", "current")


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes of checkpoints/")
    parser.add_argument("--all", action="store_true", help="every recipe")
    parser.add_argument("--again", action="store_true", help="train what is current, too")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--minutes", type=float, help="stop by then (default: when all are done)")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where runs and their logs are kept")
    parser.add_argument("--archives", type=Path, help="write the finished folders there as archives")
    parser.add_argument(
        "--unpack", type=Path, metavar="ARCHIVES", help="put archives into checkpoints/, and nothing else"
    )
    options, overrides = parser.parse_known_args(argv)
    end_on_sigterm()
    if options.unpack:
        print("\n".join(unpack(options.unpack, CHECKPOINTS)))
        return 0
    names = plan(options.names, everything=options.all, again=options.again)
    print(f"to train: {', '.join(names) or 'nothing'}", flush=True)
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    done, failed, left = train(names, options.jobs, deadline, options.runs, overrides, options.archives)
    for what, which in (("done", done), ("failed", failed), ("left", left)):
        if which:
            print(f"{what}: {', '.join(which)}")
    return 1 if failed else 0


def plan(names: list[str], *, everything: bool = False, again: bool = False) -> list[str]:
    """The recipes to train, in order.

    Raises:
        InputError: if none are named; UnknownNameError: for a name without a recipe.
    """
    known = names_in(CHECKPOINTS, "recipe.yaml")
    if everything == bool(names):
        raise InputError("name the recipes to train, or --all of them")
    for name in names:
        if name not in known:
            raise UnknownNameError("recipe", name, known)
    chosen = [(state(CHECKPOINTS / name), name) for name in (known if everything else names)]
    ranked = sorted(chosen, key=lambda pair: (ORDER.index(pair[0]), seconds(CHECKPOINTS / pair[1])))
    return [name for what, name in ranked if again or what != "current"]


def state(folder: Path) -> str:
    """Whether a checkpoint folder is "missing" its results, "stale" against its recipe, or "current"."""
    from zoo.store.files import FINISHED
    from zoo.store.folder import read_config, read_recipe

    if not all((folder / file).is_file() for file in FINISHED):
        return "missing"
    config, recipe = read_config(folder), read_recipe(folder / "recipe.yaml")
    for section, made in (("model", config["init"]), ("data", (config["data"] or {}).get("init", {}))):
        asked = recipe[section].get("init_args") or {} if isinstance(recipe[section], dict) else {}
        if any(made.get(key) != value for key, value in asked.items()):
            return "stale"
    epochs = json.loads((folder / "provenance.json").read_text(encoding="utf-8")).get("epochs")
    return "stale" if epochs != recipe["trainer"].get("max_epochs", epochs) else "current"


def seconds(folder: Path) -> float:
    """What the last training took, if there was one; a recipe without any comes after those that are known to be quick."""
    try:
        facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        return float(sum(facts.get("seconds_all_seeds", [facts["seconds"]])))
    except (OSError, ValueError, KeyError, TypeError):
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
        return 600.0 * int((recipe.get("export") or {}).get("seeds", 1))


def command(name: str, runs: Path, overrides: list[str]) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / "train.py"), name, "--runs", str(runs), *overrides]


def train(
    names: list[str], jobs: int, deadline: float, runs: Path, overrides: list[str], archives: Path | None
) -> tuple[list[str], list[str], list[str]]:
    """Train recipes, `jobs` at a time, until the deadline; returns the names that are done, failed and left."""
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, not {jobs}")
    waiting, running = list(names), dict[str, subprocess.Popen[bytes]]()
    done, failed, packed = list[str](), list[str](), list[str]()
    logs = runs / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    env = {"OMP_NUM_THREADS": threads, **os.environ, "PYTHONUNBUFFERED": "1"}
    try:
        while (waiting or running) and time.monotonic() < deadline:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                with (logs / f"{name}.log").open("ab") as log:
                    running[name] = subprocess.Popen(
                        command(name, runs, overrides),
                        stdout=log,
                        stderr=log,
                        env=env,
                        start_new_session=True,
                        preexec_fn=end_with_parent,
                    )
            for name, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                (failed if process.returncode else done).append(name)
                print(
                    f"{name}: {'failed, see ' + str(logs / name) + '.log' if process.returncode else 'done'}",
                    flush=True,
                )
            pending = [name for name in done if name not in packed]
            if archives and sum(size(CHECKPOINTS / name) for name in pending) > LIMIT:
                pack([CHECKPOINTS / name for name in pending], archives)
                packed += pending
            time.sleep(0.2)
    finally:
        for process in running.values():
            stop(process)
        if archives and (pending := [name for name in done if name not in packed]):
            pack([CHECKPOINTS / name for name in pending], archives)
    return done, failed, [*running, *waiting]


def end_with_parent() -> None:
    """On Linux: tell a child to end when its parent dies, even by SIGKILL."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def stop(process: "subprocess.Popen[bytes]", patience: float = 5.0) -> None:
    """End a job and all that it started; its run resumes from its last saved state."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


# Archives ----------------------------------------------------------------------------------------------------------------


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def pack(folders: list[Path], out: Path, limit: int = LIMIT) -> list[Path]:
    """Write folders into archives of at most `limit` bytes, numbered on from those that are there."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    members: list[tuple[str, bytes]] = []
    room = limit

    def close() -> None:
        path = out / f"results-{len(list(out.glob('results-*.tar'))):03d}.tar"
        with tarfile.open(path.with_suffix(".tmp"), "w") as archive:
            for name, raw in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(raw)
                archive.addfile(entry, BytesIO(raw))
        os.replace(path.with_suffix(".tmp"), path)  # an archive is whole or isn't there
        written.append(path)

    for name, raw in pieces(folders, limit - 3 * tarfile.RECORDSIZE):
        cost = len(raw) + 4 * tarfile.BLOCKSIZE  # a header for the entry and, at worst, one for its name
        if members and cost > room - 2 * tarfile.RECORDSIZE:
            close()
            members, room = [], limit
        members.append((name, raw))
        room -= cost
    if members:
        close()
    return written


def pieces(folders: list[Path], most: int) -> Iterator[tuple[str, bytes]]:
    """(archive name, bytes) of every file, larger ones in parts."""
    for folder in folders:
        for path in sorted(folder.iterdir()):
            raw = path.read_bytes()
            if len(raw) <= most:
                yield f"{folder.name}/{path.name}", raw
                continue
            for i, at in enumerate(range(0, len(raw), most)):
                yield f"{folder.name}/{path.name}.part{i:03d}", raw[at : at + most]


def unpack(archives: Path, into: Path) -> list[str]:
    """Put the folders of archives into `into`, each as a whole; returns their names.

    Raises:
        InputError: for no archives, or a member with a name that isn't ours.
    """
    from zoo.core.files import is_plain
    from zoo.store.atomic import replacing
    from zoo.store.folder import read_config

    found: dict[str, dict[str, bytes]] = {}
    paths = sorted(archives.glob("results-*.tar"))
    if not paths:
        raise InputError(f"{archives} holds no results-*.tar")
    for path in paths:
        with tarfile.open(path) as archive:
            for member in archive:
                folder, _, file = member.name.partition("/")
                stem = file.rpartition(".part")[0] or file
                if not member.isfile() or not is_plain(folder) or not is_plain(stem):
                    raise InputError(f"{path} has a member {member.name!r}, which train_many.py never writes")
                content = archive.extractfile(member)
                assert content is not None
                found.setdefault(folder, {})[file] = content.read()
    for name, files in found.items():
        whole: dict[str, bytes] = {}
        for file in sorted(files):
            stem, part, _ = file.rpartition(".part")
            key = stem if part else file
            whole[key] = whole.get(key, b"") + files[file]
        with replacing(into / name, overwrite=True) as staged:
            for file, raw in whole.items():
                (staged / file).write_bytes(raw)
            read_config(staged)
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main())
