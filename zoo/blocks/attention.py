"""Attention among a few places, for the networks that share it, and in linear time by random features.

Performer (Choromanski et al., 2021, arXiv:2009.14794): the softmax's kernel is a mean over random directions w ~ N(0, I),

    exp(q·k) = E_w[φ_w(q) φ_w(k)],    φ_w(x) = exp(w·x − |x|² / 2)

so Σ_s φ(k_s) v_sᵀ is summed once for all queries, and no T × T matrix is ever made. Directions that are orthogonal in blocks of d
estimate the same with less variance.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.checks import check_count


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √d) V of queries, keys and values [N, heads, T, d].

    Written out on a CPU: there the fused kernel with its gradient takes six to nine times as long in bfloat16, for so few words.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v


def directions(count: int, d: int, *, orthogonal: bool = True, seed: int = 0) -> Tensor:
    """Random directions w ~ N(0, I), [count, d]; orthogonal ones in blocks of d, each as long as a normal draw would be.

    Raises:
        InputError: for a count or length below 1.
    """
    check_count(count, "count")
    check_count(d, "d")
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(count, d, generator=generator)
    if not orthogonal:
        return w
    blocks = []
    for _ in range(-(-count // d)):
        block, upper = torch.linalg.qr(torch.randn(d, d, generator=generator))
        blocks.append(
            block * upper.diagonal().sign()
        )  # without the signs some directions would be likelier than others
    return torch.cat(blocks)[:count] * w.norm(dim=1, keepdim=True)


def attend_linearly(q: Tensor, k: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """An estimate of `attend` by the random features of directions w [m, d]: m T d products in place of T² d."""
    q, k = (x * x.shape[-1] ** -0.25 for x in (q, k))
    features = [x @ w.T - x.square().sum(-1, keepdim=True) / 2 for x in (q, k)]
    # a factor of a query cancels in its own mean, one of all keys in every mean: the largest exponent becomes 0
    of_q = (features[0] - features[0].amax(-1, keepdim=True)).exp()
    of_k = (features[1] - features[1].amax((-2, -1), keepdim=True)).exp()
    return of_q @ (of_k.mT @ v) / (of_q @ of_k.sum(-2)[..., None])
