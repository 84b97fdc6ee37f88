"""Make the bundled model: `python -m models.build --out build/model`.

Stages: tokenizer, vision, audio, text, media, joint, export, check. Each leaves its output in the folder
and is skipped when that is there; training stages save every 100 steps and go on from there.
`--stages` runs only some, so that vision, audio and text can run side by side on several cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import Gemma4ForConditionalGeneration, PreTrainedTokenizerFast

from models.config import MODEL_NAME, SHAPE
from models.data.tokenizer_text import corpus
from models.encoders import Preprocessor
from models.export import export_in_fresh_process
from models.network import build_network, write_processor_files
from models.progress import load_checkpoint
from models.tokenizer import load_tokenizer, train_tokenizer
from models.train_encoders import train_audio, train_vision
from models.train_text import MediaPool, make_media_pool, train_text

STAGES = ("tokenizer", "vision", "audio", "text", "media", "joint", "export", "check")


@dataclass(frozen=True)
class Plan:
    """How long each stage trains."""

    seed: int = 0
    vision_steps: int = 700
    audio_steps: int = 450
    encoder_batch: int = 16
    pool: int = 2400
    text_steps: int = 400
    joint_steps: int = 1500
    tokens: int = 2560
    """Padded tokens in a batch of conversations."""


class Build:
    """One build folder and the stages that fill it."""

    def __init__(self, out: Path, plan: Plan, *, with_float: bool = False) -> None:
        self.out, self.plan, self.with_float = out, plan, with_float
        out.mkdir(parents=True, exist_ok=True)

    @property
    def _base(self) -> Path:
        return self.out / "tokenizer"

    @cached_property
    def tokenizer_(self) -> PreTrainedTokenizerFast:
        """The trained tokenizer."""
        return load_tokenizer(self._base)

    @cached_property
    def prepare(self) -> Preprocessor:
        """Pictures and sounds to tensors."""
        return Preprocessor(self._base)

    def fresh(self) -> Gemma4ForConditionalGeneration:
        """The network before training."""
        return build_network(SHAPE, self.tokenizer_, seed=self.plan.seed)

    def with_encoders(self) -> Gemma4ForConditionalGeneration:
        """The network with trained encoders."""
        network = self.fresh()
        for name in ("vision", "audio"):
            saved = load_checkpoint(self.out / f"{name}.pt")
            if saved is None:
                raise SystemExit(f"the stage {name!r} has not run yet")
            getattr(network.model, f"{name}_tower").load_state_dict(saved["modules"][0])
        return network.eval()

    def tokenizer(self) -> None:
        """Train the tokenizer."""
        if not (self._base / "preprocessor_config.json").exists():
            train_tokenizer(corpus(seed=self.plan.seed), SHAPE.vocab, self._base)
            write_processor_files(SHAPE, self._base)

    def vision(self) -> None:
        """Train the vision encoder with a head of its own."""
        self._encoder("vision", train_vision, self.plan.vision_steps)

    def audio(self) -> None:
        """Train the audio encoder with a head of its own."""
        self._encoder("audio", train_audio, self.plan.audio_steps)

    def _encoder(self, name: str, train: Callable[..., dict[str, float]], steps: int) -> None:
        scores_file = self.out / f"{name}.json"
        if scores_file.exists():
            return
        scores = train(
            self.fresh(),
            self.prepare,
            self.out / f"{name}.pt",
            steps=steps,
            batch=self.plan.encoder_batch,
            seed=self.plan.seed,
        )
        scores_file.write_text(json.dumps(scores))

    def text(self) -> None:
        """Train the text model on conversations without media."""
        self._train_text(self.fresh(), "text", None, self.plan.text_steps, 4e-3)

    def media(self) -> MediaPool:
        """Encode the pictures and sounds that the joint stage talks about."""
        return make_media_pool(
            self.with_encoders(),
            self.prepare,
            self.out / "media.pt",
            size=self.plan.pool,
            seed=self.plan.seed,
        )

    def joint(self) -> None:
        """Train the text model and the projections on everything."""
        if (self.out / "hf" / "model.safetensors").exists():
            return
        network = self.with_encoders()
        saved = load_checkpoint(self.out / "text.pt")
        if saved is None:
            raise SystemExit("the stage 'text' has not run yet")
        network.model.language_model.load_state_dict(saved["modules"][0])
        self._train_text(network, "joint", self.media(), self.plan.joint_steps, 4e-3)
        network.save_pretrained(self.out / "hf.part")
        self.tokenizer_.save_pretrained(self.out / "hf.part")
        write_processor_files(SHAPE, self.out / "hf.part")
        (self.out / "hf.part").rename(self.out / "hf")

    def _train_text(
        self,
        network: Gemma4ForConditionalGeneration,
        stage: str,
        pool: MediaPool | None,
        steps: int,
        rate: float,
    ) -> None:
        train_text(
            network,
            self.tokenizer_,
            self.out / f"{stage}.pt",
            stage=stage,
            pool=pool,
            steps=steps,
            tokens=self.plan.tokens,
            matrix_lr=rate,
            other_lr=rate,
            seed=self.plan.seed,
        )

    def export(self) -> None:
        """Write the `.litertlm` file (and the unquantised one, if wanted)."""
        names = {MODEL_NAME: True, **({f"{MODEL_NAME}-float": False} if self.with_float else {})}
        for name, quantised in names.items():
            file = self.out / f"{name}.litertlm"
            if not file.exists():
                export_in_fresh_process(self.out / "hf", file, quantised=quantised)
            print(f"[export] {file} {file.stat().st_size / 1e6:.2f} MB", flush=True)

    def check(self) -> None:
        """Ask the exported model unseen questions in the real engine."""
        from models.check import report  # the engine is needed for this stage only

        for file in sorted(self.out.glob(f"{MODEL_NAME}*.litertlm")):
            scores = report(file)
            file.with_suffix(".scores.json").write_text(json.dumps(scores, indent=1))

    def run(self, stages: list[str]) -> None:
        """Run the stages in order and tell how long each took."""
        for stage in STAGES:
            if stage not in stages:
                continue
            began = time.monotonic()
            print(f"[{stage}] start", flush=True)
            getattr(self, stage)()
            print(f"[{stage}] done in {(time.monotonic() - began) / 60:.1f} min", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--stages", default=",".join(STAGES), help="only these, comma-separated")
    parser.add_argument("--threads", type=int, default=1, help="threads of one training process")
    parser.add_argument("--float", action="store_true", help="export the unquantised model too")
    options = parser.parse_args()
    stages = options.stages.split(",")
    unknown = set(stages) - set(STAGES)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    torch.set_num_threads(options.threads)
    Build(options.out, Plan(), with_float=options.float).run(stages)


if __name__ == "__main__":
    main()
