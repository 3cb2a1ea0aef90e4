"""Write every model card, MODEL_CARDS.md and zoo/index.json from the checkpoint folders.

python scripts/cards.py             # write them
python scripts/cards.py --check     # exit code 1 and a list, if any is stale
"""

import argparse
import sys

from zoo.cards import generated, stale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is stale")
    if parser.parse_args().check:
        behind = stale()
        for path in behind:
            print(f"stale: {path}")
        return 1 if behind else 0
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
