"""Make the files of one model, each only once."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    # Imported only here and below: what is made already is found without torch.
    from models.random_model.network import build_network
    from models.random_model.vocabulary import make_tokenizer

    part = part_of(folder)
    tokenizer = make_tokenizer(FAMILIES[shape.family], shape.vocab, part)
    network = build_network(shape, tokenizer)
    network.save_pretrained(part)
    parameters = sum(weight.numel() for weight in network.parameters())
    finish(part, folder, key, parameters=parameters)
    _say(f"{shape.name}: {parameters / 1e6:.1f} M weights, {time.monotonic() - began:.0f} s")
    return folder


def make_models(shape: Shape, quants: Sequence[str], layout: str, out: Path) -> None:
    """Make the model files that are not there, all from one conversion of the network.

    Raises:
        ExportError: The exporter can not make one of them; the others are made.
    """
    paths = {quant: out / file_name(shape, quant, layout) for quant in quants}
    keys = {quant: recipe_key(shape, quant, layout) for quant in quants}
    missing = [quant for quant in quants if not is_finished(paths[quant], keys[quant])]
    for quant in quants:
        if quant not in missing:
            _say(f"{paths[quant]} is up to date")
    if not missing:
        return
    checkpoint = make_checkpoint(shape, out)
    began = time.monotonic()
    _say(f"{shape.name}: export of {', '.join(missing)} ...")
    parts = {quant: part_of(paths[quant]) for quant in missing}
    try:
        export_in_fresh_process(shape, layout, checkpoint, parts)
    finally:
        for quant, part in parts.items():
            if part.exists():
                finish(part, paths[quant], keys[quant], shape=shape.name, quant=quant, layout=layout)
                _say(f"{paths[quant]}: {paths[quant].stat().st_size / 1e6:.1f} MB")
        _say(f"{time.monotonic() - began:.0f} s")


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
