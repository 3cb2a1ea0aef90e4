"""What a trainer asks of every data module: a share for each rank, epochs that repeat when overfitting, batches to predict."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from datamodules.examples import EXAMPLES, write_example
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError
from zoo.paths import CHECKPOINTS
from zoo.store.folder import read_config

SMALL = {"text-file": {"context": 16, "batch_size": 4}, "text-folder": {"context": 16, "batch_size": 4}}
SMALL |= {"graph-csv": {}, "wav-folder": {"batch_size": 2, "train_size": 24, "val_size": 4, "test_size": 4}}


def placed(data: Any, rank: int = 0, world_size: int = 1, overfit: int = 0) -> Any:
    """A data module as a trainer on the CPU has it."""
    place = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(strategy=place, global_rank=rank, world_size=world_size, overfit_batches=overfit)
    return data


def batches(loader: Any) -> list[list[float]]:
    """All numbers of each batch."""

    def numbers(part: Any) -> list[float]:
        if isinstance(part, Tensor):
            return part.double().flatten().tolist()
        return [value for each in part for value in numbers(each)]

    return [numbers(batch) for batch in loader]


@pytest.fixture(params=[*EXAMPLES, "moons"])
def data(request, tmp_path):
    if request.param == "moons":
        return zoo.datamodule("moons", batch_size=100)
    options = SMALL.get(request.param, {"batch_size": 2})
    if request.param == "pairs-tsv":
        pieces = read_config(CHECKPOINTS / "attention-seq2seq-multi30k")["init"]["tokenizer"]
        options = options | {"tokenizer": pieces, "source": "de", "target": "en"}
    return zoo.datamodule(request.param, root=str(write_example(request.param, tmp_path / "data")), **options)


def test_ranks_have_shares_and_overfitting_repeats_its_batches(data):
    loaders = [placed(data, rank, 2).train_dataloader() for rank in range(2)]
    if not isinstance(loaders[0], ResumableLoader):
        pytest.skip("a DataLoader, whose sampler Lightning replaces")
    first, second = map(batches, loaders)
    assert len(first) == len(second) > 0 and first != second
    repeated, fresh = placed(data, overfit=1).train_dataloader(), placed(data).train_dataloader()
    assert batches(repeated) == batches(repeated)
    assert batches(fresh) != batches(fresh)


def test_there_is_something_to_predict(data):
    assert next(iter(placed(data).predict_dataloader())) is not None


def test_an_environment_has_nothing_to_predict():
    with pytest.raises(InputError, match="environment has no held-out split"):
        zoo.datamodule("environment").predict_dataloader()
