"""Command line: make a model with random weights, or find that it is made already."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from models.random_model.export import ExportError
from models.random_model.families import FAMILIES
from models.random_model.formats import LAYOUTS, PLAIN, QUANTISATIONS
from models.random_model.make import make_gguf, make_models
from models.random_model.shapes import SHAPES


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ends the program with a message when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m models.random_model",
        description="Make a .litertlm model with random weights.",
        epilog=f"shapes: {', '.join(SHAPES)}",
    )
    parser.add_argument("--shape", required=True, choices=SHAPES, metavar="NAME", help="see below")
    parser.add_argument("--quant", required=True, choices=QUANTISATIONS, nargs="+", help="one or more")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--layout", default=PLAIN, choices=LAYOUTS, help="how the graphs are cut")
    parser.add_argument("--gguf", action="store_true", help="also the same weights for llama.cpp")
    options = parser.parse_args(arguments)
    family = SHAPES[options.shape].family
    if options.gguf and FAMILIES[family].gguf is None:
        parser.error(f"there is no GGUF twin for the family {family}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what the command line asks for; returns the exit status."""
    options = parse(arguments)
    # Torch on all cores of a busy machine is many times slower than on one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shape, out = SHAPES[options.shape], options.out.resolve()
    try:
        make_models(shape, options.quant, options.layout, out)
        for quant in options.quant if options.gguf else ():
            make_gguf(shape, quant, out)
    except ExportError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
