"""A model that another thread asks while a Trainer trains it: every step trains, and the weights are those without it."""

import threading
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback

import zoo
from tests.faults.tiny_data import TinyData
from zoo.core.module import ZooModule


class Modes(Callback):
    """The mode that each training step began and ended in; lets the other thread in between."""

    def __init__(self, answered: threading.Event) -> None:
        self.modes: list[bool] = []
        self.answered = answered

    def note(self, model: Any) -> None:
        self.modes += [all(module.training for module in model.modules())]

    def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
        self.note(model)
        self.answered.clear()
        self.answered.wait(2)  # a whole answer was given within this step

    def on_before_optimizer_step(self, trainer: Any, model: Any, optimizer: Any) -> None:
        self.note(model)

    def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.note(model)


def fit(disturb: bool) -> tuple[dict[str, torch.Tensor], list[bool], int]:
    L.seed_everything(0, verbose=False)
    model: ZooModule = zoo.create("lenet5", dropout=0.3, batch_norm=True)
    data, answered, over = TinyData(batch_size=64), threading.Event(), threading.Event()
    modes, answers, errors = Modes(answered), [], []
    trainer = L.Trainer(
        max_epochs=2, limit_val_batches=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[modes] if disturb else [],
    )  # fmt: skip
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)

    def ask() -> None:
        while not over.is_set():
            try:
                if model.trained_by is not None and trainer.training:
                    answers.append(model.predict_proba(image))
            except Exception as error:  # told below, by the thread of the test
                errors.append(error)
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    if disturb:
        thread.start()
    try:
        trainer.fit(model, data)
    finally:
        over.set()
    if disturb:
        thread.join(30)
    assert not errors, errors[0]
    assert all(answer.shape == (1, 10) and torch.isfinite(answer).all() for answer in answers)
    return {key: value.clone() for key, value in model.state_dict().items()}, modes.modes, len(answers)


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_a_model_that_trains_goes_on_training_while_others_ask_it():
    alone, _, _ = fit(disturb=False)
    asked, modes, answers = fit(disturb=True)
    assert answers >= 6 and len(modes) >= 3 * 12 and all(modes)
    assert all(torch.equal(asked[key], value) for key, value in alone.items())  # no random number was taken from it
