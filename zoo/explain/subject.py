"""What is explained: any model and one input of it as a differentiable function of one tensor, and as a game of players.

Every family is put into the same terms. `points` [N, …] are what the function takes: transformed images, a text's
embeddings, one-hot DNA, rows of numbers, a graph's node features. Players are the parts that can be absent: an image's
segments, a text's tokens, letters, features, nodes. What is absent takes its value from a baseline.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.core.checks import as_numbers
from zoo.core.images import Transform
from zoo.core.module import ZooModule
from zoo.core.verbs import looking
from zoo.errors import InputError


@dataclass
class Subject:
    """A model at one input.

    Attributes:
        kind: "image", "text", "dna", "row", "graph" or "tensor".
        x: the input as a point, [1, …].
        scores: outputs [N, K] of points [N, …].
        module: the network itself where it takes points, for methods that need its layers.
        absent: the point where nothing is there, [1, …].
        names: of the K outputs; None where there are none.
        parts: the player of each number of a point, int64 as x[0]; None until segments are chosen (images).
        labels: names of the players.
        differentiable: whether `scores` has a gradient.
        transform: of an image: from pixels to points.
        image: pixels in 0..1, [C, H, W].
        background: points of the data that the model is meant for, [B, …], if they are at hand.
    """

    kind: str
    x: Tensor
    scores: Callable[[Tensor], Tensor]
    module: nn.Module | None
    absent: Tensor
    names: list[str] | None = None
    parts: Tensor | None = None
    labels: list[str] | None = None
    differentiable: bool = True
    transform: Transform | None = None
    image: Tensor | None = None
    edges: Tensor | None = None
    scale: Tensor | None = None  # spread of each number of a row
    threshold: float | None = None  # where a single output changes the answer; None where it is a number of its own
    background: Callable[[], Tensor | None] = lambda: None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def article(self) -> str:
        return {"image": "an image", "dna": "DNA"}.get(self.kind, f"a {self.kind}")

    def function(self, target: int) -> Callable[[Tensor], Tensor]:
        """The target's output [N] of points [N, …]."""
        return lambda points: self.scores(points)[:, target]

    def wrapped(self, target: int) -> nn.Module:
        """The same as a module that holds the network, for methods that hook its layers.

        Raises:
            InputError: where the network doesn't take points.
        """
        if self.module is None:
            raise InputError(f"this method needs a network's layers, this {self.kind} model has none to hook: {OTHERS}")
        return _Scalar(self.module, self.function(target))

    def worth(self, target: int, base: Tensor, batch: int = 256) -> Callable[[np.ndarray], np.ndarray]:
        """The game of the players: coalitions bool [N, M] to outputs [N]; who is absent takes the baseline's value."""
        assert self.parts is not None
        function, parts = self.function(target), self.parts.to(self.x.device)

        @torch.no_grad()
        def worth(coalitions: np.ndarray) -> np.ndarray:
            rows = torch.from_numpy(np.ascontiguousarray(coalitions)).to(self.x.device)
            found = [function(torch.where(part[:, parts], self.x, base)).double().cpu() for part in rows.split(batch)]
            return torch.cat(found).numpy()

        return worth


OTHERS = "use occlusion, lime, sampled-shapley or kernel-shap"


class _Scalar(nn.Module):
    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self._function = network, function

    def forward(self, points: Tensor) -> Tensor:
        return self._function(points)


def subject(model: Any, x: Any) -> Subject:
    """A model and one input in common terms.

    Raises:
        InputError: for a model that can't be explained, or an input that isn't one of the model's.
    """
    for check, make in FAMILIES:
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


# Families ------------------------------------------------------------------------------------------------------------


def _first_tensor(model: nn.Module) -> Tensor:
    return next(iter(model.parameters()), torch.zeros(()))


def _to_model(x: Tensor, model: nn.Module) -> Tensor:
    like = _first_tensor(model)
    return x.to(device=like.device, dtype=like.dtype if like.is_floating_point() else torch.float32)


def _table(model: Any) -> Callable[[Tensor], Tensor]:
    """A network's outputs as a table [N, K] in float32."""

    def scores(points: Tensor) -> Tensor:
        found = model(points)
        if not isinstance(found, Tensor):
            raise InputError(f"the model gives {type(found).__name__}, not a tensor of scores [N, classes]")
        found = found if found.ndim > 1 else found.reshape(-1, 1)
        if found.ndim != 2:
            raise InputError(f"the model's scores are [N, classes], not {list(found.shape)}")
        return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found

    return scores


def _is_image_model(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and (
        model.task in ("image-classification", "object-detection", "image-segmentation")
        or (hasattr(model, "predict_proba") and model.transform is not None)
    )


def _image(model: Any, x: Any) -> Subject:
    if model.transform is None:
        raise InputError(
            f"this {type(model).__name__} has no transform and can't read an image: train it, load a trained one, or set "
            "model.transform = zoo.core.images.Transform(size, mode, mean, std)"
        )
    transform: Transform = model.transform
    mean = torch.tensor(list(transform.mean)).reshape(-1, 1, 1)
    std = torch.tensor(list(transform.std)).reshape(-1, 1, 1)
    x = x[0] if isinstance(x, list | tuple) and len(x) == 1 else x
    ready = isinstance(x, Tensor) and x.is_floating_point() and x.ndim in (3, 4) and bool((x < 0).any())
    if ready:  # transformed already: pixels are never below 0
        if not torch.isfinite(x).all():
            raise InputError("the image holds NaN or infinite values: clean it before the call")
        point = x.detach().float().cpu()
        shape = (len(transform.mean), *transform.size)
        if tuple(point.shape[-3:]) != shape:
            raise InputError(f"a transformed image is {list(shape)}, not {list(point.shape)}")
    else:
        point = transform(x)
    point = point if point.ndim == 4 else point[None]
    if len(point) != 1:
        raise InputError(
            f"one image is explained at a time, not {len(point)}: give one, or a list for a list of explanations"
        )
    image = (point[0] * std + mean).clamp(0, 1)
    if float(image.max() - image.min()) < 1e-6:
        raise InputError(
            f"the image is constant, every pixel is {float(image.flatten()[0]):.3g}: there is nothing to explain in it"
        )

    def background() -> Tensor | None:
        from zoo.core.samples import sample_split

        try:
            return transform(sample_split((model.data or {}).get("name", ""))[0])
        except InputError:
            return None

    names = list(model.classes) if model.classes else None
    black = _to_model(((0.0 - mean) / std).expand_as(point), model).contiguous()
    common = {
        "names": names, "transform": transform, "image": image, "background": background, "absent": black,
    }  # fmt: skip
    if model.task == "image-classification":
        return Subject("image", _to_model(point, model), _table(model), model, **common)
    if model.task == "image-segmentation":  # a class's output is its mean logit over the pixels
        mean_logit = _table(lambda points: model(points).mean((2, 3)))
        return Subject("image", _to_model(point, model), mean_logit, model, **common)
    if model.task == "object-detection":

        @torch.no_grad()
        def best_score(points: Tensor) -> Tensor:  # of each class the most certain box's, 0 where there is none
            best = torch.zeros(len(points), model.num_classes)
            for row, boxes in zip(best, model.boxes(points, 1e-3), strict=True):
                row.scatter_reduce_(0, boxes["labels"].cpu().long(), boxes["scores"].float().cpu(), "amax")
            return best

        return Subject("image", _to_model(point, model), best_score, None, differentiable=False, **common)

    def black_box(points: Tensor) -> Tensor:  # class probabilities of pixels
        pixels = (points.float().cpu() * std + mean).clamp(0, 1)
        return torch.as_tensor(model.predict_proba((255 * pixels).round().to(torch.uint8))).float()

    return Subject("image", _to_model(point, model), black_box, None, differentiable=False, **common)


def _is_dna(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and isinstance(x, str) and hasattr(model, "strands")


def _dna(model: Any, x: str) -> Subject:
    from datamodules.formats.dna import encode, one_hot

    codes = encode(x)
    point = _to_model(one_hot(codes[None]), model)  # [1, 4, L]
    length = point.shape[2]
    return Subject(
        "dna", point, _table(model), model, torch.full_like(point, 0.25),
        names=list(model.classes) if model.classes else None,
        parts=torch.arange(length).repeat(4, 1), labels=[f"{c.upper()}{i}" for i, c in enumerate(x, 1)],
    )  # fmt: skip


def _is_text(model: Any, x: Any) -> bool:
    return (
        isinstance(model, ZooModule)
        and isinstance(getattr(model, "embedding", None), nn.Embedding)
        and (hasattr(model, "predict_proba") or model.task in ("fill-mask", "text-generation"))
    )


def _text(model: Any, x: Any) -> Subject:
    """A text's tokens as embeddings: a hook puts given embeddings in the place of the table's."""
    if not isinstance(x, str):
        raise InputError(f"{model.name or 'this model'} reads text: give a string, not {type(x).__name__}")
    at, details = -1, {}
    names: list[str] | None
    table = model.embedding.weight
    if model.task == "fill-mask":
        from datamodules.gutenberg_pieces import MASK

        tokens = model._fitting(x)
        holes = (tokens == MASK).nonzero().flatten().tolist()
        if not holes:
            raise InputError("a masked language model is explained at a hole: put [MASK] in the place of a word")
        at, details = holes[0], {"hole": holes[0]}
        names = [model.tokenizer.id_to_token(i) for i in range(model.vocab_size)]
        labels = [names[i] for i in tokens.tolist()]
        nothing = table[MASK]
    elif model.task == "text-generation":
        tokens = model.tokens(x)
        tokens = tokens[-model.context :] if model.context else tokens
        names = list(model.characters)
        labels = [names[i] for i in tokens.tolist()]
        nothing = table.mean(0)  # no token stands for nothing
    else:
        tokens = model.encode(x)
        names = list(model.classes) if model.classes else None
        unit: Any = getattr(model.hparams, "unit", "word")
        from datamodules.formats.words import UNKNOWN, split

        labels = split(x, unit)
        nothing = table[UNKNOWN]
    tokens = tokens.to(table.device)
    point = table[tokens].detach()[None]  # [1, T, D]

    def scores(points: Tensor) -> Tensor:
        def swap(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            return points if module is model.embedding else output

        handle = model.embedding.register_forward_hook(swap)
        try:
            many = tokens.expand(len(points), -1)
            if model.task == "fill-mask":
                return model(many, at=torch.full((len(points), 1), at, device=many.device))[:, 0].float()
            if model.task == "text-generation":
                return model.head(model.hidden(many)[:, -1]).float()
            return model(many).float()
        finally:
            handle.remove()

    length, width = point.shape[1:]
    return Subject(
        "text", point, scores, None, nothing.detach().expand_as(point).clone(), names=names,
        parts=torch.arange(length)[:, None].repeat(1, width), labels=labels, details=details,
    )  # fmt: skip


def _is_graph(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and model.task == "graph-ml"


def _graph(model: Any, x: Any) -> Subject:
    """A graph's node features; x is a graph, (graph, node) for a classifier of nodes, or a SMILES string for molecules."""
    node: Any = None
    smiles = x if isinstance(x, str) else None
    if isinstance(x, tuple | list) and len(x) == 2 and not isinstance(x[0], str):
        x, node = x
    if isinstance(x, list) and len(x) == 1:
        x = x[0]
    data = model.prepare(x)
    of_nodes = _of_nodes(model)
    if of_nodes and node is None:
        raise InputError("a classifier of nodes is explained at a node: give (graph, number of the node)")
    if node is not None and (
        isinstance(node, bool) or not isinstance(node, int | np.integer) or not 0 <= node < data.num_nodes
    ):
        raise InputError(f"node must be a whole number in 0..{data.num_nodes - 1}, not {node!r}")
    if not of_nodes and data.batch is not None and int(data.batch.max()) > 0:
        raise InputError("one graph is explained at a time: give a single Data")
    features = data.x if data.x.layout == torch.strided else data.x.to_dense()
    where, many = (int(node) if of_nodes else 0), data.num_nodes  # type: ignore[arg-type]

    def one(points: Tensor) -> Tensor:
        copy = data.clone()
        copy.x = points
        if hasattr(model, "logits"):
            return model.logits(copy)[where]
        y = model(copy.x, copy.edge_index, copy.edge_attr, copy.batch)
        return (y * model.target_scale + model.target_mean).reshape(-1)[:1]

    def scores(points: Tensor) -> Tensor:
        return torch.stack([one(point) for point in points])

    edges = data.edge_index
    labels = [str(i) for i in range(many)]
    if smiles is not None:
        from datamodules.formats.smiles import parse

        labels = [f"{atom.symbol}{i}" for i, atom in enumerate(parse(smiles)[0])]
    details = {"graph": data, "node": int(node) if of_nodes else None}  # type: ignore[arg-type]
    return Subject(
        "graph", features[None].float(), scores, None, torch.zeros_like(features)[None].float(),
        names=list(model.classes) if model.classes else None, parts=torch.arange(many)[:, None].repeat(1, features.shape[1]),
        labels=labels, edges=edges, details=details,
    )  # fmt: skip


def _of_nodes(model: Any) -> bool:
    return any(cls.__name__ == "NodeClassifier" for cls in type(model).__mro__)


def _is_row(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and model.task.startswith("tabular")


def _row(model: Any, x: Any) -> Subject:
    point = as_numbers(x, "the values of a row").float()
    point = point if point.ndim == 2 else point[None]
    if point.ndim != 2 or len(point) != 1:
        raise InputError(f"one row of numbers is explained at a time, not shape {list(point.shape)}")
    model.predict(point)  # says in one sentence what is wrong with a row
    base, names = _table(model), list(model.classes) if model.classes else None

    def scores(points: Tensor) -> Tensor:
        found = base(points)
        return model.value(found) if hasattr(model, "value") else found

    mean, scale = getattr(model, "mean", None), getattr(model, "scale", None)
    absent = torch.zeros_like(point) if mean is None else mean.detach().expand_as(point).clone()
    outputs = scores(_to_model(point, model)).shape[1]
    names = names if names is not None and len(names) == outputs else None
    return Subject(
        "row", _to_model(point, model), scores, model, _to_model(absent, model), names=names,
        parts=torch.arange(point.shape[1]), labels=_feature_names(model, point.shape[1]),
        scale=None if scale is None else scale.detach(),
        threshold=None if "regression" in model.task else 0.5 if hasattr(model, "backward_by_hand") else 0.0,
        background=lambda: _training_rows(model),
    )  # fmt: skip


def _feature_names(model: Any, count: int) -> list[str]:
    names: Any = None
    if model.data:
        from zoo import registry

        names = model.data["init"].get("features")
        with contextlib.suppress(LookupError):
            names = names or getattr(registry.datamodule_class(model.data["name"]), "features", None)
    names = list(names) if isinstance(names, list | tuple) else []
    return [str(name) for name in names] if len(names) == count else [f"x{i}" for i in range(count)]


def _training_rows(model: Any) -> Tensor | None:
    from zoo import registry

    if not model.data:
        return None
    with contextlib.suppress(OSError, InputError, AttributeError):
        data = registry.datamodule_class(model.data["name"])(**model.data["init"])
        return data.part("train")[0].float()
    return None


def _is_text_box(model: Any, x: Any) -> bool:
    return isinstance(x, str) and not Path(x).is_file() and hasattr(model, "predict_proba")


def _text_box(model: Any, x: str) -> Subject:
    """A text classifier of which only the probabilities are known: words are there, or left out."""
    words = x.split()
    if not words:
        raise InputError("the text is empty: give at least one word")
    point = torch.ones(1, len(words))

    def scores(points: Tensor) -> Tensor:
        texts = [
            " ".join(w for w, there in zip(words, row, strict=True) if there > 0.5) or "." for row in points.tolist()
        ]
        return torch.as_tensor(model.predict_proba(texts)).float()

    names = getattr(model, "classes", None)
    names = [str(name) for name in names] if names is not None else None
    return Subject(
        "text", point, scores, None, torch.zeros_like(point), names=names, parts=torch.arange(len(words)), labels=words,
        differentiable=False,
    )  # fmt: skip


def _is_plain(model: Any, x: Any) -> bool:
    return not isinstance(model, ZooModule) and (
        isinstance(model, nn.Module) or callable(model) or hasattr(model, "predict_proba")
    )


def _plain(model: Any, x: Any) -> Subject:
    """A network or function of tensors that the zoo doesn't know: x is what it takes, [F], [1, F], [C, H, W] or [1, C, H, W]."""
    try:
        point = torch.as_tensor(np.asarray(x) if isinstance(x, list | tuple) else x)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"x is what the model takes, a tensor of numbers, not {type(x).__name__}") from None
    if point.dtype == torch.bool or point.is_complex() or point.ndim not in (1, 2, 3, 4) or not point.numel():
        raise InputError(
            f"x is numbers [F], [C, H, W], or a batch of one of these, not {point.dtype} {list(point.shape)}"
        )
    # a tensor keeps its precision, numbers from elsewhere have torch's usual one
    point = point.detach() if isinstance(x, Tensor) and point.is_floating_point() else point.detach().float()
    if not torch.isfinite(point).all():
        raise InputError("x holds NaN or infinite values: clean it before the call")
    point = point if point.ndim in (2, 4) else point[None]
    if len(point) != 1:
        raise InputError(
            f"one input is explained at a time, not {len(point)}: give one, or a list for a list of explanations"
        )
    module = model if isinstance(model, nn.Module) else None
    if module is not None:
        point = _to_model(point, module)
    differentiable, names = True, getattr(model, "classes", getattr(model, "classes_", None))
    if module is None and not callable(model):

        def scores(points: Tensor) -> Tensor:  # as of scikit-learn
            return torch.as_tensor(np.asarray(model.predict_proba(points.double().cpu().numpy()))).float()

        differentiable = False
    else:
        table = _table(model)

        def scores(points: Tensor) -> Tensor:
            return table(points)

    names = [str(name) for name in names] if names is not None else None
    picture = point.ndim == 4
    return Subject(
        "image" if picture else "tensor", point, scores, module, torch.zeros_like(point), names=names,
        parts=None if picture else torch.arange(point.shape[1]),
        labels=None if picture else [f"x{i}" for i in range(point.shape[1])], differentiable=differentiable,
        image=_displayed(point[0]) if picture else None, threshold=0.0,
    )  # fmt: skip


def _displayed(x: Tensor) -> Tensor:
    low, high = float(x.min()), float(x.max())
    return (x.float().cpu() if low >= 0 and high <= 1 else (x.float().cpu() - low) / max(high - low, 1e-12)).clamp(0, 1)


FAMILIES: tuple[tuple[Callable[[Any, Any], bool], Callable[[Any, Any], Subject]], ...] = (
    (_is_image_model, _image),
    (_is_dna, _dna),
    (_is_text, _text),
    (_is_graph, _graph),
    (_is_row, _row),
    (_is_text_box, _text_box),
    (_is_plain, _plain),
)


@contextlib.contextmanager
def at_rest(model: Any, seed: int) -> Iterator[None]:
    """In eval mode, with draws of this seed; afterwards mode, flags and the random state are what they were."""
    drawn = np.random.get_state()  # noqa: NPY002  # captum draws from it
    quiet = looking(model) if isinstance(model, nn.Module) else contextlib.nullcontext()
    with torch.random.fork_rng(), torch.inference_mode(False), quiet, torch.enable_grad():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(drawn)  # noqa: NPY002


def pick_target(found: Subject, target: Any, output: Tensor) -> tuple[int, str]:
    """The number and name of the output to explain; by default the largest of outputs [K].

    Raises:
        InputError: for one that the model doesn't have; it names those that it has.
    """
    count, names = len(output), found.names
    if target is None:
        index = int(output.argmax())
    elif isinstance(target, str):
        if names is None or target not in names:
            import difflib

            known = names or [str(i) for i in range(count)]
            near = difflib.get_close_matches(target, known, n=3, cutoff=0.5) or known[:12]
            raise InputError(
                f"there is no target {target!r}: this model has {', '.join(near)}{', …' if len(known) > len(near) else ''}"
            )
        index = names.index(target)
    else:
        try:
            index = int(target)
            if isinstance(target, bool) or index != float(target) or not -1 < index < count:
                raise ValueError
        except (TypeError, ValueError, RuntimeError):
            shown = f": {', '.join(names[:12])}{', …' if count > 12 else ''}" if names else ""
            raise InputError(f"target is a whole number in 0..{count - 1} or a name{shown}, not {target!r}") from None
    name = names[index] if names is not None and index < len(names) else ("" if count == 1 else str(index))
    return index, name
