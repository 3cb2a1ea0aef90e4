"""What the shared suites can't know about the Vision Transformer: timm's network, tokenisers, pooling."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from zoo.errors import InputError
from zoo.models.transformers.vit import Block, ViT


def tiny(**init: object) -> ViT:
    torch.manual_seed(0)
    return ViT(5, 3, **{"image_size": 16, "patch": 4, "dim": 24, "depth": 2, "heads": 3, "mlp_dim": 32, **init})  # type: ignore[arg-type]


def test_equals_timm_from_the_same_weights():
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_ratio": 32 / 24}
    reference = VisionTransformer(num_classes=5, **shape).eval()
    for parameter in reference.parameters():  # zeros and ones could be swapped unseen
        torch.nn.init.normal_(parameter, std=0.2)
    model = tiny().eval()
    ours = dict(model.named_parameters())
    names = {"stem.cls": "cls_token", "stem.position": "pos_embed"}
    for name, parameter in ours.items():
        theirs = names.get(name, name.replace("stem.patches", "patch_embed.proj"))
        for a, b in (
            ("attention.project", "attn.proj"),
            ("attention", "attn"),
            ("mlp.0", "mlp.fc1"),
            ("mlp.3", "mlp.fc2"),
        ):
            theirs = theirs.replace(a, b)
        parameter.data.copy_(reference.get_parameter(theirs))
    assert sum(p.numel() for p in ours.values()) == sum(p.numel() for p in reference.parameters())
    x = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-5)


def test_default_size():
    with torch.device("meta"):
        assert sum(p.numel() for p in ViT().parameters()) == 2_693_578


@pytest.mark.parametrize("pool", ["cls", "mean", "sequence"])
def test_without_positions_the_order_of_patches_is_lost(pool):
    model = tiny(pool=pool).eval()
    x = torch.randn(2, 3, 16, 16)
    moved = x.roll(4, 3)  # by a whole patch, round the edge
    assert not torch.allclose(model(x), model(moved), atol=1e-5)
    torch.nn.init.zeros_(model.stem.position)
    torch.testing.assert_close(model(x), model(moved), rtol=1e-4, atol=1e-5)


def test_convolutions_give_as_many_words_as_patches_do():
    model = tiny(tokenizer="conv", pool="sequence")
    stages = model.features(torch.randn(2, 3, 16, 16))
    assert list(stages["words"].shape) == [2, 16, 24] and list(stages["embedding"].shape) == [2, 24]
    assert [name for name in stages] == ["words", "block1", "block2", "embedding"]


def test_skipped_layers_keep_the_mean():
    block = Block(4, 2, 8, 0.0, 0.5).train()
    change = block._skipped(torch.ones(4000, 2, 4))
    assert set(change.unique().tolist()) == {0.0, 2.0} and (change.mean() - 1).abs() < 0.1
    assert torch.equal(block.eval()._skipped(change), change)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ({"patch": 5}, "multiple of patch 5"),
        ({"heads": 5}, "multiple of heads 5"),
        ({"tokenizer": "conv", "patch": 1}, "2, 4, 8"),
        ({"patch": 0}, "at least 1"),
    ],
)
def test_bad_arguments_are_refused(init, words):
    with pytest.raises(InputError, match=words):
        tiny(**init)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"\[20, 20\] gives 25 patches; this model takes 16"):
        tiny()(torch.zeros(1, 3, 20, 20))


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_patch_dropout_leaves_out_words_with_their_positions(pool):
    model, x = tiny(pool=pool, patch_dropout=0.7), torch.randn(2, 3, 16, 16)
    tokens = int(pool == "cls")
    some, again, full = model.stem(x), model.stem(x), model.eval().stem(x)
    assert some.shape == (2, 5 + tokens, 24) and full.shape == (2, 16 + tokens, 24)
    assert not torch.equal(some, again)  # drawn anew
    assert torch.equal(some[:, :tokens], full[:, :tokens])
    for thinned, whole in zip(some[:, tokens:], full[:, tokens:], strict=True):
        same = (thinned[:, None] - whole).abs().amax(2) < 1e-6  # [5, 16]
        assert same.any(1).all() and same.any(0).sum() == 5


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_patch_dropout_is_a_share(share):
    with pytest.raises(InputError, match="patch_dropout must be at least 0 and below 1"):
        tiny(patch_dropout=share)
