"""`zoo.explain`: one call for every model and every method."""

from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import is_whole
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.explain import gradients
from zoo.explain.catalogue import fitting, method_named
from zoo.explain.explanation import Explanation
from zoo.explain.finding import subject
from zoo.explain.subject import at_rest, pick_target
from zoo.explain.task import Task


def explain(
    model: Any,
    x: Any,
    method: str = "integrated-gradients",
    *,
    target: Any = None,
    baseline: Any = "black",
    layer: str | None = None,
    segments: Any = None,
    samples: int | None = None,
    seed: int = 0,
) -> Any:
    """Why a model gives the answer that it gives of one input: an `Explanation` with a value for each part of it.

    Args:
        model: an image classifier, detector, text classifier, BERT, GPT, a model of rows, DNA, graphs or molecules of
            the zoo; or any `torch.nn.Module`, function of tensors or estimator with `predict_proba`.
        x: what the model's `predict` takes: a path, PIL image, array or tensor; a text; a row; a DNA sequence; a graph,
            (graph, node) for a classifier of nodes, or a SMILES string. A list or batch of several gives a list of
            explanations.
        method: one of `zoo.explain.methods()`.
        target: the class to explain, by name or number; by default the model's answer. For "counterfactual", the class
            to reach, by default the second likeliest.
        baseline: what stands for nothing: black, white, mean, blur, uniform, gaussian, max-distance, data, a number or a
            tensor. "expected-gradients" and "deep-shap" take several, by default packaged images or training rows.
        layer: of the CAM methods: a submodule's path such as "stage2"; by default the last one with maps.
        segments: players of lime, the Shapley methods and adaptive-occlusion: their number, (rows, columns), "slic", or
            a map [H, W].
        samples: steps of integrated gradients, draws of a sampling method, or the side of occlusion's window; each has a
            default.
        seed: of whatever is drawn.

    Raises:
        InputError: in one sentence, for an unknown method, target or layer (it names those there are), a method that
            doesn't fit the model, a baseline of another shape, exact Shapley values of more than 16 players, or an image
            that is constant.
        IncompleteError: an InputError, where DeepLIFT's values don't add up on this network.
        MissingExtraError: without captum.
    """
    name, chosen = method_named(method)
    if samples is not None and (not is_whole(samples) or samples < 1):
        raise InputError(f"samples must be a whole number of at least 1, not {samples!r}")
    if (several := _several(model, x)) is not None:
        targets = target if isinstance(target, list | tuple | Tensor) else [target] * len(several)
        if len(targets) != len(several):
            raise InputError(f"there are {len(several)} inputs but {len(targets)} targets")
        options = {"baseline": baseline, "layer": layer, "segments": segments, "samples": samples, "seed": seed}
        return [explain(model, one, method, target=t, **options) for one, t in zip(several, targets, strict=True)]
    with at_rest(model, seed):
        found = subject(model, x)
        if chosen.kinds and found.kind not in chosen.kinds:
            raise InputError(
                f"{name} is for {' and '.join(f'{kind}s' for kind in chosen.kinds)}, the model's input is {found.article}: "
                f"choose one of {fitting(found)}"
            )
        if chosen.gradient and not found.differentiable:
            raise InputError(f"{name} follows gradients, and this model shows none: choose one of {fitting(found)}")
        with torch.no_grad():
            scores = found.scores(found.x)[0].detach()
        if not torch.isfinite(scores).all():
            raise InputError(
                "the model's output isn't finite for this input: its weights are damaged, or the input is out of range"
            )
        index, label = pick_target(found, target, scores)
        if name == "counterfactual" and target is None and len(scores) > 1:
            index = int(scores.topk(2).indices[1])
            label = pick_target(found, index, scores)[1]
        task = Task(model, found, index, baseline, layer, segments, samples, seed)
        result = chosen.run(task)
        base = gap = None
        if result.base is not None:
            with torch.no_grad():
                base = float(task.f(result.base).double().mean())
            gap = gradients.gap_of(result.values, float(scores[index].double()) - base) if result.complete else None
    details = {**found.details, **(result.details or {}), "unsigned": chosen.unsigned}
    return Explanation(
        result.values.detach().float().cpu(), index, float(scores[index]), base, gap, name, label, found.kind,
        result.names or found.labels, None if found.image is None else found.image.cpu(), result.segments, result.other,
        None if found.edges is None else found.edges.cpu(), details,
    )  # fmt: skip


def _several(model: Any, x: Any) -> list[Any] | None:
    """The inputs of a list or batch of several; None for one."""
    ndim = getattr(x, "ndim", None)
    if isinstance(x, list) and len(x) > 1:
        if all(isinstance(one, int | float) for one in x):
            return None
        return x
    if isinstance(x, list) and not x:
        raise InputError("there is nothing to explain: the list is empty")
    if (
        ndim in (2, 4)
        and len(x) > 1
        and not (ndim == 2 and isinstance(model, ZooModule) and model.task == "image-classification")
    ):
        return list(x)
    return None
