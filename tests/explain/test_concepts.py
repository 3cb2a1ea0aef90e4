"""A network that counts vertical strokes: the concept is found where it was planted."""

import pytest
import torch
from torch import Tensor, nn

from zoo.core.images import Transform
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.explain import concepts


class Strokes(ZooModule):
    """Class 0 by vertical strokes, class 1 by horizontal ones."""

    task = "image-classification"

    def __init__(self) -> None:
        super().__init__()
        self.transform = Transform([12, 12], "L", [0.0], [1.0])
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.ReLU())
        self.head = nn.Linear(3, 2, bias=False)
        line = torch.tensor([-1.0, 2.0, -1.0]).expand(3, 3)
        with torch.no_grad():
            self.body[0].weight.copy_(torch.stack([line, line.T, torch.zeros(3, 3)])[:, None])
            self.head.weight.copy_(torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def pictures(kind: str, n: int = 40, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = 0.2 * torch.rand(n, 1, 12, 12, generator=generator)
    place = torch.randint(1, 11, (n,), generator=generator)
    for i in range(n):
        if kind == "vertical":
            x[i, 0, 2:10, place[i]] = 1.0
        elif kind == "horizontal":
            x[i, 0, place[i], 2:10] = 1.0
    return (255 * x).round().to(torch.uint8)


def test_planted_concept():
    pytest.importorskip("sklearn")
    model = Strokes()
    both = torch.cat([pictures("vertical", 20, 1), pictures("horizontal", 20, 2)])
    score, right = concepts.tcav(model, pictures("vertical"), pictures("none"), both, 0)
    against, _ = concepts.tcav(model, pictures("horizontal"), pictures("none"), both, 0)
    assert score > 0.9 and against < 0.1 and right > 0.9
    with pytest.raises(InputError, match="eight images"):
        concepts.tcav(model, pictures("vertical", 3), pictures("none"), both, 0)


def test_dissection_finds_the_unit():
    model, x = Strokes(), pictures("vertical")
    overlap = concepts.dissect(model, x, x[:, 0] > 200)
    assert int(overlap.argmax()) == 0 and overlap[0] > 0.3 and overlap[2] == 0


def test_anchor_holds_the_answer():
    """The answer is the sign of x₂ alone: that part is the anchor."""

    def f(points: Tensor) -> Tensor:
        return (points[:, 2] > 0).long()

    others = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    kept, precision = concepts.anchor(f, torch.ones(1, 5), others, torch.arange(5))
    assert kept == [2] and precision == 1


def test_anchor_gives_up_what_is_needless():
    """The answer is the sign of x₁ x₃ x₄: two of them say nothing without the third, so that the first ones taken are any."""

    def f(points: Tensor) -> Tensor:
        return (points[:, 1] * points[:, 3] * points[:, 4] > 0).long()

    for seed in range(4):
        others = torch.randn(300, 9, generator=torch.Generator().manual_seed(seed))
        kept, precision = concepts.anchor(f, torch.ones(1, 9), others, torch.arange(9))
        assert sorted(kept) == [1, 3, 4] and precision == 1
