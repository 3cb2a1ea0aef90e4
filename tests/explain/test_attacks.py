"""Attacks on a linear model flip its answer exactly where they must; dreams of one end where calculus says."""

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.core.images import Transform
from zoo.core.module import ZooModule
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.explain import attacks, dream


class LinearClassifier(ZooModule):
    """Two classes by w · x on pixels in 0..1."""

    task = "image-classification"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(1)))
        self.transform = Transform([6, 6], "L", [0.0], [1.0])
        self.classes = ["up", "down"]

    def forward(self, x: Tensor) -> Tensor:
        z = ((x - 0.5) * self.weight).flatten(1).sum(1) + 0.4
        return torch.stack([z, -z], 1)


@pytest.fixture
def model():
    return LinearClassifier()


@pytest.fixture
def image():
    return 0.5 + 0.1 * torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0))  # far from 0 and 1


def margin(model, image):
    """How far pixels may move before the answer flips: |z| / ‖w‖₁."""
    pixels = model.transform(image)  # rounded to 255ths
    return (model(pixels[None])[0, 0].abs() / model.weight.abs().sum()).item()


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_linear_model_flips_at_its_margin(model, image, method):
    limit = 255 * margin(model, image)
    below = attacks.attack(model, image, method, epsilon=0.98 * limit, steps=40)
    above = attacks.attack(model, image, method, epsilon=1.02 * limit, steps=40)
    assert not below.success and above.success
    assert above.before[0] != above.after[0]
    assert float(above.perturbation.abs().max()) <= 1.02 * limit / 255 + 1e-6


def test_attacks_on_a_trained_network(tmp_path):
    model = zoo.load("lenet5-mnist")
    image = sample_split("mnist")[0][0]
    found = attacks.attack(model, image, "pgd", epsilon=64)
    assert found.success and found.attacked.min() >= 0 and found.attacked.max() <= 1
    assert model.predict(found.attacked, top=1)[0][0] == found.after[0]
    target = next(name for name in model.classes if name not in (found.before[0], found.after[0]))
    aimed = attacks.attack(model, image, "pgd", epsilon=100, target=target, steps=40)
    assert aimed.success and aimed.after[0] == target
    assert found.save(tmp_path / "attack.png").stat().st_size > 1000
    again = attacks.attack(model, image, "pgd", epsilon=64)
    assert torch.equal(found.attacked, again.attacked)


def test_one_pixel_changes_one_pixel(model, image):
    found = attacks.attack(model, image, "one-pixel", steps=80)
    assert found.changed <= 1
    pixels = model.transform(image)
    z, w = model(pixels[None])[0].max(), model.weight[0]
    answer = int(model(pixels[None])[0].argmax())
    toward = w if answer == 1 else -w  # raising a pixel here lowers the answer
    best = torch.maximum(toward.clamp(min=0) * (1 - pixels[0]), (-toward).clamp(min=0) * pixels[0]).max()
    gained = z - model(found.attacked[None])[0, answer]
    assert float(gained.detach()) == pytest.approx(
        float(best.detach()), rel=0.1
    )  # the search comes near the best of all pixels


def test_fooling_image_of_noise():
    found = attacks.fooling(zoo.load("lenet5-mnist"), "3", confidence=0.99)
    assert found.success and found.after[0] == "3" and found.after[1] >= 0.99


def test_robust_accuracy_falls_with_epsilon():
    x, y = sample_split("mnist")
    found = attacks.robust_accuracy(zoo.load("simplecnn-mnist"), x[:24], y[:24], (8, 64), steps=5)
    assert list(found) == [0.0, 8.0, 64.0]
    assert found[0.0] >= found[8.0] >= found[64.0] and found[64.0] < 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "deepfool"}, "no attack 'deepfool': choose one of fgsm, pgd, one-pixel"),
        ({"epsilon": 0}, "epsilon is in 255ths"),
        ({"epsilon": 300}, "epsilon is in 255ths"),
        ({"target": "sideways"}, "no target 'sideways': this model has up, down"),
        ({"steps": 0}, "steps must be"),
    ],
)
def test_bad_attacks(model, image, options, said):
    with pytest.raises(InputError, match=said):
        attacks.attack(model, image, **options)


def test_aiming_at_the_answer_is_refused(model, image):
    with pytest.raises(InputError, match="already"):
        attacks.attack(model, image, target=model.classes[int(model(model.transform(image)[None]).argmax())])


def test_class_ascent_of_a_linear_score():
    """argmax w · I − λ ‖I‖² = w / 2λ."""
    w = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = dream.ascend(lambda image: (image * w).flatten(1).sum(1), torch.zeros(1, 3, 4, 4), 2.0, steps=400)
    torch.testing.assert_close(found, w / 4, atol=2e-3, rtol=0)


def test_class_images_and_dreams():
    model, image = zoo.load("lenet5-mnist"), sample_split("mnist")[0][0]
    drawn = dream.class_image(model, "7", jitter=1)
    x, y = sample_split("mnist")
    with torch.no_grad():
        real = model(model.transform(x[y == 7]))[:, 7].max()
        assert drawn.shape == (1, 28, 28) and model(model.transform(drawn)[None])[0, 7] > real  # more of a 7 than any 7
    with torch.no_grad():
        before = model.features(model.transform(image)[None])["stage2"].square().mean()
        dreamt = dream.deep_dream(model, image, steps=10)
        after = model.features(model.transform(dreamt)[None])["stage2"].square().mean()
    assert after > 1.2 * before
    with pytest.raises(InputError, match="deep dream needs a convolution"):
        dream.deep_dream(zoo.load("mlp-mnist"), image)
