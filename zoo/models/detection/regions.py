"""Region proposals by greedy merging, after selective search (Uijlings et al., 2013, doi:10.1007/s11263-013-0620-5).

A detector of two stages asks first where anything might be. Selective search cuts the picture into small pieces and joins the two
most alike neighbours again and again; the box of every piece and of every union on the way is a proposal:

    s(a, b) = size(a, b) + fill(a, b),    size = 1 - (|a| + |b|) / |picture|,    fill = 1 - (|box(a ∪ b)| - |a| - |b|) / |picture|

so that small pieces go first, and pieces whose union leaves few holes. Sizes are in pixels of ink here. The joining is done once
with both terms and once with the second alone, since the orders find different boxes.

Departures from the paper: a piece is the ink within one cell of a grid, in place of a segmentation by colour; the pictures are
grey, so colour and texture don't count.
"""

import numpy as np

MOST_PIECES = 300


def propose(ink: np.ndarray, cell: int = 6, gap: int = 2, smallest: int = 3) -> np.ndarray:
    """Boxes float32 [R, 4] of (x0, y0, x1, y1) that may hold an object, the larger ones first, each once.

    Args:
        ink: bool [H, W], the pixels that aren't background.
        cell: side in pixels of the grid that cuts the ink into pieces; doubled where there would be more than 300 of them, since
            joining takes the square of their number.
        gap: pixels between two boxes that still count as neighbours.
        smallest: sides in pixels below which a box isn't proposed.
    """
    boxes, sizes = pieces(ink, cell)
    while len(boxes) > MOST_PIECES:
        cell *= 2
        boxes, sizes = pieces(ink, cell)
    found = [boxes]
    for weight in (1.0, 0.0):
        found.append(merge(boxes, sizes, ink.size, weight, gap))
    every = np.unique(np.concatenate(found), axis=0)
    sides = every[:, 2:] - every[:, :2]
    every = every[(sides >= smallest).all(1)]
    order = np.argsort(-(every[:, 2:] - every[:, :2]).prod(1), kind="stable")
    return every[order].astype(np.float32)


def pieces(ink: np.ndarray, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes int64 [P, 4] of the ink in each cell of the grid that has some, and its size int64 [P] in pixels."""
    rows, columns = ink.nonzero()
    if not len(rows):
        return np.zeros((0, 4), np.int64), np.zeros(0, np.int64)
    number = (rows // cell) * (ink.shape[1] // cell + 1) + columns // cell
    names, which, sizes = np.unique(number, return_inverse=True, return_counts=True)
    low, high = np.full((len(names), 2), ink.size), np.zeros((len(names), 2), np.int64)
    places = np.stack([columns, rows], 1)
    np.minimum.at(low, which, places)
    np.maximum.at(high, which, places + 1)
    return np.concatenate([low, high], 1), sizes


def merge(boxes: np.ndarray, sizes: np.ndarray, picture: int, weight: float, gap: int) -> np.ndarray:
    """Boxes int64 [P - 1 or fewer, 4] of the unions, in the order of joining, until no two are neighbours.

    Args:
        boxes, sizes: of the pieces. picture: size of the picture in pixels. weight: of the term that prefers small pieces.
        gap: see `propose`.
    """
    boxes, sizes = boxes.copy(), sizes.copy()
    count, joined = len(boxes), []
    likeness = np.full((count, count), -np.inf)
    for i in range(count):
        likeness[i, :i] = _likeness(boxes[i], sizes[i], boxes[:i], sizes[:i], picture, weight, gap)
    while count and np.isfinite(likeness.max()):
        i, j = divmod(int(np.argmax(likeness)), count)  # the first of equals
        boxes[j] = [*np.minimum(boxes[i, :2], boxes[j, :2]), *np.maximum(boxes[i, 2:], boxes[j, 2:])]
        sizes[j] += sizes[i]
        joined.append(boxes[j].copy())
        likeness[i, :] = likeness[:, i] = -np.inf
        sizes[i] = -1  # gone
        new = _likeness(boxes[j], sizes[j], boxes, sizes, picture, weight, gap)
        new[j] = -np.inf
        likeness[j, :j], likeness[j + 1 :, j] = new[:j], new[j + 1 :]
    return np.array(joined, np.int64).reshape(-1, 4)


def _likeness(
    box: np.ndarray, size: np.integer, boxes: np.ndarray, sizes: np.ndarray, picture: int, weight: float, gap: int
) -> np.ndarray:
    """Likeness of a piece with each of the others, -inf for those that are gone or no neighbours."""
    low, high = np.minimum(box[:2], boxes[:, :2]), np.maximum(box[2:], boxes[:, 2:])
    inner_low, inner_high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    near = (inner_low - inner_high <= gap).all(1) & (sizes > 0)
    together = size + sizes
    fill = 1 - ((high - low).prod(1) - together) / picture
    return np.where(near, weight * (1 - together / picture) + fill, -np.inf)
