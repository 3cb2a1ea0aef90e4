"""Captions that are measured, and a diffusion model that reads them."""

import pytest
import torch

from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.models.diffusion import captions
from zoo.models.diffusion.captions import PAD, adjectives, describe, shorten, slant, text_of, thickness, tokens_of
from zoo.models.diffusion.text_ldm import TextLatentDiffusion
from zoo.models.diffusion.unet import CrossAttention, UNet


def bar(width: int, shear: float = 0.0) -> torch.Tensor:
    """A bar of 20 rows, `width` pixels wide, whose rows move to the right upwards by `shear` pixels a row."""
    x = torch.zeros(1, 1, 28, 28)
    for row in range(4, 24):
        left = round(14 - width / 2 + shear * (13.5 - row))
        x[0, 0, row, left : left + width] = 1
    return x


def small(condition: str = "cross-attention") -> TextLatentDiffusion:
    torch.manual_seed(0)
    model = TextLatentDiffusion(
        (1, 8, 8), 8, condition=condition, text_dim=8, autoencoder_width=8, latent_channels=2, timesteps=60
    ).eval()
    for parameter in model.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


both = pytest.mark.parametrize("condition", ["cross-attention", "film"])


def test_thickness_and_slant_measure_bars():
    for width in (2, 4, 6):  # 2·A/P of a 20-row bar: 2·20w/(2·20 + 2w), with ends
        assert thickness(bar(width)).item() == pytest.approx(40 * width / (40 + 2 * width), rel=0.06)
    for shear in (-0.5, 0.0, 0.5):
        assert slant(bar(3, shear)).item() == pytest.approx(shear, abs=0.05)
    assert slant(bar(3, 0.5).flip(3)).item() == pytest.approx(-0.5, abs=0.05)


def test_words_of_real_digits_are_all_in_use():
    x, labels = sample_split("mnist")
    tokens = describe(x.float() / 255, labels)
    for column, words in ((2, ("thin", "medium", "thick")), (3, ("backward", "upright", "slanted"))):
        share = [(tokens[:, column] == captions.WORDS.index(word)).double().mean().item() for word in words]
        assert min(share) > 0.12, share
    text = text_of(tokens[:1])[0]
    assert text.startswith("a ") and text.endswith(captions.DIGITS[int(labels[0])]) and len(text.split()) == 4
    assert torch.equal(tokens_of(text_of(tokens)), tokens)


def test_captions_lose_words_at_their_rates_and_stay_sentences():
    tokens = tokens_of("a thick slanted seven").expand(20_000, -1)
    short = shorten(tokens, 0.3, torch.Generator().manual_seed(0))
    empty = (short[:, 1] == PAD).double().mean().item()
    assert empty == pytest.approx(0.1, abs=0.01)
    thick = (short == captions.WORDS.index("thick")).any(1).double().mean().item()
    assert thick == pytest.approx(0.9 * 0.7, abs=0.015)
    assert set(text_of(short)) == {"", "a seven", "a thick seven", "a slanted seven", "a thick slanted seven"}
    assert ((short == PAD).long().diff(dim=1) >= 0).all()  # pads stand at the end
    assert torch.equal(shorten(tokens, 0.0, None), tokens)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a thick purple seven", "not in the vocabulary, 'purple': it holds a, thin"),
        (7, "is a text such as"),
        (["one", 2], "is a text such as"),
        ("a thin slanted upright nine digit", "at most 4"),
        (["one", "two", "three"], "need 2 prompts"),
    ],
)
def test_prompts_that_it_does_not_understand(prompt, message):
    with pytest.raises(InputError, match=message):
        small().sample(2, prompt=prompt)


@both
@torch.no_grad()
def test_the_prompt_matters_and_guidance_keeps_its_identities(condition):
    model, z, t = small(condition), torch.randn(2, 2, 2, 2), torch.tensor([5, 40])
    one, two, empty = (tokens_of(p, 2) for p in ("a one", "a two", ""))
    assert not torch.allclose(model(z, t, one), model(z, t, two), atol=1e-4)
    torch.testing.assert_close(model.guided(z, t, one, 0.0), model(z, t, empty))
    torch.testing.assert_close(model.guided(z, t, one, 1.0), model(z, t, one))
    expected = -1.0 * model(z, t) + 2.0 * model(z, t, one)
    torch.testing.assert_close(model.guided(z, t, one, 2.0), expected, rtol=1e-4, atol=1e-4)


@both
@torch.no_grad()
def test_pads_say_nothing(condition):
    """The embedding of a pad may be anything."""
    model, z, t = small(condition), torch.randn(2, 2, 2, 2), torch.tensor([5, 40])
    before = model(z, t, tokens_of("a seven", 2))
    model.text.words.weight[PAD] = 100.0
    torch.testing.assert_close(model(z, t, tokens_of("a seven", 2)), before, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cross_attention_is_the_formula():
    layer, x, words = CrossAttention(8, 6, 2), torch.randn(2, 8, 3, 3), torch.randn(2, 4, 6)
    assert torch.equal(layer(x, (words, torch.zeros(2, 4).bool())), x), "it starts at nothing"
    torch.nn.init.normal_(layer.attention.out_proj.weight)
    pads = torch.tensor([[False, False, True, True], [False, False, False, True]])
    a = layer.attention
    q = layer.norm(x).flatten(2).transpose(1, 2) @ a.q_proj_weight.T
    k, v = words @ a.k_proj_weight.T, words @ a.v_proj_weight.T
    q, k, v = (y.unflatten(2, (2, 4)).transpose(1, 2) for y in (q, k, v))
    weights = (q @ k.transpose(2, 3) / 2).masked_fill(pads[:, None, None], -torch.inf).softmax(-1)
    mixed = (weights @ v).transpose(1, 2).flatten(2) @ a.out_proj.weight.T
    torch.testing.assert_close(
        layer(x, (words, pads)), x + mixed.transpose(1, 2).reshape(x.shape), rtol=1e-4, atol=1e-5
    )


def test_an_unet_without_words_has_the_keys_that_it_had():
    plain = set(UNet(1, 16, attention_levels=(1,)).state_dict())
    assert not [key for key in plain if "attention" in key]
    assert set(UNet(1, 16, attention_levels=(1,), context_dim=8).state_dict()) != plain


@both
def test_samples_follow_prompts_and_seeds(condition):
    model = small(condition)
    images = model.sample(3, prompt="a thick two", seed=1, steps=3, guidance=2.0, batch_size=2)
    assert images.shape == (3, 1, 8, 8) and torch.equal(
        images, model.sample(3, prompt="a thick two", seed=1, steps=3, guidance=2.0, batch_size=2)
    )
    assert not torch.equal(images, model.sample(3, prompt="a thin nine", seed=1, steps=3, guidance=2.0, batch_size=2))
    for bad, message in (
        ({"guidance": 2.0}, "guidance 2.0 needs prompt"),
        ({"labels": torch.zeros(3)}, "in place of labels"),
        ({"eta": 2.0}, "eta lies in"),
        ({"prompt": "a two", "guidance": -1.0}, "guidance is a number from 0 on, not -1.0"),
        ({"prompt": "a two", "guidance": "strong"}, "guidance is a number from 0 on, not 'strong'"),
        ({"prompt": "a two", "batch_size": 0}, "batch_size must be"),
    ):
        with pytest.raises(InputError, match=message):
            model.sample(3, **bad)
    with pytest.raises(InputError, match="cross-attention"):
        TextLatentDiffusion(condition="concat")
    assert adjectives(torch.zeros(1, 1, 8, 8)).shape == (1, 2)  # an empty image has some words too
