"""One vocabulary across the published autoencoders, variational autoencoders and adversarial networks."""

import pytest
import torch
from torch import Tensor

import zoo
from tests.sweeps import some
from zoo.core.protocols import Samples
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.index import models
from zoo.models.adversarial.gan import GAN
from zoo.models.autoencoders.coder import Coder
from zoo.models.autoencoders.cvae import CVAE
from zoo.models.autoencoders.ppca import PPCA
from zoo.models.autoencoders.vae import VAE
from zoo.paths import CHECKPOINTS

FAMILY = (
    *("autoencoder", "cvae", "infovae", "linear-autoencoder", "pca", "ppca", "vae", "vqvae"),
    *("dcgan", "fgan", "gan", "lsgan", "sngan", "wgan"),
)
NAMES = sorted(m.name for m in models() if m.architecture in FAMILY and (CHECKPOINTS / m.name).is_dir())


def kind(name: str) -> str:
    """One kind for all models of an architecture that are called alike: with and without classes, in both variants of a VAE."""
    return f"{zoo.info(name).architecture} {name.partition('-')[0]}"


pytestmark = pytest.mark.parametrize("name", some(NAMES, kind, few=1))


def images_of(name: str, n: int = 6) -> tuple[Tensor, Tensor]:
    """Packaged test images and labels of the data that a model was trained on."""
    x, y = sample_split(str(zoo.info(name).dataset))
    return x[:n].float() / 255, y[:n].long()


def test_samples_fill_a_grid_and_repeat(name, tmp_path):
    model = zoo.load(name)
    if not isinstance(model, Samples):
        pytest.skip("draws no samples: it is no generator")
    images = model.sample(36, seed=0)
    assert images.shape == (36, *model.image_shape) and images.dtype == torch.float32
    assert 0 <= images.min() and images.max() <= 1 and images.std() > 0.05
    assert torch.equal(images, model.sample(36, seed=0)) and not torch.equal(images, model.sample(36, seed=1))
    assert zoo.save_grid(images, tmp_path / "grid.png").stat().st_size > 1000


def test_codes_go_there_and_back(name):
    model = zoo.load(name)
    if not isinstance(model, Coder):
        images = model.decode(torch.randn(5, model.latent_dim), labels=labels_of(model, 5))
        assert images.shape == (5, *model.image_shape)
        return
    x, y = images_of(name)
    told = {"labels": y} if isinstance(model, CVAE) else {}
    z = model.encode(x, **told)
    assert z.shape == (6, model.latent_dim)
    again = model.decode(z, **told)
    torch.testing.assert_close(again, model.reconstruct(x, **told))
    blank = x.mean(0, keepdim=True).expand_as(x)
    assert (again - x).square().mean() < (blank - x).square().mean(), "worse than the mean image"
    if told:
        path = model.interpolate(x[0], x[0], steps=4, labels=(int(y[0]), int(y[0])))[None]
    else:
        path = model.interpolate(x[:3], x[3:], steps=4)
        torch.testing.assert_close(path[:, -1], again[3:])
    torch.testing.assert_close(path[:, 0], again[: len(path)])


def test_bounds_lie_below_the_likelihood_that_they_bound(name):
    model = zoo.load(name)
    x, y = images_of(name, 4)
    if isinstance(model, PPCA):
        assert model.log_prob(x).dtype == torch.float64 and torch.isfinite(model.log_prob(x)).all()
    elif isinstance(model, VAE):
        told = {"labels": y} if isinstance(model, CVAE) else {}
        x = model.binarize(x, seed=0)
        plain = torch.stack([torch.sub(*model.elbo(x, seed=seed, **told)) for seed in range(20)]).mean()
        tight = model.log_prob(x, samples=500, seed=0, **told)
        assert tight.shape == (4,) and plain < tight.mean() < 0
    else:
        pytest.skip("scores no images")


def labels_of(model: GAN, n: int) -> Tensor | None:
    return torch.arange(n) % model.num_classes if model.num_classes else None


def test_bad_input_is_refused_in_one_sentence(name):
    model = zoo.load(name)
    conditional = isinstance(model, CVAE) or getattr(model, "num_classes", 0) > 0
    if isinstance(model, Samples):
        wrong = torch.tensor([0, 10]) if conditional else torch.tensor([0, 1])
        with pytest.raises(
            InputError, match="labels run from 0 to 9, there is no 10" if conditional else "takes no labels"
        ):
            model.sample(2, labels=wrong)
        with pytest.raises(InputError, match="at least 1"):
            model.sample(0)
    with pytest.raises(InputError, match=rf"codes are .*{model.latent_dim}\]"):
        model.decode(torch.zeros(2, model.latent_dim + 1), **({"labels": torch.zeros(2).long()} if conditional else {}))
    if isinstance(model, Coder):
        x, y = images_of(name)
        with pytest.raises(InputError, match="interpolate takes two images"):
            model.interpolate(x[:2], x[:3])
    if isinstance(model, VAE):
        told = {"labels": y} if conditional else {}
        with pytest.raises(InputError, match="samples must be"):
            model.log_prob(model.binarize(x, seed=0), samples=0, **told)
