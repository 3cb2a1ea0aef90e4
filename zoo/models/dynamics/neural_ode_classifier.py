"""Image classifier with one ordinary differential equation in place of a stack of residual blocks (Chen et al., 2018).

A residual block adds to its input, x ← x + f(x); many small ones in a row follow a differential equation:

    dx/dt = f_θ(x, t),    x(0) = stem(image),    p(class | image) = softmax(W mean(x(1)) + b)

f is one pair of convolutions that takes the time as an input. The depth is the number of solver steps, which can be chosen after
training. Paper: arXiv:1806.07366, section 3.

Departures from the paper: the network is followed by a fixed number of fourth-order Runge-Kutta steps, in training and in use. A
solver that chooses its own steps chooses them for a whole batch, so that the answer for one image would depend on the others.
`adaptive_logits` follows the same field by the method of Dormand and Prince, and counts its evaluations. Gradients flow through
the solver's steps; for four evaluations that is quicker than the adjoint.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.ode import integrate
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.core.data import ClassData
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.dynamics.neural_ode import solve

RTOL = 1e-3  # of the adaptive solver that the card counts evaluations at


class ConvolutionalField(nn.Module):
    """dx/dt for feature maps x [N, width, H, W]: two convolutions that see the time as one more channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        groups = min(32, width)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) for _ in range(3))
        self.first = nn.Conv2d(width + 1, width, 3, padding=1)
        self.second = nn.Conv2d(width + 1, width, 3, padding=1)

    def forward(self, x: Tensor, t: float | Tensor) -> Tensor:
        time = torch.ones_like(x[:, :1]) * t
        x = self.first(torch.cat([time, F.relu(self.norms[0](x))], 1))
        x = self.second(torch.cat([time, F.relu(self.norms[1](x))], 1))
        return self.norms[2](x)


class NeuralODEClassifier(ImageClassifier):
    """Two convolutions of stride 2, a neural ODE on their maps, and a linear head.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        width: channels of the maps.
        steps: Runge-Kutta steps from time 0 to 1, four evaluations of the field each.
        label_smoothing: see `ImageClassifier`.

    Shapes:
        x: [N, in_channels, H, W]; maps: [N, width, H / 4, W / 4]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        width: int = 32,
        steps: int = 1,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        self.save_hyperparameters()
        self.steps = check_count(steps, "steps")
        check_count(width, "width")
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
        )
        self.field = ConvolutionalField(width)
        self.norm = nn.GroupNorm(min(32, width), width)
        self.head = nn.Linear(width, num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """ "start" and "end", the maps [N, width, H / 4, W / 4] at times 0 and 1, and "embedding" [N, width]."""
        start = self.stem(x)
        *_, end = integrate(self.field, start, [i / self.steps for i in range(self.steps + 1)], "rk4")
        return {"start": start, "end": end, "embedding": self._pooled(end)}

    def _pooled(self, end: Tensor) -> Tensor:
        return F.relu(self.norm(end)).mean((2, 3))

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def adaptive_logits(self, x: Tensor, *, rtol: float = RTOL, method: str = "dopri5") -> tuple[Tensor, int]:
        """Logits [N, num_classes] of transformed images by an adaptive solver, and its evaluations of the field.

        Args:
            rtol: relative tolerance of the solver; the absolute one is the same number.
            method: as in torchdiffeq's `odeint`.

        Raises:
            InputError: for a tolerance that isn't positive, or a solution that leaves every bound.
            MissingExtraError: without torchdiffeq.
        """
        if not rtol > 0:
            raise InputError(f"rtol must be above 0, not {rtol!r}")
        calls, start = 0, self.stem(x)

        def field(t: Tensor, flat: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return self.field(flat.view_as(start), t).flatten(1)

        end = solve(field, start.flatten(1), [0.0, 1.0], method=method, rtol=rtol, atol=rtol)[:, -1]
        return self.head(self._pooled(end.view_as(start))), calls

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ClassData) -> list[dict[str, Any]]:
        """Accuracy by the fixed steps, and accuracy and evaluations of an adaptive solver."""
        entries = super().evaluate(data)
        correct = count = calls = batches = 0
        for batch in data.test_dataloader():
            x, y = labelled(batch)
            logits, used = self.adaptive_logits(x.to(self.device))
            correct += int((logits.argmax(1).cpu() == y.cpu()).sum())
            count, calls, batches = count + len(y), calls + used, batches + 1
        how = f"whole test split, dopri5, rtol = atol = {RTOL:g}, float32"
        return [
            *entries,
            entry(data, "test", "accuracy_adaptive", correct / count, how, better="higher"),
            entry(
                data, "test", "evaluations_adaptive", calls / batches, f"of the field a batch; {how}", better="lower"
            ),
        ]
