"""Class activation maps, occlusion and LIME against models whose maps are known."""

import itertools

import numpy as np
import pytest
import torch

import zoo
from tests.explain.linear import Linear, Pooled
from zoo.errors import InputError
from zoo.explain import cams, lime, occlusion, segments

pytest.importorskip("captum")


def test_cam_is_the_logit_and_grad_cam_is_cam_by_the_places():
    model, x = Pooled(), torch.rand(1, 1, 8, 8)
    cam, grad = (zoo.explain(model, x, method, target=2) for method in ("cam", "grad-cam"))
    assert cam.values.mean().item() + model.head.bias[2].item() == pytest.approx(cam.output, abs=1e-5)
    torch.testing.assert_close(grad.values * 64, cam.values, atol=1e-5, rtol=1e-4)
    assert cam.heatmap().shape == (8, 8)


def test_cam_of_a_trained_network():
    image = zoo.core.samples.sample_split("cifar10")[0][0]
    model = zoo.load("resnet20-cifar10")
    found = zoo.explain(model, image, "cam")
    bias = model.head.bias[found.target].item()
    assert found.values.mean().item() + bias == pytest.approx(found.output, abs=1e-3)
    assert found.values.shape == (8, 8) and found.heatmap().shape == (32, 32)


def test_score_cam_by_a_loop():
    model, x, base = Pooled(), torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)

    def f(points):
        return model(points)[:, 1]

    with torch.no_grad():
        features, weights, total = model.body(x)[0], [], torch.zeros(8, 8)
        features = [feature for feature in features if feature.max() > feature.min()]
        for feature in features:
            mask = (feature - feature.min()) / (feature.max() - feature.min())
            weights.append(f(mask * x + (1 - mask) * base)[0])
        for weight, feature in zip(torch.stack(weights).softmax(0), features, strict=True):
            total += weight * feature
    torch.testing.assert_close(cams.score_cam(model, f, x, base), total.relu())


def test_layers_by_name_and_networks_without_maps():
    model, x = Pooled(), torch.rand(1, 1, 8, 8)
    assert cams.find_layer(model, lambda p: model(p)[:, 0], x).name == "body"
    assert cams.find_layer(model, lambda p: model(p)[:, 0], x, "body.0").name == "body.0"
    with pytest.raises(InputError, match="no layer 'stage9' with maps: choose one of body"):
        zoo.explain(model, x, "grad-cam", layer="stage9")
    with pytest.raises(InputError, match="Grad-CAM needs a convolution"):
        zoo.explain(Linear(), torch.rand(1, 1, 4, 4), "grad-cam")
    image = zoo.core.samples.sample_split("mnist")[0][0]
    for name in ("mlp-mnist", "vit-mnist"):  # a layer that cuts patches is no convolution
        with pytest.raises(InputError, match="Grad-CAM needs a convolution"):
            zoo.explain(zoo.load(name), image, "grad-cam")
    with pytest.raises(InputError, match="CAM needs average pooling before head"):
        zoo.explain(zoo.load("lenet5-mnist"), image, "cam")


def test_occlusion_of_a_linear_model_is_the_windows_sum_overlaps_averaged():
    model, x = Linear(), torch.rand(1, 1, 4, 4)
    product = (model.weight * x[0]).detach()[0]
    total, count = torch.zeros(4, 4), torch.zeros(4, 4)
    for i, j in itertools.product(range(3), range(3)):
        total[i : i + 2, j : j + 2] += product[i : i + 2, j : j + 2].sum()
        count[i : i + 2, j : j + 2] += 1
    found = zoo.explain(model, x, "occlusion", samples=2, target=0)
    torch.testing.assert_close(found.values, total / count)
    single = zoo.explain(model, x, "occlusion", samples=1, target=0)
    torch.testing.assert_close(single.values, product)
    by_segment = zoo.explain(model, x, "occlusion", segments=(2, 2), target=0)
    blocks = product.reshape(2, 2, 2, 2).sum((1, 3)).flatten()
    torch.testing.assert_close(by_segment.values, blocks)
    torch.testing.assert_close(by_segment.heatmap()[:2, :2], blocks[0].expand(2, 2))


@pytest.mark.parametrize("seed", range(4))
def test_adaptive_occlusion_beside_all_sets_of_patches(seed):
    model, x = Linear((1, 8, 8), seed), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    patches = segments.grid(8, 8, 4, 4)[None]
    answer = int(model(x).argmax())

    def same(points):
        return model(points).argmax(1) == answer

    base = torch.zeros_like(x)
    stays = occlusion.adaptive(same, x, base, patches, lambda p: model(p)[:, answer])
    assert bool(same(torch.where(stays[patches], x, base)))
    for i in stays.nonzero().flatten():  # not one of them can go
        fewer = stays.clone()
        fewer[i] = False
        assert not bool(same(torch.where(fewer[patches], x, base)))
    assert int(stays.sum()) == occlusion.smallest(same, x, base, patches)  # a linear model: greedy is best
    found = zoo.explain(model, x, "adaptive-occlusion", segments=(4, 4))
    assert found.details["kept"] == int(stays.sum()) and found.details["of"] == 16


def test_lime_recovers_a_linear_model():
    model, x = Linear(), torch.rand(1, 1, 4, 4)
    product = (model.weight * x[0]).detach()[0].flatten()
    found = zoo.explain(model, x, "lime", segments=16, target=0, samples=300)
    torch.testing.assert_close(found.values, product, atol=1e-4, rtol=1e-3)
    assert found.details["r2"] == pytest.approx(1)
    w = torch.tensor([1.0, -2.0, 3.0])
    row = zoo.explain(lambda points: points @ w + 1, torch.tensor([1.0, 2.0, 3.0]), "lime")
    torch.testing.assert_close(row.values, w, atol=1e-4, rtol=1e-3)


def test_k_lasso_keeps_the_largest():
    bits = (torch.rand(400, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    w = torch.tensor([5.0, 0.1, -4.0, 0.0, 0.2, 3.0, 0.0, 0.1])
    line = lime.k_lasso(bits, bits @ w + 2, torch.ones(400), k=3)
    assert line.weights.nonzero().flatten().tolist() == [0, 2, 5] and line.r2 > 0.98
    whole = lime.k_lasso(bits, bits @ w + 2, torch.ones(400))
    torch.testing.assert_close(whole.weights, w, atol=1e-5, rtol=0)
    assert whole.intercept == pytest.approx(2, abs=1e-5)


def test_nearness_is_the_exponential_kernel():
    assert lime.nearness(torch.tensor([0.0, 1.0, 2.0]), 2.0).tolist() == pytest.approx([1, np.exp(-0.25), np.exp(-1)])


def test_lime_on_iris():
    """A setosa that the forest is sure of: petal width 0.2 and petal length 1.6 count most, as on the slide."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_iris(return_X_y=True)
    forest = ensemble.RandomForestClassifier(200, random_state=0).fit(x, y)
    flower = np.array([4.7, 3.2, 1.6, 0.2])
    assert forest.predict_proba(flower[None])[0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=0.005)
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    found = lime.tabular(lambda rows: forest.predict_proba(rows)[:, 0], flower, x, names, samples=2000)
    assert {name for name, _ in found[:2]} == {"petal width <= 0.30", "petal length <= 1.60"}
    assert all(weight > 0.1 for _, weight in found[:2]) and "3.00 < sepal width <= 3.30" in dict(found)
    assert len(lime.tabular(lambda rows: forest.predict_proba(rows)[:, 0], flower, x, names, k=1)) == 1


def test_segments():
    assert segments.grid(4, 6, 2, 3).unique(return_counts=True)[1].tolist() == [4] * 6
    image = torch.zeros(3, 20, 20)
    image[0, :, 10:] = 1.0
    found = segments.slic(image, 16)
    assert found.unique().tolist() == list(range(int(found.max()) + 1)) and 8 <= int(found.max()) + 1 <= 20
    for label in found.unique():  # no segment crosses the edge
        assert len(image[0][found == label].unique()) == 1
    for wrong in ("voronoi", 0, torch.zeros(3, 3, dtype=torch.long), 1.5):
        with pytest.raises(InputError, match="segments"):
            segments.segments_of(image, wrong)
