"""Adversarial examples: a change that nobody notices and the model takes for another class.

    FGSM       x' = x + ε sign ∂L/∂x                                        (Goodfellow et al., 2015, arXiv:1412.6572)
    PGD        many small such steps, each time back into |x' − x|_∞ ≤ ε    (Madry et al., 2018, arXiv:1706.06083)
    one pixel  the pixel and colour that a search by evolution finds        (Su et al., 2019, arXiv:1710.08864)
    fooling    noise that climbs until the model is sure of a class         (Nguyen et al., 2015, arXiv:1412.1897)

A linear model changes its mind exactly where ε > margin / ‖w‖₁. Everything happens on pixels in 0..1, and ε is in 255ths
of their range. captum takes the steps, SciPy searches.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from zoo.core.checks import is_whole
from zoo.core.files import write_bytes
from zoo.errors import InputError
from zoo.explain.explanation import check_output, encoded, paint
from zoo.explain.finding import subject
from zoo.explain.gradients import captum, quietly
from zoo.explain.subject import Subject, at_rest, pick_target

METHODS = ("fgsm", "pgd", "one-pixel")


@dataclass(frozen=True)
class Attack:
    """An image, what it became, and the model's answers to both.

    Attributes:
        original, attacked: pixels in 0..1, [C, H, W].
        before, after: (class, probability) of the model's answer.
        target: the class that was aimed at, or None where any other would do.
        epsilon: the bound in 255ths; None where a pixel may take any value.
        success: whether the answer is another one, or the target where there is one.
        method: the method's name.
    """

    original: Tensor
    attacked: Tensor
    before: tuple[str, float]
    after: tuple[str, float]
    target: str | None
    epsilon: float | None
    success: bool
    method: str

    @property
    def perturbation(self) -> Tensor:
        """attacked − original, [C, H, W]."""
        return self.attacked - self.original

    def picture(self, scale: int | None = None) -> Image.Image:
        """Original, perturbation (its largest part as full colour) and attacked image, with the model's answers."""
        height, width = self.original.shape[-2:]
        scale = scale or max(1, 160 // max(height, width))
        change = paint(self.perturbation.sum(0)) if self.original.shape[0] == 1 else _spread(self.perturbation)
        panels = [_colours(self.original), change, _colours(self.attacked)]
        bound = f"eps {self.epsilon:g}/255" if self.epsilon is not None else f"{int(self.changed)} pixel"
        titles = [f"{self.before[0]} {self.before[1]:.0%}", bound, f"{self.after[0]} {self.after[1]:.0%}"]
        cell = width * scale
        canvas = Image.new("RGB", (3 * (cell + 6), height * scale + 18), "white")
        draw = ImageDraw.Draw(canvas)
        for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
            pixels = Image.fromarray((255 * panel.clamp(0, 1)).round().to(torch.uint8).numpy())
            canvas.paste(pixels.resize((cell, height * scale), Image.Resampling.NEAREST), (i * (cell + 6), 18))
            draw.text((i * (cell + 6) + 2, 3), title[:26], fill="black" if i < 2 or not self.success else "red")
        return canvas

    @property
    def changed(self) -> int:
        """Number of pixels that changed."""
        return int((self.perturbation.abs() > 1e-6).any(0).sum())

    def save(self, path: str | Path) -> Path:
        """Write `picture` to a file; returns the path. InputError for a suffix that isn't a picture's."""
        path = check_output(path)
        write_bytes(path, encoded(self.picture(), path.suffix))
        return path


def attack(
    model: Any,
    image: Any,
    method: str = "fgsm",
    *,
    epsilon: float = 8,
    target: Any = None,
    steps: int = 20,
    seed: int = 0,
) -> Attack:
    """Attack a classifier's answer to an image.

    Args:
        model: an image classifier of the zoo.
        image: path, PIL image, array or tensor, as `predict` takes it.
        method: "fgsm", "pgd" or "one-pixel".
        epsilon: the largest change of a pixel, in 255ths; "one-pixel" ignores it.
        target: a class to aim at, by name or number; by default any other than the model's answer.
        steps: of PGD, or generations of the search for a pixel.
        seed: of PGD's start and of the search.

    Raises:
        InputError: for an unknown method or target, an ε outside 0..255, or a model without classes.
    """
    if method not in METHODS:
        raise InputError(f"there is no attack {method!r}: choose one of {', '.join(METHODS)}")
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon <= 255:
        raise InputError(f"epsilon is in 255ths, above 0 and at most 255, not {epsilon!r}")
    if not is_whole(steps) or steps < 1:
        raise InputError(f"steps must be a whole number of at least 1, not {steps!r}")
    found = image_subject(model, image)
    if method != "one-pixel" and not found.differentiable:
        raise InputError(f"{method} follows a gradient, and this model has none: use one-pixel")
    with at_rest(model, seed):
        with torch.no_grad():
            before = found.scores(found.x)[0].detach()
        answer = int(before.argmax())
        aim = None if target is None else pick_target(found, target, before)[0]
        if aim == answer:
            raise InputError(
                f"the model takes the image for {pick_target(found, target, before)[1]} already: aim at another class"
            )
        assert found.image is not None
        pixels = found.image[None].to(found.x.device)
        if method == "fgsm":
            attacked = fgsm(found, pixels, answer, epsilon / 255, aim)
        elif method == "pgd":
            attacked = pgd(found, pixels, answer, epsilon / 255, aim, steps)
        else:
            attacked = one_pixel(found, pixels, answer, aim, steps=steps, seed=seed)
        with torch.no_grad():
            after = found.scores(to_points(found, attacked))[0]
    now = int(after.argmax())
    names = found.names or [str(i) for i in range(len(after))]

    def said(scores: Tensor, index: int) -> tuple[str, float]:
        return names[index], float((scores.softmax(0) if found.differentiable else scores)[index])

    return Attack(
        pixels[0].cpu(), attacked[0].cpu(), said(before, answer), said(after, now), None if aim is None else names[aim],
        None if method == "one-pixel" else float(epsilon), now == aim if aim is not None else now != answer, method,
    )  # fmt: skip


def image_subject(model: Any, image: Any) -> Subject:
    """The model at an image.

    Raises:
        InputError: for a model that doesn't classify images.
    """
    found = subject(model, image)
    if found.kind != "image" or found.image is None:
        raise InputError(
            f"attacks change the pixels of an image, this is {found.article}: use zoo.explain.counterfactual"
        )
    return found


def to_points(found: Subject, pixels: Tensor) -> Tensor:
    """Pixels in 0..1, [N, C, H, W], as the model takes them, with a gradient."""
    if found.transform is None:
        return pixels
    mean = torch.tensor(list(found.transform.mean), device=pixels.device).reshape(-1, 1, 1)
    std = torch.tensor(list(found.transform.std), device=pixels.device).reshape(-1, 1, 1)
    return ((pixels - mean) / std).to(found.x.dtype)


def _steps(found: Subject) -> tuple[Any, Any]:
    """The model on pixels, and the mean cross-entropy of its answers."""
    return (lambda pixels: found.scores(to_points(found, pixels))), (
        lambda out, y: F.cross_entropy(out, y, reduction="none")
    )


def fgsm(found: Subject, pixels: Tensor, answer: int, epsilon: float, aim: int | None = None) -> Tensor:
    """One step of ε along the sign of the loss's gradient, [1, C, H, W] in 0..1: to the class aimed at, or off the answer."""
    forward, loss = _steps(found)
    wanted = torch.tensor([answer if aim is None else aim], device=pixels.device)
    with quietly():
        tool = captum("robust").FGSM(forward, loss, lower_bound=0.0, upper_bound=1.0)
        return tool.perturb(pixels.clone(), epsilon, wanted, targeted=aim is not None).detach()


def pgd(found: Subject, pixels: Tensor, answer: int, epsilon: float, aim: int | None = None, steps: int = 20) -> Tensor:
    """Steps of 2.5 ε / steps from a random start within ε, [1, C, H, W] in 0..1."""
    forward, loss = _steps(found)
    wanted = torch.tensor([answer if aim is None else aim], device=pixels.device)
    with quietly():
        tool = captum("robust").PGD(forward, loss, lower_bound=0.0, upper_bound=1.0)
        return tool.perturb(
            pixels.clone(), epsilon, 2.5 * epsilon / steps, steps, wanted, targeted=aim is not None, random_start=True
        ).detach()


def one_pixel(
    found: Subject,
    pixels: Tensor,
    answer: int,
    aim: int | None = None,
    *,
    steps: int = 20,
    population: int = 100,
    seed: int = 0,
) -> Tensor:
    """The one pixel and its colour that SciPy's differential evolution finds best, [1, C, H, W] in 0..1."""
    try:
        from scipy.optimize import differential_evolution
    except ImportError:
        from zoo.errors import MissingExtraError

        raise MissingExtraError("the search for a pixel", "scipy", "explain") from None
    _, channels, height, width = pixels.shape

    def placed(genes: np.ndarray) -> Tensor:  # [2 + C, N]
        many = pixels.repeat(genes.shape[1], 1, 1, 1)
        row = torch.from_numpy(genes[0]).long().clamp(0, height - 1)
        column = torch.from_numpy(genes[1]).long().clamp(0, width - 1)
        many[torch.arange(len(many)), :, row, column] = torch.from_numpy(genes[2:].T).to(many)
        return many

    @torch.no_grad()
    def cost(genes: np.ndarray) -> np.ndarray:
        scores = found.scores(to_points(found, placed(genes)))
        chance = scores.softmax(1) if found.differentiable else scores
        return (chance[:, answer] if aim is None else -chance[:, aim]).double().cpu().numpy()

    limits = [(0, height - 1e-6), (0, width - 1e-6), *[(0, 1)] * channels]
    size = max(1, population // len(limits))
    found_genes = differential_evolution(
        lambda genes: cost(genes.reshape(len(limits), -1)),
        limits,
        maxiter=steps,
        popsize=size,
        mutation=(0.4, 1.0),
        recombination=0.9,
        vectorized=True,
        updating="deferred",
        polish=False,
        rng=np.random.default_rng(seed),
        tol=0.0,
    )
    return placed(found_genes.x[:, None])


def fooling(
    model: Any, target: Any, *, confidence: float = 0.99, steps: int = 300, rate: float = 0.05, seed: int = 0
) -> Attack:
    """Noise that the model is sure to be of a class: the start, and where it climbed to.

    Args:
        confidence: the probability to reach.

    Raises:
        InputError: for an unknown class, or a model that takes no images.
    """
    if getattr(model, "transform", None) is None:
        raise InputError("fooling images are for image classifiers with their transform: load a trained one")
    shape = (len(model.transform.mean), *model.transform.size)
    start = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    found = image_subject(model, (255 * start).round().to(torch.uint8))
    with at_rest(model, seed):
        pixels = start[None].clone().requires_grad_()
        with torch.no_grad():
            first = found.scores(to_points(found, pixels))[0]
        aim, name = pick_target(found, target, first)
        optimizer = torch.optim.Adam([pixels], lr=rate)
        chance = 0.0
        for _ in range(steps):
            scores = found.scores(to_points(found, pixels))
            chance = float(scores.detach().softmax(1)[0, aim])
            if chance >= confidence:
                break
            (pixels.grad,) = torch.autograd.grad(F.cross_entropy(scores, torch.tensor([aim])), pixels)
            optimizer.step()
            with torch.no_grad():
                pixels.clamp_(0, 1)
    names = found.names or [str(i) for i in range(len(first))]
    answer = int(first.argmax())
    before = (names[answer], float(first.softmax(0)[answer]))
    return Attack(start, pixels.detach()[0], before, (name, chance), name, None, chance >= confidence, "fooling")


def robust_accuracy(
    model: Any, images: Tensor, labels: Tensor, epsilons: tuple[float, ...] = (1, 2, 4, 8), *, steps: int = 10, seed: int = 0,
    batch: int = 64,
) -> dict[float, float]:  # fmt: skip
    """The share of images that the model still gets right under PGD, for each ε in 255ths; 0 is the accuracy without attack.

    Args:
        images: uint8 [N, C, H, W]; labels: int64 [N].
        steps: of PGD, each 2.5 ε / steps long, from a random start.
    """
    found = image_subject(model, images[0])
    forward, loss = _steps(found)
    pixels = model.transform.pixels(images).float() / 255
    right = {}
    with at_rest(model, seed):

        def share(some: Tensor) -> float:
            with torch.no_grad():
                answers = torch.cat([forward(part).argmax(1) for part in some.split(256)])
            return float((answers == labels.to(answers.device)).float().mean())

        right[0.0] = share(pixels)
        for epsilon in epsilons:
            bound = epsilon / 255
            with quietly():
                tool = captum("robust").PGD(forward, loss, lower_bound=0.0, upper_bound=1.0)
                attacked = torch.cat([
                    tool.perturb(x.clone(), bound, 2.5 * bound / steps, steps, y, random_start=True).detach()
                    for x, y in zip(pixels.split(batch), labels.split(batch), strict=True)
                ])  # fmt: skip
            right[float(epsilon)] = share(attacked)
    return right


def _colours(image: Tensor) -> Tensor:
    return image.expand(3, -1, -1).permute(1, 2, 0)


def _spread(change: Tensor) -> Tensor:
    return _colours(0.5 + 0.5 * change / change.abs().max().clamp(min=1e-9))
