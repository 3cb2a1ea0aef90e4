"""Which kind of subject a model and an input make."""

from collections.abc import Callable
from typing import Any

from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.explain import families, foreign
from zoo.explain.subject import Subject

KINDS: tuple[tuple[Callable[[Any, Any], bool], Callable[[Any, Any], Subject]], ...] = (
    (families.is_image_model, families.image_subject),
    (families.is_dna, families.dna_subject),
    (families.is_text, families.text_subject),
    (families.is_graph, families.graph_subject),
    (families.is_row, families.row_subject),
    (foreign.is_text_box, foreign.text_box_subject),
    (foreign.is_plain, foreign.plain_subject),
)


def subject(model: Any, x: Any) -> Subject:
    """A model and one input in common terms.

    Raises:
        InputError: for a model that can't be explained, or an input that isn't one of the model's.
    """
    for check, make in KINDS:
        if check(model, x):
            return make(model, x)
    if isinstance(model, ZooModule):
        raise InputError(
            f"{model.name or type(model).__name__} is made for {model.task}: zoo.explain takes models that classify or "
            "predict a number"
        )
    raise InputError(
        f"a model is a network, a function of tensors or has predict_proba, this is a {type(model).__name__}"
    )
