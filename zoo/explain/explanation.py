"""What `zoo.explain` gives: a value for each part of an input, and the verbs that show them."""

import base64
import html
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoo.core.checks import is_whole
from zoo.core.files import write_bytes
from zoo.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
RED, BLUE = torch.tensor([0.84, 0.16, 0.22]), torch.tensor([0.15, 0.36, 0.60])  # for and against the target


@dataclass(frozen=True, repr=False)
class Explanation:
    """How much each part of an input counts for one output of a model.

    Attributes:
        values: float32, one for each number of the input ([C, H, W] of an image, [tokens, D], [4, L], [nodes, features],
            [F]), each pixel of a map ([H, W], or coarser), or each segment or player ([M]). In the unit of the output
            for methods that
            promise completeness: they add up to output − base.
        target: the index of the explained output.
        output: what the model gives for the input: the target's logit for classifiers, else the predicted number.
        base: the same for the baseline; None where the method has none.
        gap: |Σ values − (output − base)| / |output − base|; None where the method promises no completeness.
        method: the method's name.
        label: the target's name.
        kind: "image", "text", "dna", "row", "graph" or "tensor".
        names: of the parts: features, tokens, letters, atoms, edges or segments.
        image: the explained image in 0..1, [C, H, W].
        segments: the player that each pixel belongs to, int64 [H, W].
        other: a second input that the method found, such as a counterfactual; an image in 0..1, else in the input's unit.
        edges: int64 [2, E] of an explained graph.
    """

    values: Tensor
    target: int
    output: float
    base: float | None = None
    gap: float | None = None
    method: str = ""
    label: str = ""
    kind: str = "tensor"
    names: list[str] | None = None
    image: Tensor | None = None
    segments: Tensor | None = None
    other: Tensor | None = None
    edges: Tensor | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def heatmap(self) -> Tensor:
        """The values as one number a place, float32: [H, W] of an image, [T] of a text or sequence, [F] of a row, [nodes].

        Channels, embeddings, letters and features add up; for saliency and its kin, whose sign says nothing about the
        image, it is the largest absolute value of the channels. Coarse maps are interpolated to the image's size.
        """
        v = self.values.float()
        if self.kind == "image" and self.image is not None:
            height, width = self.image.shape[-2:]
            if self.segments is not None and v.ndim == 1:
                return v[self.segments]
            if v.ndim == 3:
                return v.abs().amax(0) if self.details.get("unsigned") else v.sum(0)
            if tuple(v.shape) != (height, width):
                v = F.interpolate(v[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]
            return v
        if self.kind == "graph" and self.edges is not None and len(v) == self.edges.shape[1] and v.ndim == 1:
            nodes = torch.zeros(int(self.edges.max()) + 1 if self.edges.numel() else 0)
            return nodes.index_add(0, self.edges[0], v / 2).index_add(0, self.edges[1], v / 2)
        if self.segments is not None and v.ndim == 1 and self.segments.numel() != v.numel():
            return v[self.segments]
        unsigned = bool(self.details.get("unsigned"))
        if self.kind == "dna" and v.ndim == 2:
            return v.abs().amax(0) if unsigned else v.sum(0)
        if self.kind in ("text", "graph") and v.ndim == 2:
            return v.norm(dim=1) if unsigned else v.sum(1)
        return v.sum(0) if v.ndim == 3 else v

    def top(self, k: int = 5) -> list[tuple[Any, float]]:
        """The k parts with the largest absolute values, [(name, value), …]; a pixel's name is its (row, column).

        Raises:
            InputError: if k is no whole number of at least 1.
        """
        if not is_whole(k) or k < 1:
            raise InputError(f"k must be a whole number of at least 1, not {k!r}")
        flat, names = self._parts()
        order = flat.abs().argsort(descending=True, stable=True)[:k].tolist()
        return [(names[i] if names is not None else i, flat[i].item()) for i in order]

    def _parts(self) -> tuple[Tensor, list[Any] | None]:
        v = self.values.float()
        if self.names is not None and v.ndim == 1 and len(self.names) == len(v):
            return v, self.names
        heat = self.heatmap()
        if heat.ndim == 2:
            return heat.flatten(), [(i // heat.shape[1], i % heat.shape[1]) for i in range(heat.numel())]
        names = self.names if self.names is not None and len(self.names) == heat.numel() else None
        return heat.flatten(), names

    # Pictures --------------------------------------------------------------------------------------------------------

    def picture(self, *, overlay: bool = True, scale: int | None = None) -> Image.Image:
        """An image's map in red (for the target) and blue (against it), over the image in grey or alone on white."""
        if self.image is None:
            raise InputError(
                f"only an image has a map to lay over it, this is the explanation of a {self.kind}: use save"
            )
        shade = paint(self.heatmap(), self.image if overlay else None)
        scale = scale or max(1, 256 // max(shade.shape[:2]))
        picture = Image.fromarray((255 * shade).round().to(torch.uint8).numpy())
        return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)

    def save(self, path: str | Path, *, overlay: bool = True) -> Path:
        """Write the explanation as a picture (.png, .jpg, .webp) or as .html; returns the path.

        An image gives its map over the image, or with `overlay=False` the map alone; a text its tokens, shaded; DNA
        letters as high as their values; a row the bars from the base to the output; a graph its nodes or edges by their
        values.

        Raises:
            InputError: for another suffix, or a folder that isn't there.
        """
        path = check_output(path, (*PICTURES, ".html"))
        if path.suffix == ".html":
            page = f"<!doctype html><meta charset=utf-8><title>{html.escape(self._title())}</title>{self._repr_html_()}"
            write_bytes(path, page.encode())
        elif self.kind == "image" and self.image is not None:
            write_bytes(path, encoded(self.picture(overlay=overlay), path.suffix))
        else:
            from zoo.explain import drawing

            write_bytes(path, drawing.draw(self, path.suffix))
        return path

    def _title(self) -> str:
        gap = "" if self.gap is None else f", gap {self.gap:.2%}"
        base = "" if self.base is None else f", base {self.base:.4g}"
        return f"{self.method}: {self.label} {self.output:.4g}{base}{gap}"

    def __repr__(self) -> str:
        return f"Explanation({self._title()}; values {list(self.values.shape)})"

    def _repr_html_(self) -> str:
        """How notebooks show it: a map, shaded tokens, or a table of the largest values."""
        title = f"<div style='font:13px sans-serif;margin-bottom:4px'>{html.escape(self._title())}</div>"
        if self.kind == "image" and self.image is not None:
            data = base64.b64encode(encoded(self.picture(), ".png")).decode()
            return f"{title}<img alt='{html.escape(self.method)} map' src='data:image/png;base64,{data}'>"
        values, names = self._parts()
        limit = float(values.abs().max()) or 1.0
        if self.kind in ("text", "dna") and names is not None and len(names) <= 2000:
            spans = []
            for name, value in zip(names, values.tolist(), strict=True):
                colour = "214,40,57" if value > 0 else "37,92,153"
                shade = f"background:rgba({colour},{min(1.0, abs(value) / limit):.2f})"
                piece = name.rstrip("0123456789") if self.kind == "dna" else name
                spans.append(f"<span title='{value:.4g}' style='{shade}'>{html.escape(piece)}</span>")
            gap = "" if self.kind == "dna" or all(len(str(n)) == 1 for n in names) else " "
            return (
                f"{title}<div style='font:14px monospace;line-height:1.6;white-space:pre-wrap'>{gap.join(spans)}</div>"
            )
        cells = "".join(
            f"<tr><td>{html.escape(str(name))}</td><td style='text-align:right'>{value:+.4g}</td></tr>"
            for name, value in self.top(20)
        )
        return f"{title}<table style='font:13px sans-serif'>{cells}</table>"


def paint(heat: Tensor, image: Tensor | None = None) -> Tensor:
    """A map [H, W] as colours [H, W, 3] in 0..1: red above 0, blue below, over a grey image [C, H, W] or white.

    Half of the 99th percentile of |map| is full colour's half, so that one pixel doesn't set the scale.
    """
    flat = heat.abs().flatten()
    limit = torch.quantile(flat, 0.99) if flat.numel() else flat.new_tensor(1.0)
    limit = limit if limit > 0 else flat.max().clamp(min=1e-12)
    share = (heat / limit).clamp(-1, 1)[..., None]
    colour = torch.where(share > 0, RED, BLUE)
    under = torch.ones(3) if image is None else 0.5 + 0.5 * image.mean(0)[..., None].expand(-1, -1, 3)
    alpha = share.abs().sqrt() if image is None else share.abs()
    return (1 - alpha) * under + alpha * colour


def encoded(picture: Image.Image, suffix: str) -> bytes:
    """A picture as the bytes of a file with this suffix."""
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(suffix.lower(), "PNG")
    picture.save(buffer, format=kind, **({"optimize": True} if kind == "PNG" else {"quality": 92}))
    return buffer.getvalue()


def check_output(path: str | Path, suffixes: tuple[str, ...] = PICTURES) -> Path:
    """A path that can be written to.

    Raises:
        InputError: for another suffix, a folder that isn't there, or one that may not be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path} has the suffix {path.suffix!r}: give one of {', '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file's name in it")
    if not path.resolve().parent.is_dir():
        raise InputError(f"the folder {path.parent} isn't there: make it, or give another")
    if not os.access(path.resolve().parent, os.W_OK):
        raise InputError(f"the folder {path.parent} can't be written to: give another")
    return path
