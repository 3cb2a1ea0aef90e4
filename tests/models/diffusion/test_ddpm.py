"""What the shared suites can't know about DDPM and its U-Net."""

import pytest
import torch

import zoo
from zoo.errors import InputError
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.diffusion.unet import UNet, time_embedding
from zoo.store.folder import write


def small(prediction: str = "v") -> DDPM:
    torch.manual_seed(0)
    model = DDPM((1, 8, 8), 8, timesteps=100, prediction=prediction).eval()
    for parameter in model.net.head[-1].parameters():  # starts at zero
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("prediction", ["v", "eps", "x0"])
def test_a_perfect_network_gives_back_the_image(prediction, monkeypatch):
    model, x_0, eps = small(prediction), torch.rand(3, 1, 8, 8) * 2 - 1, torch.randn(3, 1, 8, 8)
    t = torch.tensor([3, 50, 90])
    alpha, sigma = model.schedule.rates(t)
    target = {"v": alpha * eps - sigma * x_0, "eps": eps, "x0": x_0}[prediction]
    monkeypatch.setattr(model.net, "forward", lambda x, t: target)
    torch.testing.assert_close(model.denoise(alpha * x_0 + sigma * eps, t), x_0, rtol=0, atol=2e-4)


def test_loss_is_one_for_a_network_that_guesses_zero():
    """v of white noise images has variance α² + σ²·Var(x_0); with uniform x in [0, 1], Var(2x − 1) = 1/3."""
    model = small()
    torch.nn.init.zeros_(model.net.head[-1].weight)
    torch.nn.init.zeros_(model.net.head[-1].bias)
    x = torch.rand(400, 1, 8, 8)
    alpha, sigma = model.schedule.rates(torch.arange(100))
    expected = (alpha**2 + sigma**2 / 3).mean()
    assert model.loss(x).item() == pytest.approx(expected.item(), rel=0.03)


def test_decoding_an_encoded_image_gives_it_back():
    model, x = small(), torch.rand(2, 1, 8, 8) * 0.6 + 0.2
    again = model.decode(model.encode(x, steps=100), steps=100)
    assert (again - x).abs().mean() < 0.05


def test_interpolation_ends_at_its_images_codes():
    model, a, b = small(), torch.rand(1, 8, 8), torch.rand(1, 8, 8)
    path = model.interpolate(a, b, steps=5)
    assert path.shape == (5, 1, 8, 8)
    torch.testing.assert_close(path[[0, -1]], model.decode(model.encode(torch.stack([a, b]))), rtol=0, atol=1e-4)
    with pytest.raises(InputError, match=r"images are \[N, 1, 8, 8\]"):
        model.interpolate(a, torch.rand(1, 4, 4))
    with pytest.raises(InputError, match="steps must be a whole number of at least 1, not 0"):
        model.interpolate(a, b, steps=0)


def test_interpolation_from_an_image_to_itself_stays_there():
    model, a = small(), torch.rand(1, 8, 8)
    path = model.interpolate(a, a, steps=3)
    torch.testing.assert_close(path, model.decode(model.encode(a[None])).expand(3, -1, -1, -1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("z", [torch.zeros(1, 1, 8, 4), torch.zeros(1, 8, 8), torch.full((1, 1, 8, 8), torch.nan)])
def test_codes_of_another_shape_or_without_values_are_refused(z):
    with pytest.raises(InputError, match="codes"):
        small().decode(z)


def test_colour_images_at_full_resolution(tmp_path):
    """Three channels, three levels, no folding: the form for photographs, and the size of its file."""
    torch.manual_seed(0)
    form = {"channel_mults": (1, 2, 2), "blocks": 2, "attention_levels": (1,), "patch": 1}
    model, x = DDPM((3, 32, 32), 8, timesteps=50, **form).eval(), torch.rand(2, 3, 32, 32)
    assert torch.isfinite(model.loss(x)) and model.decode(model.encode(x, steps=2), steps=2).shape == x.shape
    images = model.sample(2, seed=0, steps=2)
    assert images.shape == (2, 3, 32, 32) and 0 <= images.min() and images.max() <= 1
    again = zoo.load(str(write(model, tmp_path / "colour", preview=False)))
    assert torch.equal(again.sample(2, seed=0, steps=2), images)
    with torch.device("meta"):  # which has sizes alone
        wide = sum(p.numel() for p in DDPM((3, 32, 32), 64, **form).parameters())
    assert 6e6 < wide < 8 * 2**20  # below 16 MiB in float16


def test_sampling_in_batches_draws_as_many_and_stays_deterministic():
    model = small()
    images = model.sample(7, seed=1, batch_size=3, steps=3)
    assert images.shape == (7, 1, 8, 8)
    assert torch.equal(images, model.sample(7, seed=1, batch_size=3, steps=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -2}, "steps must be a whole number from 1 to 100"),
        ({"steps": 101}, "from 1 to 100"),
        ({"eta": 1.5}, "eta lies in 0..1"),
        ({"labels": torch.zeros(2)}, "takes no labels"),
        ({"sampler": "euler"}, "ancestral"),
        ({"sampler": "dpm"}, "Did you mean ddim.* Known: ancestral, ddim, dpm-solver"),
        ({"sampler": None}, "no sampler named None"),
    ],
)
def test_bad_sampling_options_say_what_to_do(options, message):
    with pytest.raises(zoo.errors.ZooError, match=message):
        small().sample(2, **options)


def test_images_out_of_range_are_refused():
    x = torch.rand(1, 1, 8, 8)
    for bad in (torch.rand(1, 1, 9, 9), x + 2, x * torch.nan, x[:0], x[0, 0, 0, 0]):
        with pytest.raises(InputError):
            small().encode(bad)


def test_unet_depends_on_the_step_and_keeps_the_shape():
    net = UNet(3, 16, channel_mults=(1, 2), patch=2)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    x = torch.randn(2, 3, 16, 16)
    early, late = net(x, torch.tensor([0, 0])), net(x, torch.tensor([900, 900]))
    assert early.shape == x.shape
    assert not torch.allclose(early, late)


def test_an_untrained_unet_says_nothing():
    assert not UNet(1, 16)(torch.randn(1, 1, 28, 28), torch.tensor([5])).any()


def test_time_embedding_tells_steps_apart():
    embedding = time_embedding(torch.arange(1000), 32)
    assert embedding.shape == (1000, 32)
    distance = torch.cdist(embedding, embedding) + 10 * torch.eye(1000)
    assert distance.min() > 0.05
