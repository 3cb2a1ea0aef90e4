"""Write every model card, MODEL_CARDS.md and zoo/index.json from the checkpoint folders.

python scripts/cards.py             # write them
python scripts/cards.py --check     # exit code 1 and a list, if any is stale

A card's own sections, extra.md, are the work of `scripts/figures/`: those that were measured on other weights are named here.
"""

import argparse

from zoo.core.files import write_text
from zoo.store import costs
from zoo.store.cards import folders, generated, outdated_sections, stale


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="cards.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is stale")
    check = parser.parse_args(argv).check
    found = [(f.name, f.path, f.config["weights"]["sha256"]) for f in folders()]
    if not check:
        for name in costs.update(found):
            print(f"measured what an input costs {name}")
    behind = stale() if check else []
    for path in behind:
        print(f"stale: {path}")
    if not check:
        for path, text in generated().items():
            write_text(path, text)
    outdated = [(folder.path, title) for folder in folders() for title in outdated_sections(folder.path)]
    for path, title in outdated:
        print(f'outdated: "{title}" in {path / "extra.md"} was measured on other weights; run its figure script again')
    return 1 if check and (behind or outdated) else 0
