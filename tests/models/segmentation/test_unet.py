"""U-Net: the ways up, pictures of any size, tiles, objects from maps, and the metrics."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import zoo
from zoo.core import drawing
from zoo.core.images import LARGEST, Transform
from zoo.errors import InputError
from zoo.models.segmentation import instances, segmenter
from zoo.models.segmentation.instances import border_of, separate
from zoo.models.segmentation.metrics import average_precisions, class_metrics, dice, iou_table
from zoo.models.segmentation.points import find_points, match, point_metrics
from zoo.models.segmentation.unet import UNet, Upsample


def ready(**init):
    torch.manual_seed(0)
    model = UNet(**({"widths": (4, 6)} | init)).eval()
    channels = model.hparams["in_channels"]
    model.transform = Transform([32, 32], "L" if channels == 1 else "RGB", [0.5] * channels, [0.5] * channels)
    return model


def test_pooling_and_unpooling_of_the_notes():
    """The 4 x 4 example: the largest value of each block, and each back in its place."""
    x = torch.tensor([[1.0, 3, 2, 5], [6, 2, 1, 0], [1, 2, 3, 1], [0, 1, 2, 6]])[None, None]
    pooled, where = F.max_pool2d(x, 2, return_indices=True)
    assert pooled[0, 0].tolist() == [[6, 5], [2, 6]]
    up = Upsample(1, 1, "unpool")
    up.conv = torch.nn.Identity()
    assert up(pooled, where)[0, 0].tolist() == [[0, 0, 0, 5], [6, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 6]]
    near = Upsample(1, 1, "nearest")
    near.conv = torch.nn.Identity()
    assert near(pooled, where)[0, 0].tolist() == [[6, 6, 5, 5], [6, 6, 5, 5], [2, 2, 6, 6], [2, 2, 6, 6]]


def test_transposed_convolution_is_the_transposed_matrix():
    up = Upsample(3, 2, "transposed").double()
    weight = up.conv.weight  # [deep, shallow, 2, 2]
    x, y = torch.randn(1, 3, 4, 4).double(), torch.randn(1, 2, 8, 8).double()
    down = F.conv2d(y, weight, stride=2)  # C y
    bias = (up.conv.bias[:, None, None] * y).sum()
    torch.testing.assert_close((up(x, torch.empty(0)) * y).sum() - bias, (x * down).sum())  # <Cᵀ x, y> = <x, C y>


@pytest.mark.parametrize("up", ["transposed", "nearest", "unpool"])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (32, 48)])
def test_any_size(up, size):
    assert ready(up=up)(torch.randn(2, 1, *size)).shape == (2, 2, *size)


def test_pictures_of_all_kinds(tmp_path):
    model = ready(in_channels=3, num_classes=4)
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    by_path = model.segment(tmp_path / "a.png")
    assert by_path.shape == (20, 30) and by_path.dtype == torch.int64
    for same in (str(tmp_path / "a.png"), Image.fromarray(noise), noise, torch.from_numpy(noise).permute(2, 0, 1)):
        assert torch.equal(model.segment(same), by_path)
    turned = Image.fromarray(noise)
    exif = turned.getexif()
    exif[0x0112] = 6  # a phone held upright
    turned.save(tmp_path / "b.jpg", exif=exif)
    assert model.segment(tmp_path / "b.jpg").shape == (30, 20)
    Image.fromarray(noise).convert("P").save(tmp_path / "c.png")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(tmp_path / "d.png")
    Image.fromarray(noise).convert("RGBA").save(tmp_path / "e.png")
    found = model.segment([tmp_path / name for name in ("c.png", "d.png", "e.png")])
    assert [tuple(f.shape) for f in found] == [(20, 30)] * 3
    assert model.segment(Image.new("RGB", (1, 1))).shape == (1, 1)
    assert model.segment(torch.zeros(2, 3, 9, 11)).shape == (2, 9, 11)
    for bad, word in ((np.zeros((4, 4, 7)), "shape"), (tmp_path / "no.png", "no file"), ([], "empty"), (5, "path")):
        with pytest.raises(InputError, match=word):
            model.segment(bad)
    with pytest.raises(InputError, match="prepared"):
        UNet(widths=(4,)).segment(noise)


def test_tiles_agree_with_the_whole(monkeypatch):
    model, picture = ready(), torch.randint(0, 256, (1, 150, 170), dtype=torch.uint8)
    whole = model.segment(picture, probability=True)
    monkeypatch.setattr(segmenter, "TILE", 64)
    torch.testing.assert_close(model.segment(picture, probability=True), whole, atol=1e-5, rtol=1e-4)


def test_a_scaled_model_answers_at_the_pictures_size():
    model, picture = ready(native=False), torch.randint(0, 256, (1, 50, 90), dtype=torch.uint8)
    p = model.segment(picture, probability=True)
    logits = model(model.transform(picture)[None])
    expected = F.interpolate(logits, (50, 90), mode="bilinear", align_corners=False).softmax(1)[0]
    torch.testing.assert_close(p, expected, atol=1e-5, rtol=1e-4)


def test_objects_that_touch_come_apart():
    y = torch.zeros(1, 40, 40, dtype=torch.int16)
    y[0, 5:20, 5:20], y[0, 5:20, 20:35], y[0, 28:38, 10:20] = 1, 2, 3
    border = border_of(y)[0]
    assert border[5, 5] and border[10, 19] and border[10, 20] and not border[10, 10]
    found = separate((y[0] > 0).float(), border.float())
    assert found.max() == 3 and average_precisions(found, y[0]) == [1.0] * 10
    merged = separate((y[0] > 0).float(), torch.zeros(40, 40))
    assert merged.max() == 2
    nothing = separate(torch.zeros(9, 9), torch.zeros(9, 9))
    assert not nothing.any()


def test_objects_in_bands_are_those_of_the_whole(monkeypatch):
    p = F.interpolate(torch.rand(2, 1, 9, 12, generator=torch.Generator().manual_seed(0)), (90, 120), mode="bicubic")[
        :, 0
    ]
    whole = separate(p[0], p[1] - 0.2)
    assert whole.max() > 5
    monkeypatch.setattr(instances, "BAND", 16)
    assert torch.equal(separate(p[0], p[1] - 0.2), whole)


def test_a_picture_wider_than_a_network_takes():
    model = ready(native=True)
    assert model.segment(torch.randint(0, 256, (1, 8, LARGEST + 4), dtype=torch.uint8)).shape == (8, LARGEST + 4)


def test_painting_in_bands(monkeypatch):
    picture, labels = torch.randint(0, 256, (1, 30, 20), dtype=torch.uint8), torch.randint(0, 3, (30, 20))
    whole = drawing.paint_classes(picture, labels, ["ground", "a", "b"])
    assert torch.equal(whole[:, labels == 0], picture[:, labels == 0].expand(3, -1))
    monkeypatch.setattr(drawing, "ROWS", 7)
    assert torch.equal(drawing.paint_classes(picture, labels, ["ground", "a", "b"]), whole)


def test_average_precision_by_hand():
    truth, found = torch.zeros(10, 20, dtype=torch.long), torch.zeros(10, 20, dtype=torch.long)
    truth[:, :10] = 1
    found[:, :8], found[:, 15:] = 1, 2  # one match of IoU 0.8, one that isn't there
    torch.testing.assert_close(iou_table(found, truth)[:, 0], torch.tensor([0.8, 0.0]).double())
    scores = average_precisions(found, truth)
    assert scores[:6] == [0.5] * 6 and scores[6:] == [0.0] * 4  # TP / (TP + FP + FN) = 1 / 2 up to an IoU of 0.75
    empty = torch.zeros(4, 4)
    assert average_precisions(empty, empty) == [1.0] * 10 and average_precisions(empty, empty + 1) == [0.0] * 10
    assert dice(empty, empty) == 1 and dice(found > 0, found > 0) == 1


def test_class_metrics_are_those_of_the_confusion_matrix():
    generator = torch.Generator().manual_seed(0)
    truth, given = (torch.randint(n, (3, 8, 8), generator=generator) for n in (4, 3))
    truth[truth == 3] = 11
    values = {m["metric"]: m["value"] for m in class_metrics(given, truth, ["a", "b", "c"], 11, "test")}
    kept = truth != 11
    by_hand = [
        ((truth == c) & (given == c) & kept).sum() / (((truth == c) | (given == c)) & kept).sum() for c in range(3)
    ]
    assert values["miou"] == pytest.approx(sum(by_hand).item() / 3, abs=1e-5)
    assert values["iou_b"] == pytest.approx(by_hand[1].item(), abs=1e-5)
    assert values["pixel_accuracy"] == pytest.approx((truth == given)[kept].float().mean().item(), abs=1e-5)


def test_points_lie_in_the_middle():
    p = torch.zeros(3, 30, 30)
    p[0] = 1
    for kind, (x, y) in ((1, (10, 8)), (2, (20, 21))):
        p[0, y - 1 : y + 2, x - 1 : x + 2] = 0.1
        p[kind, y - 1 : y + 2, x - 1 : x + 2] = 0.9
    found = find_points(p)
    assert found[:, 0].tolist() == [1, 2]
    torch.testing.assert_close(found[:, 2:], torch.tensor([[10.5, 8.5], [20.5, 21.5]]))
    there = torch.tensor([[1.0, 10.9, 8.5], [1.0, 20.5, 21.5], [1.0, 3.0, 3.0]])
    i, j = match(found[:, 2:], there[:, 1:])
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 0), (1, 1)]
    values = {m["metric"]: m["value"] for m in point_metrics([found], [there], "atoms")}
    assert values["f1"] == pytest.approx(0.8) and values["kind_accuracy"] == 0.5
    assert values["distance"] == pytest.approx(0.2, abs=1e-5)
    assert find_points(torch.stack([torch.ones(5, 5), torch.zeros(5, 5)])).shape == (0, 4)


def test_what_makes_no_sense_is_refused():
    for init, word in (
        ({"up": "bicubic"}, "up must be"),
        ({"num_classes": 3, "border": True}, "2 classes"),
        ({"loss": "hinge"}, "loss must be"),
        ({"class_weights": [1.0]}, "class_weights"),
        ({"stem": 0}, "stem"),
        ({"num_classes": 0}, "num_classes"),
    ):
        with pytest.raises(InputError, match=word):
            UNet(**init)
    with pytest.raises(InputError, match="not objects"):
        ready().instances(torch.zeros(1, 8, 8))


def test_the_published_one_counts_packaged_nuclei():
    from zoo.core.samples import picture_sample

    model = zoo.load("unet-nuclei")
    pictures, truth = picture_sample("nuclei")
    overlap = [dice(model.segment(x), y > 0).item() for x, y in zip(pictures[:4], truth, strict=False)]
    assert sum(overlap) / 4 > 0.85
    assert abs(int(model.instances(pictures[0]).max()) - int(truth[0].max())) <= 1
