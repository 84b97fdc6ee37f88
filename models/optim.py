"""The optimiser: Muon for the matrices inside the network, AdamW for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Return roughly the nearest matrix with all singular values at 1 (Newton-Schulz)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, scaled to the step size AdamW would take."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.95, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"].lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalise(parameter.grad.lerp(average, group["momentum"]))
                scale = 0.2 * math.sqrt(max(parameter.shape))
                parameter.mul_(1 - group["lr"] * group["decay"])
                parameter.add_(update, alpha=-group["lr"] * scale)


class Optimiser:
    """Both optimisers behind one `step`, with warm-up, a flat part and a linear decay."""

    def __init__(
        self,
        modules: Iterable[nn.Module],
        *,
        steps: int,
        matrix_lr: float,
        other_lr: float,
        embeddings: Iterable[nn.Parameter] = (),
    ) -> None:
        apart = {id(parameter) for parameter in embeddings}
        matrices, others, seen = [], [], set()
        for parameter in (p for module in modules for p in module.parameters()):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            inner = parameter.ndim == 2 and id(parameter) not in apart
            (matrices if inner else others).append(parameter)
        self.parameters = [*matrices, *others]
        self.steps = steps
        self._parts: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=matrix_lr),
            torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self._rates = [matrix_lr, other_lr]

    def step(self, number: int) -> float:
        """Clip, take step `number` and clear the gradients; return the gradient norm."""
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = min(1.0, (number + 1) / 50) * min(1.0, (self.steps - number) / (0.6 * self.steps))
        for part, rate in zip(self._parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * max(factor, 0.01)
            part.step()
            part.zero_grad(set_to_none=True)
        return float(norm)

    def state_dict(self) -> list[dict]:
        """State to resume from."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Resume."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
