"""Fine-tune a model of the zoo on your own data.

    python scripts/finetune.py resnet18-cifar10 --data image-folder --data.root flowers/
    python scripts/finetune.py resnet18-cifar10 --data.root flowers/ --mode head --epochs 5         # a linear probe
    python scripts/finetune.py resnet18-cifar10 --data.root flowers/ --mode gradual --into runs/flowers

    python scripts/finetune.py gpt-shakespeare --data text-file --data.root novel.txt

docs/own-data.md has the kinds of data and their formats. A part is held out, the same one every time; the result is measured on
it and is a folder that zoo.load reads and scripts/publish.py publishes.
"""

import sys

from zoo.cli.main import ended
from zoo.train.finetuning_command import main

if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
