"""Pictures of docs/themes/graphs.md: a graph network that learns a law of nature.

python scripts/figures/springs.py                    # a minute; into docs/figures
"""

import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn

from zoo.core.files import write_figure


def accelerations(place: Tensor, mass: Tensor, stiffness: float = 2.0) -> Tensor:
    """Of bodies [N, B, 2] joined by springs of length 1: a_i = k/m_i Σ_j (r_ij − 1) r̂_ij towards j."""
    apart = place[:, None] - place[:, :, None]  # [N, i, j, 2], from i to j
    length = apart.norm(dim=3, keepdim=True).clamp(min=1e-6)
    return (stiffness * (length - 1) * apart / length).sum(2) / mass[..., None]


def law(path: Path, *, steps: int = 1200, bodies: int = 4) -> dict[str, Any]:
    """Messages between bodies, summed and divided by the mass, are trained on accelerations alone; what do they say?"""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    edge = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(edge.parameters(), lr=3e-3)

    def predicted(place: Tensor, mass: Tensor) -> Tensor:
        apart = place[:, None] - place[:, :, None]
        messages = edge(apart) * (1 - torch.eye(place.shape[1]))[None, :, :, None]
        return messages.sum(2) / mass[..., None]

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        place = 1.5 * torch.randn(64, bodies, 2, generator=generator)
        mass = 0.5 + torch.rand(64, bodies, generator=generator)
        loss = (predicted(place, mass) - accelerations(place, mass)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        place, mass = 1.5 * torch.randn(200, 7, 2, generator=generator), 0.5 + torch.rand(200, 7, generator=generator)
        truth = accelerations(place, mass)
        error = ((predicted(place, mass) - truth).square().mean() / truth.square().mean()).item()
        apart = 1.5 * torch.randn(1500, 2, generator=generator)
        length = apart.norm(dim=1)
        message = edge(apart)
        along = (message * apart / length[:, None]).sum(1)
        across = (message[:, 0] * apart[:, 1] - message[:, 1] * apart[:, 0]) / length
        keep = (length > 0.3) & (length < 4)
        design = torch.stack([length[keep], torch.ones(int(keep.sum()))], 1)
        slope, intercept = torch.linalg.lstsq(design, along[keep][:, None]).solution[:, 0].tolist()
    figure, axis = panels(5.6, 3.6)
    axis.plot(length, along, ".", ms=2, label="along the line between them")
    axis.plot(length, across, ".", ms=2, label="across it")
    r = torch.linspace(0, 5, 50)
    axis.plot(r, 2 * (r - 1), color="black", lw=1, label="2 (r − 1)")
    axis.set(xlabel="distance r of two bodies", ylabel="message", xlim=(0, 5), ylim=(-3, 8))
    axis.legend(frameon=False)
    write_figure(path, figure, dpi=80)
    return {
        "error on seven bodies": error,
        "slope": slope,
        "zero at": -intercept / slope,
        "across": across[keep].abs().mean().item(),
    }


PICTURES = {"law": law}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
