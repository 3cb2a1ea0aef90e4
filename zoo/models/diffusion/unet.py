"""The U-Net that guesses noise (Ronneberger et al., 2015, arXiv:1505.04597; in the form of Ho et al., 2020, arXiv:2006.11239).

Residual blocks work at ever coarser resolutions, then come back up; every block of the way down hands its output to its twin on
the way up. The time step enters each block as a scale and a shift of the normalised activations,

    h = (1 + s(t)) · GroupNorm(h) + b(t).

Departures: `patch` folds p×p pixels into channels first (space to depth), since on small images most arithmetic would go into
full resolution and most memory traffic too; up-sampling is nearest-neighbour and a convolution; the last convolution of every
block starts at zero, so that an untrained block is the identity.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.attention import attend


def time_embedding(t: Tensor, dim: int) -> Tensor:
    """Sines and cosines of the step at geometric frequencies: [N] -> [N, dim]."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResidualBlock(nn.Module):
    """Two convolutions with the condition between them: [N, C_in, H, W] and [N, D] -> [N, C_out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.act1 = nn.SiLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.condition = nn.Linear(condition_dim, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.act2 = nn.SiLU()
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(self.act1(self.norm1(x)))
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.act2(self.norm2(h) * (1 + scale) + shift)
        return self.skip(x) + self.conv2(self.dropout(h))


class Attention(nn.Module):
    """Self-attention among all positions, with a residual: [N, C, H, W] -> the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, height * width)
        q, k, v = qkv.transpose(3, 4).unbind(1)  # each [N, heads, H·W, C/heads]
        mixed = attend(q, k, v).transpose(2, 3).reshape(n, c, height, width)
        return x + self.out(mixed)


class CrossAttention(nn.Module):
    """Every position asks every word, with a residual: [N, C, H, W] and words [N, L, D] -> [N, C, H, W].

    Words where the mask [N, L] is true aren't there.
    """

    def __init__(self, channels: int, context_dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.attention = nn.MultiheadAttention(
            channels, heads, kdim=context_dim, vdim=context_dim, batch_first=True, bias=False
        )
        nn.init.zeros_(self.attention.out_proj.weight)

    def forward(self, x: Tensor, context: tuple[Tensor, Tensor]) -> Tensor:
        words, pads = context
        positions = self.norm(x).flatten(2).transpose(1, 2)  # [N, H·W, C]
        mixed, _ = self.attention(positions, words, words, key_padding_mask=pads, need_weights=False)
        return x + mixed.transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """U-Net with a time step.

    Args:
        in_channels: channels of the image, in and out.
        width: channels of the finest level, a multiple of 8.
        channel_mults: width of each level as a multiple of `width`; every further level halves the resolution.
        blocks: residual blocks a level on the way down (one more on the way up).
        attention_levels: levels with self-attention after each block.
        patch: side of the pixel blocks folded into channels first.
        context_dim: width of the words that each attention level asks by cross-attention; 0 for none.

    Shapes:
        x: [N, in_channels, H, W], H and W divisible by patch · 2^(levels − 1); t: [N]; result as x.
        extra: [N, 4 · width] or None, a further condition such as an embedded label; it is added to that of the time step.
        control: a tensor for each skip connection and one for the middle, or None; they are added (ControlNet).
        context: words [N, L, context_dim] and a mask [N, L] of those that aren't there, or None.
        added: a tensor for each level, or None; it is added to what the level's last block gives on the way down (T2I-Adapter).
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 64,
        *,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 2,
        attention_levels: Sequence[int] = (1,),
        patch: int = 1,
        dropout: float = 0.0,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        self.width, self.patch = width, patch

        def attention(channels: int) -> list[nn.Module]:
            heads = max(1, channels // 32)
            crossing = [CrossAttention(channels, context_dim, heads)] if context_dim else []
            return [Attention(channels, heads), *crossing]

        condition_dim = 4 * width
        self.time = nn.Sequential(
            nn.Linear(width, condition_dim), nn.SiLU(), nn.Linear(condition_dim, condition_dim), nn.SiLU()
        )
        folded = in_channels * patch**2
        self.stem = nn.Conv2d(folded, width, 3, padding=1)
        channels, skips = width, [width]
        self.down = nn.ModuleList()
        for level, mult in enumerate(channel_mults):
            if level > 0:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
            for _ in range(blocks):
                self.down.append(ResidualBlock(channels, width * mult, condition_dim, dropout))
                channels = width * mult
                if level in attention_levels:
                    self.down.extend(attention(channels))
                skips.append(channels)
        self.skip_channels, self.middle_channels = tuple(skips), channels
        self.level_channels = tuple(width * mult for mult in channel_mults)
        self.middle1 = ResidualBlock(channels, channels, condition_dim, dropout)
        self.middle2 = ResidualBlock(channels, channels, condition_dim, dropout)
        self.up = nn.ModuleList()
        for level, mult in reversed(list(enumerate(channel_mults))):
            for _ in range(blocks + 1):
                self.up.append(ResidualBlock(channels + skips.pop(), width * mult, condition_dim, dropout))
                channels = width * mult
                if level in attention_levels:
                    self.up.extend(attention(channels))
            if level > 0:
                self.up.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1)))
        self.head = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, folded, 3, padding=1))
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        extra: Tensor | None = None,
        control: tuple[Sequence[Tensor], Tensor] | None = None,
        added: Sequence[Tensor] | None = None,
        context: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        skips, h, condition = self.encode(x, t, extra, added=added, context=context)
        if control is not None:
            skips = [skip + c for skip, c in zip(skips, control[0], strict=True)]
            h = h + control[1]
        for module in self.up:
            if isinstance(module, ResidualBlock):
                h = module(torch.cat([h, skips.pop()], dim=1), condition)
            elif isinstance(module, CrossAttention):
                h = module(h, context)
            else:
                h = module(h)
        return F.pixel_shuffle(self.head(h), self.patch)

    def encode(
        self,
        x: Tensor,
        t: Tensor,
        extra: Tensor | None = None,
        hint: Tensor | None = None,
        added: Sequence[Tensor] | None = None,
        context: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """The way down and the middle: skips, the middle's output, and the condition of all blocks.

        A hint [N, width, H/patch, W/patch] is added to what the first layer gives.
        """
        condition = self.time(time_embedding(t, self.width))
        if extra is not None:
            condition = condition + extra
        h = self.stem(F.pixel_unshuffle(x, self.patch))  # [N, width, H/patch, W/patch]
        if hint is not None:
            h = h + hint
        skips, level = [h], 0
        for module in self.down:
            if isinstance(module, Attention | CrossAttention):
                h = skips[-1] = module(h, context) if isinstance(module, CrossAttention) else module(h)
                continue
            if added is not None and isinstance(module, nn.Conv2d):  # which halves the resolution: the level is done
                h = skips[-1] = h + added[level]
                level += 1
            h = module(h, condition) if isinstance(module, ResidualBlock) else module(h)
            skips.append(h)
        if added is not None:
            h = skips[-1] = h + added[level]
        return skips, self.middle2(self.middle1(h, condition), condition), condition
