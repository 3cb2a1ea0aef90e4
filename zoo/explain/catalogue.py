"""The methods of `zoo.explain` by name: how each runs, what it needs, and by which other names it is known."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo.errors import InputError
from zoo.explain import runs
from zoo.explain.subject import Subject
from zoo.explain.task import Found, Task


@dataclass(frozen=True)
class Method:
    """How a method runs, and what it needs."""

    run: Callable[[Task], Found]
    says: str
    gradient: bool = False
    kinds: tuple[str, ...] = ()
    unsigned: bool = False


METHODS: dict[str, Method] = {
    "saliency": Method(runs.saliency, "the gradient; its map is the absolute value", True, unsigned=True),
    "gradient-x-input": Method(runs.gradient_x_input, "gradient times input", True),
    "smoothgrad": Method(runs.smoothgrad, "mean gradient under noise", True, unsigned=True),
    "integrated-gradients": Method(runs.integrated, "gradients along the way from a baseline", True),
    "expected-gradients": Method(runs.expected, "the same over many baselines", True),
    "deeplift": Method(runs.deeplift, "slopes against a baseline", True),
    "deep-shap": Method(runs.deep_shap, "the same over many baselines", True),
    "guided-backprop": Method(
        runs.guided, "positive gradients of ReLUs; shows edges, not the model", True, unsigned=True
    ),
    "cam": Method(runs.cam, "maps weighed by the head", kinds=("image",)),
    "grad-cam": Method(runs.grad_cam, "maps weighed by their mean gradient", True, kinds=("image",)),
    "score-cam": Method(runs.score_cam, "maps weighed by what the image is worth under them", kinds=("image",)),
    "occlusion": Method(runs.by_occlusion, "loss when a part is covered"),
    "adaptive-occlusion": Method(runs.adaptive, "the fewest parts that keep the answer"),
    "lime": Method(runs.by_lime, "a line near the input"),
    "shapley": Method(runs.exact_shapley, "fair shares of the output, exact up to 16 players"),
    "sampled-shapley": Method(runs.sampled_shapley, "the same out of random orders"),
    "kernel-shap": Method(runs.kernel_shap, "the same by a weighted regression"),
    "counterfactual": Method(
        runs.by_counterfactual, "the smallest change to another class", True, kinds=("image", "row", "tensor")
    ),
    "gnn-explainer": Method(runs.gnn_explainer, "edges that matter", True, kinds=("graph",)),
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


def fitting(found: Subject) -> str:
    """The methods for a model like this one, with commas."""
    return ", ".join(
        name
        for name, method in METHODS.items()
        if (not method.kinds or found.kind in method.kinds)
        and (found.differentiable or not method.gradient)
        and (found.module is not None or name not in LAYERED)
    )
