"""The YAML block at the head of a card, which the Hub reads."""

from collections.abc import Sequence
from typing import Any

from zoo import registry

LIBRARY = "lightning-model-zoo"


def data_class(dataset: str) -> Any:
    """The data module's class of a data set; None for a name that isn't ours."""
    return registry.datamodule_class(dataset) if dataset in registry.DATAMODULES else None


def front_matter(
    config: dict[str, Any],
    metrics: Sequence[dict[str, Any]],
    licence: str | None,
    *,
    language: list[str] | None = None,
    datasets: list[str] | None = None,
) -> str:
    """The block for a folder's config.json and metrics.json.

    Args:
        licence: the Hub's identifier of the licence of the weights.
        language: what the model reads and writes.
        datasets: the Hub's identifiers of the training data.
    """
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=config["task"],
            dataset_type=getattr(data_class(metric["dataset"]), "hub_id", metric["dataset"]),
            dataset_name=metric["dataset"],
            dataset_split=metric["split"],
            metric_type=metric["metric"],
            metric_value=metric["value"],
        )
        for metric in metrics
    ]
    data = ModelCardData(
        language=language,
        license=licence,
        library_name=LIBRARY,
        pipeline_tag=config["task"],
        datasets=datasets,
        metrics=sorted({metric["metric"] for metric in metrics}) or None,
        base_model=config.get("base_model"),
        tags=["pytorch-lightning", config["architecture"]],
        model_name=config["name"],
        eval_results=results,
    )
    return data.to_yaml()
