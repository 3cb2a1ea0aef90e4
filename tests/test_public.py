"""The public functions: names, tables, and that importing the package costs nothing."""

import subprocess
import sys

import pytest

import zoo
from zoo.errors import InputError, UnknownNameError
from zoo.index import Metric, ModelInfo, ModelTable
from zoo.store.folder import write


def test_import_loads_neither_torch_nor_lightning():
    code = "import sys, zoo; zoo.list_models(); print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_resolves_and_has_a_docstring():
    for name in zoo.__all__:
        assert getattr(zoo, name).__doc__, name
    assert set(zoo.__all__) <= set(dir(zoo))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        zoo.lod  # noqa: B018


@pytest.mark.parametrize(
    "call",
    [
        lambda: zoo.load("lenet5-mnis"),
        lambda: zoo.info("lenet5-mnis"),
        lambda: zoo.datamodule("lenet5-mnis"),
        lambda: zoo.verify("lenet5-mnis"),
    ],
)
def test_a_wrong_name_gets_the_nearest(call):
    with pytest.raises(LookupError, match=r"Did you mean .*lenet5-mnist"):
        call()


def test_wrong_architecture_data_and_argument_names():
    with pytest.raises(UnknownNameError, match="lenet5"):
        zoo.create("lenet")
    with pytest.raises(UnknownNameError, match="fashion-mnist"):
        zoo.datamodule("fashionmnist")
    with pytest.raises(zoo.errors.ZooError, match="num_classes"):
        zoo.create("lenet5", num_clases=3)


DIRECTION = {"accuracy": "higher", "fcd": "lower"}


def table() -> ModelTable:
    def entry(name: str, **metrics: float) -> ModelInfo:
        claims = {
            f"mnist/test/{k}": Metric("mnist", "test", k, v, "test", better=DIRECTION[k]) for k, v in metrics.items()
        }
        return ModelInfo(name, "a", "t", "mnist", 10, 2**20, "0" * 64, "apache-2.0", "", "", metrics=claims)

    return ModelTable([entry("b", accuracy=0.9), entry("a", accuracy=0.99), entry("c", fcd=3.0), entry("d", fcd=2.0)])


def test_a_data_module_says_what_it_needs():
    with pytest.raises(InputError, match="image-folder needs root"):
        zoo.datamodule("image-folder")


def test_table_sorts_best_first_and_prints():
    assert [m.name for m in table().sort_by("accuracy")] == ["a", "b"]
    assert [m.name for m in table().sort_by("mnist/test/fcd")] == ["d", "c"]
    lines = str(table()).splitlines()
    assert lines[0].startswith("name") and len(lines) == 5
    metrics = {f"mnist/test/{k}": Metric("mnist", "test", k, 1.0, "how") for k in ("a", "b", "c", "d")}
    several = ModelTable([ModelInfo("m", "a", "t", "d", 1, 1, "", "", "", "", metrics=metrics)])
    assert str(several).endswith("a 1  b 1  c 1") and str(several.sort_by("d")).endswith("d 1  a 1  b 1")
    best = table().sort_by("accuracy")[:1]
    assert str(best) == "\n".join(str(table().sort_by("accuracy")).splitlines()[:2]) and best[-1].name == "a"
    with pytest.raises(InputError, match="known: accuracy, fcd"):
        table().sort_by("fid")


@pytest.mark.parametrize(("better", "best"), [("higher", 1), ("lower", 0)])
def test_best_is_largest_or_smallest_as_the_metric_says(better, best):
    metrics = [{"m": Metric("d", "test", "least_gain", value, "how", better=better)} for value in (0, 1)]
    models = [ModelInfo(str(i), "a", "t", "d", 1, 1, "", "", "", "", metrics=m) for i, m in enumerate(metrics)]
    assert ModelTable(models).sort_by("least_gain")[0].name == str(best)


def test_a_metric_names_its_split_unless_it_is_the_test_split():
    assert str(Metric("cora", "val", "accuracy", 0.81234, "how")) == "accuracy (val) 0.8123"
    assert str(Metric("cora", "test", "accuracy", 0.8, "how")) == "accuracy 0.8"


def test_listing_filters():
    found = zoo.list_models("lenet5-*", task="image-classification", dataset="mnist")
    assert "lenet5-mnist" in found
    for name in found:
        assert name.startswith("lenet5-") and zoo.info(name).dataset == "mnist"
    assert zoo.list_models("nothing*") == []
    drawn = zoo.list_models("*mnist*", task="image-generation")
    assert "ddpm-mnist" in drawn and drawn == zoo.list_models("*mnist*", task="unconditional-image-generation")
    assert {"lenet5-mnist", "lstm-sst2"} <= set(zoo.list_models(task="classification"))
    for wrong, hint in (({"task": "image-clasification"}, "image-classification"), ({"dataset": "mnits"}, "mnist")):
        with pytest.raises(LookupError, match=f"Did you mean.*{hint}"):
            zoo.list_models(**wrong)


def test_architectures_are_listed_and_can_be_made():
    assert zoo.list_architectures("resnet*") == ["resnet-cifar", "resnet18"]
    assert isinstance(zoo.create(zoo.list_architectures("lenet*")[0]), zoo.registry.architecture("lenet5"))


def test_a_notebook_shows_facts_and_picture_and_escapes_text():
    found = zoo.info("ddpm-mnist")
    html = found._repr_html_()
    assert '<img src="data:image/png;base64,iVBOR' in html and "<td>mnist/test/fcd</td>" in html
    assert f"{found.parameters:,}" in str(found) and f"{found.parameters:,}" in html
    metrics = {"d/test/a": Metric("d", "test", "a", 0.0, "how", std=0.5, n_seeds=3, mean=0.0)}
    odd = ModelInfo("x", "a", "t", "d", 1, 1, "", "", "", "1 < 2 & <b>", metrics=metrics)
    assert "1 &lt; 2 &amp; &lt;b&gt;" in odd._repr_html_() and "<img" not in odd._repr_html_()
    assert str(odd).endswith("d/test/a  0            mean 0 ± 0.5 over 3 seeds")
    shown = ModelTable([odd]).sort_by("a")._repr_html_()
    assert shown.startswith("<table><tr><th>name</th>") and shown.count("<tr>") == 2


def test_a_head_swap_on_a_generator_is_refused(tmp_path):
    folder = write(zoo.create("ddpm", width=8, blocks=1, timesteps=50), tmp_path / "ddpm-small", preview=False)
    with pytest.raises(InputError, match="no classes"):
        zoo.load(folder, num_classes=3)
