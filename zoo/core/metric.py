"""One measured claim, as an entry of metrics.json: what was measured, on which split, how, and which direction is better."""

from typing import Any, Literal, get_args

from zoo.errors import InputError

Better = Literal["higher", "lower"]


def entry(
    dataset: Any, split: str, metric: str, value: Any, how: str, *, better: Better, n: int | None = None
) -> dict[str, Any]:
    """An entry of metrics.json.

    Args:
        dataset: name of the data set, or a data module that has one.
        split: "test", "val", "train" or "all".
        metric: name of the quantity, lower case with underscores.
        value: the number, or a tensor of one.
        how: implementation, sample count and settings, for a reader who wants the same number.
        better: whether a larger or a smaller value is the better one; tables sort by it.
        n: number of examples, where the protocol counts them.

    Raises:
        InputError: for a direction that isn't one.
    """
    if better not in get_args(Better):
        raise InputError(f"better must be 'higher' or 'lower', not {better!r}")
    name = str(getattr(dataset, "name", dataset))
    facts = {"dataset": name, "split": split, "metric": metric, "value": float(value), "better": better, "how": how}
    return facts if n is None else facts | {"n": n}
