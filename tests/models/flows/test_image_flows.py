"""Flows of images: every layer against autograd, the bound on the probability against its exact value, the verbs."""

import math

import pytest
import torch
from scipy.stats import truncnorm

from tests.models.flows.oracles import check_bijection, shaken
from zoo.core import protocols
from zoo.errors import InputError
from zoo.models.flows.bijections import Bijection, Chain, Logit
from zoo.models.flows.dequantisation import NormalEnds
from zoo.models.flows.glow import ActNorm, Glow, InvertibleConv
from zoo.models.flows.image_flow import ImageFlow
from zoo.models.flows.maf import ImageMAF
from zoo.models.flows.multiscale import ConvCoupling, MultiScale, Squeeze, checkerboard, half_channels
from zoo.models.flows.nice import NICE, AdditiveCoupling, Diagonal
from zoo.models.flows.realnvp_image import ImageRealNVP

SHAPE = (1, 4, 4)


def all_flows() -> list[ImageFlow]:
    torch.manual_seed(0)
    flows = [
        NICE(SHAPE, 3, hidden_dim=8, depth=1),
        ImageRealNVP(SHAPE, 4, couplings=2, blocks=1),
        ImageMAF(SHAPE, 2, hidden_dim=24),
        Glow(SHAPE, 4, levels=2, steps=2, blocks=1),
    ]
    return [shaken(flow, 0.1) for flow in flows]


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdditiveCoupling(16, 0, 8, 1),
        lambda: AdditiveCoupling(16, 1, 8, 1),
        lambda: Diagonal(16),
    ],
)
def test_layers_of_nice(make):
    check_bijection(shaken(make()), torch.randn(3, 16))


@pytest.mark.parametrize(
    "make",
    [
        Squeeze,
        lambda: ConvCoupling(checkerboard((2, 4, 4), 0), 4, 1),
        lambda: ConvCoupling(half_channels((2, 4, 4), 1), 4, 1),
        lambda: ActNorm(2),
        lambda: InvertibleConv(2),
        lambda: MultiScale(
            [Squeeze(), Chain(ActNorm(4), ConvCoupling(half_channels((4, 2, 2), 0), 4, 1))], [(8, 2, 2), (4, 2, 2)]
        ),
    ],
)
def test_layers_of_images(make):
    check_bijection(shaken(make()), torch.randn(2, 2, 4, 4))


@pytest.mark.parametrize("flow", all_flows(), ids=lambda flow: type(flow).__name__)
def test_a_whole_flow(flow):
    check_bijection(flow.flow, torch.rand(2, *SHAPE) * 0.9 + 0.05)


def test_masks_share_out_the_pixels():
    for mask in (checkerboard, half_channels):
        a, b = mask((4, 4, 6), 0), mask((4, 4, 6), 1)
        assert torch.equal(a + b, torch.ones(4, 4, 6)) and a.sum() == b.sum()
    assert not (checkerboard((1, 4, 4), 0)[:, :, 1:] * checkerboard((1, 4, 4), 0)[:, :, :-1]).any()


def test_actnorm_starts_by_normalising_the_first_batch_and_only_that():
    layer, x = ActNorm(3).train(), 4 * torch.randn(20, 3, 5, 5) + 2
    z, _ = layer(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(3), rtol=2e-3, atol=0)
    before = layer.log_scale.detach().clone()
    layer(10 * x)
    assert torch.equal(layer.log_scale, before)
    untouched = ActNorm(3).eval()
    untouched(x)
    assert not untouched.ready


def test_invertible_convolution_is_a_rotation_at_first():
    layer = InvertibleConv(6)
    weight = layer.weight()
    torch.testing.assert_close(weight @ weight.T, torch.eye(6), rtol=0, atol=1e-5)
    assert layer.log_s.sum().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "make", [lambda: ImageRealNVP(SHAPE, 4, couplings=2, blocks=1), lambda: Glow(SHAPE, 4, steps=2)]
)
@torch.no_grad()
def test_under_autocast_only_the_couplings_networks_are_rounded(make):
    """Fresh couplings do nothing, so the flow must be what it is in float32."""
    flow, y = make().eval(), torch.rand(3, *SHAPE) * 0.9 + 0.05
    z, log_prob = flow(y)
    with torch.autocast("cpu", torch.bfloat16):
        found, rounded = flow(y)
        again = flow.flow.inverse(found)
    assert found.dtype == torch.float32 and rounded.dtype == torch.float32
    torch.testing.assert_close(found, z, rtol=0, atol=1e-6)
    torch.testing.assert_close(rounded, log_prob, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(again, y, rtol=0, atol=1e-4)


class Identity(Bijection):
    def forward(self, x):
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, z):
        return z.reshape(len(z), 1, 2, 2)


class Ramp(ImageFlow):
    """One density whose probabilities are known: p(y) = Π 2y_i on the unit square, so P(k) = Π (2k_i + 1)/256²."""

    def __init__(self) -> None:
        super().__init__((1, 2, 2))
        self.flow = Identity()

    def prior_log_prob(self, z):
        return (2 * z).log().sum(1)


def test_dequantisation_bounds_the_probability_and_more_draws_tighten_it():
    flow, k = Ramp(), torch.tensor([[0, 3, 100, 255], [1, 0, 2, 7]]).reshape(2, 1, 2, 2)
    exact = ((2 * k.double() + 1) / 256**2).log().flatten(1).sum(1)
    x = k / 255
    loose = torch.stack([flow.log_prob(x) for _ in range(4000)]).double().mean(0)
    tight = torch.stack([flow.log_prob(x, samples=2000) for _ in range(5)]).double().mean(0)
    assert (loose < exact - 1e-3).all() and (loose < tight).all()
    torch.testing.assert_close(tight, exact, rtol=0, atol=0.03)
    torch.testing.assert_close(
        flow.bits_per_dim(x, samples=2000), (-exact / (4 * math.log(2))).float(), rtol=0, atol=0.03
    )


def test_noise_of_any_density_bounds_the_same_probability():
    """∫ p((k + u)/256)/256 du over the unit square, from draws of another density."""
    flow, k = Ramp(), torch.tensor([[0, 255, 0, 255], [0, 0, 2, 255]]).reshape(2, 1, 2, 2)
    flow.noise = NormalEnds(0.01)
    exact = ((2 * k.double() + 1) / 256**2).log().flatten(1).sum(1)
    copies = (k / 255).repeat(4000, 1, 1, 1)
    loose = flow.log_prob(copies).reshape(4000, 2).double().mean(0)
    tight = flow.log_prob(copies, samples=25).reshape(4000, 2).double().logsumexp(0) - math.log(4000)
    assert (loose < exact - 1e-2).all()
    torch.testing.assert_close(tight, exact, rtol=0, atol=0.05)


def test_normal_noise_is_normal_behind_the_logit_and_its_density_integrates_to_one():
    noise, margin = NormalEnds(1e-4), 1e-4
    quantile = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    for level in (0, 255):
        k = torch.full((20_000, 1), float(level), dtype=torch.float64)
        u, log_q = noise(k, quantile[:, None])
        assert u.min() >= 0 and u.max() <= 1 and log_q.shape == (20_000,)
        logit = Logit(margin)((k + u) / 256)[0][:, 0]
        expected = torch.from_numpy(truncnorm.ppf(quantile, -3, 3))
        standard = (logit - logit.mean()) / logit.std() * expected.std()
        torch.testing.assert_close(standard, expected if level == 0 else -expected, rtol=0, atol=1e-3)
        order = u[:, 0].argsort()
        area = torch.trapezoid(log_q.exp()[order], u[:, 0][order])
        assert area.item() == pytest.approx(1, abs=0.01)
    grey = torch.full((4, 1), 7.0)
    assert torch.equal(noise(grey, grey / 10)[0], grey / 10) and not noise(grey, grey / 10)[1].any()


def test_noise_costs_eight_bits():
    """The uniform density on pixels: log p(y) = 0."""
    flow = Ramp()
    flow.prior_log_prob = lambda z: z.new_zeros(len(z))  # type: ignore[method-assign]
    x = torch.randint(256, (5, 1, 2, 2)) / 255
    torch.testing.assert_close(flow.bits_per_dim(x), torch.full((5,), 8.0))
    assert flow.loss(x).item() == pytest.approx(8.0)


@pytest.mark.parametrize("flow", all_flows(), ids=lambda flow: type(flow).__name__)
def test_verbs(flow):
    assert all(isinstance(flow, p) for p in (protocols.Samples, protocols.Scores, protocols.Encodes, protocols.Decodes))
    x = torch.randint(256, (3, *SHAPE)) / 255
    torch.testing.assert_close(flow.decode(flow.encode(x)), x, rtol=0, atol=1e-6)  # to the grey level
    path = flow.interpolate(x[0], x[1], steps=4)
    torch.testing.assert_close(path[[0, -1]], x[:2], rtol=0, atol=1.01 / 255)
    torch.testing.assert_close(
        flow.interpolate(x[0], x[0], steps=3), x[:1].expand(3, -1, -1, -1), rtol=0, atol=1.01 / 255
    )
    images = flow.sample(5, seed=1, batch_size=2)
    assert torch.equal((images * 255).round() / 255, images) and torch.equal(
        images, flow.sample(5, seed=1, batch_size=2)
    )
    assert torch.equal(flow.sample(2, temperature=0.0)[0], flow.sample(2, temperature=0.0)[1])
    for call in (
        lambda: flow.log_prob(torch.rand(2, 1, 5, 5)),
        lambda: flow.log_prob(2 * x),
        lambda: flow.log_prob(x[:0]),
        lambda: flow.log_prob(x, samples=0),
        lambda: flow.decode(torch.zeros(2, 3)),
        lambda: flow.sample(2, labels=torch.zeros(2)),
        lambda: flow.sample(2, temperature=-1.0),
        lambda: flow.interpolate(x[0], torch.rand(1, 2, 2)),
        lambda: flow.interpolate(x[0], x[1], steps=0),
        lambda: flow.sample(2, batch_size=0),
        lambda: flow.decode(torch.full((2, flow.dim), torch.nan)),
    ):
        with pytest.raises(InputError):
            call()


def test_nice_prior_is_the_logistic():
    flow, z = NICE(SHAPE, 1, hidden_dim=4, depth=1), torch.randn(4, 16)
    logistic = torch.distributions.TransformedDistribution(
        torch.distributions.Uniform(torch.zeros(16), torch.ones(16)),
        [torch.distributions.SigmoidTransform().inv],
    )
    torch.testing.assert_close(flow.prior_log_prob(z), logistic.log_prob(z).sum(1))
    drawn = flow.prior_sample(20_000, torch.Generator().manual_seed(0))
    assert drawn.var().item() == pytest.approx(math.pi**2 / 3, rel=0.02)


@pytest.mark.parametrize(
    "make", [lambda: ImageRealNVP((1, 6, 6)), lambda: Glow((1, 6, 6), levels=2), lambda: NICE((1, 3, 3))]
)
def test_sizes_that_do_not_divide_are_refused(make):
    with pytest.raises(InputError):
        make()
