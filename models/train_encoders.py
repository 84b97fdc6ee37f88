"""Teach each encoder its own job, with a head of its own, before the text model meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import Gemma4ForConditionalGeneration

from models.config import AUDIO_ADAPTER_WIDTH, AUDIO_RATE, SHAPE
from models.data.images import BACKGROUNDS, COLOURS, MOST_SHAPES, SHAPES, Picture, make_picture
from models.data.sounds import Sound, make_sound
from models.encoders import Preprocessor, hear, quicken_audio, see
from models.optim import Optimiser
from models.progress import Progress, load_checkpoint, save_checkpoint

SAMPLES_PER_TOKEN = AUDIO_RATE // 25
HELD_OUT = 960_000


class Pool(nn.Module):
    """One learnt question per task: attend over the tokens, then classify."""

    def __init__(self, width: int, sizes: dict[str, int]) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.ask = nn.ModuleDict({name: nn.Linear(width, 1) for name in sizes})
        self.answer = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits by task."""
        tokens = self.norm(tokens)
        answers = {}
        for name, ask in self.ask.items():
            weight = ask(tokens).masked_fill(~mask[..., None], -1e9).softmax(1)
            answers[name] = self.answer[name]((weight * tokens).sum(1))
        return answers


PICTURE_TASKS = {
    "colour": len(COLOURS),
    "shape": len(SHAPES),
    "background": len(BACKGROUNDS),
    "count": MOST_SHAPES + 1,
}


def picture_targets(pictures: list[Picture]) -> dict[str, torch.Tensor]:
    """Class numbers by task."""
    return {
        "colour": torch.tensor([COLOURS.index(p.colour) for p in pictures]),
        "shape": torch.tensor([SHAPES.index(p.shape) for p in pictures]),
        "background": torch.tensor([BACKGROUNDS.index(p.background) for p in pictures]),
        "count": torch.tensor([p.count for p in pictures]),
    }


def train_vision(
    network: Gemma4ForConditionalGeneration,
    prepare: Preprocessor,
    checkpoint: Path,
    *,
    steps: int,
    batch: int,
    seed: int,
) -> dict[str, float]:
    """Train the vision tower on colour, shape, background and number; return held-out accuracy."""
    torch.manual_seed(seed)
    head = Pool(SHAPE.vision_hidden, PICTURE_TASKS)
    tower = network.model.vision_tower
    optimiser = Optimiser(
        [tower, head],
        steps=steps,
        matrix_lr=2e-3,
        other_lr=1e-3,
        embeddings=[tower.patch_embedder.position_embedding_table, *head.parameters()],
    )

    def loss_of(pictures: list[Picture]) -> tuple[torch.Tensor, dict[str, float]]:
        tokens, mask = see(network, *prepare.pictures([p.image for p in pictures]))
        answers, targets = head(tokens, mask), picture_targets(pictures)
        loss = sum(functional.cross_entropy(answers[name], target) for name, target in targets.items())
        right = {
            name: (answers[name].argmax(-1) == target).float().mean().item()
            for name, target in targets.items()
        }
        return loss, right

    def draw(first: int, size: int) -> list[Picture]:
        return [make_picture(Random(f"picture {seed} {first + i}")) for i in range(size)]

    return _train("vision", [tower, head], optimiser, loss_of, draw, checkpoint, steps, batch)


def sound_targets(sounds: list[Sound], tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Per token: 0 silence, 1 low, 2 high; and whether a beep starts there."""
    kind = torch.zeros(len(sounds), tokens, dtype=torch.long)
    starts = torch.zeros(len(sounds), tokens)
    for row, sound in enumerate(sounds):
        value = 1 if sound.pitch == "low" else 2
        for start, end in zip(sound.onsets, sound.ends, strict=True):
            first, last = start // SAMPLES_PER_TOKEN, (end - 1) // SAMPLES_PER_TOKEN
            kind[row, first : last + 1] = value
            starts[row, min(first, tokens - 1)] = 1
    return kind, starts


def train_audio(
    network: Gemma4ForConditionalGeneration,
    prepare: Preprocessor,
    checkpoint: Path,
    *,
    steps: int,
    batch: int,
    seed: int,
) -> dict[str, float]:
    """Train the audio tower to mark, every 40 ms, the pitch and where a beep starts."""
    torch.manual_seed(seed)
    quicken_audio(network)
    norm = nn.RMSNorm(AUDIO_ADAPTER_WIDTH)
    kind_head, start_head = nn.Linear(AUDIO_ADAPTER_WIDTH, 3), nn.Linear(AUDIO_ADAPTER_WIDTH, 1)
    head = nn.ModuleList([norm, kind_head, start_head])
    tower = network.model.audio_tower
    optimiser = Optimiser(
        [tower, head], steps=steps, matrix_lr=2e-3, other_lr=2e-3, embeddings=head.parameters()
    )

    def loss_of(sounds: list[Sound]) -> tuple[torch.Tensor, dict[str, float]]:
        tokens, mask = hear(network, *prepare.sounds([s.samples for s in sounds]))
        kind, starts = sound_targets(sounds, tokens.shape[1])
        tokens = norm(tokens)
        kinds, start = kind_head(tokens), start_head(tokens)[..., 0]
        positive = torch.tensor(4.0)
        loss = functional.cross_entropy(kinds[mask], kind[mask])
        loss = loss + 4 * functional.binary_cross_entropy_with_logits(
            start[mask], starts[mask], pos_weight=positive
        )
        marks = (start > 0) & mask
        heard = (marks & ~functional.pad(marks[:, :-1], (1, 0))).sum(1).tolist()
        votes = (kinds.softmax(-1) * mask[..., None]).sum(1)
        pitch = (votes[:, 2] > votes[:, 1]).tolist()
        right = {
            "pitch": float(np.mean([p == (s.pitch == "high") for p, s in zip(pitch, sounds, strict=True)])),
            "beeps": float(np.mean([h == s.beeps for h, s in zip(heard, sounds, strict=True)])),
        }
        return loss, right

    def draw(first: int, size: int) -> list[Sound]:
        return [make_sound(Random(f"sound {seed} {first + i}")) for i in range(size)]

    return _train("audio", [tower, head], optimiser, loss_of, _by_length(draw), checkpoint, steps, batch)


_Draw = Callable[[int, int], list]
"""Draws a batch: from the number of its first example and its size."""


def _by_length(draw: _Draw, group: int = 8) -> _Draw:
    """Make batches of sounds of like length: several are drawn together, sorted and dealt out."""
    held: dict[int, list[Sound]] = {}

    def dealt(first: int, size: int) -> list[Sound]:
        number, place = divmod(first // size, group)
        if number not in held:
            held.clear()
            drawn = draw(number * group * size, group * size)
            held[number] = sorted(drawn, key=lambda sound: len(sound.samples))
        place = Random(f"deal {number}").sample(range(group), group)[place]
        return held[number][place * size : (place + 1) * size]

    return dealt


def _train(
    name: str,
    modules: list[nn.Module],
    optimiser: Optimiser,
    loss_of: Callable[[list], tuple[torch.Tensor, dict[str, float]]],
    draw: _Draw,
    checkpoint: Path,
    steps: int,
    batch: int,
) -> dict[str, float]:
    """Train, saving every 100 steps; return the accuracy on unseen examples."""
    done = 0
    saved = load_checkpoint(checkpoint)
    if saved:
        done = saved["step"]
        for module, state in zip(modules, saved["modules"], strict=True):
            module.load_state_dict(state)
        optimiser.load_state_dict(saved["optimiser"])
    progress = Progress(name, steps, start=done)
    for module in modules:
        module.train()
    for step in range(done, steps):
        loss, right = loss_of(draw(step * batch, batch))
        loss.backward()
        optimiser.step(step)
        progress.step(step, loss.item(), "  ".join(f"{k} {v:.2f}" for k, v in right.items()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = {
                "step": step + 1,
                "modules": [module.state_dict() for module in modules],
                "optimiser": optimiser.state_dict(),
            }
            save_checkpoint(checkpoint, state)
    for module in modules:
        module.eval()
    totals: dict[str, list[float]] = {}
    with torch.no_grad():
        for start in range(HELD_OUT, HELD_OUT + 512, 32):
            for key, value in loss_of(draw(start, 32))[1].items():
                totals.setdefault(key, []).append(value)
    scores = {key: float(np.mean(values)) for key, values in totals.items()}
    print(f"[{name}] held-out: " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()), flush=True)
    return scores
