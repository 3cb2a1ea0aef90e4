"""What the shared suites (every architecture, every checkpoint) can't know about the small CNN."""

import torch

from zoo.models.convnets.cnn import CNN


def tiny(**init: int | float) -> CNN:
    torch.manual_seed(0)
    return CNN(7, 3, width=2, embedding_dim=16, **init)


def test_default_size():
    assert sum(p.numel() for p in CNN().parameters()) == 417_210


def test_stages_have_the_documented_shapes_and_end_with_what_the_head_sees():
    model = tiny().eval()
    x = torch.rand(5, 3, 28, 28)
    features = model.features(x)
    shapes = {name: list(value.shape[1:]) for name, value in features.items()}
    assert shapes == {"stem": [2, 28, 28], "stage1": [8, 7, 7], "stage2": [16, 3, 3], "embedding": [16]}
    assert list(features)[-1] == "embedding"
    torch.testing.assert_close(model(x), model.head(features["embedding"]))


def test_a_unit_of_the_first_stage_sees_twelve_pixels():
    """3 from the stem; 2 from a convolution and 1 from pooling; the same again on a grid twice as coarse, 4 and 2."""
    model = tiny().eval()
    x = torch.rand(1, 3, 28, 28).requires_grad_()
    model.features(x)["stage1"][0, :, 3, 3].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 12


def test_pooling_before_the_norm_changes_nothing_where_the_scale_is_positive():
    """conv → pool → norm → ReLU equals conv → norm → ReLU → pool at inference: both keep order for γ > 0."""
    block = tiny().eval().stage1[1]
    conv, pool, norm, relu = block
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        x = torch.randn(3, 8, 14, 14)
        torch.testing.assert_close(block(x), pool(relu(norm(conv(x)))))


def test_dropout_acts_on_the_embedding_in_training_only():
    model = tiny(dropout=0.9)
    x = torch.rand(64, 3, 28, 28)
    dropped = (model.train().features(x)["embedding"] == 0).float().mean()
    kept = (model.eval().features(x)["embedding"] == 0).float().mean()
    assert dropped > 0.85 > kept
    assert torch.equal(model(x), model(x))


def test_frozen_backbone_keeps_its_statistics():
    model = tiny().freeze("backbone").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(torch.rand(8, 3, 28, 28))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
