"""Pictures of docs/themes/attention.md: where heads look, attention by random features, how alike all layers of two networks are.

python scripts/figures/attention.py                  # a minute; into docs/figures
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn

import zoo
from datamodules.formats.characters import encode
from datamodules.tinyshakespeare import sample_text
from zoo.blocks.attention import attend, attend_linearly, directions
from zoo.core.files import write_figure
from zoo.core.samples import sample_split
from zoo.models.transformers.gpt import rotate


def causal_weights(model: Any, tokens: Tensor) -> Tensor:
    """How far each token of a GPT looks at each, [layers, heads, T, T]."""
    found: list[Tensor] = []

    def look(module: Any, inputs: Any) -> None:
        x, rotation, _ = inputs
        q, k, _ = module.qkv(x).unflatten(2, (3, module.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = (
            norm(y) if rotation is None else rotate(norm(y), rotation)
            for norm, y in ((module.q_norm, q), (module.k_norm, k))
        )
        scores = q @ k.mT * q.shape[-1] ** -0.5
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        found.append(scores.masked_fill(later, -torch.inf).softmax(-1)[0])

    watched(model, [block.attention for block in model.blocks], look, tokens[None])
    return torch.stack(found)


def image_queries(model: Any, points: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys and values [N, heads, T, d] of each layer of a ViT."""
    found: list[Any] = []

    def look(module: Any, inputs: Any) -> None:
        found.append(module.qkv(inputs[0]).unflatten(2, (3, module.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0))

    watched(model, [block.attention for block in model.blocks], look, points)
    return found


@torch.no_grad()
def watched(model: Any, layers: list[nn.Module], look: Any, inputs: Tensor) -> None:
    """Run a model with a function that sees the inputs of some of its layers."""
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()


def maps(path: Path, *, letters: int = 32, passages: int = 24, images: int = 64) -> dict[str, Any]:
    """Attention of a language model and of an image model: two heads' maps, and how far all of them look."""
    gpt, vit = zoo.load("gpt-shakespeare"), zoo.load("vit-cifar10")
    text = sample_text()
    many = torch.stack(
        [causal_weights(gpt, encode(text[64 * i : 64 * i + 64], gpt.characters)) for i in range(passages)]
    ).mean(0)  # [layers, heads, 64, 64]
    before = many.diagonal(offset=-1, dim1=2, dim2=3)[..., 16:].mean(2)  # weight of the letter before
    start = text.index("\n", 200) + 1
    shown = text[start : start + letters]
    weights = causal_weights(gpt, encode(shown, gpt.characters))
    place = torch.arange(64)
    ago = (place[:, None] - place).clamp(min=0)
    far = (many * ago).sum(3)[..., 32:].mean(2)  # letters back, on average
    x = sample_split("cifar10")[0][:images]
    inner = [(q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) for q, k, _ in image_queries(vit, vit.transform(x))]
    side = round(inner[0].shape[-1] ** 0.5)
    cells = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    distance = 4 * torch.cdist(cells, cells)  # pixels
    reach = torch.stack([(w * distance).sum(3).mean((0, 2)) for w in inner])  # [layers, heads]

    figure, axes = panels(12, 6.2, 2, 4)
    top = axes[0]
    for axis, (layer, head) in zip(top, heads_of(before, far), strict=False):
        axis.imshow(weights[layer, head].sqrt(), cmap="Greys")
        marks = [letter if letter != "\n" else "¶" for letter in shown]
        axis.set_xticks(range(letters), marks, fontsize=5)
        axis.set_yticks(range(letters), marks, fontsize=5)
        axis.set_title(f"GPT, layer {layer + 1}, head {head + 1}", fontsize=9)
    dots(top[3], far, "GPT: letters back, each head")
    photo, query = 5 % images, (side // 2) * side + side // 2
    axes[1, 0].imshow(x[photo].permute(1, 2, 0))
    axes[1, 0].plot(4 * (query % side) + 2, 4 * (query // side) + 2, "r+", ms=12)
    axes[1, 0].set_title("the photo, and a patch +", fontsize=9)
    for axis, layer in zip(axes[1, 1:3], (0, len(inner) - 1), strict=True):
        axis.imshow(inner[layer][photo, :, query].mean(0).reshape(side, side), cmap="Greys")
        axis.set_title(f"ViT, layer {layer + 1}: where + looks", fontsize=9)
    for axis in axes[1, :3]:
        axis.set(xticks=[], yticks=[])
    dots(axes[1, 3], reach, "ViT: pixels away, each head")
    axes[1, 3].axhline(distance.mean(), color="0.6", ls=":", lw=1)
    write_figure(path, figure, dpi=75)
    layer, head = divmod(int(before.argmax()), before.shape[1])
    return {
        "most on the letter before": (layer + 1, head + 1, before.max().item()),
        "letters back by layer": far.mean(1).tolist(),
        "pixels away by layer": reach.mean(1).tolist(),
        "nearest and farthest head of the first layer": (reach[0].min().item(), reach[0].max().item()),
        "pixels away if all were alike": distance.mean().item(),
    }


def heads_of(before: Tensor, far: Tensor) -> list[tuple[int, int]]:
    """The heads that look most at the letter before, nearest, and farthest, each once."""
    chosen: list[tuple[int, int]] = []
    for order in (
        before.flatten().argsort(descending=True),
        far.flatten().argsort(),
        far.flatten().argsort(descending=True),
    ):
        places = [divmod(int(i), before.shape[1]) for i in order]
        chosen.append(next(place for place in places if place not in chosen))
    return chosen


def dots(axis: Any, values: Tensor, title: str) -> None:
    """One dot a head, layers from left to right."""
    for layer, row in enumerate(values, start=1):
        axis.plot([layer] * len(row), row, "o", ms=4, color="C0")
    axis.set(xlabel="layer", ylim=(0, None), xticks=range(1, len(values) + 1))
    axis.set_title(title, fontsize=9)


def performer(
    path: Path,
    *,
    counts: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512),
    lengths: tuple[int, ...] = (128, 512, 2048, 8192),
    draws: int = 5,
    images: int = 300,
) -> dict[str, Any]:
    """Random features beside exact attention: the error on a trained network's queries, and the time against the length."""
    vit = zoo.load("vit-cifar10")
    layers = image_queries(vit, vit.transform(sample_split("cifar10")[0][:16]))
    figure, (left, middle, right) = panels(12, 3.3, 1, 3)
    found: dict[str, Any] = {}
    for layer, (q, k, v) in ((1, layers[0]), (len(layers), layers[-1])):
        exact = attend(q, k, v)
        for orthogonal, style in ((True, "o-"), (False, "o--")):
            errors = []
            for count in counts:
                guesses = [
                    attend_linearly(q, k, v, directions(count, q.shape[-1], orthogonal=orthogonal, seed=s))
                    for s in range(draws)
                ]
                errors.append(sum(((g - exact).norm() / exact.norm()).item() for g in guesses) / draws)
            kind = "orthogonal" if orthogonal else "independent"
            left.plot(counts, errors, style, ms=3, color=f"C{int(layer > 1)}", label=f"layer {layer}, {kind}")
            found[f"error, layer {layer}, {kind}"] = dict(zip(counts, errors, strict=True))
        found[f"longest |q||k|/√d, layer {layer}"] = (
            q.norm(dim=-1).max() * k.norm(dim=-1).max() / q.shape[-1] ** 0.5
        ).item()
    left.set(xscale="log", yscale="log", xlabel="random features", title="relative error of the output")
    left.legend(frameon=False, fontsize=7)
    accuracy = {count: replaced(vit, count, images) for count in counts}
    exact_accuracy = replaced(vit, 0, images)
    middle.plot(list(accuracy), list(accuracy.values()), "o-", ms=3)
    middle.axhline(exact_accuracy, color="black", ls=":", lw=1)
    middle.set(xscale="log", xlabel="random features", title="accuracy with every layer replaced", ylim=(0, 1))
    seconds: dict[str, list[float]] = {"exact": [], "64 features": []}
    for length in lengths:
        q, k, v = torch.randn(3, 1, 1, length, 32)
        w = directions(64, 32)
        seconds["exact"].append(timed(lambda: attend(q, k, v)))  # noqa: B023
        seconds["64 features"].append(timed(lambda: attend_linearly(q, k, v, w)))  # noqa: B023
    for name, values in seconds.items():
        right.plot(lengths, values, "o-", ms=3, label=name)
    right.set(xscale="log", yscale="log", xlabel="tokens", title="processor seconds of one head")
    right.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=75)
    return found | {"accuracy": accuracy, "exact": exact_accuracy, "seconds": seconds}


def timed(call: Any) -> float:
    """The shortest of three calls, in processor seconds."""
    call()
    times = []
    for _ in range(3):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return max(min(times), 1e-7)


@torch.no_grad()
def replaced(vit: Any, count: int, images: int) -> float:
    """Accuracy on packaged photographs with attention by random features in every layer; 0 features: the exact one."""
    x, y = (part[:images] for part in sample_split("cifar10"))
    handles = []
    for number, block in enumerate(vit.blocks):
        layer = block.attention

        def linear(module: Any, inputs: Any, output: Tensor, seed: int = number) -> Tensor:
            q, k, v = module.qkv(inputs[0]).unflatten(2, (3, module.heads, -1)).permute(2, 0, 3, 1, 4)
            gathered = attend_linearly(q, k, v, directions(count, q.shape[-1], seed=seed))
            return module.project(gathered.transpose(1, 2).flatten(2))

        if count:
            handles.append(layer.register_forward_hook(linear))
    try:
        return (vit(vit.transform(x)).argmax(1) == y).float().mean().item()
    finally:
        for handle in handles:
            handle.remove()


# How alike layers are ----------------------------------------------------------------------------------------------


def gram(x: Tensor) -> Tensor:
    """Inner products of N examples, float64 [N, N], with what independent ones would share taken away (Song et al., 2012)."""
    k = x.double().flatten(1)
    k = (k @ k.T).fill_diagonal_(0)
    n = len(k)
    sums = k.sum(1) / (n - 2)
    k = k - sums[:, None] - sums + sums.sum() / (n - 1)
    return k.fill_diagonal_(0)


def likeness_of(a: Tensor, b: Tensor) -> float:
    """Centred kernel alignment of two layers' activations for the same N images: 1 if one is the other turned and scaled, about
    0 if they have nothing in common (Kornblith et al., 2019, arXiv:1905.00414). From `gram`s."""
    return ((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()).item()


@torch.no_grad()
def layer_grams(model: Any, points: Tensor, layers: list[nn.Module]) -> list[Tensor]:
    """The `gram` of what each layer gives."""
    found: dict[int, Tensor] = {}
    handles = [
        layer.register_forward_hook(lambda _, __, output, i=i: found.__setitem__(i, gram(output)))
        for i, layer in enumerate(layers)
    ]
    try:
        model(points)
    finally:
        for handle in handles:
            handle.remove()
    return [found[i] for i in range(len(layers))]


def likeness(path: Path, *, images: int = 300) -> dict[str, Any]:
    """CKA of all layers of a ViT and of a ResNet with one another."""
    vit, resnet = zoo.load("vit-cifar10"), zoo.load("resnet20-cifar10")
    x = sample_split("cifar10")[0][:images]
    grams = {
        "ViT": layer_grams(vit, vit.transform(x), [vit.stem, *vit.blocks]),
        "ResNet": layer_grams(
            resnet, resnet.transform(x), [resnet.stem, *resnet.stage1, *resnet.stage2, *resnet.stage3]
        ),
    }
    figure, axes = panels(11, 3.6, 1, 3)
    found: dict[str, Any] = {}
    for axis, (rows, columns) in zip(axes, (("ViT", "ViT"), ("ResNet", "ResNet"), ("ViT", "ResNet")), strict=True):
        table = torch.tensor([[likeness_of(a, b) for b in grams[columns]] for a in grams[rows]])
        image = axis.imshow(table, vmin=0, vmax=1, cmap="magma", origin="lower")
        axis.set(xlabel=f"layer of the {columns}", ylabel=f"layer of the {rows}")
        if rows == columns:
            other = ~torch.eye(len(table), dtype=torch.bool)
            found[f"{rows}: mean of two layers"] = table[other].mean().item()
            found[f"{rows}: first with last"] = table[0, -1].item()
            found[f"{rows}: lowest"] = table.min().item()
        else:
            found["best partner in the ResNet of each ViT layer"] = table.argmax(1).tolist()
            found["and how alike"] = table.amax(1).tolist()
    figure.colorbar(image, ax=list(axes), shrink=0.8)
    write_figure(path, figure, dpi=75)
    return found


PICTURES = {"maps": maps, "performer": performer, "likeness": likeness}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
