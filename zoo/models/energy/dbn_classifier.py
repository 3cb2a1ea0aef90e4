"""Classifier whose hidden layers begin as a deep belief network (Hinton and Salakhutdinov, 2006).

    h_l = σ(c_l + W_lᵀ h_(l-1)),   h_0 = x,   p(y | x) = softmax(V h_L + d)

The weights W_l, c_l are those of a stack of restricted Boltzmann machines that never saw a label; only V and d are new, and
back-propagation then tunes all of them. Where labels are few the start decides much of the error; with all labels and the
optimisers of today it decides little. Without a base the same network starts from random weights, for comparison.

Departures from the paper: AdamW in place of conjugate gradients, and dropout (Srivastava et al., 2014), which that paper applied
to the same network.
"""

from typing import Any

import torch

from zoo.errors import InputError
from zoo.models.energy.dbn import DBN
from zoo.models.mlp.mlp import MLP


class DBNClassifier(MLP):
    """Perceptron of sigmoids that takes its first weights from a deep belief network.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        base: a checkpoint of `dbn` with the same widths, whose weights are taken over when training begins; None for none.
        image_size: (height, width) of the image.
        hidden: widths of the hidden layers.
        dropout, input_dropout, label_smoothing: see MLP.

    Shapes:
        x: [N, in_channels, *image_size] in [0, 1]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        base: str | None = None,
        image_size: tuple[int, int] = (28, 28),
        hidden: tuple[int, ...] = (500, 500, 2000),
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            image_size=image_size,
            hidden=hidden,
            activation="sigmoid",
            dropout=dropout,
            input_dropout=input_dropout,
            label_smoothing=label_smoothing,
        )
        self.save_hyperparameters()
        self.hparams.update(loss="log", max_norm=None)  # what the perceptron's training step asks for
        self.base = base

    def setup(self, stage: str) -> None:
        """Take over the base's weights, unless this is a loaded checkpoint; a run that resumes puts its own in their place."""
        super().setup(stage)
        if stage == "fit" and self.base is not None and self.name is None:
            from zoo.api import load

            self.start_from(load(self.base))

    @torch.no_grad()
    def start_from(self, base: Any) -> None:
        """Copy the machines of a deep belief network into the hidden layers.

        Raises:
            InputError: for a model that is none, or has other widths.
        """
        widths = [tuple(machine.weight.shape) for machine in base.machines] if isinstance(base, DBN) else []
        layers = [layer for layer in self.hidden.modules() if isinstance(layer, torch.nn.Linear)]
        if widths != [tuple(layer.weight.shape[::-1]) for layer in layers]:
            raise InputError(
                f"{self.base or type(base).__name__} is no deep belief network with layers of the same widths"
            )
        for layer, machine in zip(layers, base.machines, strict=True):
            layer.weight.copy_(machine.weight.T)
            layer.bias.copy_(machine.hidden_bias)
        torch.nn.init.normal_(self.head.weight, std=0.01)
        torch.nn.init.zeros_(self.head.bias)
