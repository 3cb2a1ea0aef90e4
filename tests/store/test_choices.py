"""The sentence of a card on what was chosen by which data follows from its recipe."""

from types import SimpleNamespace
from typing import Any

import pytest

from zoo.store.cards import kept


def folder(*callbacks: str, averaged: bool = False, epochs: int = 5) -> Any:
    trainer = {"callbacks": [{"class_path": name} for name in callbacks]} if callbacks else {}
    return SimpleNamespace(
        recipe={"trainer": trainer}, config={"weights": {"averaged": averaged}}, provenance={"epochs": epochs}
    )


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (folder("zoo.train.callbacks.KeepBest"), "best on the validation part"),
        (folder("lightning.pytorch.callbacks.EMAWeightAveraging", averaged=True), "average of its last weights"),
        (folder(), "last epoch"),
        (folder("zoo.models.convnets.speednet.Lookahead"), "last epoch"),
    ],
)
def test_which_weights_are_kept(folder, words):
    assert words in kept(folder)


def test_a_method_that_is_fitted_at_once_keeps_no_epoch():
    assert kept(folder(epochs=1)) == ""
