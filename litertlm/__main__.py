"""``python -m litertlm``: the same as the ``litertlm`` command."""

import sys

from litertlm.cli import main

if __name__ == "__main__":
    sys.exit(main())
