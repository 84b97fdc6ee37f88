"""Make the files of one model, each only once."""

from __future__ import annotations

import time
from pathlib import Path

from models.random_model.cache import finish, is_finished, part_of, recipe_key
from models.random_model.export import export_in_fresh_process
from models.random_model.families import FAMILIES
from models.random_model.formats import PLAIN, QUANTISATIONS
from models.random_model.shapes import Shape


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


def _say(text: str) -> None:
    print(text, flush=True)
