"""Train the text model and the two projections on generated conversations."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import torch
from torch import nn
from torch.nn import functional
from transformers import Gemma4ForConditionalGeneration, PreTrainedTokenizerFast

from models.config import MARKERS
from models.data.images import make_picture
from models.data.media_talk import Heard, Seen
from models.data.mix import Media, make_dialogue
from models.data.sounds import make_sound
from models.encoders import Preprocessor, hear, see
from models.optim import Optimiser
from models.progress import Progress, load_checkpoint, save_checkpoint

LONGEST = 900
DRAWN_TOGETHER = 256
AVERAGE = 0.99
"""The weights that count are a running average over about a hundred steps."""


@dataclass
class MediaPool:
    """Pictures and sounds as the (frozen) encoders see and hear them."""

    media: Media
    pictures: list[torch.Tensor]
    sounds: list[torch.Tensor]


def make_media_pool(
    network: Gemma4ForConditionalGeneration,
    prepare: Preprocessor,
    file: Path,
    *,
    size: int,
    seed: int,
) -> MediaPool:
    """Encode `size` pictures and sounds, or load them from `file`."""
    saved = load_checkpoint(file)
    if saved is None:
        saved = {"seen": [], "heard": [], "pictures": [], "sounds": []}
        progress = Progress("media", size)
        with torch.no_grad():
            for start in range(0, size, 16):
                numbers = range(start, min(start + 16, size))
                pictures = [make_picture(Random(f"pool picture {seed} {i}")) for i in numbers]
                tokens, mask = see(network, *prepare.pictures([p.image for p in pictures]))
                for row, picture in enumerate(pictures):
                    saved["pictures"].append(tokens[row][mask[row]].half())
                    saved["seen"].append(
                        Seen(picture.shape, picture.colour, picture.background, picture.count)
                    )
                sounds = [make_sound(Random(f"pool sound {seed} {i}")) for i in numbers]
                sounds.sort(key=lambda sound: len(sound.samples))
                for half in (sounds[:8], sounds[8:]):
                    if not half:
                        continue
                    tokens, mask = hear(network, *prepare.sounds([s.samples for s in half]))
                    for row, sound in enumerate(half):
                        saved["sounds"].append(tokens[row][mask[row]].half())
                        saved["heard"].append(Heard(sound.pitch, sound.beeps))
                progress.step(numbers[-1], 0.0)
        save_checkpoint(file, saved)
    media = Media(saved["seen"], saved["heard"])
    return MediaPool(media, saved["pictures"], saved["sounds"])


@dataclass
class Sample:
    """One conversation as token ids, loss weights (0 = not trained) and encoder rows."""

    ids: list[int]
    weights: list[float]
    pictures: list[int]
    sounds: list[int]


class Sampler:
    """Draws conversations and turns them into batches of like length."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, pool: MediaPool | None, seed: str) -> None:
        self._pool = pool
        self._seed = seed
        backend = tokenizer.backend_tokenizer
        self._encode = lru_cache(100_000)(
            lambda text: tuple(backend.encode(text, add_special_tokens=False).ids)
        )
        ids = {key: tokenizer.convert_tokens_to_ids(value) for key, value in MARKERS.items()}
        self.image, self.audio = ids["image_token"], ids["audio_token"]
        self._fences = {
            "image": (self.image, ids["boi_token"], ids["eoi_token"]),
            "audio": (self.audio, ids["boa_token"], ids["eoa_token"]),
        }

    def sample(self, number: int) -> Sample:
        """Return conversation `number`."""
        rng = Random(f"{self._seed} {number}")
        dialogue = make_dialogue(rng, self._pool.media if self._pool else None)
        sample = Sample([], [], [], [])
        for segment in dialogue.segments:
            if segment.kind in ("read", "say"):
                ids = self._encode(segment.text)
                weight = segment.weight if segment.kind == "say" else 0.0
                sample.ids.extend(ids)
                sample.weights.extend([weight] * len(ids))
                continue
            assert self._pool is not None
            is_image = segment.kind == "image"
            rows = (self._pool.pictures if is_image else self._pool.sounds)[segment.media]
            (sample.pictures if is_image else sample.sounds).append(segment.media)
            slot, begin, end = self._fences[segment.kind]
            sample.ids.extend([begin, *[slot] * len(rows), end])
            sample.weights.extend([0.0] * (len(rows) + 2))
        return sample

    def batches(self, tokens: int) -> Iterator[list[Sample]]:
        """Yield batches of at most `tokens` padded tokens, for ever."""
        group = 0
        while True:
            first = group * DRAWN_TOGETHER
            drawn = [self.sample(first + i) for i in range(DRAWN_TOGETHER)]
            drawn = sorted((s for s in drawn if len(s.ids) <= LONGEST), key=lambda s: len(s.ids))
            batches: list[list[Sample]] = [[]]
            for sample in drawn:
                if (len(batches[-1]) + 1) * len(sample.ids) > tokens:
                    batches.append([])
                batches[-1].append(sample)
            Random(f"{self._seed} deal {group}").shuffle(batches)
            yield from batches
            group += 1


def batch_loss(
    network: Gemma4ForConditionalGeneration, sampler: Sampler, pool: MediaPool | None, batch: list[Sample]
) -> torch.Tensor:
    """Return the weighted cross-entropy of what the model has to say."""
    length = max(len(sample.ids) for sample in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    weights = torch.zeros(len(batch), length)
    for row, sample in enumerate(batch):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        weights[row, : len(sample.ids)] = torch.tensor(sample.weights)
    inner = network.model
    media_slots = (ids == sampler.image) | (ids == sampler.audio)
    hidden = network.get_input_embeddings()(ids.masked_fill(media_slots, 0))
    if pool is not None:
        for slot, rows, embed in (
            (sampler.image, [pool.pictures[i] for s in batch for i in s.pictures], inner.embed_vision),
            (sampler.audio, [pool.sounds[i] for s in batch for i in s.sounds], inner.embed_audio),
        ):
            if rows:
                soft = embed(inputs_embeds=torch.cat(rows).float())
                hidden = hidden.masked_scatter((ids == slot)[..., None], soft)
    # No attention mask: padding stands at the end, where causal attention never looks.
    output = inner.language_model(inputs_embeds=hidden, use_cache=False).last_hidden_state
    chosen = weights[:, 1:] > 0
    losses = functional.cross_entropy(
        network.lm_head(output[:, :-1][chosen]), ids[:, 1:][chosen], reduction="none"
    )
    weight = weights[:, 1:][chosen]
    return (losses * weight).sum() / weight.sum()


def train_text(
    network: Gemma4ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    checkpoint: Path,
    *,
    stage: str,
    pool: MediaPool | None,
    steps: int,
    tokens: int,
    matrix_lr: float,
    other_lr: float,
    seed: int,
) -> None:
    """Train for `steps`, saving every 100; leave the averaged weights in `network`."""
    torch.manual_seed(seed)
    inner = network.model
    trained = [inner.language_model]
    if pool is not None:
        trained += [inner.embed_vision, inner.embed_audio]
    optimiser = Optimiser(
        trained,
        steps=steps,
        matrix_lr=matrix_lr,
        other_lr=other_lr,
        embeddings=[inner.language_model.embed_tokens.weight],
    )
    done = 0
    saved = load_checkpoint(checkpoint)
    if saved:
        done = saved["step"]
        for module, state in zip(trained, saved["modules"], strict=True):
            module.load_state_dict(state)
        optimiser.load_state_dict(saved["optimiser"])
    average = [module.state_dict() for module in trained]
    average = saved["average"] if saved else copy.deepcopy(average)
    sampler = Sampler(tokenizer, pool, f"{stage} {seed}")
    batches = sampler.batches(tokens)
    for _ in range(done):
        next(batches)
    network.train()
    progress = Progress(stage, steps, start=done)
    for step in range(done, steps):
        loss = batch_loss(network, sampler, pool, next(batches))
        loss.backward()
        optimiser.step(step)
        _follow(average, trained, min(AVERAGE, (step + 1) / (step + 10)))
        progress.step(step, loss.item())
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = {
                "step": step + 1,
                "modules": [module.state_dict() for module in trained],
                "average": average,
                "optimiser": optimiser.state_dict(),
            }
            save_checkpoint(checkpoint, state)
    for module, state in zip(trained, average, strict=True):
        module.load_state_dict(state)
    network.eval()


@torch.no_grad()
def _follow(average: list[dict], modules: list[nn.Module], keep: float) -> None:
    """Move the running average of the weights a little towards the weights."""
    for state, module in zip(average, modules, strict=True):
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                state[name].lerp_(value, 1 - keep)
