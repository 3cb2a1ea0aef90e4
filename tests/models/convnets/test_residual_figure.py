"""The loss landscape: its centre is the network's loss, its directions have the filters' lengths, nothing is left changed."""

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from scripts.figures.residual import directions, draw_curves, draw_landscapes, landscape
from zoo.core.precision import quick_autocast
from zoo.models.convnets.resnet import CIFARResNet


def test_landscape(tmp_path):
    torch.manual_seed(0)
    model = CIFARResNet(depth=8, width=8).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6)
    losses = landscape(model, x, y, points=3)
    with torch.inference_mode(), quick_autocast("cpu")[0]:
        torch.testing.assert_close(losses[1, 1], F.cross_entropy(model(x).float(), y))
    assert losses.isfinite().all() and losses[0, 0] != losses[2, 2]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    draw_landscapes({"small": losses, "again": losses}, 1.0, tmp_path / "landscape.png")
    assert (tmp_path / "landscape.png").stat().st_size > 1000


def test_directions_are_as_long_as_the_filters_and_leave_norm_layers_alone():
    model = CIFARResNet(depth=8, width=8)
    found = directions(model, 0)
    assert set(found) == {name for name, p in model.named_parameters() if p.ndim > 1}
    for name, direction in found.items():
        weight = model.get_parameter(name).detach()
        torch.testing.assert_close(direction.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))
    assert not torch.equal(found["head.weight"], directions(model, 1)["head.weight"])


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
@pytest.mark.parametrize("held_out", [True, False])
def test_curves_have_a_panel_for_what_was_measured(tmp_path, held_out):
    header, values = ("epoch,train/loss,val/accuracy", (",0.5", ",0.6")) if held_out else ("epoch,train/loss", ("", ""))
    (tmp_path / "history.csv").write_text(f"{header}\n0,2.0{values[0]}\n1,1.0{values[1]}\n")
    (tmp_path / "config.json").write_text("{}")
    draw_curves([str(tmp_path)], tmp_path / "curves.png")
    width, height = Image.open(tmp_path / "curves.png").size
    assert width / height == pytest.approx((7 if held_out else 3.5) / 3, rel=0.02)
