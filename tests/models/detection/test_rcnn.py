"""Proposals by merging, R-CNN's cut-outs and frozen features, Fast R-CNN's pooling: each against a loop or by hand."""

import numpy as np
import pytest
import torch

import zoo
from zoo.errors import InputError
from zoo.models.detection.fast_rcnn import FastRCNN
from zoo.models.detection.rcnn import RCNN, FrozenFeatures, Squares
from zoo.models.detection.regions import merge, pieces, propose


def picture(*boxes, size=(48, 64)):
    ink = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        ink[y0:y1, x0:x1] = True
    return ink


def test_pieces_are_the_ink_of_each_cell():
    boxes, sizes = pieces(picture((2, 3, 10, 5)), 6)
    assert boxes.tolist() == [[2, 3, 6, 5], [6, 3, 10, 5]] and sizes.tolist() == [8, 8]


def test_separate_objects_are_proposed_whole_and_never_joined():
    objects = [(2, 3, 20, 30), (40, 10, 60, 45)]
    found = {tuple(box) for box in propose(picture(*objects)).astype(int).tolist()}
    assert set(objects) <= found
    assert all(x1 <= 20 or x0 >= 40 for x0, _, x1, _ in found)


def test_the_likest_neighbours_are_joined_first():
    # three pieces in a row: the two small ones leave more of the picture, so size puts them first
    boxes, sizes = np.array([[0, 0, 4, 4], [4, 0, 8, 4], [8, 0, 20, 12]]), np.array([16, 16, 144])
    assert merge(boxes, sizes, 400, 1.0, 2).tolist() == [[0, 0, 8, 4], [0, 0, 20, 12]]
    # by fill alone: 8·4 − 32 = 0 holes against 16·12 − 160 = 32
    assert merge(boxes, sizes, 400, 0.0, 2).tolist() == [[0, 0, 8, 4], [0, 0, 20, 12]]
    assert len(merge(boxes[[0, 2]], sizes[[0, 2]], 400, 1.0, 2)) == 0  # four pixels apart are no neighbours


@pytest.mark.parametrize("ink", [np.zeros((20, 30), bool), np.ones((256, 256), bool)])
def test_an_empty_and_a_full_picture_have_few_proposals(ink):
    found = propose(ink)
    assert found.shape[1] == 4 and len(found) <= 1000 and found.dtype == np.float32


def test_a_region_is_cut_out_as_a_square_with_context():
    x = torch.zeros(1, 1, 60, 60)
    x[..., 20:40, 25:35] = 1  # 20 high, 10 wide: the square is 28 pixels around (30, 30), one to one
    cut = Squares()({"0": x}, [torch.tensor([[25.0, 20.0, 35.0, 40.0]])], [(60, 60)])
    torch.testing.assert_close(cut, x[..., 16:44, 16:44])
    corner = Squares()({"0": torch.ones(1, 1, 60, 60)}, [torch.tensor([[0.0, 0.0, 20.0, 20.0]])], [(60, 60)])
    assert corner[0, 0, :3].abs().max() == 0 and corner[0, 0, 10, 10] == 1  # outside of the image is ground


def test_the_features_are_the_classifier_s_and_never_change():
    base = zoo.load("lenet5-mnist")
    model = RCNN(base="lenet5-mnist")
    model.start_from(base)
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        expected = base.features((x - 0.1307) / 0.3081)
        found = model.second.box_head(x)
    torch.testing.assert_close(found, torch.cat([expected["stage2"].flatten(1), expected["embedding"]], 1))
    model.train()
    assert not model.second.box_head.training
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        f"second.box_predictor.{layer}.{kind}" for layer in ("cls_score", "bbox_pred") for kind in ("weight", "bias")
    }
    with pytest.raises(InputError, match="lenet5"):
        model.start_from(FrozenFeatures(1, 0.0, 1.0))


def test_pooling_is_the_largest_value_of_each_bin():
    model = FastRCNN(widths=(4, 4), stem=2, depth=0, size=2)
    maps = torch.rand(1, 4, 12, 12)  # a pixel of the map is four of the image
    found = model.second.box_roi_pool({"0": maps}, [torch.tensor([[8.0, 8.0, 39.0, 39.0]])], [(48, 48)])
    part = maps[0, :, 2:11, 2:11]  # from round(8 / 4) to round(39 / 4), both ends in
    bins = [(0, 5), (4, 9)]  # ⌊0·4.5⌋ … ⌈4.5⌉, ⌊4.5⌋ … 9
    by_hand = torch.stack([part[:, a:b, c:d].amax((1, 2)) for a, b in bins for c, d in bins], 1)
    torch.testing.assert_close(found[0].flatten(1), by_hand)


@pytest.mark.parametrize("kind", [RCNN, FastRCNN])
def test_a_picture_without_boxes_teaches_that_nothing_is_there(kind):
    torch.manual_seed(0)
    model = kind().train()
    model.log_train = lambda **_: None
    loss = model.training_step((torch.rand(2, 1, 64, 64), torch.full((2, 3, 5), -1.0)), 0)
    assert torch.isfinite(loss) and loss > 0
    loss.backward()


def test_what_makes_no_sense_is_refused():
    for init in ({"cell": 0}, {"overlap": 1.0}, {"samples": -1}, {"std": 0.0}):
        with pytest.raises(InputError):
            RCNN(**init)
    with pytest.raises(InputError, match="multiples of 4"):
        FastRCNN().boxes(torch.rand(1, 1, 62, 64), 0.1)
