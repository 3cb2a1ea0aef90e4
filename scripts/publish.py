"""Publish checkpoints on the Hugging Face Hub, and pin the resulting commits in the index.

    python scripts/publish.py ddpm-mnist --owner my-org
    python scripts/publish.py --all --owner my-org --private
    python scripts/publish.py ddpm-mnist --owner my-org --dry-run     # check and list what would be sent
    python scripts/publish.py runs/resnet18-flowers --owner my-org    # any folder, such as one of scripts/finetune.py

The token is the Hub's own (`hf auth login`, or HF_TOKEN). A folder that isn't fit is refused with all its reasons, and the
others are still published. Interrupted, the same command goes on; what is unchanged is not sent again.
"""

import sys

from zoo.cli.main import ended
from zoo.store.publishing import main

if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
