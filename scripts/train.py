"""Train a model by its recipe, evaluate the exported file in a fresh process, and publish it as a checkpoint folder.

    python scripts/train.py ddpm-mnist                                # checkpoints/ddpm-mnist/recipe.yaml
    python scripts/train.py ddpm-mnist --trainer.devices=8 --trainer.strategy=ddp
    python scripts/train.py lenet5-mnist --seeds 1 --into runs/try    # publish elsewhere

Interrupted (Ctrl-C, a kill, a power cut), the same command goes on from the end of the last saved epoch. Everything after the
options below is passed to LightningCLI.
"""

import sys

from zoo.cli.main import ended
from zoo.train.experiment import main

if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
