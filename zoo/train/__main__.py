"""`python -m zoo.train NAME`: what scripts/train.py does, for an installed package and for each seed's own process."""

import sys

from zoo.train.experiment import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
