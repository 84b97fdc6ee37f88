"""Command line: make a model with random weights, or find that it is made already."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from models.random_model.cache import discard, finish, is_finished, part_of, recipe_key
from models.random_model.export import ExportError, export_in_fresh_process
from models.random_model.families import FAMILIES
from models.random_model.formats import LAYOUTS, PLAIN, QUANTISATIONS
from models.random_model.shapes import SHAPES, Shape


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ends the program with a message when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m models.random_model",
        description="Make a .litertlm model with random weights.",
        epilog=f"shapes: {', '.join(SHAPES)}",
    )
    parser.add_argument("--shape", required=True, choices=SHAPES, metavar="NAME", help="see below")
    parser.add_argument("--quant", required=True, choices=QUANTISATIONS)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--layout", default=PLAIN, choices=LAYOUTS, help="how the graphs are cut")
    parser.add_argument("--gguf", action="store_true", help="also the same weights for llama.cpp")
    options = parser.parse_args(arguments)
    family = SHAPES[options.shape].family
    if options.gguf and FAMILIES[family].gguf is None:
        parser.error(f"there is no GGUF twin for the family {family}")
    return options


def file_name(shape: Shape, quant: str, layout: str) -> str:
    """Name of the model file below the output folder."""
    return f"{shape.name}-{quant}{'' if layout == PLAIN else '-' + layout}.litertlm"


def make_checkpoint(shape: Shape, out: Path) -> Path:
    """Return the Hugging Face folder of `shape`, made if it is not there; all quantisations share it."""
    folder = out / f"{shape.name}.hf"
    key = recipe_key(shape)
    if is_finished(folder, key):
        return folder
    began = time.monotonic()
    _say(f"{shape.name}: weights ...")
    from models.random_model.network import build_network, save_network
    from models.random_model.vocabulary import make_tokenizer

    part = part_of(folder)
    tokenizer = make_tokenizer(FAMILIES[shape.family], shape.vocab, part)
    network = build_network(shape, tokenizer)
    save_network(network, part)
    parameters = sum(weight.numel() for weight in network.parameters())
    finish(part, folder, key, parameters=parameters)
    _say(f"{shape.name}: {parameters / 1e6:.1f} M weights, {time.monotonic() - began:.0f} s")
    return folder


def make_model(shape: Shape, quant: str, layout: str, out: Path) -> Path:
    """Return the model file, made if it is not there.

    Raises:
        ExportError: The exporter can not make this combination.
    """
    path = out / file_name(shape, quant, layout)
    key = recipe_key(shape, quant, layout)
    if is_finished(path, key):
        _say(f"{path} is up to date")
        return path
    checkpoint = make_checkpoint(shape, out)
    began = time.monotonic()
    _say(f"{path.name}: export ...")
    part = part_of(path)
    export_in_fresh_process(shape, quant, layout, checkpoint, part)
    seconds = round(time.monotonic() - began, 1)
    finish(part, path, key, shape=shape.name, quant=quant, layout=layout, seconds=seconds)
    _say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {seconds:.0f} s")
    return path


def make_gguf(shape: Shape, quant: str, out: Path) -> Path:
    """Return the twin for llama.cpp, made if it is not there."""
    path = (out / file_name(shape, quant, PLAIN)).with_suffix(".gguf")
    key = recipe_key(shape, quant, "gguf")
    if is_finished(path, key):
        _say(f"{path} is up to date")
        return path
    checkpoint = make_checkpoint(shape, out)
    began = time.monotonic()
    _say(f"{path.name}: conversion ...")
    from models.random_model.gguf_twin import write_gguf

    part = part_of(path)
    write_gguf(shape, QUANTISATIONS[quant].gguf, checkpoint, part)
    finish(part, path, key, shape=shape.name, quant=quant)
    _say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {time.monotonic() - began:.0f} s")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what the command line asks for; returns the exit status."""
    options = parse(arguments)
    # Torch on all cores of a busy machine is many times slower than on one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shape = SHAPES[options.shape]
    try:
        make_model(shape, options.quant, options.layout, options.out)
        if options.gguf:
            make_gguf(shape, options.quant, options.out)
    except ExportError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
