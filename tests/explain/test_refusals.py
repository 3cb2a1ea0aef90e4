"""What `zoo.explain` refuses, in one sentence each, and its command line."""

import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from zoo.core.samples import sample_split
from zoo.errors import InputError

pytest.importorskip("captum")
MNIST = sample_split("mnist")[0][0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "saliancy"}, "no method 'saliancy': did you mean saliency\\? Known: saliency, "),
        ({"target": "cat"}, "no target 'cat': this model has"),
        ({"target": 10}, r"target is a whole number in 0\.\.9"),
        ({"method": "grad-cam", "layer": "stage7"}, "no layer 'stage7' with maps: choose one of stage1, stage2"),
        ({"method": "cam"}, "CAM needs average pooling before head"),
        ({"baseline": torch.zeros(1, 14, 14)}, r"the baseline has shape \[1, 14, 14\], the input \[1, 28, 28\]"),
        ({"baseline": "grey"}, "no baseline 'grey': choose one of black, white"),
        ({"baseline": torch.full((1, 28, 28), torch.nan)}, "baseline holds NaN"),
        ({"method": "shapley", "segments": 25}, "25 players"),
        ({"method": "gnn-explainer"}, "gnn-explainer is for graphs, the model's input is an image"),
        ({"samples": 0}, "samples must be a whole number of at least 1"),
        ({"method": "lime", "segments": "voronoi"}, "segments are a number"),
        ({"method": "occlusion", "samples": 99}, r"window's side must lie in 1\.\.28"),
    ],
)
def test_bad_input(options, said):
    with pytest.raises(InputError, match=said) as error:
        zoo.explain(zoo.load("lenet5-mnist"), MNIST, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "x", "said"),
    [
        (lambda: zoo.load("lenet5-mnist"), torch.zeros(1, 28, 28), "constant, every pixel is 0"),
        (lambda: zoo.load("lenet5-mnist"), torch.full((1, 28, 28), 0.5), "constant"),
        (lambda: zoo.create("lenet5"), MNIST, "has no transform"),
        (lambda: zoo.load("ddpm-mnist"), MNIST, "takes models that classify or predict a number"),
        (lambda: zoo.load("lstm-sst2"), 7, "reads text: give a string"),
        (lambda: zoo.load("bert-gutenberg"), "call me john.", r"put \[MASK\]"),
        (lambda: zoo.load("adaline-iris"), [1.0, 2.0, 3.0], "numbers a row"),
        (lambda: nn.Linear(3, 1), torch.tensor([1.0, float("nan"), 0.0]), "NaN"),
        (lambda: object(), [1.0], "a model is a network"),
        (lambda: zoo.load("lenet5-mnist"), [], "the list is empty"),
    ],
)
def test_inputs_and_models_that_can_not_be_explained(model, x, said):
    with pytest.raises(InputError, match=said):
        zoo.explain(model(), x)


def test_files_that_can_not_be_written(tmp_path):
    found = zoo.explain(zoo.load("lenet5-mnist"), MNIST, "saliency")
    for path, said in (
        (tmp_path / "map.bmp3", "suffix"),
        (tmp_path / "no" / "map.png", "isn't there"),
        (tmp_path, "suffix"),
    ):
        with pytest.raises(InputError, match=said):
            found.save(path)


def test_command_line(tmp_path, capsys):
    from zoo.cli.main import main

    photo, out = tmp_path / "photo.png", tmp_path / "map.png"
    Image.fromarray(sample_split("cifar10")[0][0].permute(1, 2, 0).numpy()).save(photo)
    assert (
        main(["explain", "resnet20-cifar10", str(photo), "--method", "grad-cam", "--target", "cat", "-o", str(out)])
        == 0
    )
    assert "grad-cam: cat" in capsys.readouterr().out and out.stat().st_size > 1000
    assert (
        main(["explain", "lstm-sst2", "a quiet film", "--method", "shapley", "-o", str(tmp_path / "words.html")]) == 0
    )
    assert main(["explain", "mlp-regression-concrete", "540,0,0,162,2.5,1040,676,28", "-o", str(out)]) == 0
    assert main(["attack", "resnet20-cifar10", str(photo), "--method", "fgsm", "--epsilon", "8", "-o", str(out)]) == 0
    assert "the attack" in capsys.readouterr().out
    for wrong in (["--method", "gradcam2"], ["--target", "ox"], ["-o", str(tmp_path / "map.xyz")]):
        assert main(["explain", "resnet20-cifar10", str(photo), *wrong]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
