"""Publish checkpoints on the Hugging Face Hub, and pin the resulting commits in the index.

    python scripts/publish.py ddpm-mnist --owner my-org
    python scripts/publish.py --all --owner my-org --private          # and a collection page of them
    python scripts/publish.py ddpm-mnist --owner my-org --dry-run     # check and list what would be sent
    python scripts/publish.py runs/resnet18-flowers --owner my-org    # any folder, such as one of scripts/finetune.py

The token is the Hub's own (`hf auth login`, or HF_TOKEN). A folder that isn't fit is refused with all its reasons, and the
others are still published. Interrupted, the same command goes on; what is unchanged is neither checked nor sent again, unless
--again asks for it. With several of them a summary stands at the end.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from zoo.core.files import write_text
from zoo.errors import UnknownNameError, ZooError

TITLE = "Lightning model zoo"
ABOUT = (
    "Teaching architectures as LightningModules, each with a recipe that retrains it and a checkpoint that is verified."
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="publish.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of checkpoints/, or folders")
    parser.add_argument("--all", action="store_true", help="every finished checkpoint, and a collection page of them")
    parser.add_argument("--owner", required=True, help="your user or organisation on the Hub")
    parser.add_argument("--private", action="store_true", help="make new repositories private")
    parser.add_argument("--dry-run", action="store_true", help="check, and send nothing")
    parser.add_argument("--again", action="store_true", help="ask the Hub even where all this was published before")
    options = parser.parse_args(argv)
    if bool(options.names) == options.all:
        parser.error("name the checkpoints to publish, or --all of them")

    from zoo.core.progress import track
    from zoo.paths import CHECKPOINTS, names_in

    known = names_in(CHECKPOINTS, "metrics.json") if options.all else names_in(CHECKPOINTS)
    rows = []
    for name in track(options.names or known, "publishing"):
        row = publish_one(name, known, options)
        rows.append(row)
        stream = sys.stderr if row.outcome == "refused" else sys.stdout
        print(f"{'error: ' if row.outcome == 'refused' else ''}{row.said}", file=stream, flush=True)
    if options.all and not options.dry_run and any(row.repo for row in rows):
        try:
            print(f"collection: {collect(options.owner, [row.repo for row in rows if row.repo], options.private)}")
        except ZooError as error:
            rows.append(Row("collection", "refused", str(error)))
            print(f"error: {error}", file=sys.stderr)
    if len(rows) > 1:
        print(summary(rows))
    return 2 if any(row.outcome == "refused" for row in rows) else 0


@dataclass(frozen=True)
class Row:
    """What became of a checkpoint: "published", "unchanged", "fit" (a dry run) or "refused"."""

    name: str
    outcome: str
    said: str
    repo: str = ""  # where it stands now


def publish_one(name: str, known: list[str], options: argparse.Namespace) -> Row:
    """Publish one checkpoint; whatever is wrong with it is the row's outcome."""
    from zoo.paths import CHECKPOINTS
    from zoo.store.pin import sent_before, write_pin
    from zoo.store.publish import digest, publish

    try:
        if name not in known and "/" not in name:
            raise UnknownNameError("checkpoint", name, known)
        folder = CHECKPOINTS / name if name in known else Path(name).resolve()
        repo = f"{options.owner}/{folder.name}"
        if not options.again and not options.dry_run and sent_before(folder, repo, digest(folder, repo)):
            return Row(folder.name, "unchanged", f"{folder.name}: {repo} holds all this already (unchanged)", repo)
        require_current_card(folder)
        done = publish(folder, repo, private=options.private, dry_run=options.dry_run)
        if options.dry_run:
            said = f"{folder.name}: fit to be published as {repo}: {', '.join(done.changed)}"
            return Row(folder.name, "fit", said)
        write_pin(folder, done, digest(folder, repo))
        if folder.parent == CHECKPOINTS:
            pin_index()
    except ZooError as error:
        return Row(name, "refused", str(error))
    what = f"{len(done.changed)} files changed" if done.changed else "unchanged"
    outcome = "published" if done.changed else "unchanged"
    return Row(folder.name, outcome, f"{folder.name}: {repo}@{done.revision} ({what})", repo)


def summary(rows: list[Row]) -> str:
    """A table of the outcomes, and the reasons of what was refused."""
    outcomes = sorted({row.outcome for row in rows})
    lines = ["", *(f"{outcome:10} {sum(row.outcome == outcome for row in rows):4}" for outcome in outcomes)]
    lines += [f"  {row.name}: {row.said}" for row in rows if row.outcome == "refused"]
    return "\n".join(lines)


def collect(owner: str, repos: list[str], private: bool = False) -> str:
    """Put repositories on the owner's collection page, made if need be; returns its address.

    Raises:
        PublishError: if the Hub doesn't take it.
    """
    from huggingface_hub import HfApi

    from zoo.errors import PublishError
    from zoo.store.hub import explain

    api = HfApi()
    try:
        page = api.create_collection(TITLE, namespace=owner, description=ABOUT, private=private, exists_ok=True)
        there = {item.item_id for item in page.items}
        for repo in repos:
            if repo not in there:
                api.add_collection_item(page.slug, repo, "model", exists_ok=True)
    except Exception as error:
        raise PublishError(f"the models are published, their collection isn't: {explain(error, owner, None)}") from None
    return page.url


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
