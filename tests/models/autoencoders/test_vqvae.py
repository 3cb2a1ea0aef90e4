"""What the shared suites can't know about the vector-quantised autoencoder and its prior."""

import pytest
import torch

from zoo.errors import InputError
from zoo.models.autoencoders.vqvae import VQVAE, Codebook, Prior


def small() -> VQVAE:
    torch.manual_seed(0)
    model = VQVAE((1, 6, 6), 4, entries=8, entry_dim=3, hidden=(32,), prior_width=16, prior_layers=1, prior_heads=2)
    model.log_train = lambda **_: None  # type: ignore[method-assign]
    return model


def test_nearest_is_the_nearest():
    torch.manual_seed(0)
    book, z = Codebook(50, 4), torch.randn(6, 7, 4)
    assert torch.equal(book.nearest(z), torch.cdist(z.flatten(0, 1), book.vectors).argmin(1).reshape(6, 7))


def test_entries_move_to_the_mean_of_what_chose_them_and_none_stays_unused():
    torch.manual_seed(0)
    centres = torch.tensor([[5.0, 0.0], [0.0, 5.0], [-5.0, 0.0], [0.0, -5.0]])
    z = centres.repeat(50, 1) + 0.1 * torch.randn(200, 2)
    book = Codebook(4, 2, decay=0.9)
    with torch.no_grad():
        book.vectors.copy_(torch.tensor([[5.0, 0.1], [90.0, 90.0], [91.0, 91.0], [92.0, 92.0]]))
        book.sums.copy_(book.vectors)
    for _ in range(300):
        book.follow(z, book.nearest(z))
    assert len(book.nearest(z).unique()) == 4
    chosen = book.nearest(z)
    for k in range(4):
        torch.testing.assert_close(book.vectors[k], z[chosen == k].mean(0), rtol=0, atol=0.05)


def test_the_codebook_keeps_its_digits_under_autocast():
    plain, mixed = Codebook(8, 5), Codebook(8, 5)
    mixed.load_state_dict(plain.state_dict())
    z = torch.randn(40, 5)
    plain.follow(z, plain.nearest(z))
    with torch.autocast("cpu", torch.bfloat16):
        mixed.follow(z, mixed.nearest(z))
    assert torch.equal(plain.sums, mixed.sums) and torch.equal(plain.vectors, mixed.vectors)


def test_the_gradient_passes_the_rounding_unchanged():
    model, x = small(), torch.rand(5, 1, 6, 6)
    z = model.encoder(x)
    word = model.codebook.vectors[model.codebook.nearest(z)].requires_grad_(True)
    (at_word,) = torch.autograd.grad((model.decoder(word) - x).square().sum(), word)
    copied = z + (word - z).detach()
    (at_z,) = torch.autograd.grad((model.decoder(copied) - x).square().sum(), z)
    torch.testing.assert_close(at_z, at_word)


def test_the_prior_reads_only_the_words_before():
    torch.manual_seed(0)
    prior, words = Prior(8, 5, 16, 2, 2).eval(), torch.randint(8, (3, 5))
    other = words.clone()
    other[:, 3] = (other[:, 3] + 1) % 8
    same, changed = prior(words), prior(other)
    torch.testing.assert_close(same[:, :4], changed[:, :4])
    assert not torch.allclose(same[:, 4], changed[:, 4])
    log_p = same.log_softmax(2).gather(2, words[..., None]).sum((1, 2))
    torch.testing.assert_close(prior.nats(words), -log_p)


def test_it_learns_a_few_images_and_draws_them():
    model = small().train()
    x = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1)).round().repeat(8, 1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(400):
        optimizer.zero_grad()
        model.training_step((x, torch.zeros(32)), step).backward()
        optimizer.step()
    assert (model.reconstruct(x) - x).square().mean() < 0.01
    images = model.sample(100, seed=0)
    distance = torch.cdist(images.flatten(1), x[:4].flatten(1))
    assert (distance.min(1).values < 0.5).float().mean() > 0.9  # nearly every sentence is one that it was taught
    assert len(distance.argmin(1).unique()) == 4
    assert torch.equal(images, model.sample(100, seed=0))
    path = model.interpolate(x[:2], x[1:3], steps=3)
    torch.testing.assert_close(path[:, 0], model.reconstruct(x[:2]))
    torch.testing.assert_close(path[:, 2], model.reconstruct(x[1:3]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.decode(torch.zeros(2, 5).long()), r"whole numbers \[N, 4\]"),
        (lambda m: m.decode(torch.zeros(2, 4)), "whole numbers"),
        (lambda m: m.decode(torch.full((2, 4), 8)), r"codes lie in 0\.\.7, these in 8\.\.8"),
        (lambda m: m.sample(2, labels=torch.zeros(2)), "takes no labels"),
        (lambda m: m.sample(2, temperature=0.0), "temperature"),
        (lambda m: m.interpolate(torch.rand(2, 1, 6, 6), torch.rand(3, 1, 6, 6)), "one length"),
        (lambda m: VQVAE(entries=0), "entries"),
        (lambda m: VQVAE(prior_width=30, prior_heads=4), "multiple of prior_heads"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call(small())
