"""`zoo.explain` over every family, and what its explanations hold and show."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.explain.linear import Linear
from tests.sweeps import by_size, large, some
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.explain import checks
from zoo.explain.baselines import NAMES, baselines
from zoo.explain.catalogue import METHODS
from zoo.explain.finding import subject

pytest.importorskip("captum")
IMAGE_CLASSIFIERS = zoo.list_models(task="image-classification")


def image_of(model) -> torch.Tensor:
    return model.golden_inputs()["image"][0]


def test_the_package_is_callable_and_importing_it_is_cheap():
    code = (
        "import sys, zoo; zoo.explain; from zoo.explain import shapley; import zoo.explain.shapley; "
        "assert zoo.explain.shapley.exact(len, 'ab') == {'a': 1.0, 'b': 1.0}; "
        "assert zoo.explain.shapley.sampled(len, 'ab', 3, 0) == {'a': 1.0, 'b': 1.0}; "
        "assert callable(zoo.explain) and not {'torch', 'lightning', 'captum'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "integrated-gradients" in zoo.explain.methods() and "explain" in dir(zoo)


@pytest.mark.parametrize("name", some(by_size(IMAGE_CLASSIFIERS), large, few=1))
def test_integrated_gradients_are_complete_on_every_image_classifier(name):
    model = zoo.load(name)
    found = zoo.explain(model, image_of(model))
    rise = found.output - found.base
    assert abs(float(found.values.double().sum()) - rise) <= 0.01 * abs(rise) and found.gap <= 0.01


def test_a_hundred_steps_on_resnet20_within_a_second():
    model = zoo.load("resnet20-cifar10")
    image = image_of(model)
    zoo.explain(model, image, samples=2)  # imports
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    found = zoo.explain(model, image, samples=100)
    seconds = time.process_time() - start
    torch.set_num_threads(threads)
    assert seconds <= 1 and found.gap < 0.05


CHANGING: dict[str, tuple[str, dict]] = {  # a network that the method serves, and options that make it quick
    "saliency": ("lenet5-mnist", {}),
    "gradient-x-input": ("lenet5-mnist", {}),
    "smoothgrad": ("lenet5-mnist", {}),
    "integrated-gradients": ("lenet5-mnist", {"samples": 50}),
    "expected-gradients": ("lenet5-mnist", {"samples": 50}),
    "deeplift": ("simplecnn-mnist", {}),
    "deep-shap": ("mlp-mnist", {"samples": 8}),
    "cam": ("resnet20-cifar10", {}),
    "grad-cam": ("simplecnn-mnist", {}),
    "score-cam": ("simplecnn-mnist", {}),
    "occlusion": ("lenet5-mnist", {}),
    "lime": ("lenet5-mnist", {"samples": 200}),
    "shapley": ("lenet5-mnist", {}),
    "sampled-shapley": ("lenet5-mnist", {"samples": 3, "segments": 16}),
    "kernel-shap": ("lenet5-mnist", {}),
    "counterfactual": ("mlp-mnist", {"samples": 4}),
}


@pytest.mark.parametrize("method", CHANGING)
def test_maps_of_random_weights_are_others(method):
    name, options = CHANGING[method]
    model = zoo.load(name)
    x = model.golden_inputs()["image"][[0, 3]]
    assert abs(checks.randomisation(model, x, method, seeds=(0, 1), **options)) < 0.3


def test_every_method_for_images_is_checked_by_random_weights():
    """But guided backprop, the counter-example below, and adaptive occlusion, which explains a network's own answer alone."""
    for_images = {name for name, method in METHODS.items() if not method.kinds or "image" in method.kinds}
    assert for_images == set(CHANGING) | {"guided-backprop", "adaptive-occlusion"}


def test_guided_backprop_hardly_sees_the_weights():
    """The counter-example: with the head random its map is nearly the same, where saliency is another."""
    model, x = zoo.load("resnet20-cifar10"), sample_split("cifar10")[0]
    guided, honest = (
        np.mean([[rho for _, rho in checks.cascade(model, x[i], method)] for i in (0, 3, 5)], axis=0)
        for method in ("guided-backprop", "saliency")
    )
    assert guided[0] > 0.9 and guided[1] > 0.5 and np.abs(honest).max() < 0.3


def test_cascade_leaves_the_model_alone():
    model = zoo.load("lenet5-mnist")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = checks.cascade(model, image_of(model))
    assert [part for part, _ in found] == ["head", "neck", "stage2", "stage1"]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_deletion_and_insertion_beat_a_random_order():
    model = zoo.load("resnet20-cifar10")
    found = []
    for image in sample_split("cifar10")[0][:4]:
        areas = checks.curves(model, image, zoo.explain(model, image, "kernel-shap", baseline="blur")).areas
        found.append((areas["random_deletion"] - areas["deletion"], areas["insertion"] - areas["random_insertion"]))
    assert (np.mean(found, axis=0) > 0.05).all()


def test_infidelity_and_sensitivity_of_a_linear_model():
    model, x = Linear(), torch.rand(1, 1, 4, 4)

    def f(points):
        return model(points)[:, 0]

    w = model.weight.detach()[None]
    assert checks.infidelity(f, x, w) == pytest.approx(0, abs=1e-8)
    assert checks.infidelity(f, x, -w) > 0.01
    for memory in (
        torch.contiguous_format,
        torch.channels_last,
    ):  # the maps of networks on photographs are channels-last
        assert (
            checks.sensitivity(lambda points, m=memory: points.expand(-1, 3, -1, -1).contiguous(memory_format=m), x) > 0
        )
    assert checks.sensitivity(lambda points: w.expand_as(points), x) == 0


def test_spearman_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    a = torch.tensor([1.0, 2, 2, 5, -1, 0, 2])
    b = torch.tensor([0.0, 3, 1, 1, 1, 2, 8])
    assert checks.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert checks.spearman(a, torch.ones(7)) == 0


@pytest.mark.parametrize(
    ("name", "x", "parts"),
    [
        ("lstm-sst2", "a quiet, moving film", 5),
        ("lstm-names", "Takahashi", 9),
        ("bert-gutenberg", "call me [MASK].", 4),
        ("gpt-shakespeare", "ROMEO:", 6),
        ("conv1d-tfbs", "acttccggttacgtcagcgg", 20),
        ("mlp-regression-concrete", [540, 0, 0, 162, 2.5, 1040, 676, 28], 8),
        ("adaline-iris", [5.1, 1.4], 2),
        ("mpnn-esol", "CC(=O)O", 4),
    ],
)
def test_every_family_is_complete_and_draws(name, x, parts, tmp_path):
    model = zoo.load(name)
    model.train()
    found = zoo.explain(model, x)
    assert found.gap <= 0.01 and found.heatmap().shape == (parts,) and len(found.top(3)) == min(3, parts)
    by_value = zoo.explain(model, x, "kernel-shap")
    assert by_value.values.shape == (parts,)
    assert float(by_value.values.sum()) == pytest.approx(found.output - found.base, abs=1e-3)
    assert found.save(tmp_path / "picture.png").stat().st_size > 500
    assert found.label in found.save(tmp_path / "page.html").read_text()
    assert model.training  # as it was found


def test_tokens_and_letters_carry_their_names():
    words = zoo.explain(zoo.load("lstm-sst2"), "a quiet, moving film", "occlusion")
    assert {name for name, _ in words.top(5)} == {"a", "quiet", ",", "moving", "film"}
    letters = zoo.explain(zoo.load("conv1d-tfbs"), "ACTTCCGGTT", "occlusion")
    assert all(name[0] in "ACGT" and name[1:].isdigit() for name, _ in letters.top(10))
    bars = zoo.explain(zoo.load("mlp-regression-concrete"), [540, 0, 0, 162, 2.5, 1040, 676, 28], "shapley")
    assert bars.top(1)[0][0] in ("cement", "age", "water") and bars.gap < 1e-6


def ring(features):
    from torch_geometric.data import Data

    nodes = torch.arange(8)
    edges = torch.stack([nodes, (nodes + 1) % 8])
    x = torch.rand(8, features, generator=torch.Generator().manual_seed(0))
    return Data(x=x / x.sum(1, keepdim=True), edge_index=torch.cat([edges, edges.flip(0)], 1))


def test_graphs_of_nodes_and_whole_graphs(tmp_path):
    model = zoo.load("gcn-karate")
    graph = ring(model.in_channels)
    before = graph.x.clone()
    found = zoo.explain(model, (graph, 3))
    assert found.values.shape == graph.x.shape and found.gap <= 0.01 and torch.equal(graph.x, before)
    near = found.heatmap().abs() > 1e-8
    assert near[3] and not near[7]  # four hops away
    edges = zoo.explain(model, (graph, 3), "gnn-explainer", samples=10)
    assert edges.values.shape == (16,) and edges.heatmap().shape == (8,)
    whole = zoo.load("gin-mutag")
    molecule = ring(whole.in_channels)
    for method in ("integrated-gradients", "gnn-explainer", "occlusion"):
        found = zoo.explain(whole, molecule, method, samples=10)
        assert found.save(tmp_path / f"{method}.png").stat().st_size > 1000
    with pytest.raises(InputError, match=r"give \(graph, number of the node\)"):
        zoo.explain(model, graph)
    with pytest.raises(InputError, match=r"node must be a whole number in 0\.\.7, not 8"):
        zoo.explain(model, (graph, 8))


def test_black_boxes_of_any_kind():
    """A function, an estimator, a classifier of texts: methods that ask for outputs alone serve all of them."""
    w = torch.tensor([1.0, -2.0, 3.0])
    found = zoo.explain(lambda x: x @ w, [1.0, 1.0, 1.0], "shapley")
    assert found.values.tolist() == pytest.approx([1, -2, 3])

    class Estimator:
        classes_ = ("no", "yes")

        def predict_proba(self, rows):
            p = 1 / (1 + np.exp(-rows[:, 0]))
            return np.stack([1 - p, p], 1)

    found = zoo.explain(Estimator(), np.array([2.0, 5.0]), "shapley", target="yes")
    assert found.values[1] == 0 and found.label == "yes" and found.gap < 1e-6
    with pytest.raises(InputError, match="follows gradients, and this model shows none: choose one of"):
        zoo.explain(Estimator(), np.array([2.0, 5.0]), "saliency")

    class Texts:
        classes = ("bad", "good")

        def predict_proba(self, texts):
            p = torch.tensor([0.9 if "good" in text else 0.2 for text in texts])
            return torch.stack([1 - p, p], 1)

    found = zoo.explain(Texts(), "a good film", "occlusion")
    assert found.top(1) == [("good", pytest.approx(0.7))]


@pytest.mark.filterwarnings("ignore:.*, the size that the model learnt")
def test_segmenters_and_detectors():
    """A segmenter's output is a class's mean logit; of a detector the best box of each class is known."""
    from tests.tiny import TINY
    from zoo.core.images import Transform

    unet = zoo.load("unet-nuclei")
    picture = torch.randint(0, 256, (1, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = zoo.explain(unet, picture, "saliency", target="nucleus")
    assert found.values.shape[-2:] == tuple(unet.transform.size) and found.label == "nucleus"
    yolo = zoo.create("yolo", **TINY["yolo"].init).eval()
    yolo.transform, yolo.classes = Transform([64, 64], "L", [0.5], [0.25]), [str(i) for i in range(10)]
    found = zoo.explain(yolo, picture, "kernel-shap", segments=4, target="3")
    assert found.values.shape == (4,) and 0 <= found.output <= 1
    assert float(found.values.sum()) == pytest.approx(found.output - found.base, abs=1e-5)
    with pytest.raises(InputError, match="this model shows none: choose one of occlusion"):
        zoo.explain(yolo, picture, "saliency")


def test_every_kind_of_image_gives_the_same(tmp_path):
    model = zoo.load("lenet5-mnist")
    image = image_of(model)
    file = tmp_path / "digit.png"
    Image.fromarray(image[0].numpy()).save(file)
    forms = [
        image,
        image[None],
        image.numpy(),
        image.float() / 255,
        Image.open(file),
        file,
        str(file),
        model.transform(image),
        [image],
    ]
    values = [zoo.explain(model, form, "saliency").values for form in forms]
    assert all(torch.equal(v, values[0]) or torch.allclose(v, values[0], atol=1e-5) for v in values)
    several = zoo.explain(model, sample_split("mnist")[0][:2], "saliency", target=[1, "2"])
    assert [one.target for one in several] == [1, 2]


def test_the_model_and_the_random_state_are_left_alone():
    model = zoo.load("lenet5-mnist").train()
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    zoo.explain(model, image_of(model), "lime", seed=5)
    assert torch.equal(torch.rand(1), before)
    assert model.training and all(p.grad is None and p.requires_grad for p in model.parameters())
    first, second = (
        zoo.explain(model, image_of(model), "expected-gradients", seed=5, samples=20).values for _ in range(2)
    )
    assert torch.equal(first, second)


def test_what_an_explanation_shows(tmp_path):
    model = zoo.load("resnet20-cifar10")
    found = zoo.explain(model, image_of(model), "kernel-shap", target="cat", segments=16)
    assert found.label == "cat" and found.target == model.classes.index("cat")
    assert found.values.shape == (16,) and found.heatmap().shape == (32, 32)
    assert float(found.values.sum()) == pytest.approx(found.output - found.base, abs=1e-4)
    (name, value), *_ = found.top(1)
    assert name.startswith("segment ") and abs(value) == pytest.approx(float(found.values.abs().max()))
    for overlay in (True, False):
        with Image.open(found.save(tmp_path / "map.png", overlay=overlay)) as picture:
            assert picture.size == (256, 256)
    assert "<img" in found._repr_html_() and "kernel-shap: cat" in repr(found)
    pixel = zoo.explain(model, image_of(model), "saliency")
    (row, column), _ = pixel.top(1)[0]
    assert pixel.heatmap()[row, column] == pixel.values[:, row, column].abs().max() and pixel.gap is None


@pytest.mark.parametrize("name", NAMES)
def test_baselines(name):
    model = zoo.load("resnet20-cifar10")
    image = image_of(model)
    found = subject(model, image)
    made = baselines(found, name, seed=0)
    assert made.shape == (1, 3, 32, 32) and torch.equal(made, baselines(found, name, seed=0))
    pixels = made[0] * torch.tensor(model.transform.std).reshape(3, 1, 1) + torch.tensor(model.transform.mean).reshape(
        3, 1, 1
    )
    assert pixels.min() > -1e-5 and pixels.max() < 1 + 1e-5
    if name in ("black", "white"):
        assert torch.allclose(pixels, torch.full_like(pixels, float(name == "white")), atol=1e-6)
    if name == "max-distance":
        assert (pixels - image.float() / 255).abs().min() >= 0.5 - 1e-5
    assert zoo.explain(model, image, baseline=name, samples=10).base is not None


def test_own_baselines():
    model = zoo.load("lenet5-mnist")
    image = image_of(model)
    black = zoo.explain(model, image, samples=8)
    for own in (torch.zeros(1, 28, 28, dtype=torch.uint8), np.zeros((1, 28, 28)), 0.0):
        torch.testing.assert_close(zoo.explain(model, image, samples=8, baseline=own).values, black.values)
    many = torch.rand(5, 1, 28, 28)
    assert zoo.explain(model, image, "expected-gradients", baseline=many, samples=20).base is not None
