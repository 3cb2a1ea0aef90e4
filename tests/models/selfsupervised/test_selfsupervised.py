"""The parts of the self-supervised models against loops, closed forms and inverses."""

import math

import pytest
import torch
from torch.nn import functional as F

import zoo
from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.models.selfsupervised.byol import BYOL
from zoo.models.selfsupervised.colorization import BINS, Colorization, nearest_bin, to_lab, to_rgb
from zoo.models.selfsupervised.jigsaw import ORDERS, Jigsaw, cut, lay
from zoo.models.selfsupervised.rotnet import RotNet, all_turns
from zoo.models.selfsupervised.simclr import SimCLR, nt_xent
from zoo.models.selfsupervised.views import YIQ, crop, jitter

PIXELS = Transform(size=[32, 32], mode="RGB", mean=[0.0] * 3, std=[1.0] * 3)


def images(n: int = 6, size: int = 32) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_nt_xent_is_the_double_loop():
    z = F.normalize(torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    losses = []
    for i in range(10):
        partner = (i + 5) % 10
        others = [math.exp(float(z[i] @ z[k]) / 0.3) for k in range(10) if k != i]
        losses.append(-math.log(math.exp(float(z[i] @ z[partner]) / 0.3) / sum(others)))
    assert nt_xent(z, 0.3).item() == pytest.approx(sum(losses) / 10, rel=1e-5)


def test_a_whole_crop_is_the_image_and_a_mirror_is_its_mirror():
    x = images()
    torch.manual_seed(0)
    views = crop(x, 32, least=1.0)  # of the area; its sides still vary, so squares are compared by hand below
    assert views.shape == x.shape and 0 <= views.min() and views.max() <= 1
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32)
    means = crop(ramp, 8, mirror=False).mean((1, 2))  # [N, 8]: still a ramp, never the other way round
    assert (means.diff(dim=1) >= -1e-6).all()
    turned = crop(ramp, 8).mean((1, 2)).diff(dim=1).sum(1) < 0
    assert 60 < turned.sum() < 140


def test_jitter_changes_nothing_where_nothing_is_likely_and_greys_what_it_should():
    x = images()
    torch.testing.assert_close(jitter(x, likely=0, grey=0), x, atol=1e-5, rtol=0)
    grey = jitter(x, likely=0, grey=1)
    lightness = (YIQ[0] @ x.flatten(2)).view(6, 1, 32, 32).expand(-1, 3, -1, -1)
    torch.testing.assert_close(grey, lightness, atol=2e-3, rtol=0)


def test_four_quarter_turns_are_none():
    x = images(2)
    turned, number = all_turns(x)
    assert torch.equal(turned[:2], x) and number.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for i, k in enumerate(number.tolist()):
        assert torch.equal(torch.rot90(turned[i], 4 - k, (1, 2)), x[i % 2])


def test_a_jigsaw_can_be_laid_back_and_tiles_come_from_their_quarters():
    x = torch.zeros(5, 1, 32, 32)
    for quarter in range(4):
        row, column = 16 * (quarter // 2), 16 * (quarter % 2)
        x[:, :, row : row + 16, column : column + 16] = quarter
    tiles = cut(x, 14)
    assert tiles.shape == (5, 4, 1, 14, 14)
    assert torch.equal(tiles, torch.arange(4.0).view(1, 4, 1, 1, 1).expand_as(tiles))
    number = torch.tensor([0, 5, 11, 17, 23])
    laid = lay(tiles, number)
    assert laid[:, :, 0, 0, 0].tolist() == ORDERS[number].float().tolist()
    inverse = ORDERS[number].argsort(1)
    assert torch.equal(laid[torch.arange(5)[:, None], inverse], tiles)
    assert len({tuple(order) for order in ORDERS.tolist()}) == 24


def test_cuts_with_play_are_windows_of_the_image():
    x = images(3)
    tiles, windows = cut(x, 14), x[:, :, :16, :16].unfold(2, 14, 1).unfold(3, 14, 1)  # of the first quarter
    for i in range(3):
        matches = (windows[i].movedim(0, 2) == tiles[i, 0]).all(-1).all(-1).all(-1)
        assert matches.sum() == 1


def test_lab_has_known_values_and_an_inverse():
    colours = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).view(5, 3, 1, 1)
    known = torch.tensor(
        [[0, 0, 0], [100, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    )
    torch.testing.assert_close(to_lab(colours).flatten(1), known, atol=0.05, rtol=0)
    x = images()
    torch.testing.assert_close(to_rgb(to_lab(x)), x, atol=1e-3, rtol=0)


def test_the_nearest_bin_is_the_nearest():
    ab = torch.empty(1, 2, 20, 20).uniform_(-90, 90, generator=torch.Generator().manual_seed(0))
    distance = (ab.movedim(1, -1)[..., None, :] - BINS).abs().amax(-1)
    nearest = BINS[nearest_bin(ab)]
    by_hand = torch.stack(
        [BINS[:, 0].unique()[(ab[:, i, ..., None] - BINS[:, 0].unique()).abs().argmin(-1)] for i in (0, 1)], -1
    )
    assert torch.equal(nearest, by_hand) and distance.shape[-1] == 64


def test_a_coloured_picture_keeps_its_lightness_and_its_size(tmp_path):
    from PIL import Image

    model = Colorization(width=8).eval()
    model.transform = PIXELS
    x = 0.25 + 0.5 * images(1, 37)[0].mean(0, keepdim=True).expand(3, -1, -1)
    path = tmp_path / "grey.png"
    Image.fromarray((x[0] * 255).round().to(torch.uint8).numpy()).save(path)
    found = model.colorize(str(path))
    assert found.shape == (3, 37, 37) and 0 <= found.min() and found.max() <= 1
    assert isinstance(model.colorize([path, path]), list) and model.colorize(images(2)).shape == (2, 3, 32, 32)
    with torch.no_grad():  # colours far inside the screen's: the lightness survives exactly
        for say in model.say:
            say.weight.zero_(), say.bias.zero_()
    found = model.colorize(path)
    pixels = torch.from_numpy(__import__("numpy").array(Image.open(path))).float() / 255
    torch.testing.assert_close(to_lab(found[None])[0, 0], to_lab(pixels.expand(1, 3, -1, -1))[0, 0], atol=0.1, rtol=0)
    model.reset_head(3)
    with pytest.raises(InputError, match="head for classes"):
        model.colorize(path)


def test_the_target_has_no_gradient_and_follows_the_online_weights():
    model = BYOL(width=8, view_size=16).train()
    loss, values = model.pretext_loss(images(8))
    loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in model.target.parameters())
    assert 0 <= loss <= 4 and values["spread"] > 0
    with torch.no_grad():
        before = [p.clone() for p in model.target.parameters()]
        online = [
            p
            for part in (model.stem, model.stage1, model.stage2, model.stage3, model.project)
            for p in part.parameters()
        ]
        for p in online:
            p.add_(1)
    model.follow(0.9)
    for old, new, p in zip(before, model.target.parameters(), online, strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * p)
    model.freeze().unfreeze()
    assert not any(p.requires_grad for p in model.target.parameters())


def test_the_same_weights_make_the_same_projection_in_both_networks():
    model = BYOL(width=8).eval()
    torch.testing.assert_close(model.projections(images()), model.target_projections(images()))


@pytest.mark.parametrize("kind", [BYOL, Colorization, Jigsaw, RotNet, SimCLR])
def test_a_head_takes_the_place_of_the_pretext(kind, tmp_path, capsys):
    model = kind(width=8).eval()
    model.transform, model.name = PIXELS, "backbone-of-mine"
    embedding = model(images())
    assert embedding.shape == (6, 56 * 8) and torch.equal(embedding, model.features(images())["embedding"])
    with pytest.raises(InputError, match="num_classes=N"):
        model.predict(images())
    folder = model.save_pretrained(tmp_path / "backbone-of-mine")
    classifier = zoo.load(folder, num_classes=5)
    assert "new tensors head.weight" in capsys.readouterr().out
    assert classifier.task == "image-classification" and classifier.predict_proba(images()).shape == (6, 5)
    torch.testing.assert_close(classifier.features(images())["embedding"], embedding)
    assert {name for name, _ in classifier.named_children()} >= {"stem", "head"}
    assert not {"project", "target", "order", "rotation", "say"} & set(classifier.parts)
    again = zoo.load(classifier.save_pretrained(tmp_path / "five"))
    torch.testing.assert_close(again.predict_proba(images()), classifier.predict_proba(images()))
    loss = classifier.train()
    classifier.log_train = lambda **_: None
    loss = classifier.training_step((images(), torch.arange(6) % 5), 0)
    assert loss.item() > 0
    with pytest.raises(InputError, match="num_classes"):
        zoo.load(folder, num_classes=0)
