"""Turn a trained checkpoint into one int8 `.litertlm` file."""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.machinery
import os
import shutil
import subprocess
import sys
import types
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import MODEL_NAME, SAMPLER, SHAPE, Shape

INT8 = "dynamic_wi8_afp32"
FLOAT = "none"
BUILD_TIME = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def export_model(checkpoint: Path, out_file: Path, shape: Shape, *, quantised: bool = True) -> Path:
    """Export the Hugging Face folder `checkpoint` to `out_file`."""
    provide_tensorflow_schema()
    exporter = importlib.import_module("litert_torch.generative.export_hf.export")
    settle_metadata(SAMPLER)
    settle_header(MODEL_NAME)
    recipe = INT8 if quantised else FLOAT
    work = out_file.with_suffix(".export")
    shutil.rmtree(work, ignore_errors=True)
    extra = {} if shape.soft_tokens == 140 else {"gemma4_vision_max_soft_tokens": shape.soft_tokens}
    exporter.export(
        model=str(checkpoint),
        output_dir=str(work),
        task="multimodal_lm",
        prefill_lengths=[shape.prefill],
        cache_length=shape.context,
        quantization_recipe=recipe,
        vision_encoder_quantization_recipe=recipe,
        audio_encoder_quantization_recipe=recipe,
        export_vision_encoder=True,
        export_audio_encoder=True,
        externalize_embedder=True,
        single_token_embedder=True,
        bundle_litert_lm=True,
        **extra,
    )
    (work / "model.litertlm").replace(out_file)
    shutil.rmtree(work, ignore_errors=True)
    return out_file


def provide_tensorflow_schema() -> None:
    """litert-torch wants one generated file of TensorFlow; ai-edge-litert carries the same one."""
    name = "tensorflow.lite.python.schema_py_generated"
    if name in sys.modules:
        return
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    parent = None
    for part in ("tensorflow", "tensorflow.lite", "tensorflow.lite.python"):
        module = types.ModuleType(part)
        module.__path__ = []  # a package without files
        module.__spec__ = importlib.machinery.ModuleSpec(part, None, is_package=True)
        sys.modules[part] = module
        if parent is not None:
            setattr(parent, part.rpartition(".")[2], module)
        parent = module
    sys.modules[name] = schema
    parent.schema_py_generated = schema  # type: ignore[union-attr]


def settle_metadata(sampling: Mapping[str, Any], *, thinks: bool = True, calls_tools: bool = True) -> None:
    """Say what the model can do, give it a usable sampler, and order the stop tokens."""
    packer = importlib.import_module("litert_torch.generative.export_hf.core.litert_lm_builder")
    sampler = importlib.import_module("litert_lm_builder.runtime.proto.sampler_params_pb2")
    original = getattr(packer.build_llm_metadata, "original", packer.build_llm_metadata)

    def build_llm_metadata(*args: Any, **kwargs: Any) -> Any:
        metadata = original(*args, **kwargs)
        metadata.supports_thinking = thinks
        metadata.supports_function_calling = calls_tools
        metadata.sampler_params.Clear()
        # The exporter would write GREEDY for k = 1, a type the CPU engine does not have.
        metadata.sampler_params.type = sampler.SamplerParameters.TOP_P
        metadata.sampler_params.k = sampling["k"]
        metadata.sampler_params.p = sampling["p"]
        metadata.sampler_params.temperature = sampling["temperature"]
        stops = sorted(metadata.stop_tokens, key=lambda stop: stop.SerializeToString())
        del metadata.stop_tokens[:]
        metadata.stop_tokens.extend(stops)
        return metadata

    build_llm_metadata.original = original  # type: ignore[attr-defined]
    packer.build_llm_metadata = build_llm_metadata


def settle_header(name: str) -> None:
    """Give the container a fixed id and date instead of random ones: same weights, same file."""
    builder = importlib.import_module("litert_lm_builder.litertlm_builder")

    def populate_system_metadata(entries: list[Any]) -> list[Any]:
        fixed = {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "creation_timestamp": BUILD_TIME.isoformat(),
        }
        kept = [entry for entry in entries if entry.key not in fixed]
        text = builder.DType.STRING
        return kept + [builder.Metadata(key=key, value=value, dtype=text) for key, value in fixed.items()]

    builder.populate_system_metadata = populate_system_metadata


def export_in_fresh_process(checkpoint: Path, out_file: Path, *, quantised: bool = True) -> Path:
    """Export in a new interpreter.

    The exporter swaps some Gemma 4 classes for its own, which fails once Transformers has remembered
    the original ones, and it orders things by hash, which needs a fixed PYTHONHASHSEED.
    """
    command = [sys.executable, "-m", "models.export", str(checkpoint), str(out_file)]
    if not quantised:
        command.append("--float")
    log = out_file.with_suffix(".log")
    with log.open("w") as stream:
        status = subprocess.run(
            command,
            check=False,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        ).returncode
    if status:
        raise RuntimeError(f"the export failed (status {status}); its output is in {log}")
    return out_file


def main() -> None:
    """Command line: CHECKPOINT OUT_FILE [--float]."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out_file", type=Path)
    parser.add_argument("--float", action="store_true", help="leave the weights unquantised")
    options = parser.parse_args()
    export_model(options.checkpoint, options.out_file, SHAPE, quantised=not options.float)


if __name__ == "__main__":
    main()
