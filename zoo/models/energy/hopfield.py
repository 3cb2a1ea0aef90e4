"""Hopfield network (Hopfield, 1982): patterns stored as minima of an energy, recalled from a part of them.

Units s_i = ±1 are updated one after the other to the sign of the weighted sum of the others, which never raises the energy:

    s_i ← sign(Σ_j w_ij s_j),     E(s) = −½ sᵀW s,     w_ij = (1/N) Σ_μ x_i^μ x_j^μ  (i ≠ j)              Hebb's rule

N units hold about 0.138 N random patterns with few wrong bits, and N / (4 ln N) without any. Correlated patterns, such as
digits, spoil one another; the pseudo-inverse rule W = X⁺X makes any linearly independent patterns fixed points (Personnaz et
al., 1986). The dense network (Ramsauer et al., 2021, arXiv:2008.02217) stores exponentially many; its update is the
attention of a Transformer:

    s ← Xᵀ softmax(β X s),     E(s) = −(1/β) log Σ_μ exp(β x^μ · s) + ½ sᵀs

and for large β it returns the stored pattern with the largest inner product.

Departures from the papers: the dense network's result is rounded to ±1; unknown pixels are 0.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.core.batch import inputs_of
from zoo.core.checks import check_count, readable, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError

Rule = Literal["hebb", "pseudo-inverse", "dense"]


class Hopfield(ZooModule):
    """Associative memory of ±1 patterns.

    Args:
        size: N, the number of units.
        patterns: how many patterns are stored; `store` sets it.
        rule: "hebb", "pseudo-inverse" or "dense".
        beta: sharpness of the dense rule.

    Shapes:
        patterns and states: [..., size] of ±1, or images [..., 1, H, W] with as many pixels; 0 stands for an unknown unit.
    """

    task: ClassVar[str] = "associative-memory"
    use: ClassVar[str] = (
        "x = model.stored()[:5]                               # patterns of −1 and 1\n"
        "broken = x.clone()\n"
        "broken[:, 392:] = 0                                  # the lower half is unknown\n"
        "print((model.recall(broken) == x).all(1))\n"
        "model.store(x)                                       # other patterns in the place of those"
    )
    count: Tensor

    def __init__(self, size: int = 784, patterns: int = 1, *, rule: Rule = "hebb", beta: float = 1.0) -> None:
        super().__init__()
        self.save_hyperparameters()
        if rule not in get_args(Rule):
            raise InputError(f"rule must be one of {', '.join(get_args(Rule))}, not {rule!r}")
        if not beta > 0:
            raise InputError(f"beta must be above 0, not {beta!r}")
        self.size, self.rule, self.beta = check_count(size, "size"), rule, beta
        self.automatic_optimization = False  # storing is one pass
        self.memory = nn.Linear(size, check_count(patterns, "patterns"), bias=False)  # the patterns X, [patterns, size]
        self.register_buffer("count", torch.tensor(0))  # of patterns stored: 0 or all
        self._seen: list[Tensor] = []
        self._weights: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Inner products [N, patterns] of states with the stored patterns, as shares of the number of units."""
        return self.memory(x) / self.size

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The patterns that those of the batch remind of."""
        return self.recall(inputs_of(batch))

    def couplings(self) -> Tensor:
        """W [size, size] of Hebb's or the pseudo-inverse rule, without diagonal."""
        if self._weights is None or self._weights.device != self.device:
            x = self.stored()
            w = x.T @ x / self.size if self.rule == "hebb" else torch.linalg.pinv(x.double()).to(x) @ x
            self._weights = w - torch.diag(w.diagonal())
        return self._weights

    # Verbs -----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def store(self, x: Tensor) -> "Hopfield":
        """Remember patterns [P, ...] of ±1 in the place of all earlier ones; returns the model.

        Raises:
            InputError: for values other than ±1, another number of units, or no pattern.
        """
        flat = self._rows(x, "a pattern", unknown=False)
        if not len(flat):
            raise InputError("there is no pattern to store")
        self.memory = nn.Linear(self.size, len(flat), bias=False).to(self.device, self.dtype)
        self.memory.weight.copy_(flat)
        self.hparams["patterns"] = len(flat)
        self.count.fill_(len(flat))
        self._weights = None
        return self

    def stored(self) -> Tensor:
        """The stored patterns [P, size].

        Raises:
            InputError: if nothing was stored yet.
        """
        if not int(self.count):
            raise InputError("nothing is stored yet: give patterns of ±1 to model.store(x)")
        return self.memory.weight.detach()

    @verb
    def recall(self, x: Tensor, steps: int = 20, *, seed: int = 0) -> Tensor:
        """What a broken pattern reminds of, ±1 in the shape of x; 0 stands for an unknown unit.

        Args:
            steps: sweeps over all units in a random order (updates at once for the dense rule); it stops when nothing changes.
            seed: of the order.

        Raises:
            InputError: for values other than −1, 0 and 1, another number of units, no stored pattern, or steps below 1.
        """
        patterns, s = self.stored(), self._rows(x, "a state").clone()
        generator = seeded_generator(self.device, seed)
        for _ in range(check_count(steps, "steps")):
            before = s.clone()
            if self.rule == "dense":
                mixed = (self.beta * s @ patterns.T).softmax(1) @ patterns
                s = torch.where(mixed >= 0, 1.0, -1.0).to(s.dtype)
            else:
                w = self.couplings()
                for i in torch.randperm(self.size, generator=generator, device=self.device).tolist():
                    field = s @ w[i]
                    s[:, i] = torch.where(field == 0, s[:, i], field.sign())
            if torch.equal(s, before):
                break
        return torch.where(s == 0, 1.0, s).to(s.dtype).reshape(torch.as_tensor(x).shape)

    @verb
    def energy(self, x: Tensor) -> Tensor:
        """Energy [N] of states; no update of one unit raises it."""
        s = self._rows(x, "a state")
        if self.rule == "dense":
            return 0.5 * s.square().sum(1) - (self.beta * s @ self.stored().T).logsumexp(1) / self.beta
        return -0.5 * ((s @ self.couplings()) * s).sum(1)

    def _rows(self, x: Tensor, what: str, *, unknown: bool = True) -> Tensor:
        """States as rows [N, size] on the device."""
        flat = torch.as_tensor(x).to(self.device, self.dtype)
        units = flat.numel() if flat.ndim < 2 else flat.numel() // max(1, len(flat))
        one = flat.numel() == self.size  # a single pattern, with or without a batch dimension
        if not one and (flat.ndim < 2 or (units != self.size and len(flat))):
            raise InputError(f"{what} has {self.size} units, not the shape {list(flat.shape)}")
        allowed = (flat.abs() == 1) | (flat == 0) if unknown else flat.abs() == 1
        if readable() and not allowed.all():
            values = "−1, 0 (unknown) and 1" if unknown else "−1 and 1"
            raise InputError(f"{what} holds {values} alone: turn images in [0, 1] into 2 * (x > 0.5) - 1")
        return flat.reshape(-1, self.size)

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        self._seen = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._seen.append(inputs_of(batch).detach())
        if self.trainer.is_last_batch:
            self.store(torch.cat(self._seen))
            self._seen = []

    def configure_optimizers(self) -> None:
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Patterns recalled exactly when broken, and the capacity of Hebb's rule for random patterns."""
        x = data.tensors("train")[0].to(self.device)
        generator = seeded_generator(self.device, 0)
        flips = torch.where(torch.rand(x.shape, generator=generator, device=self.device) < 0.3, -x, x)
        settings = f"{self.rule} rule, beta {self.beta:g}, {len(x):,} stored patterns"
        entries = [
            entry(
                data, "train", f"recalled_{key}", exact(self.recall(broken), x), f"{what}; {settings}", better="higher"
            )
            for key, broken, what in (
                ("half", erased(x), "share recalled without a wrong pixel, second half of the pixels unknown"),
                ("flipped", flips, "share recalled without a wrong pixel, 30 % of the pixels flipped"),
            )
        ]
        for load in (0.138, 0.16):
            how = "mean overlap with the stored pattern, Hebb's rule, 1,000 units, 50 of the stored random patterns, 2 draws"
            value = sum(overlap(1000, load, seed=seed) for seed in range(2)) / 2
            entries.append(entry("random patterns", "train", f"overlap_at_load_{load}", value, how, better="higher"))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        bits = torch.randint(2, (2, self.size), generator=torch.Generator().manual_seed(0))
        return {"input": 2.0 * bits - 1}

    def preview(self, path: Path) -> Path | None:
        """Broken digits above what they remind of; None for patterns that are no images, or where nothing is stored."""
        if not int(self.count) or self.size != 784:
            return None
        x = self.stored()[:48].cpu()
        noisy = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.25, -x, x)
        broken = torch.cat([erased(x[:24]), noisy[24:]])
        rows = zip(broken.split(24), self.recall(broken).cpu().split(24), strict=True)
        images = torch.cat([row for pair in rows for row in pair]).reshape(-1, 1, 28, 28)
        return save_grid((images + 1) / 2, path, columns=24)


def erased(x: Tensor) -> Tensor:
    """Patterns [N, size] whose second half is unknown."""
    return torch.cat([x[:, : x.shape[1] // 2], torch.zeros_like(x[:, x.shape[1] // 2 :])], 1)


def exact(found: Tensor, x: Tensor) -> float:
    """Share of the patterns that were recalled without a wrong unit."""
    return (found == x).all(1).double().mean().item()


@torch.no_grad()
def overlap(size: int, load: float, *, flipped: float = 0.0, seed: int = 0, tested: int = 50) -> float:
    """Mean overlap (1/N) s · x of `tested` stored random patterns with what Hebb's rule recalls, at patterns / size = load."""
    generator = torch.Generator().manual_seed(seed)
    x = 2.0 * torch.randint(2, (max(1, round(load * size)), size), generator=generator) - 1
    start = torch.where(torch.rand(x[:tested].shape, generator=generator) < flipped, -x[:tested], x[:tested])
    found = Hopfield(size).store(x).recall(start, steps=50, seed=seed)
    return (found * x[:tested]).mean().item()
