"""Fine-tune an image classifier of the zoo on your own images.

    python scripts/finetune.py resnet18-cifar10 --data image-folder --data.root flowers/
    python scripts/finetune.py resnet18-cifar10 --data.root flowers/ --mode head --epochs 5         # a linear probe
    python scripts/finetune.py resnet18-cifar10 --data.root flowers/ --mode gradual --into runs/flowers

The folder holds a sub-folder of images for each class, of any size and format. Some are held out, the same ones every time; the
result is measured on them, with a confusion matrix, and is a folder that zoo.load reads and scripts/publish.py publishes.
"""

import sys

from zoo.cli.main import ended
from zoo.train.finetuning import main

if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
