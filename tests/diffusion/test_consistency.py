"""Consistency models: the boundary, the pairs of points, the start from a diffusion model; and NCSN of images."""

import pytest
import torch

import zoo
from zoo.diffusion.consistency import ConsistencyModel
from zoo.diffusion.ddpm import DDPM
from zoo.diffusion.ncsn import NCSN
from zoo.errors import InputError


def small(**init) -> ConsistencyModel:
    torch.manual_seed(0)
    return ConsistencyModel((1, 8, 8), 8, timesteps=64, **init).eval()


def test_it_is_nearly_the_identity_where_there_is_no_noise():
    model, x = small(), torch.rand(3, 1, 8, 8) * 2 - 1
    for parameter in model.net.head[-1].parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.schedule.alpha_bar[0] = 1.0
    torch.testing.assert_close(model(x, torch.zeros(3).long()), x)


def test_the_gap_starts_at_the_clean_image_and_halves():
    model, t = small(), torch.arange(64)
    assert (model.earlier(t, 0) == -1).all()
    for k in range(1, 7):
        gap = t - model.earlier(t, k)
        assert (gap >= 1).all() and (gap <= (t + 1) / 2**k + 1).all()
    assert model.halvings() == model.stages  # outside a run: the last stage


def test_without_halving_the_loss_is_a_denoisers(monkeypatch):
    """A network that always says the clean image has no loss against r = 0, wherever t is."""
    model, x = small(), torch.rand(1, 1, 8, 8).expand(16, 1, 8, 8)
    monkeypatch.setattr(model, "halvings", lambda: 0)
    monkeypatch.setattr(model, "forward", lambda x_t, t: 2 * x - 1)
    assert model.loss(x).item() == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(model, "forward", lambda x_t, t: 2 * x - 1 + 0.5)
    assert model.loss(x).item() > 0.1


def test_a_consistent_model_has_no_loss_at_any_gap(monkeypatch):
    model, x = small(), torch.rand(1, 1, 8, 8).expand(16, 1, 8, 8)
    monkeypatch.setattr(model, "forward", lambda x_t, t: 2 * x - 1)
    for k in range(1, 7):
        monkeypatch.setattr(model, "halvings", lambda k=k: k)
        assert model.loss(x).item() == pytest.approx(0, abs=1e-6)


def test_the_target_takes_no_gradient(monkeypatch):
    model, calls = small(), []
    inner = model.forward
    monkeypatch.setattr(model, "forward", lambda x_t, t: calls.append(torch.is_grad_enabled()) or inner(x_t, t))
    model.loss(torch.rand(4, 1, 8, 8)).backward()
    assert calls == [False, True]


def test_training_starts_from_the_diffusion_model(tmp_path, monkeypatch):
    torch.manual_seed(1)
    teacher = DDPM((1, 8, 8), 8, timesteps=64)
    folder = teacher.save_pretrained(tmp_path / "ddpm-small")
    model = small(base=str(folder))
    monkeypatch.setattr(ConsistencyModel, "trainer", None)
    model.setup("fit")
    for key, value in teacher.net.state_dict().items():
        assert torch.equal(model.net.state_dict()[key], value), key
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 50])
    torch.testing.assert_close(model(x, t), teacher.eval().denoise(x, t, clip=False))
    other = DDPM((1, 8, 8), 8, timesteps=64, prediction="eps").save_pretrained(tmp_path / "eps")
    with pytest.raises(InputError, match="v-prediction"):
        small(base=str(other)).setup("fit")


def test_steps_and_seeds():
    model = small()
    images = model.sample(5, seed=1, steps=2, batch_size=2)
    assert torch.equal(images, model.sample(5, seed=1, steps=2, batch_size=2))
    assert len(model.trajectory(torch.randn(1, 1, 8, 8), steps=3)) == 3
    for bad in ({"steps": 0}, {"steps": 65}, {"labels": torch.zeros(2)}):
        with pytest.raises(InputError):
            model.sample(2, **bad)
    with pytest.raises(InputError, match="stages"):
        small(stages=0)


def test_ncsn_of_images_samples_what_its_score_says(monkeypatch):
    """Data of a single image: with the true score, annealing ends on it."""
    model = NCSN((1, 8, 8), 8, levels=30, largest=10.0, smallest=0.02).eval()
    target = torch.rand(1, 8, 8) * 1.6 - 0.8
    monkeypatch.setattr(model, "forward", lambda x, level: (x - target) / model.sigmas[level].reshape(-1, 1, 1, 1))
    images = model.sample(4, seed=0, steps=3)
    torch.testing.assert_close(2 * images - 1, target.expand(4, 1, 8, 8), rtol=0, atol=1e-3)
    with pytest.raises(zoo.errors.ZooError, match="at least 1"):
        model.sample(2, steps=0)


def test_ncsn_loss_of_silence_is_one():
    """A network that says 0 where the noise is N(0, 1)."""
    model = NCSN((1, 8, 8), 8, levels=5)
    assert model.loss(torch.rand(200, 1, 8, 8)).item() == pytest.approx(1, abs=0.05)
