"""The scripts of the figures on tiny settings, and the facts that they show."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts" / "figures"


class Digits:
    """Sixty noisy pictures of ten classes, in the place of a data module."""

    class Loader(list):
        def set_epoch(self, epoch: int) -> None:
            pass

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.y = torch.arange(60) % 10
        self.x = torch.rand(10, 1, 28, 28, generator=generator)[self.y] + 0.1 * torch.randn(
            60, 1, 28, 28, generator=generator
        )

    def train_dataloader(self) -> "Digits.Loader":
        return self.Loader(zip(self.x.split(20), self.y.split(20), strict=True))


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_approximation(tmp_path):
    figure = script("approximation")
    numbers = figure.draw(tmp_path, steps=60, deep_steps=20, seeds=1)
    assert numbers["P = 50"] < numbers["P = 1"] and (tmp_path / "approximation.png").stat().st_size > 10_000
    assert [numbers[f"folds {depth}"] for depth in (1, 2, 4)] == [2, 4, 16]
    x = torch.linspace(0, 1, 65)[:, None]
    triangle = 1 - (2 * ((4 * x) % 1) - 1).abs()  # four teeth, eight pieces
    with torch.no_grad():
        torch.testing.assert_close(figure.folding(3)(x), triangle)


def test_optimizers(tmp_path):
    figure = script("optimizers")
    last = figure.draw(tmp_path, data=Digits(), steps=12, width=8, window=4)
    assert len(last) == 12 and (tmp_path / "optimizers.png").stat().st_size > 10_000
    assert last["logistic, Adam"] < last["logistic, gradient descent"]
    ends = {name: figure.path(make)[-1].norm() for name, make in figure.VALLEY.items()}
    assert ends["momentum"] < ends["gradient descent"] and ends["Nesterov"] < ends["gradient descent"]


def test_batch_norm(tmp_path):
    figure = script("batch_norm")
    found = figure.draw(tmp_path, data=Digits(), steps=3, width=16)
    mean, deviation = found["with batch norm"][2:]
    assert mean == pytest.approx(0, abs=0.2) and deviation == pytest.approx(1, abs=0.2)
    assert found["without"][3] < 0.8 and (tmp_path / "batch-norm.png").stat().st_size > 5_000


def test_filters(tmp_path):
    found = script("filters").draw(tmp_path, steps=600, networks=("lenet5-mnist",))
    assert found == {"echo": 640, "pluses": 3, "false alarms": 0} and (tmp_path / "filters.png").stat().st_size > 10_000


def test_dropout_table(tmp_path):
    import zoo

    figure = script("dropout")
    data = zoo.datamodule("mnist", batch_size=20)
    digits = Digits()
    pixels = (255 * digits.x.clamp(0, 1)).to(torch.uint8)
    data._splits = {part: (pixels, digits.y) for part in ("train", "val", "test")}
    data.prepare_data = data.setup = lambda *_, **__: None
    rows = figure.table(data=data, epochs=3, width=8, share=1)
    assert set(rows) == set(figure.ROWS) and all(0 <= value <= 100 for row in rows.values() for value in row)
    figure.write(tmp_path, ["| a | 1 | 2 |"])
    figure.write_full(tmp_path, {"both and max-norm": (0.1, 1.234)})
    text = (tmp_path / "extra.md").read_text()
    assert "| a | 1 | 2 |" in text and "| both and max-norm | 0.10 | 1.23 | 1.06, three layers of 1,024 |" in text


def test_sudden_convergence(tmp_path):
    from zoo.blocks.edges import edge_map
    from zoo.models.diffusion.cfg import ConditionalDDPM
    from zoo.models.diffusion.controlnet import ControlNet

    figure = script("control")
    digits = Digits()
    x, edges = (255 * digits.x.clamp(0, 1)).to(torch.uint8), torch.zeros(2, 1, 28, 28)
    edges[:, :, 8:20, 13:15] = 1
    torch.manual_seed(0)
    model = ControlNet((1, 28, 28), 8, base="a base", timesteps=50)
    base = ConditionalDDPM((1, 28, 28), 8, timesteps=50)
    model.start_from(base)
    marks = figure.learn(model, x, digits.y, edges, steps=4, every=2, batch_size=4)
    assert [mark["step"] for mark in marks] == [0, 2, 4]
    plain = base.sample(2, seed=0, sampler="ddim", steps=20)
    torch.testing.assert_close(marks[0]["images"], plain)  # nothing changes at first
    square = torch.zeros(1, 1, 8, 8)
    square[..., 2:6, 2:6] = 1
    assert figure.edge_iou(square, edge_map(square)) == 1 and figure.edge_iou(square, 1 - edge_map(square)) == 0
    figure.draw(marks, edges, tmp_path / "convergence.png")
    assert (tmp_path / "convergence.png").stat().st_size > 5_000
    text = figure.extra("x", marks)
    assert ("steps 0 and 2" in text or "steps 2 and 4" in text) and "control.py x --steps 4 --every 2`" in text


def test_board_games(tmp_path):
    import zoo

    figure = script("board_games")
    torch.manual_seed(0)
    agent = zoo.create("alphazero", game="tictactoe", width=4, blocks=1, simulations=20)
    assert 0 <= figure.thoughts(agent, tmp_path / "thoughts.png", positions=2, free=4) <= 1
    visits = figure.tree(agent, tmp_path / "tree.png", simulations=30)
    assert sum(visits) == 30 and len(visits) == 9
    assert all(1_500 < (tmp_path / f"{name}.png").stat().st_size < 200_000 for name in ("thoughts", "tree"))
    assert str(visits[0]) in figure.section(0.5, visits)


def test_losses_where_few_pixels_are_marked():
    figure = script("atoms")
    cell = figure.measure("jaccard", 0.8, pictures=2, epochs=1)
    assert 0.005 < cell["share"] < 0.02 and 0 <= cell["f1"] <= 1 and 0 < cell["iou"] < 1
    text = figure.section({"dice": [cell | {"share": share} for share in (0.01, 0.05)]}, 2, 1)
    assert "| loss | 1 % | 5 % |" in text and "| dice | " in text


def test_random_field_without_and_with(tmp_path):
    import zoo

    figure = script("random_field")
    torch.manual_seed(0)
    model = zoo.create("deeplabv3", num_classes=11, void=11, widths=[4, 4, 4, 4]).eval()
    model.transform = zoo.load("unet-camvid").transform
    batch = torch.randn(1, 3, 24, 32), torch.randint(0, 12, (1, 24, 32))
    without, after = figure.overlaps(model, [batch], [str(i) for i in range(11)], 2)
    assert 0 <= without < 0.5 and 0 <= after < 0.5
    assert 1_500 < figure.street(model, tmp_path / "street.png", rounds=1).stat().st_size < 200_000
    text = figure.section([{"name": "deeplabv3-camvid.v1", "val": (0.4, 0.41), "test": (0.38, 0.39)}])
    assert "| deeplabv3-camvid.v1 | 0.400 | 0.410 | 0.380 | 0.390 |" in text


def test_detectors_side_by_side():
    figure = script("detectors")
    row = figure.measure("yolo-mnist", torch.randint(0, 255, (2, 1, 128, 128), dtype=torch.uint8))
    assert row["proposing"] == 0 and row["network"] > 0 and row["regions"] is None
    both = [
        row | {"name": "rcnn-mnist", "network": 30.0, "regions": 99.6},
        row | {"name": "fastrcnn-mnist", "network": 10.0},
    ]
    text = figure.section([*both, row], 2)
    assert "| rcnn-mnist |" in text and "| 100 |" in text and "3.0 times as long" in text
    beside = figure.stock(figure.STOCK[0], [torch.zeros(3, 60, 80, dtype=torch.uint8)], 3)
    assert beside["whole"] > 0 and beside["parameters"] > 18_000_000
    table = figure.blood_section([{"name": "yolo-bccd", "ap50": 0.9, "whole": 21.4, "parameters": 1000}, beside], 1)
    assert "| yolo-bccd | 0.900 | 21 | 1,000 |" in table and f"| torchvision {figure.STOCK[0]} |  |" in table
