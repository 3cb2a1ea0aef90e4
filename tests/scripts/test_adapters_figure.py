"""The figure of what has to learn, on a small language model: what is said to learn does, and the better rate is kept."""

import lightning as L
import torch

import zoo
from datamodules.examples import write_example
from datamodules.gutenberg_pieces import learn_word_pieces
from scripts.figures import adapters

INIT = {"vocab_size": 300, "context": 32, "layers": 1, "heads": 2, "width": 16, "num_classes": 2}
TRAINER = {"max_steps": 4, "accelerator": "cpu", "enable_progress_bar": False}


class Rates(L.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, *_):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_everything_learns_its_own_share_and_the_better_rate_is_kept(tmp_path, monkeypatch):
    path = write_example("text-csv", tmp_path / "example")
    data = zoo.datamodule("text-csv", root=str(path))
    pieces = learn_word_pieces([path.read_text(encoding="utf-8")], 300).to_str()
    rates = Rates()
    rows = adapters.measure(INIT | {"tokenizer": pieces}, data, TRAINER | {"callbacks": [rates]})
    assert len(rates.seen) == 12 and min(rates.seen) > 0
    head, some, whole = (row["learns"] for row in rows.values())
    assert head == 2 * 17 and some == head + 2 * (2 * 16 * 24 + 24 + 16)
    assert whole > some > head
    adapters.draw(rows, tmp_path / "adapters.png")
    assert 2_000 < (tmp_path / "adapters.png").stat().st_size < 200_000
    values = iter([{"val": 0.5}, {"val": 0.7}, {"val": 0.6}])
    monkeypatch.setattr(adapters, "probe", lambda *_: {"val": 0.4})
    monkeypatch.setattr(adapters, "tried", lambda *_: next(values))
    assert [row["val"] for row in adapters.measure(INIT, data, TRAINER).values()] == [0.4, 0.5, 0.7]


def test_the_probe_sees_what_the_read_out_sees(tmp_path):
    path = write_example("text-csv", tmp_path / "example")
    data = zoo.datamodule("text-csv", root=str(path))
    pieces = learn_word_pieces([path.read_text(encoding="utf-8")], 300).to_str()
    model = adapters.Tuned(lr=0.0, bottleneck=0, **INIT, tokenizer=pieces).eval()
    model.bring_pieces(data)
    data.setup("fit")
    tokens, lengths, labels = next(iter(data.val_dataloader()))
    states, y = adapters.mean_states(model, [(tokens, lengths, labels)])
    torch.testing.assert_close(model.head(torch.from_numpy(states)), model(tokens, lengths))
    assert y.tolist() == labels.tolist()
