"""Pictures of explanations that aren't images: shaded tokens, letters of DNA, bars of a row, nodes and edges of a graph."""

import io
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.core.drawing import verbatim
from zoo.explain.explanation import BLUE, RED, Explanation, encoded


def draw(explanation: Explanation, suffix: str) -> bytes:
    """The bytes of a picture file with this suffix."""
    if explanation.kind == "text":
        return encoded(shaded_text(explanation), suffix)
    figure = {"dna": _dna, "graph": _graph}.get(explanation.kind, _bars)(explanation)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return encoded(Image.open(buffer, formats=("PNG",)).convert("RGB"), suffix)


def shaded_text(explanation: Explanation, *, width: int = 760) -> Image.Image:
    """The tokens of a text on red (for the target) or blue (against it)."""
    values, names = explanation._parts()
    pieces = [str(name) for name in names] if names is not None else [str(i) for i in range(len(values))]
    limit = float(values.abs().max()) or 1.0
    font = ImageFont.load_default(15)
    single = all(len(piece) == 1 for piece in pieces)  # characters stand side by side, words apart
    boxes: list[tuple[float, float, float, str, float]] = []
    x, y, line = 8.0, 30.0, 24.0
    for piece, value in zip(pieces, values.tolist(), strict=True):
        shown = "↵" if piece == "\n" else piece
        step = font.getlength(shown) + (0 if single else 8)
        if x + step > width - 8:
            x, y = 8.0, y + line
        boxes.append((x, y, step, shown, value))
        x += step
        if piece == "\n":
            x, y = 8.0, y + line
    picture = Image.new("RGB", (width, int(y + line + 8)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((8, 6), explanation._title()[:100], fill="black", font=ImageFont.load_default(13))
    for x, y, step, piece, value in boxes:
        colour = RED if value > 0 else BLUE
        alpha = min(1.0, abs(value) / limit)
        fill = tuple(int(255 * c) for c in (1 - alpha) * torch.ones(3) + alpha * colour)
        draw.rectangle((x, y, x + step - (0 if single else 2), y + line - 3), fill=fill)
        draw.text((x + (0 if single else 3), y + 2), piece, fill="white" if alpha > 0.6 else "black", font=font)
    return picture


def _figure(width: float, height: float) -> Any:
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _bars(explanation: Explanation) -> Any:
    values, names = explanation._parts()
    order = values.abs().argsort(descending=True)[:15].flip(0).tolist()
    figure = _figure(6.4, 0.9 + 0.34 * len(order))
    axis = figure.subplots()
    labels = [verbatim(str(names[i])) if names is not None else str(i) for i in order]
    at, ends = explanation.base if explanation.gap is not None and explanation.base is not None else 0.0, []
    start = at
    if explanation.gap is not None and len(values) > len(order):
        at += float(values.sum() - values[order].sum())
    for row, i in enumerate(order):
        value = float(values[i])
        left = at if explanation.gap is not None else 0.0
        axis.barh(row, value, left=left, color=(RED if value >= 0 else BLUE).tolist(), height=0.7)
        axis.annotate(
            f"{value:+.3g}", (max(left, left + value), row), (3, 0), textcoords="offset points", va="center", fontsize=8
        )
        at += value
        ends.append(at)
    axis.axvline(start, color="0.6", lw=0.8, ls=":")
    axis.set_yticks(range(len(order)), labels, fontsize=8)
    axis.set_title(verbatim(explanation._title()), fontsize=9)
    axis.margins(x=0.15)
    return figure


def _dna(explanation: Explanation) -> Any:
    """Each letter as high as its value, above the line or below it."""
    heat = explanation.heatmap()
    names = explanation.names or [""] * len(heat)
    figure = _figure(max(6.0, 0.11 * len(heat)), 2.0)
    axis = figure.subplots()
    letters(axis, heat, [name[:1] for name in names])
    axis.set_title(verbatim(explanation._title()), fontsize=9)
    axis.set(yticks=[])
    return figure


def letters(axis: Any, heights: Tensor, text: list[str]) -> None:
    """Letters [L] drawn with these heights; below the line they stand upside down."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    from datamodules.formats.dna import COLOURS

    font = FontProperties(family="DejaVu Sans", weight="bold")
    known = {letter: TextPath((0, 0), letter, size=1, prop=font) for letter in {*text} if letter.strip()}
    for place, (letter, height) in enumerate(zip(text, heights.tolist(), strict=True)):
        if letter not in known or height == 0:
            continue
        box = known[letter].get_extents()
        fit = Affine2D().translate(-box.x0, -box.y0).scale(0.95 / box.width, height / box.height)
        path = known[letter].transformed(fit.translate(place + 0.025, 0))
        axis.add_patch(PathPatch(path, facecolor=COLOURS.get(letter.upper(), "0.5"), linewidth=0))
    limit = float(heights.abs().max()) or 1.0
    axis.set(xlim=(0, len(text)), ylim=(min(0.0, float(heights.min())) * 1.05, limit * 1.05))
    axis.axhline(0, color="0.5", lw=0.6)


def _graph(explanation: Explanation) -> Any:
    """Nodes coloured by their values, or edges as thick as theirs; of a large graph the part that counts most."""
    import networkx as nx

    figure = _figure(5, 5)
    axis = figure.subplots()
    edges = explanation.edges if explanation.edges is not None else torch.empty(2, 0, dtype=torch.long)
    nodes, graph = explanation.heatmap(), nx.Graph()
    of_edges = explanation.values.ndim == 1 and len(explanation.values) == edges.shape[1]
    centre = explanation.details.get("node")
    chosen = set(nodes.abs().topk(min(40, len(nodes))).indices.tolist()) | ({centre} if centre is not None else set())
    graph.add_nodes_from(chosen)
    for i, (a, b) in enumerate(edges.T.tolist()):
        if a in chosen and b in chosen and a != b:
            weight = float(explanation.values[i]) if of_edges else 0.2
            graph.add_edge(a, b, weight=max(weight, graph.get_edge_data(a, b, {"weight": 0.0})["weight"]))
    place = nx.kamada_kawai_layout(graph, weight=None) if len(graph) > 1 else {n: (0, 0) for n in graph}
    strongest = max((w for *_, w in graph.edges.data("weight")), default=1.0) or 1.0
    nx.draw_networkx_edges(
        graph, place, ax=axis, width=[0.6 + 3 * w / strongest for *_, w in graph.edges.data("weight")], edge_color="0.6"
    )
    limit = float(nodes.abs().max()) or 1.0
    names = explanation.names if explanation.names is not None and len(explanation.names) == len(nodes) else None
    nx.draw_networkx_nodes(
        graph, place, ax=axis, node_color=[float(nodes[n]) for n in graph], cmap="coolwarm", vmin=-limit, vmax=limit,
        node_size=320, edgecolors=["black" if n == centre else "white" for n in graph],
    )  # fmt: skip
    nx.draw_networkx_labels(
        graph, place, {n: verbatim(str(names[n])) if names else str(n) for n in graph}, ax=axis, font_size=7
    )
    axis.set_title(verbatim(explanation._title()), fontsize=9)
    axis.axis("off")
    return figure
