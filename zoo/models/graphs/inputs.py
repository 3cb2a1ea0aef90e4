"""What every graph network asks of a PyG `Data` before it computes: one sentence for whatever can't work."""

import copy
import warnings

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_edge_index

from zoo.errors import InputError, ZooWarning


def with_edges(data: Data) -> Data:
    """The same graph with `edge_index`, where `ToSparseTensor` has put its edges into `adj_t`."""
    if not isinstance(data, Data) or data.edge_index is not None or data.get("adj_t") is None:
        return data
    (target, source), weight = to_edge_index(data.adj_t)
    data = copy.copy(data)
    data.edge_index = torch.stack([source, target])
    if weight is not None and (weight != 1).any():
        data.edge_weight = weight
    del data.adj_t
    return data


def own_nodes(data: Data) -> slice:
    """The nodes that a graph is about: all, or of a batch of PyG's `NeighborLoader` the first ones, the rest are neighbours."""
    size = None if isinstance(data, Batch) else data.get("batch_size")
    return slice(int(size)) if size is not None else slice(None)


def own_mask(mask: Tensor, data: Data) -> Tensor:
    """A mask of nodes [N] that leaves out the neighbours of a `NeighborLoader`'s batch."""
    own = torch.zeros_like(mask)
    own[own_nodes(data)] = True
    return mask & own


def check_weights(data: Data, reads: tuple[str, ...]) -> None:
    """Refuse weights of edges that a network would ignore.

    Args:
        reads: what the network reads of each edge, of "edge_weight" and "edge_attr".

    Raises:
        InputError: for weights that it doesn't read, that aren't one for each edge, or that are negative or not finite.
    """
    edges = data.edge_index.shape[1]  # data.num_edges believes whatever has "edge" in its name and comes first
    for key in ("edge_weight", "edge_attr"):
        weight = data.get(key)
        if weight is None or (key in reads and key == "edge_attr"):
            continue
        if key == "edge_attr" and (not weight.is_floating_point() or weight.numel() != edges):
            continue  # features of edges, which networks of nodes and whole graphs learn without
        if weight.numel() != edges or not torch.isfinite(weight).all() or (weight < 0).any():
            raise InputError(f"data.{key} holds a finite number of at least 0 for each of the {edges} edges")
        if key not in reads and (weight != 1).any():
            other = (
                f"set data.edge_weight = data.{key}.flatten()" if "edge_weight" in reads else "take a gcn, which does"
            )
            raise InputError(f"this network doesn't read data.{key}, the weights of the edges: {other}, or remove them")


def check_graph(data: Data, in_channels: int, *, directed: bool = False, reads: tuple[str, ...] = ()) -> Data:
    """The same `data` if a network with `in_channels` features per node can take it.

    Isolated nodes are fine: they see themselves alone. An edge that stands twice counts twice, with a warning.

    Args:
        reads: what the network reads of each edge beside its ends, see `check_weights`.
        directed: the network tells the two directions of an edge apart; otherwise a graph with an edge in one
            direction only gets a warning.

    Raises:
        InputError: for anything else than a graph with float features [N, in_channels] and existing edges.
    """
    if not isinstance(data, Data):
        raise InputError(f"a graph is a torch_geometric.data.Data, not {type(data).__name__}")
    data = with_edges(data)
    check_features(data.x, in_channels)
    check_edges(data.edge_index, data.x.shape[0])
    check_weights(data, reads)
    check_batch(data)
    twice, undirected = census(data.edge_index, data.x.shape[0])
    if twice:
        warnings.warn(
            f"{twice} of {data.edge_index.shape[1]} edges stand twice and count twice; data.coalesce() keeps one of each",
            category=ZooWarning,
            stacklevel=3,
        )
    if not directed and not undirected:
        warnings.warn(
            "some edges have one direction only and this network means undirected graphs: nodes hear along the arrows "
            "alone; torch_geometric.transforms.ToUndirected() adds the missing directions",
            category=ZooWarning,
            stacklevel=3,
        )
    return data


def census(edge_index: Tensor, nodes: int) -> tuple[int, bool]:
    """How many edges repeat another one, and whether each stands as often in the other direction.

    An edge is one number: sorting a million of them takes a thirtieth of the time that sorting pairs does.
    """
    numbers = edge_index[0] * nodes + edge_index[1]
    if not (numbers[1:] > numbers[:-1]).all():
        numbers = numbers.sort().values
    reverse = (edge_index[1] * nodes + edge_index[0]).sort().values
    return int((numbers[1:] == numbers[:-1]).sum()), torch.equal(numbers, reverse)


def check_features(x: Tensor | None, in_channels: int) -> None:
    """Raises InputError unless x is a finite float tensor [N, in_channels] with N > 0."""
    if x is None:
        raise InputError("the graph has no node features: set data.x, a float tensor [nodes, features]")
    if x.ndim != 2 or x.shape[0] == 0:
        raise InputError(f"node features are [nodes, features] with at least one node, not {list(x.shape)}")
    if x.shape[1] != in_channels:
        raise InputError(
            f"the graph has {x.shape[1]} features per node and this network takes {in_channels}: "
            f"load it with zoo.load(..., in_channels={x.shape[1]}) for a fresh first layer"
        )
    if not x.is_floating_point():
        raise InputError(f"node features are floating point, not {x.dtype}: call .float() on data.x")
    values = x if x.layout == torch.strided else x.values()
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():  # the sum needs no copy, but may overflow
        raise InputError("the node features hold NaN or infinite values: clean them before the call")


def check_edges(edge_index: Tensor | None, nodes: int) -> None:
    """Raises InputError unless edge_index is an integer tensor [2, E] with values in 0..nodes-1."""
    if edge_index is None:
        raise InputError(
            "the graph has no edges: set data.edge_index, an int64 tensor [2, edges] (it may be empty), or data.adj_t"
        )
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise InputError(f"edge_index is [2, edges], sources above targets, not {list(edge_index.shape)}")
    if edge_index.dtype != torch.int64:
        raise InputError(f"edge_index is int64, not {edge_index.dtype}: call .long() on data.edge_index")
    if edge_index.numel():
        low, high = (int(v) for v in edge_index.aminmax())
        if low < 0 or high >= nodes:
            wrong = low if low < 0 else high
            raise InputError(f"an edge names node {wrong}, but the graph has nodes 0..{nodes - 1}: renumber the edges")


def check_batch(data: Data) -> None:
    """Raises InputError for a batch that holds a graph without nodes: it has nothing to read out."""
    sizes = data.ptr.diff() if isinstance(data, Batch) and getattr(data, "ptr", None) is not None else None
    if sizes is not None and (sizes == 0).any():
        empty = (sizes == 0).nonzero().flatten().tolist()
        raise InputError(f"graph {', '.join(map(str, empty))} of the batch has no nodes: leave it out")


def check_classes(y: Tensor | None, num_classes: int) -> None:
    """Raises InputError unless y holds class numbers 0..num_classes-1."""
    if y is None:
        raise InputError("the graph has no labels: set data.y, an int64 tensor of class numbers")
    if y.is_floating_point():
        raise InputError(f"labels are class numbers (int64), not {y.dtype}: call .long() on data.y if they are whole")
    if y.numel() and (y.min() < 0 or y.max() >= num_classes):
        wrong = int(y.min()) if y.min() < 0 else int(y.max())
        raise InputError(
            f"a label is {wrong}, but the network has classes 0..{num_classes - 1}: "
            "load it with zoo.load(..., num_classes=) for a fresh head"
        )
