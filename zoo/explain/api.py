"""`zoo.explain`: one call for every model and every method."""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import is_whole
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.explain import cams, counterfactual, gradients, lime, occlusion, shapley
from zoo.explain.baselines import baselines
from zoo.explain.explanation import Explanation
from zoo.explain.segments import segments_of
from zoo.explain.subject import Subject, at_rest, pick_target, subject


@dataclass
class Task:
    """One input, one target, and what the caller wants of the method."""

    model: Any
    found: Subject
    target: int
    baseline: Any
    layer: str | None
    segments: Any
    samples: int | None
    seed: int

    @property
    def f(self) -> Callable[[Tensor], Tensor]:
        return self.found.function(self.target)

    @property
    def x(self) -> Tensor:
        return self.found.x

    def base(self, most: int = 1) -> Tensor:
        return baselines(self.found, self.baseline, self.seed, most=most)

    def background(self, most: int) -> Tensor:
        """Several baselines: those given, else images or rows of the data, else the one that stands for nothing."""
        if isinstance(self.baseline, str) and self.baseline == "black" and self.found.background() is not None:
            return baselines(self.found, "data", self.seed, most=most)
        return self.base(most)

    def players(self, default: int = 49) -> Tensor | None:
        """Put parts into the subject; the map of an image's segments [H, W], None where every part is a player."""
        found = self.found
        if found.kind == "image":
            assert found.image is not None
            chosen = segments_of(found.image, self.segments, default)
            found.parts = chosen.expand(found.x.shape[1:]).contiguous()
            found.labels = [f"segment {i}" for i in range(int(chosen.max()) + 1)]
            return chosen
        if self.segments is None:
            return None
        assert found.parts is not None
        count = int(found.parts.max()) + 1
        try:
            several = not isinstance(self.segments, int)
            chosen = torch.as_tensor(self.segments) if several else torch.arange(count) * self.segments // count
        except (TypeError, ValueError, RuntimeError):  # a word, rows of unlike lengths
            chosen = torch.empty(0)
        if tuple(chosen.shape) != (count,) or chosen.is_floating_point():
            raise InputError(
                f"segments of this {found.kind} are {count} whole numbers, or how many there are to be, not {self.segments!r}"
            )
        chosen = chosen.unique(return_inverse=True)[1]
        found.parts = chosen[found.parts]
        found.labels = [f"segment {i}" for i in range(int(chosen.max()) + 1)]
        return chosen


@dataclass
class Found:
    """What a method gives: values, and where it has them a baseline [B, …], segments, and more."""

    values: Tensor
    base: Tensor | None = None
    complete: bool = False
    segments: Tensor | None = None
    names: list[str] | None = None
    other: Tensor | None = None
    details: dict[str, Any] | None = None


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
    """Why a model says what it says of one input: an `Explanation` with a value for each part of it.

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
                f"choose one of {_fitting(found)}"
            )
        if chosen.gradient and not found.differentiable:
            raise InputError(f"{name} follows gradients, and this model shows none: choose one of {_fitting(found)}")
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


# The methods ---------------------------------------------------------------------------------------------------------


def _saliency(task: Task) -> Found:
    return Found(gradients.saliency(task.f, task.x)[0])


def _gradient_x_input(task: Task) -> Found:
    return Found(gradients.gradient_x_input(task.f, task.x)[0])


def _smoothgrad(task: Task) -> Found:
    return Found(gradients.smoothgrad(task.f, task.x, samples=task.samples or 25)[0])


def _integrated(task: Task) -> Found:
    base = task.base()
    batch = max(1, min(64, 4_000_000 // task.x.numel()))
    return Found(
        gradients.integrated_gradients(task.f, task.x, base, task.samples, batch=batch)[0], base, complete=True
    )


def _expected(task: Task) -> Found:
    base = task.background(256)
    return Found(gradients.expected_gradients(task.f, task.x, base, task.samples or 200)[0], base, complete=True)


def _deeplift(task: Task) -> Found:
    base = task.base()
    return Found(gradients.deeplift(task.found.wrapped(task.target), task.x, base)[0], base, complete=True)


def _deep_shap(task: Task) -> Found:
    base = task.background(task.samples or 16)
    return Found(gradients.deeplift(task.found.wrapped(task.target), task.x, base)[0], base, complete=True)


def _guided(task: Task) -> Found:
    return Found(gradients.guided_backprop(task.found.wrapped(task.target), task.x)[0])


def _network(task: Task) -> Any:
    if task.found.module is None:
        raise InputError("CAM methods look at a network's maps, and this model shows none: use occlusion or lime")
    return task.found.module


def _cam(task: Task) -> Found:
    return Found(cams.cam(_network(task), task.f, task.x, task.target, task.layer))


def _grad_cam(task: Task) -> Found:
    return Found(cams.grad_cam(_network(task), task.f, task.x, task.layer))


def _score_cam(task: Task) -> Found:
    return Found(cams.score_cam(_network(task), task.f, task.x, task.base(), task.layer))


def _occlusion(task: Task) -> Found:
    base, found = task.base(), task.found
    if found.kind == "image" and task.segments is None:
        return Found(occlusion.occlusion(task.f, task.x, base, task.samples), base)
    chosen = task.players()
    assert found.parts is not None
    return Found(occlusion.ablation(task.f, task.x, base, found.parts), base, segments=chosen)


def _adaptive(task: Task) -> Found:
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


def _lime(task: Task) -> Found:
    found = task.found
    if found.kind in ("row", "tensor") and task.segments is None:
        scale = found.scale if found.scale is not None else torch.ones(task.x.shape[1])
        steps = lime.row(task.f, task.x, scale.to(task.x), task.samples or 500)
        return Found(steps.line.weights, details={"r2": steps.line.r2})
    base, chosen = task.base(), task.players()
    assert found.parts is not None
    steps = lime.segments(task.f, task.x, base, found.parts, task.samples or 500)
    return Found(steps.line.weights, base, segments=chosen, details={"r2": steps.line.r2, "steps": steps})


def _exact_shapley(task: Task) -> Found:
    base, chosen = task.base(), task.players(9)
    assert task.found.parts is not None
    count = int(task.found.parts.max()) + 1
    shapley.check_players(range(count), most=shapley.MOST)
    codes = torch.arange(2**count)
    worth = task.found.worth(task.target, base)((codes[:, None] >> torch.arange(count) & 1).bool().numpy())
    return Found(torch.tensor(shapley.from_subsets(worth.tolist()), dtype=torch.double), base, True, chosen)


def _sampled_shapley(task: Task) -> Found:
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


def _kernel_shap(task: Task) -> Found:
    base, chosen = task.base(), task.players()
    assert task.found.parts is not None
    count = int(task.found.parts.max()) + 1
    samples = task.samples or (2 ** min(count, 11) if count <= 11 else max(200, 4 * count))
    values = shapley.kernel_values(task.found.worth(task.target, base), count, samples, task.seed)
    return Found(torch.from_numpy(values), base, True, chosen)


def _counterfactual(task: Task) -> Found:
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


def _gnn_explainer(task: Task) -> Found:
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


@dataclass(frozen=True)
class Method:
    """How a method runs, and what it needs."""

    run: Callable[[Task], Found]
    says: str
    gradient: bool = False
    kinds: tuple[str, ...] = ()
    unsigned: bool = False


METHODS: dict[str, Method] = {
    "saliency": Method(_saliency, "the gradient; its map is the absolute value", True, unsigned=True),
    "gradient-x-input": Method(_gradient_x_input, "gradient times input", True),
    "smoothgrad": Method(_smoothgrad, "mean gradient under noise", True, unsigned=True),
    "integrated-gradients": Method(_integrated, "gradients along the way from a baseline", True),
    "expected-gradients": Method(_expected, "the same over many baselines", True),
    "deeplift": Method(_deeplift, "slopes against a baseline", True),
    "deep-shap": Method(_deep_shap, "the same over many baselines", True),
    "guided-backprop": Method(_guided, "positive gradients of ReLUs; shows edges, not the model", True, unsigned=True),
    "cam": Method(_cam, "maps weighed by the head", kinds=("image",)),
    "grad-cam": Method(_grad_cam, "maps weighed by their mean gradient", True, kinds=("image",)),
    "score-cam": Method(_score_cam, "maps weighed by what the image is worth under them", kinds=("image",)),
    "occlusion": Method(_occlusion, "loss when a part is covered"),
    "adaptive-occlusion": Method(_adaptive, "the fewest parts that keep the answer"),
    "lime": Method(_lime, "a line near the input"),
    "shapley": Method(_exact_shapley, "fair shares of the output, exact up to 16 players"),
    "sampled-shapley": Method(_sampled_shapley, "the same out of random orders"),
    "kernel-shap": Method(_kernel_shap, "the same by a weighted regression"),
    "counterfactual": Method(
        _counterfactual, "the smallest change to another class", True, kinds=("image", "row", "tensor")
    ),
    "gnn-explainer": Method(_gnn_explainer, "edges that matter", True, kinds=("graph",)),
}
ALIASES = {
    "deep-lift": "deeplift",
    "deepshap": "deep-shap",
    "exact-shapley": "shapley",
    "gnnexplainer": "gnn-explainer",
    "grad-x-input": "gradient-x-input",
    "gradcam": "grad-cam",
    "gradient-shap": "expected-gradients",
    "gradient": "saliency",
    "gradients": "saliency",
    "vanilla-gradients": "saliency",
    "gradient×input": "gradient-x-input",
    "guided-backpropagation": "guided-backprop",
    "ig": "integrated-gradients",
    "input-x-gradient": "gradient-x-input",
    "kernelshap": "kernel-shap",
    "scorecam": "score-cam",
    "shap": "kernel-shap",
    "shapley-exact": "shapley",
    "shapley-sampled": "sampled-shapley",
    "shapley-sampling": "sampled-shapley",
    "smooth-grad": "smoothgrad",
}


def methods() -> dict[str, str]:
    """The methods of `zoo.explain` with a line on each."""
    return {name: method.says for name, method in METHODS.items()}


def method_named(name: Any) -> tuple[str, Method]:
    """A method by its name, in either case, with "_" or " " for "-".

    Raises:
        InputError: for an unknown one; it names the nearest and all.
    """
    key = str(name).strip().lower().replace("_", "-").replace(" ", "-")
    key = ALIASES.get(key, key)
    if key not in METHODS:
        near = difflib.get_close_matches(key, METHODS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"there is no method {name!r}: {hint}Known: {', '.join(METHODS)}")
    return key, METHODS[key]


LAYERED = (
    "deeplift",
    "deep-shap",
    "guided-backprop",
    "cam",
    "grad-cam",
    "score-cam",
)  # methods that hook a network's layers


def _fitting(found: Subject) -> str:
    """The methods for a model like this one, with commas."""
    return ", ".join(
        name
        for name, method in METHODS.items()
        if (not method.kinds or found.kind in method.kinds)
        and (found.differentiable or not method.gradient)
        and (found.module is not None or name not in LAYERED)
    )
