"""What the shared suites can't know about the adversarial networks: the games, their gradients, and who learns when."""

import math

import lightning as L
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from zoo.errors import InputError
from zoo.models.adversarial.dcgan import DCGAN
from zoo.models.adversarial.fgan import FGAN, LINEAR_FROM, exp, terms
from zoo.models.adversarial.gan import GAN
from zoo.models.adversarial.lsgan import LSGAN
from zoo.models.adversarial.sngan import SNGAN
from zoo.models.adversarial.wgan import WGAN

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
GAMES = {
    "gan": lambda **k: GAN((1, 8, 8), 4, hidden=(16,), **k),
    "r1": lambda **k: GAN((1, 8, 8), 4, hidden=(16,), r1=1.0, **k),
    "saturating": lambda **k: GAN((1, 8, 8), 4, hidden=(16,), generator_loss="saturating", **k),
    "lsgan": lambda **k: LSGAN((1, 8, 8), 4, hidden=(16,), **k),
    "wgan": lambda **k: WGAN((1, 8, 8), 4, hidden=(16,), constraint="clip", critic_steps=1, **k),
    "wgan-gp": lambda **k: WGAN((1, 8, 8), 4, hidden=(16,), critic_steps=1, **k),
    "wgan-gp-conv": lambda **k: WGAN((1, 8, 8), 4, width=4, critic_steps=1, **k),
    "dcgan": lambda **k: DCGAN((1, 8, 8), 4, width=4, **k),
    "sngan": lambda **k: SNGAN((1, 8, 8), 4, width=4, **k),
    **{
        f"fgan-{name}": lambda name=name, **k: FGAN((1, 8, 8), 4, hidden=(16,), divergence=name, **k)
        for name in ("kl", "rkl", "pearson", "hellinger", "js")
    },
}


def data(n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(n) % 2
    x = torch.zeros(n, 1, 8, 8)
    x[y == 0, :, :4], x[y == 1, :, 4:] = 0.9, 0.9
    return x, y


def fit(model: GAN, epochs: int = 1, batch_size: int = 16) -> GAN:
    """Train on so many rounds of the same batches, as one epoch."""
    loader = DataLoader(ConcatDataset([TensorDataset(*data())] * epochs), batch_size=batch_size)
    L.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(model, loader)
    return model


@pytest.mark.parametrize("game", GAMES)
def test_a_step_moves_every_weight_of_both_networks_and_the_average(game):
    torch.manual_seed(0)
    model = GAMES[game](lr=1e-2, critic_lr=1e-2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model)
    same = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    # real − fake loses it
    shift = {"discriminator.net.2.bias", "discriminator.net.5.bias"} if "wgan" in game else set()
    shift |= {"discriminator.verdict.bias"} if game == "sngan" else set()  # so do hinges while none is satisfied
    assert set(same) <= {"generator.net.0.0.bias", "average.net.0.0.bias"} | shift  # batch norm takes these out again
    assert all(p.isfinite().all() for p in model.parameters())
    assert not any(p.requires_grad for p in model.average.parameters())
    apart = [torch.equal(a, b) for a, b in zip(model.average.parameters(), model.generator.parameters(), strict=True)]
    assert not all(apart)


@pytest.mark.parametrize("game", GAMES)
def test_the_discriminator_of_a_fixed_generator_tells_real_from_generated(game):
    torch.manual_seed(0)
    model = GAMES[game](lr=0.0, critic_lr=1e-2, final_lr=1.0)
    fit(model, epochs=15)
    x, _ = data()
    fake = model.sample(64, seed=0)
    assert model.discriminate(x).mean() > model.discriminate(fake).mean()


@pytest.mark.parametrize("game", GAMES)
def test_the_generators_loss_pulls_its_images_to_where_the_critic_says_real(game):
    model, outputs = GAMES[game](), torch.tensor([-1.0, 0.0, 0.5], requires_grad=True)
    model.generator_loss(outputs).backward()
    assert (outputs.grad < 0).all()


def test_losses_at_equilibrium_and_the_vanishing_gradient():
    model, zero = GAMES["gan"](), torch.zeros(8)
    assert model.critic_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert model.critic_loss(zero + 0.3, zero - 0.2).item() == pytest.approx(
        (
            F.binary_cross_entropy_with_logits(zero + 0.3, zero + 1)
            + F.binary_cross_entropy_with_logits(zero - 0.2, zero)
        ).item()
    )
    sure = torch.full((1,), -12.0, requires_grad=True)  # the discriminator is sure that it is generated
    gradients = [
        torch.autograd.grad(GAMES[g]().generator_loss(sure), sure)[0].abs().item() for g in ("gan", "saturating")
    ]
    assert gradients[0] > 0.99 and gradients[1] < 1e-4


@pytest.mark.parametrize(
    ("divergence", "f"),
    [
        ("kl", lambda u: u * u.log()),
        ("rkl", lambda u: -u.log()),
        ("pearson", lambda u: (u - 1).square()),
        ("hellinger", lambda u: (u.sqrt() - 1).square()),
        ("js", lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log()),
    ],
)
def test_the_best_critic_reaches_the_divergence_of_two_known_densities(divergence, f):
    """On ten points with known p and q, ascent on v finds Σ q f(p/q), and no v gets above it."""
    torch.manual_seed(0)
    p, q = torch.randn(10).softmax(0).double(), torch.randn(10).softmax(0).double()
    exact = (q * f(p / q)).sum().item()
    v = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([v], 0.1)
    for _ in range(500):
        optimizer.zero_grad()
        t, conjugate = terms(divergence, v)
        bound = (p * t).sum() - (q * conjugate).sum()
        assert bound.item() <= exact + 1e-9
        (-bound).backward()
        optimizer.step()
    assert bound.item() == pytest.approx(exact, rel=1e-3)


def test_exponentials_go_on_as_lines():
    x = torch.tensor([-1.0, LINEAR_FROM, LINEAR_FROM + 2], requires_grad=True)
    torch.testing.assert_close(exp(x)[:2], x[:2].exp())
    assert exp(x)[2].item() == pytest.approx(3 * math.exp(LINEAR_FROM))
    exp(x).sum().backward()
    assert x.grad[2].item() == pytest.approx(math.exp(LINEAR_FROM))


def test_the_penalty_takes_one_norm_an_image_over_all_its_pixels():
    """A linear critic has the same slope everywhere: the norm of its weights."""
    model = WGAN((1, 2, 3), 2, hidden=(4,), penalty_weight=10.0)
    model.discriminator = LinearCritic(torch.arange(1.0, 7))
    slope = math.sqrt(sum(i * i for i in range(1, 7)))
    found = model.penalty(torch.rand(5, 1, 2, 3), torch.rand(5, 1, 2, 3), None)
    assert found.item() == pytest.approx(10 * (slope - 1) ** 2, rel=1e-5)
    plain = GAN((1, 2, 3), 2, hidden=(4,), r1=2.0)
    plain.discriminator = model.discriminator
    assert plain.penalty(torch.rand(5, 1, 2, 3), torch.rand(5, 1, 2, 3), None).item() == pytest.approx(
        slope**2, rel=1e-5
    )


class LinearCritic(torch.nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return x.flatten(1) @ self.weight


def test_the_critics_gradient_does_not_reach_the_generator():
    model, seen = GAMES["gan"](lr=0.0, critic_lr=0.0), []
    step = model.manual_backward
    model.manual_backward = lambda loss: (  # type: ignore[method-assign]
        step(loss),
        seen.append([p.grad is not None and p.grad.abs().sum().item() > 0 for p in model.generator.parameters()]),
    )
    fit(model, batch_size=64)
    assert not any(seen[0]) and any(seen[1])  # the critic's step, then the generator's


def test_clipping_holds_after_every_step_and_saturates():
    model = WGAN((1, 8, 8), 4, hidden=(16,), constraint="clip", clip=0.05, critic_steps=1, critic_lr=1e-2)
    fit(model, epochs=20)
    weights = torch.cat([p.detach().flatten() for p in model.discriminator.parameters()])
    assert weights.abs().max() <= 0.05 + 1e-7 and (weights.abs() > 0.0499).float().mean() > 0.3


def test_hinges_stop_asking_where_the_verdict_is_right_with_a_margin():
    model = GAMES["sngan"]()
    assert model.critic_loss(torch.tensor([1.5, 0.5]), torch.tensor([-2.0, 0.0])).item() == 0.25 + 0.5
    assert model.generator_loss(torch.tensor([2.0, 0.0])).item() == -1.0


def test_normalised_layers_stretch_no_difference():
    """After power steps enough, every weight's largest singular value is 1; the network's slope is that of its sums at most."""
    torch.manual_seed(0)
    critic = SNGAN((1, 8, 8), 4, width=4, num_classes=3).discriminator
    normalised = [m for m in critic.modules() if torch.nn.utils.parametrize.is_parametrized(m, "weight")]
    assert len(normalised) == 7  # the first, two in each of two blocks, the verdict, the classes
    for layer in normalised:
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(7)
        for _ in range(200):  # a step each in training
            _ = layer.weight
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert norm.item() == pytest.approx(1.0, rel=1e-3)


def test_the_class_adds_its_product_with_the_features():
    """d(x, y) = wᵀφ(x) + e_yᵀφ(x), so verdicts of a one-hot sum of classes add up."""
    critic = SNGAN((1, 8, 8), 4, width=4, num_classes=3).discriminator.eval()
    x, one = torch.rand(5, 1, 8, 8), torch.eye(3)
    with torch.no_grad():
        plain = critic(x, torch.zeros(5, 3))
        apart = [critic(x, one[k].expand(5, 3)) - plain for k in range(3)]
        torch.testing.assert_close(critic(x, torch.ones(5, 3)) - plain, sum(apart))
    assert not torch.allclose(apart[0], apart[1])


def test_the_generator_moves_in_every_kth_step_only():
    model, calls = GAMES["gan"](critic_steps=2), []
    model.update_average = lambda: calls.append(1)  # type: ignore[method-assign]
    fit(model, batch_size=8)
    assert len(calls) == 4  # of eight batches


def test_the_average_is_exponential_and_forgets_the_start():
    model = GAMES["gan"](ema=0.5)
    model.update_average()  # before the first step: (1 + 0)/(10 + 0) of the old
    with torch.no_grad():
        for p in model.generator.parameters():
            p.fill_(2.0)
        for p in model.average.parameters():
            p.fill_(1.0)
    model.update_average()
    assert next(model.average.parameters()).flatten()[0].item() == pytest.approx(1.9)


def test_learning_rates_decay_linearly():
    model = GAMES["gan"](lr=1e-2, critic_lr=2e-2, final_lr=0.1)
    fit(model, epochs=2, batch_size=16)  # 4 batches an epoch: the last step stands at 7/8 of the way
    rates = [o.param_groups[0]["lr"] for o in model.optimizers()]
    expected = 1 - 0.9 * 7 / 8
    assert rates == pytest.approx([1e-2 * expected, 2e-2 * expected])


def test_training_goes_on_from_what_was_saved(tmp_path):
    """Both networks and the average travel with the checkpoint."""
    import zoo

    model = fit(GAMES["gan"](num_classes=2))
    loaded = zoo.load(model.save_pretrained(tmp_path / "x"))
    for part in ("generator", "discriminator", "average"):
        assert all(
            torch.equal(a, b)
            for a, b in zip(getattr(model, part).parameters(), getattr(loaded, part).parameters(), strict=True)
        )
    fit(loaded)


def test_labels_reach_both_networks_and_a_small_game_learns_its_two_images():
    torch.manual_seed(0)
    model = GAN((1, 8, 8), 4, hidden=(32,), num_classes=2, lr=5e-3, critic_lr=5e-3, ema=0.98, r1=0.1)
    fit(model, epochs=250, batch_size=16)
    x, y = data(2)
    images = model.sample(20, seed=0, labels=torch.arange(20) % 2)
    for k in (0, 1):  # under the other label all of the pixels would be wrong by 0.9
        assert (images[k::2].mean(0) - x[k]).abs().mean() < 0.3
    verdicts = model.discriminate(x, labels=y), model.discriminate(x, labels=1 - y)
    assert not torch.allclose(*verdicts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, c: m.sample(2, labels=torch.tensor([0, 1])), "takes no labels"),
        (lambda m, c: m.sample(2, batch_size=0), "batch_size"),
        (lambda m, c: m.decode(torch.rand(2, 5)), r"codes are \[N, 4\], not \[2, 5\]"),
        (lambda m, c: m.decode(torch.full((2, 4), float("inf"))), "NaN or infinite"),
        (lambda m, c: m.discriminate(torch.rand(2, 1, 4, 4)), r"images are \[N, 1, 8, 8\]"),
        (lambda m, c: c.sample(2, labels=torch.tensor([0, 2])), "labels run from 0 to 1, there is no 2"),
        (lambda m, c: c.sample(2, labels=torch.tensor([0])), "2 images need 2 labels, or one for all, not 1"),
        (lambda m, c: c.decode(torch.rand(2, 4)), "this model is conditional"),
        (lambda m, c: GAN(num_classes=1), "num_classes is 0"),
        (lambda m, c: GAN(critic_steps=0), "critic_steps"),
        (lambda m, c: GAN(generator_loss="hinge"), "saturating"),
        (lambda m, c: FGAN(divergence="tv"), "hellinger"),
        (lambda m, c: WGAN(constraint="spectral"), "clip"),
        (lambda m, c: WGAN(clip=0.0), "above 0"),
        (lambda m, c: DCGAN((1, 30, 30)), "multiples of 4"),
        (lambda m, c: SNGAN((3, 28, 28)), "multiples of 8"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call(GAMES["gan"](), GAMES["gan"](num_classes=2))
