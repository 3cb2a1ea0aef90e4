import pytest
import torch

from zoo.core.metric import entry
from zoo.errors import InputError


class Data:
    name = "mnist"


def test_an_entry_is_plain_json_and_names_its_data():
    found = entry(Data(), "test", "mean_dice", torch.tensor(0.5), "by hand", better="higher", n=3)
    assert found == {
        "dataset": "mnist", "split": "test", "metric": "mean_dice", "value": 0.5, "better": "higher", "how": "by hand", "n": 3,
    }  # fmt: skip
    assert entry("cora", "val", "loss", 1, "", better="lower")["dataset"] == "cora"


def test_a_direction_is_asked_for():
    with pytest.raises(InputError, match="'higher' or 'lower', not 'up'"):
        entry("cora", "val", "loss", 1, "", better="up")
