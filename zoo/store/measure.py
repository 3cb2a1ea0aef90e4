"""Measure a checkpoint's metrics again on the full test split, from exactly the files of its folder.

python scripts/evaluate.py lenet5-mnist
python scripts/evaluate.py runs/lenet5-mnist/seed0/lenet5-mnist --write     # keep them as the folder's metrics.json
python scripts/evaluate.py gcn-cora gat-cora                                # several in one process
"""

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any

import lightning as L

from zoo import registry
from zoo.core.allocator import keep_freed_memory
from zoo.core.checks import check_keywords
from zoo.core.progress import quiet
from zoo.errors import InputError, UnknownNameError, ZooError, one_sentence
from zoo.store import folder as checkpoint
from zoo.store.files import write_metrics
from zoo.store.hub import locate


def datamodule(name: str, **init: Any) -> L.LightningDataModule:
    """A data module by its own name ("mnist"), or the one a checkpoint ("ddpm-mnist") was trained with.

    Args:
        init: arguments of its class; they go before those of the checkpoint.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
        InputError: if an argument without a default is missing.
    """
    if (known := str(name).lower()) in registry.DATAMODULES:
        return _made(known, init)
    try:
        config = checkpoint.read_config(locate(name))
    except UnknownNameError:
        from zoo.index import entries

        raise UnknownNameError("data module, or model with one,", name, [*registry.DATAMODULES, *entries()]) from None
    if config["data"] is None:
        raise InputError(f"{name} doesn't say which data it was trained on")
    theirs = config["data"]["init"]
    if places := [key for key in ("root", "path") if theirs.get(key) is not None and key not in init]:
        raise InputError(
            f"{name} names a place of another machine, {places[0]}={theirs[places[0]]!r:.80}: say {places[0]}= yourself"
        )
    return _made(config["data"]["name"], theirs | init)


def _made(name: str, init: dict[str, Any]) -> L.LightningDataModule:
    cls = registry.datamodule_class(name)
    needed = [key for key, p in inspect.signature(cls).parameters.items() if p.default is p.empty]
    if missing := [key for key in needed if key not in init]:
        raise InputError(f"the data module {name} needs {', '.join(missing)}: give it as an argument or option")
    check_keywords(init, inspect.signature(cls).parameters, f"the data module {name}")
    try:
        return cls(**init)
    except ZooError:
        raise
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RuntimeError) as error:
        values = ", ".join(f"{key}={value!r:.40}" for key, value in init.items())
        raise InputError(f"the data module {name} can't be made with {values}: {error}") from None


def evaluate(
    name: str | Path, data: L.LightningDataModule | None = None, *, progress: bool = True
) -> list[dict[str, Any]]:
    """Measure the published metrics again, on the full test split: a list of metric entries as in metrics.json.

    Args:
        data: in place of the data module that the weights were trained with.
        progress: show how far it is, on standard error.
    """
    folder = locate(name)
    model = checkpoint.read(folder)
    data = data if data is not None else datamodule(str(name))
    if not isinstance(data, L.LightningDataModule):
        raise InputError(f"data is a data module, such as zoo.datamodule({str(name)!r}), not {type(data).__name__}")
    with quiet(not progress):
        return model.measure(data) if getattr(data, "own", False) else model.evaluate(data)


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="evaluate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", help="names or folders of checkpoints")
    parser.add_argument("--root", help="folder of the data, where the default isn't it")
    parser.add_argument("--write", action="store_true", help="write the folder's metrics.json")
    options = parser.parse_args(argv)
    keep_freed_memory()
    for name in options.names:
        measure(name, options.root, write=options.write)
    return 0


def measure(name: str, root: str | None, *, write: bool) -> None:
    """Print a checkpoint's metrics, and keep them as its metrics.json if asked to."""
    folder = locate(name)
    metrics = evaluate(name, datamodule(name, root=root) if root else None)
    for entry in metrics:
        print(f"{entry['dataset']}/{entry['split']}/{entry['metric']}: {entry['value']:.5g}   ({entry['how']})")
    if write:
        write_metrics(folder, metrics)


if __name__ == "__main__":
    sys.exit(main())
