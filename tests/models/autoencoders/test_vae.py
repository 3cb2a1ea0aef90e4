"""What the shared suites can't know about the variational autoencoders."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from zoo.errors import InputError
from zoo.models.autoencoders.cvae import CVAE
from zoo.models.autoencoders.infovae import InfoVAE, squared_mmd
from zoo.models.autoencoders.vae import VAE, log_likelihood, rate
from zoo.models.autoencoders.vib import VIB


def small(cls: type[VAE] = VAE, **init: object) -> VAE:
    torch.manual_seed(0)
    return cls((1, 6, 6), 3, **{"hidden": (16,), **init}).eval()  # type: ignore[arg-type]


def binary(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(1)).round()


def test_the_books_network_has_its_size():
    assert sum(p.numel() for p in VAE(latent_dim=16, hidden=(256,)).parameters()) == 415_024


def test_terms_equal_torch_distributions():
    model, x = small(), binary()
    mean, log_var = model.posterior(x)
    posterior = Independent(Normal(mean, (0.5 * log_var).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(rate(mean, log_var), kl_divergence(posterior, prior))
    z = torch.randn(5, 3)
    expected = Bernoulli(logits=model.logits(z)).log_prob(x.flatten(1)).sum(1)
    torch.testing.assert_close(log_likelihood(model.logits(z), x), expected)
    log_w = model.log_weights(x, None, mean, log_var, 7, torch.Generator().manual_seed(3))
    eps = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(3))
    z = mean + (0.5 * log_var).exp() * eps
    joint = prior.log_prob(z) + Bernoulli(logits=model.logits(z)).log_prob(x.flatten(1)).sum(-1)
    torch.testing.assert_close(log_w, joint - posterior.log_prob(z))


def test_importance_weighting_tightens_the_bound():
    model, x = small(), binary(64)
    elbo = torch.stack([torch.sub(*model.elbo(x, seed=seed)) for seed in range(50)]).mean()
    bounds = [model.log_prob(x, samples=k, seed=0).mean() for k in (1, 20, 1000)]
    assert bounds[0] == pytest.approx(elbo.item(), abs=0.1)
    assert bounds[0] < bounds[1] - 0.01 < bounds[2] - 0.01


def test_log_prob_equals_the_integral_over_a_grid():
    """With a code of one number, log p(x) is a sum over a fine grid."""
    torch.manual_seed(0)
    model, x = VAE((1, 3, 3), 1, hidden=(8,)).eval(), torch.rand(4, 1, 3, 3).round()
    z = torch.linspace(-8, 8, 4001)[:, None]
    with torch.no_grad():
        joint = Bernoulli(logits=model.logits(z)[:, None]).log_prob(x.flatten(1)).sum(-1) + Normal(0, 1).log_prob(z)
    exact = torch.logsumexp(joint, 0) + math.log(16 / 4000)
    torch.testing.assert_close(model.log_prob(x, samples=20_000, seed=0), exact, rtol=0, atol=0.01)


def test_log_prob_doesnt_depend_on_how_images_are_batched():
    model, x = small(), binary(130)
    together = model.log_prob(x, samples=3000, seed=0)
    torch.testing.assert_close(model.log_prob(x[128:], samples=3000, seed=1), together[128:], rtol=0, atol=0.1)


def trained(model: VAE, steps: int = 400) -> dict[str, float]:
    """Train on a few binary images with labels; the last values of what it logs, and the bound."""
    logged: dict[str, float] = {}
    model.train().log_train = lambda **v: logged.update({k: float(torch.as_tensor(t).detach()) for k, t in v.items()})  # type: ignore[method-assign]
    x, y = binary(8), torch.arange(8) % 2
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        model.training_step((x, y), step).backward()
        optimizer.step()
    return logged


def test_beta_walks_along_the_rate_distortion_curve():
    low, one, high = (trained(small(beta=beta)) for beta in (0.1, 1.0, 10.0))
    assert low["rate"] > one["rate"] > high["rate"] and low["distortion"] < one["distortion"] < high["distortion"]


def test_the_sign_of_the_rate_is_right():
    """With the sign that some books print, the loss has no lower bound and the rate explodes."""
    found = trained(small(beta=1.0))
    assert 0 < found["rate"] < 20 and found["loss"] > 0


def test_iwae_loss_is_below_the_plain_one_and_has_no_beta():
    one, many = small(), small(importance=50)
    x = binary(256)
    losses = [torch.stack([m.loss(x)["loss"] for _ in range(20)]).mean().item() for m in (one, many)]
    assert losses[1] < losses[0] - 0.01
    with pytest.raises(InputError, match="has no beta"):
        small(importance=5, beta=2.0)


def test_rate_warms_up():
    model = small(rate_warmup=10)
    weights: list[float] = []
    plain = model.loss
    model.loss = lambda x, y, weight: weights.append(weight) or plain(x, y, weight)  # type: ignore[method-assign]
    model.log_train = lambda **_: None  # type: ignore[method-assign]
    model.training_step((binary(), torch.zeros(5)), 0)
    assert weights == [0.1]


def test_binarisation_is_a_coin_with_the_grey_values_probability():
    model, x = small(), torch.full((4000, 1, 6, 6), 0.3)
    coins = model.binarize(x, seed=0)
    assert set(coins.unique().tolist()) == {0.0, 1.0} and coins.mean() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(coins, model.binarize(x, seed=0)) and not torch.equal(coins, model.binarize(x, seed=1))


def test_labels_decide_what_a_conditional_model_draws():
    model = small(CVAE, num_classes=2)
    with torch.no_grad():  # class 1 lights all pixels
        first, last = model.decoder.layers
        last.bias.fill_(-4)
        first.weight[:, -1] = 9
        last.weight[:, :-2] = 0.3
        last.weight[:, -2:] = 0
        first.weight[:, :-1] = 0
        first.bias.zero_()
    images = model.sample(4, seed=0, labels=torch.tensor([0, 1, 1, 0]))
    assert (images.flatten(1).mean(1) > 0.5).tolist() == [False, True, True, False]
    x, y = torch.rand(2, 1, 6, 6), torch.tensor([1, 1])
    path = model.interpolate(x[0], x[1], steps=3, labels=(1, 1))
    torch.testing.assert_close(path[[0, -1]], model.reconstruct(x, labels=y))
    assert trained(small(CVAE, num_classes=2))["loss"] < 25


def test_every_layer_of_a_conditional_decoder_takes_the_class():
    model, z = small(CVAE, num_classes=3, hidden=(8, 8)), torch.randn(4, 3)
    for told in range(3):
        other = small(CVAE, num_classes=3, hidden=(8, 8))
        with torch.no_grad():
            for i, layer in enumerate(other.decoder.layers):
                if i != told:
                    layer.weight[:, -3:] = 0
        zero, one = (other.decode(z, labels=torch.full((4,), k)) for k in (0, 1))
        assert not torch.allclose(zero, one)
    logits = model.logits(torch.randn(5, 4, 3), torch.tensor([0, 1, 2, 0]))  # several draws for each image
    assert logits.shape == (5, 4, 36)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, c: m.log_prob(binary(), samples=0), "samples must be"),
        (lambda m, c: m.log_prob(torch.rand(2, 1, 6, 6)), "binarize"),
        (lambda m, c: m.sample(2, labels=torch.tensor([0, 1])), "takes no labels"),
        (lambda m, c: m.elbo(binary(), labels=torch.zeros(5).long()), "takes no labels"),
        (lambda m, c: m.sample(0), "at least 1"),
        (lambda m, c: m.decode(torch.rand(2, 4)), r"codes are \[N, 3\]"),
        (lambda m, c: m.interpolate(binary(2), binary(3)), "one length"),
        (lambda m, c: c.encode(binary()), "this model is conditional"),
        (lambda m, c: c.sample(2, labels=torch.tensor([0, 2])), "labels run from 0 to 1, there is no 2"),
        (lambda m, c: c.sample(2, labels=torch.tensor([0, -1])), "there is no -1"),
        (lambda m, c: c.sample(2, labels=torch.tensor([0])), "2 images need 2 labels, or one for all, not 1"),
        (lambda m, c: c.sample(2, labels=torch.tensor([0.0, 1.0])), "whole numbers"),
        (lambda m, c: c.sample(2, labels=["a", "b"]), "whole numbers"),
        (lambda m, c: c.interpolate(binary(1)[0], binary(1)[0]), "the one class of both"),
        (lambda m, c: c.interpolate(binary(1)[0], binary(1)[0], labels=(0, 1)), "the one class of both"),
        (lambda m, c: small(beta=-1.0), "beta and free_nats are at least 0"),
        (lambda m, c: small(importance=0), "importance must be"),
        (lambda m, c: small(InfoVAE, alpha=2.0), "alpha is at most 1"),
        (lambda m, c: VIB(beta=-1.0), "beta is at least 0"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call(small(), small(CVAE, num_classes=2))


def test_mmd_is_zero_on_average_for_one_distribution_and_finds_another():
    torch.manual_seed(0)
    same = torch.stack([squared_mmd(torch.randn(200, 4), torch.randn(200, 4)) for _ in range(50)])
    assert abs(same.mean()) < 3 * same.std() / 50**0.5 + 1e-3
    assert squared_mmd(torch.randn(200, 4), torch.randn(200, 4) + 1) > 10 * same.std()


def test_infovae_matches_codes_to_the_prior_and_tells_more_than_a_vae():
    matched, plain = small(InfoVAE, lambda_=100.0), small()
    values, reference = trained(matched, 300), trained(plain, 300)
    assert values["rate"] > reference["rate"]
    z = matched.codes(binary(8)).detach()
    loose = small(InfoVAE, lambda_=0.0)
    trained(loose, 300)
    assert z.square().mean() < loose.codes(binary(8)).detach().square().mean()


def test_the_bottleneck_draws_in_training_and_pays_for_nats():
    torch.manual_seed(0)
    x, y = torch.randn(32, 1, 4, 4), torch.arange(32) % 4

    def fitted(beta: float) -> VIB:
        model = VIB(4, image_size=(4, 4), latent_dim=6, hidden=(32,), beta=beta).train()
        model.log_train = lambda **_: None  # type: ignore[method-assign]
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for step in range(300):
            optimizer.zero_grad()
            model.training_step((x, y), step).backward()
            optimizer.step()
        return model

    free, dear = fitted(1e-3), fitted(0.3)
    assert not torch.equal(free.features(x)["embedding"], free.features(x)["embedding"])
    assert rate(*free.posterior(x)).mean() > 2 * rate(*dear.posterior(x)).mean()
    assert (free.eval()(x).argmax(1) == y).float().mean() > 0.9
    torch.testing.assert_close(free.encode(x), free.features(x)["embedding"])


def test_free_nats_charge_nothing_for_what_says_less():
    model, x = small(free_nats=100.0), binary()
    found = model.loss(x)
    torch.testing.assert_close(found["loss"], found["distortion"] + 3 * 100.0)
    found["loss"].backward()
    free = model.encoder[-1].weight.grad.clone()
    model.zero_grad()
    plain = small()
    plain.load_state_dict(model.state_dict())
    torch.manual_seed(5)
    plain.loss(x)["distortion"].backward()
    model.zero_grad()
    torch.manual_seed(5)
    model.loss(x)["loss"].backward()
    torch.testing.assert_close(
        model.encoder[-1].weight.grad, plain.encoder[-1].weight.grad
    )  # only the distortion pulls
    assert free.abs().sum() > 0
    tight = small(free_nats=0.0).loss(x)
    torch.testing.assert_close(tight["loss"], tight["distortion"] + tight["rate"])
