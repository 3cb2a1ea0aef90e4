"""`python -m zoo` is the command line `zoo`."""

import sys

from zoo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
