"""Files of Lightning's ModelCheckpoint load as models, and nothing else of a `.ckpt` is read."""

import pickle

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

import zoo
from zoo.core.images import Transform
from zoo.errors import CheckpointError


def trained(tmp_path, model):
    x = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(list(zip(x, torch.arange(8) % 3, strict=True)), batch_size=4)
    keeper = ModelCheckpoint(dirpath=tmp_path, filename="best")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    L.Trainer(max_epochs=1, callbacks=[keeper], **quiet).fit(model, loader)
    return tmp_path / "best.ckpt"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    model = zoo.create("lenet5", num_classes=3)
    model.transform, model.classes = Transform([28, 28], "L", [0.1], [0.3]), ["a", "b", "c"]
    return trained(tmp_path_factory.mktemp("ckpt"), model)


def test_a_file_of_model_checkpoint_is_a_model(file):
    model = zoo.load(file)
    tensors = torch.load(file, weights_only=True)["state_dict"]
    assert all(torch.equal(value, tensors[key]) for key, value in model.state_dict().items())
    assert (model.name, model.classes, model.transform.mean) == ("best", ["a", "b", "c"], [0.1]) and not model.training
    assert len(model.predict(torch.zeros(1, 28, 28, dtype=torch.uint8))) == 3
    assert zoo.load(str(file), num_classes=2).head.out_features == 2


def changed(file, tmp_path, **changes):
    content = torch.load(file, weights_only=True)
    torch.save({key: value for key, value in (content | changes).items() if value is not None}, tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zoo": None}, "doesn't say which architecture"),
        ({"zoo": {"architecture": "resnet9000"}}, "isn't in the registry"),
        ({"zoo": {"architecture": ["lenet5"]}}, "isn't in the registry"),
        ({"zoo": {"architecture": "lenet5", "classes": "abc"}}, "holds other values where classes"),
        ({"hyper_parameters": {"num_clases": 3}}, "num_clases"),
        ({"hyper_parameters": {"num_classes": 10**9}}, "far larger model"),
        ({"state_dict": {}}, "the weights don't fit LeNet5: missing"),
        ({"state_dict": [1]}, "has no state_dict of tensors"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(file, tmp_path, changes, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        zoo.load(changed(file, tmp_path, **changes))
    assert "\n" not in str(caught.value)


class Code:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_file_is_not_run(file, tmp_path, capsys):
    torch.save({"state_dict": {}, "zoo": Code()}, tmp_path / "code.ckpt")
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Code()))
    (tmp_path / "cut.ckpt").write_bytes(file.read_bytes()[:1000])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    for name in ("code", "bare", "cut", "empty"):
        with pytest.raises(CheckpointError, match="is no checkpoint of plain tensors"):
            zoo.load(tmp_path / f"{name}.ckpt")
    assert "run" not in capsys.readouterr().out
