"""The lines that a training writes into a log say how far it is, whatever a batch is made of."""

import lightning as L
import pytest
from torch.utils.data import DataLoader

from tests.tiny import TINY
from zoo.registry import architecture
from zoo.train import callbacks


class Bar:
    """Counts as tqdm does."""

    def __init__(self, what: str, total: int | None) -> None:
        self.n, self.total = 0, total

    def update(self, n: int) -> None:
        self.n += n

    def close(self) -> None: ...


@pytest.mark.parametrize("name", ["lenet5", "dcgan", "cyclegan"])
def test_a_training_ends_where_it_was_said_to_end(name, monkeypatch, tmp_path):
    """Also where a batch takes a step of each of several optimisers, which Lightning counts one by one."""
    bars: list[Bar] = []
    monkeypatch.setattr(callbacks, "bar", lambda *what: bars.append(Bar(*what)) or bars[-1])
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = L.Trainer(default_root_dir=tmp_path, max_epochs=2, callbacks=[callbacks.LogLines()], **options)
    loader = DataLoader([TINY[name].batch()] * 3, batch_size=None)
    trainer.fit(architecture(name)(**TINY[name].init), loader)
    assert [(bar.n, bar.total) for bar in bars] == [(6, 6)]
