"""`python -m sandbox.search build | serve`, where the rest of `sandbox` is not installed: in images/search."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
