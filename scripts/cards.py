"""Write every model card, MODEL_CARDS.md and zoo/index.json from the checkpoint folders.

python scripts/cards.py             # write them
python scripts/cards.py --check     # exit code 1 and a list, if any is stale

A card's own sections, extra.md, are the work of `scripts/figures/`: those that were measured on other weights are named here.
"""

import sys

from zoo.cli.main import ended
from zoo.store.generate import main

if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
