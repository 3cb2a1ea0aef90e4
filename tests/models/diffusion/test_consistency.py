"""Consistency models: segments, pairs of points, the teacher, the start from a diffusion model; and NCSN of images."""

import lightning as L
import pytest
import torch

import zoo
from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.models.diffusion.adversarial_consistency import AdversarialConsistency, FeatureDiscriminator
from zoo.models.diffusion.cfg import ConditionalDDPM
from zoo.models.diffusion.consistency import ConsistencyModel
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.diffusion.flow_matching import FlowMatching
from zoo.models.diffusion.ncsn import NCSN
from zoo.models.diffusion.schedule import NoiseSchedule
from zoo.models.diffusion.score_sde import ScoreSDE
from zoo.models.mlp.mlp import MLP
from zoo.store.folder import write


def small(**init) -> ConsistencyModel:
    torch.manual_seed(0)
    return ConsistencyModel((1, 8, 8), 8, timesteps=64, **init).eval()


def test_every_step_belongs_to_the_segment_that_ends_below_it():
    model = small(segments=2, intervals=4)
    assert model.times.tolist() == [63, 47, 31, 15, -1]
    assert model.ends.tolist() == [63, 31, -1]
    assert model.end_of(torch.tensor([63, 32, 31, 0])).tolist() == [31, 31, -1, -1]


def knows(target):
    """The velocity of a network that knows the only image there is, x_0 = target."""
    schedule = NoiseSchedule(64)

    def velocity(x_t, t, *args):
        alpha, sigma = schedule.rates(t)
        return (alpha * x_t - target) / sigma

    return velocity


@pytest.mark.parametrize("segments", [1, 2, 4])
def test_a_network_that_knows_the_image_has_no_loss_and_draws_it(monkeypatch, segments):
    """On its path x_0 and ε stay the same, so every jump is exact, whoever makes the pairs."""
    x = torch.rand(1, 1, 8, 8).expand(16, 1, 8, 8)
    model = small(segments=segments, intervals=8)
    monkeypatch.setattr(model.net, "forward", knows(2 * x[:1] - 1))
    assert model.loss(x).item() == pytest.approx(0, abs=1e-5)
    model._teacher = [DDPM((1, 8, 8), 8, timesteps=64).eval()]
    monkeypatch.setattr(model._teacher[0].net, "forward", knows(2 * x[:1] - 1))
    assert model.loss(x).item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(model.sample(3, seed=0), x[:3], atol=1e-5, rtol=0)
    monkeypatch.setattr(model.net, "forward", knows(2 * x[:1] - 0.5))
    assert model.loss(x).item() > 0.01


@torch.no_grad()
def test_the_teacher_follows_the_path_to_second_order():
    """Half the step, a quarter of the error; where the first-order step of DDIM only halves it."""
    teacher, noise = trained_ddpm(), torch.randn(4, 1, 8, 8)

    def walk(intervals, first_order=False):
        model, x = ConsistencyModel((1, 8, 8), 8, segments=1, intervals=intervals), noise
        model.start_from(teacher)
        for t, r in zip(model.times[:-2].tolist(), model.times[1:-1].tolist(), strict=True):
            if r >= 99:
                t, r = torch.full((4,), t), torch.full((4,), r)
                angle = model.angles(t) - model.angles(r)
                x = model.turn(x, teacher(x, t), angle) if first_order else model.teach(x, t, r)
        return x

    fine = walk(160)
    error = {n: (walk(n) - fine).abs().mean().item() for n in (10, 20)}
    assert error[20] < error[10] / 3.5
    assert error[10] < 0.1 * (walk(10, first_order=True) - fine).abs().mean().item()


def test_the_target_takes_no_gradient(monkeypatch):
    model, calls = small(), []
    inner = model.forward
    monkeypatch.setattr(model, "forward", lambda x_t, t: calls.append(torch.is_grad_enabled()) or inner(x_t, t))
    model.loss(torch.rand(4, 1, 8, 8)).backward()
    assert calls == [False, True]


def test_training_starts_from_the_diffusion_model(tmp_path, monkeypatch):
    torch.manual_seed(1)
    teacher = DDPM((1, 8, 8), 8, timesteps=64)
    folder = write(teacher, tmp_path / "ddpm-small", preview=False)
    model = small(base=str(folder))
    monkeypatch.setattr(ConsistencyModel, "trainer", None)
    model.setup("fit")
    for key, value in teacher.net.state_dict().items():
        assert torch.equal(model.net.state_dict()[key], value), key
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 20])
    torch.testing.assert_close(model(x, t), teacher.eval().denoise(x, t, clip=False))  # of the last segment
    assert model._teacher and not any("teacher" in key for key in model.state_dict())
    other = write(DDPM((1, 8, 8), 8, timesteps=64, prediction="eps"), tmp_path / "eps", preview=False)
    with pytest.raises(InputError, match="v-prediction"):
        small(base=str(other)).setup("fit")


@pytest.fixture
def sharpened(tmp_path, monkeypatch):
    """An AdversarialConsistency that is set up, with the distilled model that it goes on from."""
    torch.manual_seed(1)
    teacher = write(DDPM((1, 8, 8), 8, timesteps=64), tmp_path / "teacher", preview=False)
    distilled = small(base=str(teacher))
    torch.nn.init.normal_(distilled.net.head[-1].weight, std=0.1)
    base = write(distilled, tmp_path / "distilled", preview=False)
    classifier = MLP(image_size=(8, 8), hidden=(12,))
    classifier.transform = Transform(size=[8, 8], mode="L", mean=[0.4], std=[0.2])
    critic = classifier.save_pretrained(tmp_path / "classifier")
    model = AdversarialConsistency(
        (1, 8, 8), 8, timesteps=64, base=str(base), critic=str(critic), critic_stages={"embedding": 12}
    )
    monkeypatch.setattr(AdversarialConsistency, "trainer", None)
    model.setup("fit")
    monkeypatch.undo()
    return model, distilled, str(teacher)


def test_the_adversarial_one_goes_on_from_a_distilled_one_with_its_teacher(sharpened):
    model, distilled, teacher = sharpened
    assert torch.equal(model.sample(3, seed=0), distilled.sample(3, seed=0))
    x, generator = torch.rand(8, 1, 8, 8), torch.Generator()
    distilled.start_from(zoo.load(teacher))  # the same teacher, and weights of its own no longer
    distilled.net.load_state_dict(model.net.state_dict())
    assert torch.equal(model.loss(x, generator.manual_seed(2)), distilled.loss(x, generator.manual_seed(2)))
    with pytest.raises(InputError, match="no consistency model"):
        model.start_from(zoo.load(teacher))


def test_the_gradient_of_a_sample_ends_at_its_last_segment(monkeypatch):
    model, calls = AdversarialConsistency((1, 8, 8), 8, timesteps=64, segments=2), []
    inner = model.net.forward
    monkeypatch.setattr(model.net, "forward", lambda x_t, t: calls.append(torch.is_grad_enabled()) or inner(x_t, t))
    sample = model.last_segment(3)
    assert calls == [False, True] and sample.requires_grad and sample.abs().max() <= 1
    assert torch.autograd.grad(sample.sum(), model.net.head[-1].weight)[0].abs().sum() > 0


def test_the_discriminator_sees_what_the_classifier_sees(sharpened):
    model, _, _ = sharpened
    x = torch.rand(3, 1, 8, 8)
    classifier = model._classifier[0]
    torch.testing.assert_close(model.seen(2 * x - 1)["embedding"], classifier.features((x - 0.4) / 0.2)["embedding"])
    assert not any("classifier" in key for key in model.state_dict())
    with pytest.raises(InputError, match="no trained image classifier"):
        model.see_by(DDPM((1, 8, 8), 8, timesteps=64))
    model.stages = {"block9": 12}
    with pytest.raises(InputError, match="critic_stages has 'block9'"):
        model.see_by(classifier)
    with pytest.raises(InputError, match="critic_stages is empty"):
        AdversarialConsistency((1, 8, 8), 8, timesteps=64, critic_stages={})


def test_no_stage_can_shout_and_maps_and_vectors_are_read():
    """A layer's largest singular value is 1, a 3×3 kernel taken as a matrix: places that overlap add up to three times it."""
    critic = FeatureDiscriminator({"map": 6, "vector": 4}, 16)
    seen = {"map": torch.randn(2, 6, 5, 5), "vector": torch.randn(2, 4)}
    for _ in range(50):
        critic(seen)  # the norm is found by a step of the power method each time
    critic.eval()
    assert critic(seen).shape == (2, 2)
    for head in critic.heads.values():
        for layer in (head[0], head[2]):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)
    alone = critic.heads["vector"](seen["vector"][..., None, None])[:, 0, 0, 0]
    torch.testing.assert_close(critic(seen)[:, 1], alone)
    moved = {name: f + torch.randn_like(f) for name, f in seen.items()}
    far = torch.stack([(moved[name] - seen[name]).flatten(1).norm(dim=1) for name in seen], 1)
    assert ((critic(moved) - critic(seen)).abs() <= 3 * far).all()


def test_both_players_move_and_the_classifier_stays(sharpened):
    model, _, _ = sharpened
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", **quiet)
    before = {key: value.clone() for key, value in model.named_parameters()}
    seen = model.seen(torch.ones(1, 1, 8, 8))["embedding"]
    batches = [(torch.rand(8, 1, 8, 8), torch.zeros(8)) for _ in range(4)]
    trainer.fit(model, torch.utils.data.DataLoader(batches, batch_size=None))
    moved = {key.partition(".")[0] for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {"net", "discriminator"}
    assert torch.equal(model.seen(torch.ones(1, 1, 8, 8))["embedding"], seen)


def test_the_discriminator_learns_to_tell_and_the_network_to_be_taken_for_real(sharpened):
    """Against a network that can't move the verdicts part; against a discriminator that can't the network's images rise."""
    model, _, _ = sharpened
    real = torch.rand(64, 1, 8, 8).round()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)

    def gap(rates: tuple[float, float]) -> float:
        model.rates = rates
        batches = [(real[torch.randperm(64)[:16]], torch.zeros(16)) for _ in range(24)]
        trainer = L.Trainer(max_epochs=1, accelerator="cpu", **quiet)
        trainer.fit(model, torch.utils.data.DataLoader(batches, batch_size=None))
        torch.manual_seed(2)
        with torch.no_grad():
            return (model.verdict(2 * real - 1).mean() - model.verdict(model.last_segment(64)).mean()).item()

    apart = gap((0.0, 1e-2))
    assert apart > 0.1
    assert gap((1e-3, 0.0)) < 0.7 * apart


def test_calls_and_seeds():
    model = small(segments=3, intervals=6)
    images = model.sample(5, seed=1, batch_size=2)
    assert torch.equal(images, model.sample(5, seed=1, batch_size=2))
    assert len(model.trajectory(torch.randn(1, 1, 8, 8))) == 3
    with pytest.raises(InputError, match="unconditional"):
        model.sample(2, labels=torch.zeros(2))
    for bad in ({"segments": 0}, {"segments": 2, "intervals": 5}, {"intervals": 0}):
        with pytest.raises(InputError, match="multiple of segments"):
            small(**bad)


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


def trained_ddpm(**init) -> DDPM:
    """A base that says something: its last layer isn't zero."""
    torch.manual_seed(3)
    base = DDPM((1, 8, 8), 8, **init)
    torch.nn.init.normal_(base.net.head[-1].weight, std=0.1)
    return base.eval()


@torch.no_grad()
def test_started_from_a_diffusion_model_the_others_say_the_same_of_the_same_noise(monkeypatch):
    base, x_0, eps = trained_ddpm(), torch.rand(1, 1, 8, 8) * 2 - 1, torch.randn(1, 1, 8, 8)
    t = torch.tensor([600])
    alpha, sigma = base.schedule.rates(t)
    # counts differ by a few steps
    monkeypatch.setattr("zoo.models.diffusion.unet.time_embedding", lambda t, dim: torch.ones(len(t), dim))
    x_t = alpha * x_0 + sigma * eps
    guess = sigma * x_t + alpha * base(x_t, t)  # of ε

    sde = ScoreSDE((1, 8, 8), 8).eval()
    sde.start_from(base)
    times = torch.linspace(0, 1, 100_001)
    at = times[(sde.rates(times)[0] - alpha.flatten()).abs().argmin()].reshape(1)
    torch.testing.assert_close(sde.noise_in(x_t, at), guess, atol=1e-3, rtol=0)

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
