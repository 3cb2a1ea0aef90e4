"""What the shared suites can't know about autoencoders and the verbs of all models with a code."""

import lightning as L
import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from zoo.blocks.dense import dense
from zoo.errors import InputError
from zoo.models.autoencoders.autoencoder import Autoencoder, noisy, psnr, sparsity_penalty
from zoo.models.autoencoders.linear import LinearAutoencoder
from zoo.models.autoencoders.pca import largest_angle, leading_plane


def small(**init: object) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder((1, 6, 6), 3, **{"hidden": (16,), **init})  # type: ignore[arg-type]


def test_the_books_network_has_its_size_and_normalises_before_the_activation():
    model = Autoencoder(latent_dim=2, hidden=(512,), batch_norm=True)
    assert sum(p.numel() for p in model.parameters()) == 808_722
    kinds = [type(layer).__name__ for layer in model.encoder[1]]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]


def test_interpolation_ends_at_the_reconstructions_for_images_and_batches():
    model, a, b = small().eval(), torch.rand(4, 1, 6, 6), torch.rand(4, 1, 6, 6)
    path = model.interpolate(a, b, steps=5)
    assert path.shape == (4, 5, 1, 6, 6)
    torch.testing.assert_close(path[:, 0], model.reconstruct(a))
    torch.testing.assert_close(path[:, -1], model.reconstruct(b))
    torch.testing.assert_close(model.interpolate(a[1], b[1], steps=5), path[1])
    middle = model.decode((model.encode(a) + model.encode(b)) / 2)
    torch.testing.assert_close(path[:, 2], middle)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.interpolate(torch.rand(2, 1, 6, 6), torch.rand(3, 1, 6, 6)), "not 2 and 3 images"),
        (lambda m: m.interpolate(torch.rand(1, 6, 6), torch.rand(1, 6, 6), steps=0), "steps must be"),
        (lambda m: m.decode(torch.rand(2, 4)), r"codes are \[N, 3\], not \[2, 4\]"),
        (lambda m: m.decode(torch.full((1, 3), float("nan"))), "NaN"),
        (lambda m: m.encode(torch.rand(2, 1, 5, 6)), r"images are \[N, 1, 6, 6\]"),
        (lambda m: m.encode(torch.rand(2, 1, 6, 6) * 255), "finite floating-point"),
        (lambda m: m.denoise(torch.rand(1, 6, 6)), "noisy images"),
        (lambda m: Autoencoder(latent_dim=0), "latent_dim must be"),
        (lambda m: Autoencoder(hidden=(5, -1)), "width must be"),
        (lambda m: Autoencoder(noise=-1.0), "standard deviation"),
        (lambda m: Autoencoder(sparsity=0.1), "code_activation 'sigmoid'"),
        (lambda m: Autoencoder(activation="swish"), "leaky_relu"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call(small())


def test_decoded_images_lie_in_the_unit_interval_even_with_a_linear_output():
    images = small(output="none").decode(100 * torch.randn(20, 3))
    assert images.min() == 0 and images.max() == 1


def test_sparsity_penalty_is_the_kl_of_bernoulli_variables():
    z = torch.rand(50, 7) * 0.8 + 0.1
    expected = kl_divergence(Bernoulli(torch.full((7,), 0.05)), Bernoulli(z.mean(0))).sum()
    torch.testing.assert_close(sparsity_penalty(z, 0.05), expected)
    assert sparsity_penalty(torch.full((9, 7), 0.05), 0.05).abs() < 1e-6


def train(model: Autoencoder, x: torch.Tensor, steps: int, lr: float = 1e-2) -> None:
    model.log_train = lambda **_: None  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(model.parameters(), lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.zero_grad()
        model.training_step((x, torch.zeros(len(x))), step).backward()
        optimizer.step()


def test_without_nonlinearities_it_finds_the_plane_of_pca():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=generator) * torch.tensor([3.0, 2.0, 1.5])
    x = (x @ torch.randn(3, 36, generator=generator) + 0.3 * torch.randn(300, 36, generator=generator)) / 5
    torch.manual_seed(0)
    model = LinearAutoencoder((1, 6, 6), 3)
    model.log_train = lambda **_: None  # type: ignore[method-assign]
    model.mean.copy_(x.mean(0))
    plane = leading_plane(x.double(), 3)[1]
    before = largest_angle(plane, model.decoder.weight.detach())
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    for step in range(1000):
        optimizer.zero_grad()
        model.training_step((x.reshape(-1, 1, 6, 6), torch.zeros(300)), step).backward()
        optimizer.step()
    assert before > 1 and largest_angle(plane, model.decoder.weight.detach()) < 1e-2
    centred = x.double() - x.double().mean(0)
    lost = (centred - centred @ plane @ plane.T).square().sum(1).mean().item()  # the eigenvalues left out
    assert model.training_step((x.reshape(-1, 1, 6, 6), torch.zeros(300)), 0).item() == pytest.approx(lost, rel=1e-2)
    gram = model.encoder.weight @ model.decoder.weight
    torch.testing.assert_close(gram.detach(), torch.eye(3), rtol=0, atol=0.05)  # the encoder is the pseudo-inverse


def test_sparsity_silences_units_and_noise_teaches_to_denoise():
    x = torch.rand(64, 1, 6, 6, generator=torch.Generator().manual_seed(0)).round()
    free = small(code_activation="sigmoid", hidden=())
    sparse = small(code_activation="sigmoid", hidden=(), sparsity=0.05, sparsity_weight=0.1)
    for model in (free, sparse):
        train(model, x, 300)
    assert sparse.codes(x).mean() < 0.1 < free.codes(x).mean()
    denoiser = Autoencoder((1, 6, 6), 32, hidden=(64,), noise=0.5)
    train(denoiser, x[:8], 400)
    seen = noisy(x[:8], 0.5)
    assert psnr(denoiser.denoise(seen), x[:8]) > psnr(seen, x[:8]) + 6


def test_psnr_of_known_noise():
    x = torch.zeros(100, 1, 28, 28)
    assert psnr(noisy(x, 0.1), x) == pytest.approx(20, abs=0.1)


def test_dense_ends_bare_or_not_and_a_single_width_is_the_identity():
    assert [type(m).__name__ for m in dense([4, 3, 2], "gelu", dropout=0.1)] == ["Linear", "GELU", "Dropout", "Linear"]
    assert [type(m).__name__ for m in dense([4, 3], "tanh", bare_end=False)] == ["Linear", "Tanh"]
    assert len(dense([4])) == 0


def test_evaluation_compares_with_pca_at_equal_dimension():
    class Data(L.LightningDataModule):
        name = "toy"

        def tensors(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
            images = torch.randint(0, 256, (60, 1, 6, 6), generator=torch.Generator().manual_seed(len(split)))
            return images.to(torch.uint8), torch.zeros(60)

    values = {e["metric"]: e["value"] for e in small(noise=0.5).evaluate(Data())}
    assert set(values) == {"mse", "sse", "pca_mse", "psnr_gain_0.1", "psnr_gain_0.3", "psnr_gain_0.5"}
    assert values["sse"] == pytest.approx(36 * values["mse"]) and 0 < values["pca_mse"] < 1 / 12
