"""What the shared suites can't know about recurrent language models: the state that is carried along."""

import lightning as L
import pytest
import torch

import zoo
from datamodules.text import Streams
from zoo.errors import InputError
from zoo.models.recurrent.char_rnn import CharRNN
from zoo.models.recurrent.gradients import gradient_norms

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
}


def small(kind: str = "gru", **options) -> CharRNN:
    torch.manual_seed(0)
    return CharRNN(8, 12, kind=kind, embedding=6, **options)


def test_parameter_counts_of_the_three_kinds():
    counts = {kind: sum(p.numel() for p in CharRNN(kind=kind).parameters()) for kind in ("rnn", "gru", "lstm")}
    assert counts == {"rnn": 370_369, "gru": 1_027_777, "lstm": 1_356_481}


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_reading_in_pieces_gives_what_reading_at_once_gives(kind):
    model, tokens = small(kind, layers=2).eval(), torch.randint(8, (3, 20))
    state, pieces = None, []
    for piece in tokens.split([1, 7, 12], dim=1):
        logits, state = model.step(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), model(tokens))


def test_the_state_is_carried_along_an_epoch_and_its_gradient_is_not():
    model = small("lstm").eval()
    model.log_train = lambda **_: None
    text = torch.randint(8, (500,))
    batches = list(Streams(text, 2, 10, shift=False))
    losses = torch.stack([model.training_step(batch, i) for i, batch in enumerate(batches[:4])])
    whole = torch.cat([x for x, _ in batches[:4]], 1), torch.cat([y for _, y in batches[:4]], 1)
    torch.testing.assert_close(losses.mean(), model.training_step(whole, 0))
    assert not any(s.requires_grad for s in model._carried["train"])
    torch.testing.assert_close(model.training_step(batches[0], 0), losses[0])  # an epoch starts with an empty state


def test_shuffled_windows_begin_with_an_empty_state():
    model = small("lstm").eval()
    model.log_train = lambda **_: None
    model._trainer = type("Trainer", (), {"datamodule": type("Data", (), {"reading": "windows"})})()
    first, second = ((torch.randint(8, (n, 10)), torch.randint(8, (n, 10))) for n in (4, 3))  # and of any size
    model.training_step(first, 0)
    loss = model.training_step(second, 1)
    torch.testing.assert_close(
        loss, torch.nn.functional.cross_entropy(model(second[0]).flatten(0, 1), second[1].flatten())
    )


def test_validation_leaves_the_training_state_alone():
    model = small()
    model.log_train = model.log_nats = lambda *_, **__: None
    batch = torch.randint(8, (2, 10)), torch.randint(8, (2, 10))
    model.training_step(batch, 0)
    before = model._carried["train"].clone()
    model.validation_step(tuple(t[:1] for t in batch), 0)
    assert torch.equal(before, model._carried["train"])
    assert not any("carried" in key for key in model.state_dict())


class StopAt(L.Callback):
    """Save inside an epoch, as a cluster's signal makes Lightning do, and stop."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 5:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def test_a_run_cut_inside_an_epoch_ends_with_the_same_weights(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("abcdefgh" * 60 + "hgfedcba" * 60, encoding="utf-8")

    def run(callbacks: list, resume: str | None = None) -> CharRNN:
        model = small()
        data = zoo.datamodule("text-file", path=str(path), batch_size=4, context=16, reading="streams")
        trainer = L.Trainer(max_epochs=1, limit_val_batches=0, callbacks=callbacks, **QUIET)
        trainer.fit(model, datamodule=data, ckpt_path=resume)
        return model

    whole = run([])
    run([StopAt(tmp_path / "cut.ckpt")])
    resumed = run([], str(tmp_path / "cut.ckpt"))
    assert whole.classes == list("abcdefgh")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, msg=key)


def test_wrong_arguments():
    for init, word in (({"kind": "elman"}, "rnn, gru, lstm"), ({"layers": 0}, "layers"), ({"vocab_size": 0}, "vocab")):
        with pytest.raises(InputError, match=word):
            CharRNN(**init)


def test_gradient_norms_by_hand():
    """With U = ½ I and no input, tanh'(0) = 1: each step back halves the gradient."""
    model = small("rnn")
    for parameter in model.rnn.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        model.rnn.weight_hh_l0.copy_(torch.eye(12) / 2)
    found = gradient_norms(model, torch.randint(8, (3, 20)), 6)
    torch.testing.assert_close(found[:, 0], 0.5 ** torch.arange(7.0))
    for kind in ("gru", "lstm"):
        found = gradient_norms(small(kind, layers=2), torch.randint(8, (3, 20)), 6)
        assert found.shape == (7, 2) and found.isfinite().all()
        torch.testing.assert_close(found[0], torch.ones(2))
    with pytest.raises(InputError, match="more than 6"):
        gradient_norms(model, torch.randint(8, (3, 6)), 6)
