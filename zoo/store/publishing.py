"""Publish checkpoints on the Hugging Face Hub, and pin the resulting commits in the index.

    python scripts/publish.py ddpm-mnist --owner my-org
    python scripts/publish.py --all --owner my-org --private
    python scripts/publish.py ddpm-mnist --owner my-org --dry-run     # check and list what would be sent
    python scripts/publish.py runs/resnet18-flowers --owner my-org    # any folder, such as one of scripts/finetune.py

The token is the Hub's own (`hf auth login`, or HF_TOKEN). A folder that isn't fit is refused with all its reasons, and the
others are still published. Interrupted, the same command goes on; what is unchanged is not sent again.
"""

import argparse
import sys
from pathlib import Path

from zoo.core.files import write_text
from zoo.errors import UnknownNameError, ZooError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="publish.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of checkpoints/, or folders")
    parser.add_argument("--all", action="store_true", help="every finished checkpoint")
    parser.add_argument("--owner", required=True, help="your user or organisation on the Hub")
    parser.add_argument("--private", action="store_true", help="make new repositories private")
    parser.add_argument("--dry-run", action="store_true", help="check, and send nothing")
    options = parser.parse_args(argv)
    if bool(options.names) == options.all:
        parser.error("name the checkpoints to publish, or --all of them")

    from zoo.core.progress import track
    from zoo.paths import CHECKPOINTS, names_in
    from zoo.store.pin import write_pin
    from zoo.store.publish import publish

    known = names_in(CHECKPOINTS)
    failed = 0
    for name in track(options.names or known, "publishing"):
        try:
            if name not in known and "/" not in name:
                raise UnknownNameError("checkpoint", name, known)
            folder = CHECKPOINTS / name if name in known else Path(name).resolve()
            require_current_card(folder)
            repo = f"{options.owner}/{folder.name}"
            done = publish(folder, repo, private=options.private, dry_run=options.dry_run)
        except ZooError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        if options.dry_run:
            print(f"{folder.name}: fit to be published as {repo}: {', '.join(done.changed)}")
            continue
        write_pin(folder, done)
        if folder.parent == CHECKPOINTS:
            pin_index()
        print(
            f"{folder.name}: {repo}@{done.revision} ({f'{len(done.changed)} files changed' if done.changed else 'unchanged'})"
        )
    return 2 if failed else 0


def require_current_card(folder: Path) -> None:
    """Raise PublishError if the folder isn't fit, or its card isn't what its facts say now."""
    from zoo.errors import PublishError
    from zoo.store.cards import Folder, card
    from zoo.store.publish import check

    check(folder)
    if (folder / "README.md").read_text(encoding="utf-8") != card(Folder(folder)):
        raise PublishError(f"{folder.name}: README.md isn't what its folder says now: run scripts/cards.py")


def pin_index() -> None:
    """Write the index anew, with the pins of all folders."""
    from zoo.index import INDEX
    from zoo.store.cards import generated

    write_text(INDEX, generated()[INDEX])
