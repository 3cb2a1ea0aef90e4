"""How each method of `zoo.explain` runs on a task."""

import math
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.explain import cams, counterfactual, gradients, lime, occlusion, shapley
from zoo.explain.baselines import baselines
from zoo.explain.task import Found, Task


def saliency(task: Task) -> Found:
    return Found(gradients.saliency(task.f, task.x)[0])


def gradient_x_input(task: Task) -> Found:
    return Found(gradients.gradient_x_input(task.f, task.x)[0])


def smoothgrad(task: Task) -> Found:
    return Found(gradients.smoothgrad(task.f, task.x, samples=task.samples or 25)[0])


def integrated(task: Task) -> Found:
    base = task.base()
    batch = max(1, min(64, 4_000_000 // task.x.numel()))
    return Found(
        gradients.integrated_gradients(task.f, task.x, base, task.samples, batch=batch)[0], base, complete=True
    )


def expected(task: Task) -> Found:
    base = task.background(256)
    return Found(gradients.expected_gradients(task.f, task.x, base, task.samples or 200)[0], base, complete=True)


def deeplift(task: Task) -> Found:
    base = task.base()
    return Found(gradients.deeplift(task.found.wrapped(task.target), task.x, base)[0], base, complete=True)


def deep_shap(task: Task) -> Found:
    base = task.background(task.samples or 16)
    return Found(gradients.deeplift(task.found.wrapped(task.target), task.x, base)[0], base, complete=True)


def guided(task: Task) -> Found:
    return Found(gradients.guided_backprop(task.found.wrapped(task.target), task.x)[0])


def _network(task: Task) -> Any:
    if task.found.module is None:
        raise InputError("CAM methods look at a network's maps, and this model shows none: use occlusion or lime")
    return task.found.module


def cam(task: Task) -> Found:
    return Found(cams.cam(_network(task), task.f, task.x, task.target, task.layer))


def grad_cam(task: Task) -> Found:
    return Found(cams.grad_cam(_network(task), task.f, task.x, task.layer))


def score_cam(task: Task) -> Found:
    return Found(cams.score_cam(_network(task), task.f, task.x, task.base(), task.layer))


def by_occlusion(task: Task) -> Found:
    base, found = task.base(), task.found
    if found.kind == "image" and task.segments is None:
        return Found(occlusion.occlusion(task.f, task.x, base, task.samples), base)
    chosen = task.players()
    assert found.parts is not None
    return Found(occlusion.ablation(task.f, task.x, base, found.parts), base, segments=chosen)


def adaptive(task: Task) -> Found:
    base, chosen = task.base(), task.players()
    parts = task.found.parts
    assert parts is not None

    with torch.no_grad():
        first = task.found.scores(task.x)
    if first.shape[1] == 1 and task.found.threshold is None:
        raise InputError("adaptive-occlusion keeps a class, and this model predicts a number: use occlusion")
    if first.shape[1] > 1 and int(first.argmax()) != task.target:
        raise InputError("adaptive-occlusion keeps the model's own answer: leave target out")
    limit = task.found.threshold or 0.0

    def same(points: Tensor) -> Tensor:
        scores = task.found.scores(points)
        return (
            scores.argmax(1) == task.target
            if scores.shape[1] > 1
            else (scores[:, 0] >= limit) == (first[0, 0] >= limit)
        )

    sign = 1.0 if first.shape[1] > 1 or first[0, 0] >= limit else -1.0
    stays = occlusion.adaptive(same, task.x, base, parts, lambda points: sign * task.f(points))
    return Found(stays.float(), base, segments=chosen, details={"kept": int(stays.sum()), "of": len(stays)})


def by_lime(task: Task) -> Found:
    found = task.found
    if found.kind in ("row", "tensor") and task.segments is None:
        scale = found.scale if found.scale is not None else torch.ones(task.x.shape[1])
        steps = lime.row(task.f, task.x, scale.to(task.x), task.samples or 500)
        return Found(steps.line.weights, details={"r2": steps.line.r2})
    base, chosen = task.base(), task.players()
    assert found.parts is not None
    steps = lime.segments(task.f, task.x, base, found.parts, task.samples or 500)
    return Found(steps.line.weights, base, segments=chosen, details={"r2": steps.line.r2, "steps": steps})


def exact_shapley(task: Task) -> Found:
    base, chosen = task.base(), task.players(9)
    assert task.found.parts is not None
    count = int(task.found.parts.max()) + 1
    shapley.check_players(range(count), most=shapley.MOST)
    codes = torch.arange(2**count)
    worth = task.found.worth(task.target, base)((codes[:, None] >> torch.arange(count) & 1).bool().numpy())
    return Found(torch.tensor(shapley.from_subsets(worth.tolist()), dtype=torch.double), base, True, chosen)


def sampled_shapley(task: Task) -> Found:
    base, chosen = task.base(), task.players()
    found = task.found
    assert found.parts is not None
    count = int(found.parts.max()) + 1
    with torch.no_grad(), gradients.quietly():
        values = gradients.captum().ShapleyValueSampling(task.f).attribute(
            task.x, baselines=base, feature_mask=found.parts[None], n_samples=task.samples or max(25, 400 // count),
            perturbations_per_eval=64 if found.kind != "graph" else 1,
        )  # fmt: skip
    return Found(occlusion.one_each(values[0], found.parts), base, True, chosen)


def kernel_shap(task: Task) -> Found:
    base, chosen = task.base(), task.players()
    assert task.found.parts is not None
    count = int(task.found.parts.max()) + 1
    samples = task.samples or (2 ** min(count, 11) if count <= 11 else max(200, 4 * count))
    values = shapley.kernel_values(task.found.worth(task.target, base), count, samples, task.seed)
    return Found(torch.from_numpy(values), base, True, chosen)


def by_counterfactual(task: Task) -> Found:
    found = task.found
    scores = found.scores

    def margin(points: Tensor) -> Tensor:  # log odds of the target: 0 where it has half of the probability
        out = scores(points)
        if out.shape[1] == 1:
            return out[:, 0]
        rest = torch.cat([out[:, : task.target], out[:, task.target + 1 :]], 1)
        return out[:, task.target] - rest.logsumexp(1)

    with torch.no_grad():
        one, now = scores(task.x).shape[1] == 1, float(margin(task.x)[0])
    if one and found.threshold is None:
        raise InputError(
            "this model predicts a number, say which one to reach: zoo.explain.counterfactual.counterfactual(f, x, wanted)"
        )
    limit = found.threshold or 0.0
    wanted = limit - 0.1 * math.copysign(1, now - limit) if one else 0.1
    low, high = (None, None)
    if found.transform is not None:
        low, high = (baselines(found, value) for value in (0.0, 1.0))
    rows = found.background() if found.kind == "row" else None
    mad = counterfactual.median_absolute_deviation(rows).to(task.x) if rows is not None else found.scale
    result = counterfactual.counterfactual(
        margin, task.x, wanted, mad, tolerance=0.08, lower=low, upper=high, rounds=12, steps=task.samples or 60
    )
    other = result.x[0]
    if found.transform is not None:
        std = torch.tensor(list(found.transform.std)).reshape(-1, 1, 1)
        other = (other.float().cpu() * std + torch.tensor(list(found.transform.mean)).reshape(-1, 1, 1)).clamp(0, 1)
    details = {"reached": result.reached, "distance": result.distance, "changed": len(result.changed)}
    return Found(result.change[0], other=other.detach().float().cpu(), details=details)


def gnn_explainer(task: Task) -> Found:
    """How much each edge counts for the model's own answer (Ying et al., 2019); PyG's explainer."""
    from torch_geometric.explain import Explainer, GNNExplainer

    found, data = task.found, task.found.details["graph"]
    node = found.details["node"]
    regression = not hasattr(task.model, "logits")
    explainer = Explainer(
        task.model,
        GNNExplainer(epochs=task.samples or 100),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "regression" if regression else "multiclass_classification",
            "task_level": "graph" if node is None else "node",
            "return_type": "raw",
        },
    )
    extra = {"edge_attr": data.edge_attr} if regression else {}
    if node is None:
        extra["batch"] = data.batch if data.batch is not None else torch.zeros(data.num_nodes, dtype=torch.long)
    flags = {p: p.requires_grad for p in task.model.parameters()}
    try:
        mask = explainer(found.x[0], data.edge_index, **extra, **({} if node is None else {"index": node})).edge_mask
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
            parameter.grad = None
    names = [f"{a}–{b}" for a, b in data.edge_index.T.tolist()]
    return Found(mask.detach(), names=names)
