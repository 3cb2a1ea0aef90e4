"""The models of the zoo as subjects: images, DNA, texts, graphs, rows of numbers."""

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.core.checks import as_numbers
from zoo.core.classifier import ImageClassifier
from zoo.core.images import Transform
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.explain.subject import Subject, table_of, to_model


def is_image_model(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and (
        model.task in ("image-classification", "object-detection", "image-segmentation")
        or (hasattr(model, "predict_proba") and model.transform is not None)
    )


def image_subject(model: Any, x: Any) -> Subject:
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

        if isinstance(model, ImageClassifier):
            examples = model._examples(256)
            return None if examples is None else transform(examples[0])
        try:
            return transform(sample_split((model.data or {}).get("name", ""))[0])
        except InputError:
            return None

    names = list(model.classes) if model.classes else None
    black = to_model(((0.0 - mean) / std).expand_as(point), model).contiguous()
    common = {
        "names": names, "transform": transform, "image": image, "background": background, "absent": black,
    }  # fmt: skip
    if model.task == "image-classification":
        return Subject("image", to_model(point, model), table_of(model), model, **common)
    if model.task == "image-segmentation":  # a class's output is its mean logit over the pixels
        mean_logit = table_of(lambda points: model(points).mean((2, 3)))
        return Subject("image", to_model(point, model), mean_logit, model, **common)
    if model.task == "object-detection":

        @torch.no_grad()
        def best_score(points: Tensor) -> Tensor:  # of each class the most certain box's, 0 where there is none
            best = torch.zeros(len(points), model.num_classes)
            for row, boxes in zip(best, model.boxes(points, 1e-3), strict=True):
                row.scatter_reduce_(0, boxes["labels"].cpu().long(), boxes["scores"].float().cpu(), "amax")
            return best

        return Subject("image", to_model(point, model), best_score, None, differentiable=False, **common)

    def black_box(points: Tensor) -> Tensor:  # class probabilities of pixels
        pixels = (points.float().cpu() * std + mean).clamp(0, 1)
        return torch.as_tensor(model.predict_proba((255 * pixels).round().to(torch.uint8))).float()

    return Subject("image", to_model(point, model), black_box, None, differentiable=False, **common)


def is_dna(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and isinstance(x, str) and hasattr(model, "strands")


def dna_subject(model: Any, x: str) -> Subject:
    from datamodules.formats.dna import encode, one_hot

    codes = encode(x)
    point = to_model(one_hot(codes[None]), model)  # [1, 4, L]
    length = point.shape[2]
    return Subject(
        "dna", point, table_of(model), model, torch.full_like(point, 0.25),
        names=list(model.classes) if model.classes else None,
        parts=torch.arange(length).repeat(4, 1), labels=[f"{c.upper()}{i}" for i, c in enumerate(x, 1)],
    )  # fmt: skip


def is_text(model: Any, x: Any) -> bool:
    return (
        isinstance(model, ZooModule)
        and isinstance(getattr(model, "embedding", None), nn.Embedding)
        and (hasattr(model, "predict_proba") or model.task in ("fill-mask", "text-generation"))
    )


def text_subject(model: Any, x: Any) -> Subject:
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


def is_graph(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and model.task == "graph-ml"


def graph_subject(model: Any, x: Any) -> Subject:
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
    place, many = (int(node) if of_nodes and node is not None else None), int(data.num_nodes or 0)
    where = place or 0

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
    details = {"graph": data, "node": place}
    return Subject(
        "graph", features[None].float(), scores, None, torch.zeros_like(features)[None].float(),
        names=list(model.classes) if model.classes else None, parts=torch.arange(many)[:, None].repeat(1, features.shape[1]),
        labels=labels, edges=edges, details=details,
    )  # fmt: skip


def _of_nodes(model: Any) -> bool:
    return any(cls.__name__ == "NodeClassifier" for cls in type(model).__mro__)


def is_row(model: Any, x: Any) -> bool:
    return isinstance(model, ZooModule) and model.task.startswith("tabular")


def row_subject(model: Any, x: Any) -> Subject:
    point = as_numbers(x, "the values of a row").float()
    point = point if point.ndim == 2 else point[None]
    if point.ndim != 2 or len(point) != 1:
        raise InputError(f"one row of numbers is explained at a time, not shape {list(point.shape)}")
    model.predict(point)  # says in one sentence what is wrong with a row
    base, names = table_of(model), list(model.classes) if model.classes else None

    def scores(points: Tensor) -> Tensor:
        found = base(points)
        return model.value(found) if hasattr(model, "value") else found

    mean, scale = getattr(model, "mean", None), getattr(model, "scale", None)
    absent = torch.zeros_like(point) if mean is None else mean.detach().expand_as(point).clone()
    outputs = scores(to_model(point, model)).shape[1]
    names = names if names is not None and len(names) == outputs else None
    return Subject(
        "row", to_model(point, model), scores, model, to_model(absent, model), names=names,
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
