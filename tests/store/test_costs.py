"""What an input costs: operations by hand-counted layers, and the file that keeps them."""

import json

import pytest

import zoo
from zoo.paths import CHECKPOINTS
from zoo.store import costs, folder

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration")  # PyTorch, where it counts operations


def test_operations_of_a_small_network_are_those_on_paper():
    model = zoo.load("logistic-mnist")  # one layer: 784 × 10 products, and as many sums
    assert costs.costs(model)["flops"] == 2 * 784 * 10


@pytest.mark.parametrize("name", ["lstm-sst2", "vit-mnist"])
def test_fused_kernels_count_too(name):
    assert costs.costs(zoo.load(name))["flops"] > 2 * 10**5


def test_new_weights_are_measured_once_and_old_ones_forgotten(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(costs, "CHECKPOINTS", tmp_path / "checkpoints")
    path = CHECKPOINTS / "mlp-xor"
    sha256 = folder.read_config(path)["weights"]["sha256"]
    assert costs.update([("mlp-xor", path, sha256)]) == ["mlp-xor"]
    assert costs.update([("mlp-xor", path, sha256)]) == []
    assert costs.of("mlp-xor", sha256)["flops"] > 0 and costs.of("mlp-xor", "0" * 64) == {}
    assert costs.update([]) == [] and json.loads(costs.place().read_text()) == {}


def test_the_index_knows_costs_time_and_hardware():
    facts = zoo.info("lenet5-mnist")
    assert facts.flops and facts.milliseconds and facts.minutes and facts.hardware and facts.data_licence
    assert {"operations", "time", "trained", "data licence"} <= facts.facts.keys()
