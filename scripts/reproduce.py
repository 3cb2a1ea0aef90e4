"""Retrain a checkpoint from its recipe and compare with what is published.

    python scripts/reproduce.py lenet5-mnist                 # one seed, beside the published mean ± std
    python scripts/reproduce.py lenet5-mnist --seeds 5 --trainer.accelerator=cpu

The tolerance comes from the published spread: a new run must lie within three standard deviations of the mean (where one seed
was published, within two per cent of the value, and the output says so). Exit code 1 means outside.
"""

import sys

from zoo.cli.main import ended
from zoo.train.reproduce import main

if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
