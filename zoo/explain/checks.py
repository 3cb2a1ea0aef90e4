"""Can an explanation be believed? Checks that every method can fail.

gap             do the values add up to what they should?
randomisation   does the map change when the weights are random? (Adebayo et al., 2018, arXiv:1810.03292)
deletion        does the output fall faster when the largest values go first than in a random order? (Petsiuk et al.,
2018) insertion       does it rise faster when they come first?
infidelity, sensitivity        (Yeh et al., 2019, arXiv:1901.09392); captum's
ROAR            does a network that never sees the largest values learn less? (Hooker et al., 2019;
scripts/figures/explaining.py)
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import InputError
from zoo.explain.api import explain
from zoo.explain.explanation import Explanation
from zoo.explain.finding import subject
from zoo.explain.gradients import Function, captum, quietly
from zoo.explain.subject import Subject, at_rest


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation of two maps of one shape; 0 where one of them is constant. Equal values share their mean rank."""
    ranks = [_ranks(t.detach().double().flatten()) for t in (a, b)]
    if a.numel() != b.numel():
        raise InputError(f"maps of {a.numel()} and {b.numel()} values can't be compared")
    centred = [rank - rank.mean() for rank in ranks]
    size = centred[0].norm() * centred[1].norm()
    return float(centred[0] @ centred[1] / size) if size > 0 else 0.0


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0, equal values at their mean."""
    _, where, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0)
    return ((ends - counts + ends - 1).double() / 2)[where]


def parts_from_head(model: nn.Module) -> list[str]:
    """A network's parts with parameters from the head down to the stem: its children, lists of blocks one by one."""
    names: list[str] = []
    for name, child in model.named_children():
        if not any(True for _ in child.parameters()):
            continue
        deep = isinstance(child, nn.ModuleList) or (len(list(model.children())) == 1)
        names += [f"{name}.{inner}" for inner, _ in child.named_children()] if deep else [name]
    with_weights = [n for n in names if any(True for _ in model.get_submodule(n).parameters())]
    return list(reversed(with_weights))


@torch.no_grad()
def randomise(part: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights: each layer's own initialisation where it has one, else a normal draw as wide as the old weights."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        for module in part.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                continue  # statistics and scale stay: with those of untrained layers activations die or explode
            reset: Any = getattr(module, "reset_parameters", None)
            if reset is not None and not list(module.children()):
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(torch.randn_like(parameter) * parameter.std(correction=0).clamp(min=1e-3))


def cascade(
    model: Any, x: Any, method: str = "saliency", *, target: Any = None, seed: int = 0, **options: Any
) -> list[tuple[str, float]]:
    """Rank correlation of a map with that of the model whose parts are random from the head down: [(part, ρ), …].

    The last entry is the model with every part random. A method that explains the model ends near 0; one that ends near
    1 shows the input. The model itself is left as it is. Values are compared with their sign, channel by channel.

    Args:
        options: of `zoo.explain`.
    """
    first = explain(model, x, method, target=target, seed=seed, **options)
    copied = copy.deepcopy(model)
    generator, found = torch.Generator().manual_seed(seed), []
    for part in parts_from_head(model):
        randomise(copied.get_submodule(part), generator)
        now = explain(copied, x, method, target=first.target, seed=seed, **options)
        found.append((part, spearman(first.values, now.values)))
    return found


def randomisation(
    model: Any, inputs: Any, method: str = "saliency", *, seeds: tuple[int, ...] = (0, 1, 2), **options: Any
) -> float:
    """Mean rank correlation over inputs and seeds of a map with that of the model whose weights are all random."""
    total: list[float] = []
    for seed in seeds:
        copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
        for part in parts_from_head(model):
            randomise(copied.get_submodule(part), generator)
        for x in inputs:
            first = explain(model, x, method, **options)
            total.append(spearman(first.values, explain(copied, x, method, target=first.target, **options).values))
    return sum(total) / len(total)


@dataclass
class Curves:
    """Probabilities [steps + 1] of a class while pixels go (deletion) or come (insertion), and the same in random order."""

    deletion: Tensor
    insertion: Tensor
    random_deletion: Tensor
    random_insertion: Tensor

    @property
    def areas(self) -> dict[str, float]:
        """The mean height of each curve. Deletion should lie below its random order, insertion above."""
        return {name: getattr(self, name).mean().item() for name in self.__dataclass_fields__}


@torch.no_grad()
def curves(
    model: Any,
    x: Any,
    explanation: Explanation,
    *,
    steps: int = 16,
    baseline: str | float = "blur",
    orders: int = 3,
    seed: int = 0,
) -> Curves:
    """Deletion and insertion curves of an image's map: pixels in the order of its values, the largest first.

    Args:
        steps: equal shares of the pixels.
        baseline: what a pixel is when it is gone.
        orders: random orders whose mean curve is given beside.

    Raises:
        InputError: for what isn't an image.
    """
    from zoo.explain.baselines import baselines

    with at_rest(model, seed):
        found = subject(model, x)
        if found.kind != "image":
            raise InputError(f"deletion and insertion are for images, this is {found.article}")
        base = baselines(found, baseline, seed)
        heat = explanation.heatmap().flatten()
        generator = torch.Generator().manual_seed(seed)
        ranked = [heat.argsort(descending=True)]
        ranked += [torch.randperm(len(heat), generator=generator) for _ in range(orders)]
        rows = [_walk(found, order, base, explanation.target, steps) for order in ranked]
    mean = torch.stack([torch.stack(row) for row in rows[1:]]).mean(0)
    return Curves(rows[0][0], rows[0][1], mean[0], mean[1])


def _walk(found: Subject, order: Tensor, base: Tensor, target: int, steps: int) -> tuple[Tensor, Tensor]:
    """Probabilities while the pixels of an order go, and while they come."""
    height, width = found.x.shape[-2:]
    place = torch.empty(len(order), dtype=torch.long)
    place[order] = torch.arange(len(order))
    gone = place[None] < (torch.arange(steps + 1) * len(order) // steps)[:, None]  # [steps + 1, pixels]
    gone = gone.reshape(steps + 1, 1, height, width).to(found.x.device)
    points = torch.cat([torch.where(gone, base, found.x), torch.where(gone, found.x, base)])
    scores = torch.cat([found.scores(part) for part in points.split(64)])
    chance = (scores.softmax(1) if found.differentiable else scores)[:, target].float().cpu()
    return chance[: steps + 1], chance[steps + 1 :]


def infidelity(f: Function, x: Tensor, values: Tensor, *, noise: float = 0.1, samples: int = 50) -> float:
    """E (Σ I φ/x-free − (f(x) − f(x − I)))² over Gaussian changes I of this deviation; for gradient-like values φ, as x."""

    def change(inputs: Tensor) -> tuple[Tensor, Tensor]:
        delta = noise * torch.randn_like(inputs)
        return delta, inputs - delta

    with torch.no_grad(), quietly():
        return float(captum("metrics").infidelity(f, change, x, values, n_perturb_samples=samples))


def sensitivity(explainer: Callable[[Tensor], Tensor], x: Tensor, *, radius: float = 0.02, samples: int = 10) -> float:
    """The largest relative change of a map, explainer(x) [1, …], when the input changes by this much a number."""
    with quietly():
        return float(
            captum("metrics").sensitivity_max(
                lambda inputs: (explainer(inputs[0] if isinstance(inputs, tuple) else inputs).detach().contiguous(),),
                x,
                perturb_radius=radius,
                n_perturb_samples=samples,
            )
        )


@contextmanager
def randomised(model: nn.Module, seed: int = 0) -> Iterator[nn.Module]:
    """A copy of a model whose weights are all random."""
    copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    for part in parts_from_head(model):
        randomise(copied.get_submodule(part), generator)
    yield copied
