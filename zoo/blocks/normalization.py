"""Training batch norm and only batch norm (Frankle et al., 2021, arXiv:2003.00152), as a callback of a recipe.

All other weights stay as they were drawn, so the features are random; what is learnt is how much of each is used, and from which
level on:

    y = γ (x - μ) / √(σ² + ε) + β,    with γ and β alone trained
"""

import lightning as L
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.errors import InputError


class BatchNormOnly(L.Callback):
    """Trains γ and β of the batch norms; all else has a gradient again when the training has ended.

    Args:
        head: train the head too.
    """

    def __init__(self, head: bool = False) -> None:
        self.head = head
        self.stopped: list[nn.Parameter] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        learning: list[nn.Module] = [m for m in pl_module.modules() if isinstance(m, _BatchNorm) and m.affine]
        if not learning:
            raise InputError(f"{type(pl_module).__name__} has no batch norm that could learn: make it with one")
        if self.head:
            learning.append(pl_module.get_submodule("head"))
        kept = {id(p) for module in learning for p in module.parameters()}
        self.stopped = [p for p in pl_module.parameters() if p.requires_grad and id(p) not in kept]
        for parameter in self.stopped:
            parameter.requires_grad_(False)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for parameter in self.stopped:
            parameter.requires_grad_(True)
        self.stopped = []
