"""Residual adapters (Rebuffi, Bilen and Vedaldi, 2017, arXiv:1705.08045): one network for many domains, an eighth new for each.

The 3×3 filters w of a residual network stay as one domain taught them. Every further domain adds to each of its convolutions a
1×1 convolution α around which the signal may pass, and norms and a head of its own:

    y = w ∗ x,      z = BN_domain(y + α ∗ y),      α = 0 at first

With α = 0 and the base's norms it is the base, so training starts there; and since w and the base's own norms are never
touched, the base's answers to its own images stay what they were, bit for bit.

Departures from the paper: the base is a ResNet-20 of CIFAR-10; a grey image fills its three channels.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.layers import Layers
from zoo.core.classifier import with_channels
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.adaptation.based import BasedClassifier
from zoo.models.convnets.resnet import BasicBlock, CIFARResNet


class ResidualAdapter(BasedClassifier):
    """A frozen CIFAR ResNet with adapters, norms and a head for one more domain; 34,538 new parameters beside 269,722.

    Args:
        num_classes: classes of the new domain. in_channels: 1 or 3; the channel of a grey image is given three times. depth,
        option, width, base_classes: of the shared network, see `CIFARResNet`. base: a checkpoint of the shared network, whose
        weights are taken over when training begins. None trains adapters on random
            filters.
        learn: "adapters", or "everything": the filters too and no adapters, which is full fine-tuning, to compare with.
        label_smoothing: see `ImageClassifier`.

    Shapes:
        x: [N, in_channels, H, W]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        depth: int = 20,
        option: Literal["A", "B"] = "A",
        width: int = 16,
        base_classes: int = 10,
        base: str | None = None,
        learn: Literal["adapters", "everything"] = "adapters",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if in_channels not in (1, 3):
            raise InputError(f"in_channels is {in_channels}; the shared network sees images of 1 or 3 channels")
        if learn not in ("adapters", "everything"):
            raise InputError(f"learn is 'adapters' or 'everything', not {learn!r}")
        self.save_hyperparameters()
        self.base = base
        self.shared = CIFARResNet(base_classes, 3, depth=depth, option=option, width=width)
        channels = [conv.out_channels for conv in self.convolutions()]
        self.adapters = Layers(nn.Conv2d(c, c, 1, bias=False) for c in channels)
        self.norms = Layers(nn.BatchNorm2d(c) for c in channels)
        self.head = nn.Linear(channels[-1], num_classes)
        for adapter in self.adapters:
            nn.init.zeros_(adapter.weight)
        self.freeze("shared")
        if learn == "everything":
            for conv in self.convolutions():
                conv.weight.requires_grad_(True)
            self.adapters.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def convolutions(self) -> list[nn.Conv2d]:
        """The 3×3 convolutions of the shared network from image to head."""
        blocks = [block for stage in self.stages() for block in stage]
        stem: Any = self.shared.stem[0]
        return [stem, *(conv for block in blocks for conv in (block.conv1, block.conv2))]

    def stages(self) -> list[list[BasicBlock]]:
        parts: Any = (self.shared.stage1, self.shared.stage2, self.shared.stage3)
        return [list(stage) for stage in parts]

    def start_from(self, base: Any) -> None:
        """Make a trained network the shared one, and its norms this domain's first ones; InputError for another kind or size."""
        self.take_over(self.shared, base, CIFARResNet)
        norms = [self.shared.stem[1], *(n for s in self.stages() for block in s for n in (block.norm1, block.norm2))]
        for norm, mine in zip(norms, self.norms, strict=True):
            mine.load_state_dict(norm.state_dict())

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem, stage1, stage2, stage3 and the embedding [N, 4 · width], by way of the adapters."""
        number = iter(range(len(self.adapters)))

        def adapted(conv: nn.Module, x: Tensor) -> Tensor:
            i = next(number)
            y = conv(x)
            return self.norms[i](y + self.adapters[i](y))

        x = F.relu(adapted(self.shared.stem[0], self._three(x)))
        found = {"stem": x}
        for count, stage in enumerate(self.stages(), 1):
            for block in stage:
                y = adapted(block.conv2, block.act1(adapted(block.conv1, x)))
                x = block.act2(y if block.shortcut is None else y + block.shortcut(x))
            found[f"stage{count}"] = x
        return found | {"embedding": self.shared.pool(x)}

    @verb
    def base_logits(self, x: Tensor) -> Tensor:
        """What the shared network alone answers to images [N, 3, H, W] of its own domain, [N, base_classes]."""
        return self.shared(self._three(x))

    def new_parameters(self) -> int:
        """Parameters that this domain adds: adapters, norms and head."""
        return sum(p.numel() for part in (self.adapters, self.norms, self.head) for p in part.parameters())

    def reset_input(self, in_channels: int) -> None:
        """Grey and colour images go through the same filters: only what the data has to look like changes."""
        if in_channels not in (1, 3):
            raise InputError(f"in_channels is {in_channels}; the shared network sees images of 1 or 3 channels")
        self.hparams["in_channels"], self.transform = in_channels, with_channels(self.transform, in_channels)

    def _three(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
