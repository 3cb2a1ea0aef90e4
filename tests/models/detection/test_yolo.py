"""YOLO: the printed shape, boxes by hand, suppression, the responsible cells, and COCO's average precision."""

import pytest
import torch
from torchvision import ops

from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.models.detection.backbones import Backbone, ReversibleBlock
from zoo.models.detection.detector import mean_average_precision
from zoo.models.detection.yolo import YOLO, pairwise_iou

SMALL = {"num_classes": 3, "in_channels": 1, "widths": (8, 8), "stem": 8, "depth": 1, "priors": ((10, 12), (30, 20))}


def build(**init):
    torch.manual_seed(0)
    return YOLO(**(SMALL | init)).eval()


def test_the_exercise_s_grid():
    """448 x 448 pixels, S = 7, B = 2 and C = 20 give 7 x 7 x 30 numbers."""
    model = YOLO(20, 3, priors=None, boxes_per_cell=2, widths=(4, 4, 4, 4, 4), stem=4).eval()
    assert model(torch.zeros(1, 3, 448, 448))[0].movedim(1, -1).shape == (1, 7, 7, 30)


def test_decoded_by_hand():
    model = build()
    raw = torch.zeros(1, 16, 4, 4)  # 2 · (5 + 3) numbers a cell of 16 pixels
    raw[0, 8:12, 1, 2] = torch.tensor([0.0, 2.0, 0.5, -0.5])  # the second prior in row 1, column 2
    corners, confidence, classes = model.all_boxes([raw])
    assert corners.shape == (1, 32, 4) and confidence.shape == (1, 32) and classes.shape == (1, 32, 3)
    box = corners[0, 16 + 1 * 4 + 2]
    x, y = (2 + 0.5) * 16, (1 + torch.tensor(2.0).sigmoid().item()) * 16
    w, h = 30 * 2.718281828**0.5, 20 * 2.718281828**-0.5
    torch.testing.assert_close(box, torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), atol=1e-3, rtol=1e-4)


def test_each_object_has_one_box_to_find_it():
    model = build()
    y = torch.full((1, 3, 5), -1.0)
    y[0, 0] = torch.tensor([2, 30, 20, 40, 32])  # 10 x 12 around (35, 26): prior 0, row 1, column 2
    y[0, 1] = torch.tensor([1, 0, 44, 30, 64])  # 30 x 20 around (15, 54): prior 1, row 3, column 0
    image, box, index = model._responsible(y, torch.zeros(1, 32, 3), [torch.Size([4, 4])])
    assert image.tolist() == [0, 0] and box.tolist() == [0, 1]
    assert index.tolist() == [1 * 4 + 2, 16 + 3 * 4 + 0]


def test_intersection_over_union_is_torchvision_s():
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(2, 7, 2, generator=generator) * 20
    boxes = torch.cat([low, low + 1 + torch.rand(2, 7, 2, generator=generator) * 20], -1)
    for n in range(2):
        torch.testing.assert_close(pairwise_iou(boxes, boxes)[n], ops.box_iou(boxes[n], boxes[n]))


def test_suppression_is_the_loop():
    """The kept boxes are those of the plain algorithm: take the likeliest, drop what overlaps it, again."""
    model, x = build(overlap=0.4), torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    corners, confidence, classes = model.all_boxes(model(x))
    scores, labels = (confidence.sigmoid()[..., None] * classes.softmax(-1)).max(-1)
    left, kept = scores[0].argsort(descending=True).tolist(), []
    while left:
        best = left.pop(0)
        kept.append(best)
        same = [i for i in left if labels[0, i] == labels[0, best]]
        far = {i for i in same if ops.box_iou(corners[0, [best]], corners[0, [i]]) <= 0.4}
        left = [i for i in left if i in far or i not in same]
    found = model.boxes(x, 0.0)[0]
    torch.testing.assert_close(found["scores"], scores[0, kept][:100])
    torch.testing.assert_close(found["boxes"], corners[0, kept][:100])


@pytest.mark.parametrize("init", [{}, {"priors": None}, {"scales": 2}, {"backbone": "gelan", "auxiliary": True}])
def test_a_picture_without_objects_and_one_with_all_teach(init):
    model = build(**init).train()
    x, y = torch.rand(2, 1, 64, 64), torch.full((2, 2, 5), -1.0)
    empty = model.loss(model(x), y)
    empty.backward()
    assert torch.isfinite(empty) and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    y[:, 0] = torch.tensor([1, 0, 0, 64, 64])
    assert torch.isfinite(model.loss(model(x), y))


def test_the_auxiliary_branch_can_go():
    model, x = build(backbone="gelan", auxiliary=True), torch.rand(1, 1, 64, 64)
    before, keys = model(x), set(model.state_dict())
    model.remove_auxiliary()
    assert all(torch.equal(a, b) for a, b in zip(before, model(x), strict=True))
    gone = keys - set(model.state_dict())
    assert gone and all(key.startswith("auxiliary") for key in gone)
    again = YOLO(**model.hparams)
    again.load_state_dict(model.state_dict())


def test_a_reversible_block_gives_its_input_back():
    block, x = ReversibleBlock(6).double().eval(), torch.randn(2, 6, 5, 5).double()
    torch.testing.assert_close(block.inverse(block(x)), x)


@pytest.mark.parametrize("kind", ["residual", "gelan"])
def test_backbones_halve(kind):
    maps = Backbone(3, (8, 12, 16), stem=4, depth=1, kind=kind)(torch.rand(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 16, 24), (12, 8, 12), (16, 4, 6)]


@pytest.mark.filterwarnings("ignore:.*, the size that the model learnt")
def test_boxes_are_in_the_picture_s_own_pixels():
    model = build()
    model.transform, model.classes = Transform([64, 64], "L", [0.0], [1.0]), ["a", "b", "c"]
    picture = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
    wide = torch.randint(0, 256, (1, 192, 128), dtype=torch.uint8)
    found = model.detect(wide, 0.0)
    inside = model.boxes(model.transform(wide)[None], 0.0)[0]
    assert len(found) == len(inside["scores"]) > 0
    for (name, p, corners), box, score, label in zip(
        found, *(inside[k] for k in ("boxes", "scores", "labels")), strict=True
    ):
        expected = (box * torch.tensor([2.0, 3.0, 2.0, 3.0])).clamp(min=0)
        limit = torch.tensor([128.0, 192.0] * 2)
        torch.testing.assert_close(torch.tensor(corners), expected.minimum(limit))
        assert p == score.item() and name == "abc"[label]
    assert isinstance(model.detect([picture, wide]), list) and len(model.detect(torch.zeros(2, 1, 9, 9))) == 2
    assert model.detect(picture, 1.0) == []


def test_average_precision_is_pycocotools():
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(6):
        low = torch.rand(5, 2, generator=generator) * 60
        true = torch.cat([low, low + 8 + torch.rand(5, 2, generator=generator) * 30], 1)
        given = true + torch.randn(5, 4, generator=generator) * 2
        label = torch.randint(2, (5,), generator=generator)
        pairs.append(
            (
                {"boxes": given, "scores": torch.rand(5, generator=generator), "labels": label},
                {"boxes": true, "labels": label},
            )
        )
    result = mean_average_precision(pairs, each=True)

    def marks(side):
        rows = []
        for i, pair in enumerate(pairs, start=1):
            labels = pair[side]["labels"].tolist()
            for k, (x0, y0, x1, y1) in enumerate(pair[side]["boxes"].tolist()):
                extra = {"area": 1000.0, "iscrowd": 0} if side else {"score": pair[0]["scores"][k].item()}
                row = {
                    "id": len(rows) + 1,
                    "image_id": i,
                    "category_id": labels[k] + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                }
                rows.append(row | extra)
        return rows

    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(1, 7)],
        "categories": [{"id": 1}, {"id": 2}],
        "annotations": marks(1),
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(marks(0)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert result["map"].item() == pytest.approx(evaluation.stats[0], abs=1e-4)
    assert result["map_50"].item() == pytest.approx(evaluation.stats[1], abs=1e-4)
    assert result["ap50_per_class"].mean().item() == pytest.approx(evaluation.stats[1], abs=1e-4)
    empty = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.long)}
    assert mean_average_precision([(empty, pairs[0][1])])["map"].item() == 0


def test_what_makes_no_sense_is_refused():
    for init, word in (
        ({"priors": ()}, "priors"),
        ({"scales": 3}, "scales"),
        ({"priors": None, "scales": 2}, "one scale"),
        ({"backbone": "vgg"}, "residual or gelan"),
        ({"num_classes": 0}, "num_classes"),
    ):
        with pytest.raises(InputError, match=word):
            YOLO(**(SMALL | init))
    with pytest.raises(InputError, match="multiples of 16"):
        build()(torch.zeros(1, 1, 60, 64))
    with pytest.raises(InputError, match="threshold"):
        build().detect(torch.zeros(1, 64, 64), -0.1)
    with pytest.raises(InputError, match="prepared"):
        build().detect(torch.zeros(1, 64, 64))
