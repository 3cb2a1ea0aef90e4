"""What a causal attention keeps of the past, so that a new token costs one token's work and copies none before it."""

from torch import Tensor


class LayerCache:
    """Keys and values [N, heads, length, d] of one layer, in tensors that double when they are full."""

    def __init__(self) -> None:
        self.length = 0
        self.k: Tensor | None = None
        self.v: Tensor | None = None

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, these new ones included."""
        start, self.length = self.length, self.length + k.shape[2]
        if self.k is None or self.v is None or self.length > self.k.shape[2]:
            self.k, self.v = self._grown(self.k, k, start), self._grown(self.v, v, start)
        self.k[:, :, start : self.length], self.v[:, :, start : self.length] = k, v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]

    def _grown(self, old: Tensor | None, new: Tensor, start: int) -> Tensor:
        grown = new.new_empty(*new.shape[:2], max(64, 2 * self.length), new.shape[3])
        if old is not None:
            grown[:, :, :start] = old[:, :, :start]
        return grown

    def rows(self, index: Tensor) -> "LayerCache":
        """A cache of the rows [B'], which grows apart from this one."""
        assert self.k is not None and self.v is not None
        chosen = LayerCache()
        chosen.length, chosen.k, chosen.v = self.length, self.k[index], self.v[index]
        return chosen
