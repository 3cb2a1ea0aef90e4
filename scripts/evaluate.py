"""Measure a checkpoint's metrics again on the full test split, from exactly the files of its folder.

python scripts/evaluate.py lenet5-mnist
python scripts/evaluate.py runs/lenet5-mnist/seed0/lenet5-mnist --write     # keep them as the folder's metrics.json
python scripts/evaluate.py gcn-cora gat-cora                                # several in one process
"""

import sys

from zoo.cli.main import ended
from zoo.store.measure import main

if __name__ == "__main__":
    sys.exit(ended(main))
