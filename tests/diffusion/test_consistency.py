"""Consistency models: the boundary, the pairs of points, the start from a diffusion model; and NCSN of images."""

import pytest
import torch

import zoo
from zoo.diffusion.cfg import ConditionalDDPM
from zoo.diffusion.consistency import ConsistencyModel
from zoo.diffusion.ddpm import DDPM
from zoo.diffusion.flow_matching import FlowMatching
from zoo.diffusion.ncsn import NCSN
from zoo.diffusion.score_sde import ScoreSDE
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


def test_ncsn_of_silence_guesses_as_if_data_were_noise():
    """With v = 0, ε is guessed as s·(α x_0 + s ε), whose squared error is α²(α² + s² x_0²) at every level."""
    model = NCSN((1, 8, 8), 8, levels=5)
    variance = 1 / (1 + model.sigmas**2)
    expected = (variance * (variance + (1 - variance) * (2 * 0.9 - 1) ** 2)).mean().item()
    assert model.loss(torch.full((500, 1, 8, 8), 0.9)).item() == pytest.approx(expected, rel=0.02)


def trained_ddpm(prediction="v") -> DDPM:
    """A base that says something: its last layer isn't zero."""
    torch.manual_seed(3)
    base = DDPM((1, 8, 8), 8, prediction=prediction)
    torch.nn.init.normal_(base.net.head[-1].weight, std=0.1)
    return base.eval()


@torch.no_grad()
def test_started_from_a_diffusion_model_the_others_say_the_same_of_the_same_noise(monkeypatch):
    base, x_0, eps = trained_ddpm(), torch.rand(1, 1, 8, 8) * 2 - 1, torch.randn(1, 1, 8, 8)
    t = torch.tensor([600])
    alpha, sigma = base.schedule.rates(t)
    monkeypatch.setattr(
        "zoo.diffusion.unet.time_embedding", lambda t, dim: torch.ones(len(t), dim)
    )  # counts differ by a few steps
    x_t = alpha * x_0 + sigma * eps
    guess = sigma * x_t + alpha * base(x_t, t)  # of ε

    sde = ScoreSDE((1, 8, 8), 8).eval()
    sde.start_from(base)
    times = torch.linspace(0, 1, 100_001)
    at = times[(sde.rates(times)[0] - alpha.flatten()).abs().argmin()].reshape(1)
    torch.testing.assert_close(sde(x_t, at), guess, atol=1e-3, rtol=0)

    ncsn = NCSN((1, 8, 8), 8, levels=2, largest=(sigma / alpha).item(), smallest=0.01).eval()
    ncsn.start_from(base)
    torch.testing.assert_close(ncsn(x_t / alpha, torch.tensor([0])), guess, atol=1e-5, rtol=0)

    cfg = ConditionalDDPM((1, 8, 8), 8, num_classes=3).eval()
    cfg.start_from(base)
    for labels in (None, torch.tensor([2])):
        torch.testing.assert_close(cfg(x_t, t, labels), base(x_t, t))

    flow = FlowMatching((1, 8, 8), 8).eval()
    flow.start_from(base)
    share = alpha / (alpha + sigma)  # of the image on the line from noise to it that shrinks to x_t
    told = flow(x_t * torch.hypot(share, 1 - share), share.flatten())
    torch.testing.assert_close(told, (alpha * x_t - sigma * base(x_t, t)) - guess)  # x_0 − ε, by the base's guesses


@pytest.mark.parametrize("cls", [ScoreSDE, NCSN, FlowMatching, ConditionalDDPM])
def test_a_base_that_does_not_fit_is_refused(cls):
    with pytest.raises(InputError, match="no diffusion model"):
        cls((1, 8, 8), 16).start_from(trained_ddpm())
    with pytest.raises(InputError, match="no diffusion model"):
        cls((1, 8, 8), 8).start_from(torch.nn.Linear(2, 2))
