"""Turn a checkpoint into a `.litertlm` file: `python -m models.random_model.export` in a process of its own.

The exporter replaces classes of Transformers for good and orders by hash, so the caller starts a new
interpreter for each file, with PYTHONHASHSEED fixed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from models.export import provide_tensorflow_schema, settle_header, settle_metadata
from models.random_model.cache import discard
from models.random_model.families import FAMILIES, SENTENCEPIECE_FILE
from models.random_model.formats import LAYOUTS, QUANTISATIONS
from models.random_model.shapes import SHAPES, Shape

SAMPLING = {"k": 40, "p": 0.95, "temperature": 1.0}

_STEP = "[START] LiteRT GenAI Export > "


class ExportError(RuntimeError):
    """The exporter can not make this combination; the message ends with its own last words."""


def export_in_fresh_process(shape: Shape, quant: str, layout: str, checkpoint: Path, out_file: Path) -> None:
    """Export `checkpoint` to `out_file`; prints the exporter's steps and keeps its output where it fails.

    Raises:
        ExportError: The exporter failed.
    """
    arguments = [shape.name, quant, layout, str(checkpoint), str(out_file)]
    log = out_file.with_suffix(".log")
    with (
        log.open("w") as record,
        subprocess.Popen(
            [sys.executable, "-m", "models.random_model.export", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=Path(__file__).resolve().parent.parent.parent,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        ) as exporter,
    ):
        assert exporter.stdout is not None
        for line in exporter.stdout:
            record.write(line)
            if _STEP in line:
                print(f"  {line.partition(_STEP)[2].strip()}", flush=True)
    if exporter.returncode:
        last = [line for line in log.read_text().splitlines() if line.strip()][-1:]
        raise ExportError(f"the export failed; {log} ends with: {''.join(last)}")
    log.unlink()


def _export(shape: Shape, quant: str, layout: str, checkpoint: Path, out_file: Path) -> None:
    provide_tensorflow_schema()
    exporter = importlib.import_module("litert_torch.generative.export_hf.export")
    family = FAMILIES[shape.family]
    settle_metadata(SAMPLING, thinks=family.thinks, calls_tools=family.calls_tools)
    settle_header(f"{shape.name} {quant} {layout}")
    work = out_file.with_name(out_file.name + ".work")
    discard(work)
    exporter.export(
        model=str(checkpoint),
        output_dir=str(work),
        prefill_lengths=list(shape.prefill),
        cache_length=shape.context,
        quantization_recipe=QUANTISATIONS[quant].recipe,
        bundle_litert_lm=True,
        **_family_options(shape, checkpoint),
        **LAYOUTS[layout],
    )
    (work / "model.litertlm").replace(out_file)
    discard(work)


def _family_options(shape: Shape, checkpoint: Path) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if shape.family == "gemma4":
        # The plain text task drops the per-layer embeddings.
        options.update(
            task="multimodal_lm",
            export_vision_encoder=False,
            export_audio_encoder=False,
            externalize_embedder=True,
            single_token_embedder=True,
        )
    if FAMILIES[shape.family].vocabulary.kind == "sentencepiece":
        options["tokenizer_path_override"] = str(checkpoint / SENTENCEPIECE_FILE)
    return options


def main() -> None:
    """Command line: SHAPE QUANT LAYOUT CHECKPOINT OUT_FILE."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("shape", "quant", "layout"):
        parser.add_argument(name)
    for name in ("checkpoint", "out_file"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    _export(SHAPES[options.shape], options.quant, options.layout, options.checkpoint, options.out_file)


if __name__ == "__main__":
    main()
