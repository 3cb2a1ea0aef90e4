"""Measure a checkpoint's metrics again on the full test split, from exactly the files of its folder.

python scripts/evaluate.py lenet5-mnist
python scripts/evaluate.py runs/lenet5-mnist/seed0/lenet5-mnist --write     # keep them as the folder's metrics.json
python scripts/evaluate.py gcn-cora gat-cora                                # several in one process
"""

import argparse
import hashlib
import json
import sys

from zoo.core.allocator import keep_freed_memory
from zoo.errors import ZooError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="evaluate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", help="names or folders of checkpoints")
    parser.add_argument("--root", help="folder of the data, where the default isn't it")
    parser.add_argument("--write", action="store_true", help="write the folder's metrics.json")
    options = parser.parse_args(argv)
    keep_freed_memory()
    try:
        for name in options.names:
            measure(name, options.root, write=options.write)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure(name: str, root: str | None, *, write: bool) -> None:
    """Print a checkpoint's metrics, and keep them as its metrics.json if asked to."""
    from zoo.api import datamodule, evaluate
    from zoo.store.hub import locate

    folder = locate(name)
    metrics = evaluate(name, datamodule(name, root=root) if root else None)
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for entry in metrics:
        entry["sha256"] = sha256
        print(f"{entry['dataset']}/{entry['split']}/{entry['metric']}: {entry['value']:.5g}   ({entry['how']})")
    if write:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
