"""Turn a checkpoint into `.litertlm` files: `python -m models.random_model.export` in a process of its own.

The exporter replaces classes of Transformers for good and orders by hash, so there is a new interpreter for
each checkpoint and layout, with PYTHONHASHSEED fixed. The conversion is the slow part; all quantisations are
made from the same float graphs.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
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
    """The exporter can not make a combination; the message ends with its own last words."""


def export_in_fresh_process(
    shape: Shape, layout: str, checkpoint: Path, out_files: Mapping[str, Path]
) -> None:
    """Export `checkpoint` once for each quantisation in `out_files`; prints the exporter's steps.

    Its whole output stays in a `.log` beside the first file if something fails.

    Raises:
        ExportError: Something failed; what is there afterwards is good nevertheless.
    """
    log = next(iter(out_files.values())).with_suffix(".log")
    files = [f"{quant}={path}" for quant, path in out_files.items()]
    with (
        log.open("w") as record,
        subprocess.Popen(
            [sys.executable, "-m", "models.random_model.export", shape.name, layout, str(checkpoint), *files],
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


def _export(shape: Shape, layout: str, checkpoint: Path, out_files: Mapping[str, Path]) -> list[str]:
    """Make the float graphs once and each file from them; returns the quantisations that failed."""
    provide_tensorflow_schema()
    exporter = importlib.import_module("litert_torch.generative.export_hf.export")
    family = FAMILIES[shape.family]
    settle_metadata(SAMPLING, thinks=family.thinks, calls_tools=family.calls_tools)
    work = checkpoint.with_name(f"{checkpoint.name}-{layout}.work")
    discard(work)
    failed: list[str] = []
    package = exporter.litert_lm_builder.package_model

    def package_each(source: Any, config: Any, graphs: Any) -> Any:
        for quant, out_file in out_files.items():
            try:
                settle_header(f"{shape.name} {quant} {layout}")
                package(source, config, _quantised(graphs, QUANTISATIONS[quant].recipe))
                (work / "model.litertlm").replace(out_file)
            except Exception as error:
                traceback.print_exc()
                failed.append(f"{quant}: {type(error).__name__}: {error}")
        return graphs

    exporter.litert_lm_builder.package_model = package_each
    exporter.export(
        model=str(checkpoint),
        output_dir=str(work),
        prefill_lengths=list(shape.prefill),
        cache_length=shape.context,
        quantization_recipe="none",
        bundle_litert_lm=True,
        # Half the memory for the same graphs and constants; some tensor names are shorter.
        experimental_lightweight_conversion=True,
        **_family_options(shape, checkpoint),
        **LAYOUTS[layout],
    )
    discard(work)
    return failed


def _quantised(graphs: Any, recipe: str) -> Any:
    """The exported graphs with their weights quantised, as the exporter does it itself for one recipe."""
    library = importlib.import_module("litert_torch.generative.export_hf.core.export_lib")
    paths = {
        name: library.maybe_quantize_model(path, recipe)
        for name in ("prefill_decode_model_path", "embedder_model_path")
        if (path := getattr(graphs, name))
    }
    more = {
        name: library.maybe_quantize_model(path, recipe)
        for name, path in (graphs.additional_model_paths or {}).items()
    }
    return dataclasses.replace(graphs, **paths, additional_model_paths=more or None)


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
    """Command line: SHAPE LAYOUT CHECKPOINT QUANT=OUT_FILE ..."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape")
    parser.add_argument("layout")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    out_files = {quant: Path(path) for quant, _, path in (file.partition("=") for file in options.files)}
    failed = _export(SHAPES[options.shape], options.layout, options.checkpoint, out_files)
    if failed:
        sys.exit("; ".join(failed))


if __name__ == "__main__":
    main()
