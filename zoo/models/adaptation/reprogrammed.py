"""Reprogramming: a frozen network does another task, by what is put before it and how its answer is read.

Reprogrammed GPT. The blocks of a language model were never shown a picture. A new linear input turns the patches of an image
into vectors, a new linear output reads the last one; the blocks between, which hold nearly all the weights, stay as Shakespeare
left them (Lu et al., 2022, "Pretrained transformers as universal computation engines", arXiv:2103.05247):

    logits = W_out · norm(blocks(W_in · patches + places))_last

What the language has to do with it is asked by a control: the same with blocks of random weights.

Reprogrammed input (Elsayed, Goodfellow and Sohl-Dickstein, 2019, arXiv:1806.11146). A frozen classifier of photographs sees a
digit in the middle of a picture whose border is learnt, the same border for every digit; its classes 0 to 9 are read as the
digits:

    logits = f(x in the middle + tanh(border) around it)

Departures from the papers: every place of an image sees those before it alone, as in the language model; norms stay frozen too;
the first network has four layers, not twelve.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.checks import check_count
from zoo.core.classifier import with_channels
from zoo.errors import InputError
from zoo.models.adaptation.based import BasedClassifier
from zoo.models.convnets.resnet import CIFARResNet
from zoo.models.transformers.gpt import GPT


class ReprogrammedGPT(BasedClassifier):
    """A GPT's frozen blocks between a new input for patches and a new output for classes.

    Args:
        num_classes, in_channels: of the images.
        image_size: height and width of the images, a multiple of `patch`.
        patch: side of a patch; a row of patches after the other makes the sequence.
        context, layers, heads, width, activation, qk_norm: of the language model, see `GPT`.
        base: a checkpoint of it, whose blocks are taken over when training begins. None leaves them random: the control.
        label_smoothing: see `ImageClassifier`.

    Shapes:
        x: [N, in_channels, image_size, image_size]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: int = 28,
        patch: int = 4,
        context: int = 128,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        activation: Literal["gelu", "gelu_tanh", "relu", "relu2"] = "relu2",
        qk_norm: bool = True,
        base: str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if image_size % check_count(patch, "patch"):
            raise InputError(f"image_size {image_size} must be a multiple of patch {patch}")
        places = (image_size // patch) ** 2
        if places > context:
            raise InputError(f"{places} patches don't fit into a context of {context}: make them larger")
        self.save_hyperparameters()
        self.base = base
        self.stem = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.places = nn.Parameter(torch.zeros(places, width))
        self.gpt = GPT(1, context, layers=layers, heads=heads, width=width, activation=activation, qk_norm=qk_norm)
        del self.gpt.head, self.gpt.embedding  # of characters
        self.head = nn.Linear(width, num_classes)
        self.freeze("gpt")

    def start_from(self, base: Any) -> None:
        """Take over the blocks and the last norm of a language model; InputError for another kind or size."""
        self.take_over(self.gpt, base, GPT)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """words and block1, block2, … [N, T, width], embedding [N, width]: the last place, which has seen all others."""
        z = self.stem(x).flatten(2).transpose(1, 2)  # [N, T, width]
        if z.shape[1:] != self.places.shape:
            raise InputError(f"an image of {list(x.shape[2:])} gives {z.shape[1]} patches, not {len(self.places)}")
        z = z + self.places
        stages, rotation = {"words": z}, self.gpt.rotation[: z.shape[1]]
        for number, block in enumerate(self.gpt.blocks, 1):
            z = stages[f"block{number}"] = block(z, rotation)
        return stages | {"embedding": self.gpt.norm(z)[:, -1]}


class ReprogrammedInput(BasedClassifier):
    """A frozen classifier of colour photographs that sees small pictures inside a learnt border.

    Args:
        num_classes: classes of the small pictures, at most those of the frozen network, whose first ones are read as these.
        in_channels: 1 or 3; the channel of a grey picture is given three times.
        size: side that the small picture is resized to.
        canvas: side of the image that the frozen network sees.
        depth, width, base_classes: of the frozen network, see `CIFARResNet`.
        base: a checkpoint of it, whose weights are taken over when training begins.
        label_smoothing: see `ImageClassifier`.

    Shapes:
        x: [N, in_channels, H, W], any size; logits: [N, num_classes].
    """

    around: Tensor

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        size: int = 16,
        canvas: int = 32,
        depth: int = 20,
        width: int = 16,
        base_classes: int = 10,
        base: str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if num_classes > base_classes:
            raise InputError(f"{num_classes} classes can't be read from the {base_classes} of the frozen network")
        if in_channels not in (1, 3) or not 0 < size < canvas:
            raise InputError(f"in_channels is 1 or 3 and size below canvas, not {in_channels}, {size} and {canvas}")
        self.save_hyperparameters()
        self.base, self.size, self.canvas = base, size, canvas
        self.frozen = CIFARResNet(base_classes, 3, depth=depth, width=width)
        self.border = nn.Parameter(0.01 * torch.randn(3, canvas, canvas))
        low = (canvas - size) // 2
        around = torch.ones(1, canvas, canvas)
        around[:, low : low + size, low : low + size] = 0
        self.register_buffer("around", around, persistent=False)
        self.freeze("frozen")

    def start_from(self, base: Any) -> None:
        """Take over a trained network; InputError for another kind or size."""
        self.take_over(self.frozen, base, CIFARResNet)

    def program(self, x: Tensor) -> Tensor:
        """What the frozen network sees, [N, 3, canvas, canvas]: the pictures inside the border."""
        x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
        low = (self.canvas - self.size) // 2
        high = self.canvas - self.size - low
        return F.pad(x, (low, high, low, high)) + 2.5 * self.border.tanh() * self.around  # as far as white and black go

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """program [N, 3, canvas, canvas], the frozen network's stages, and its embedding."""
        program = self.program(x)
        return {"program": program, **self.frozen.features(program)}

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(self.program(x))[:, : self.hparams["num_classes"]]

    def reset_head(self, num_classes: int) -> None:
        """Read other classes from the frozen network's first ones: there is no head to be made anew."""
        if check_count(num_classes, "num_classes") > self.frozen.head.out_features:
            raise InputError(
                f"{num_classes} classes can't be read from the {self.frozen.head.out_features} of the frozen network"
            )
        if num_classes != self.hparams["num_classes"]:
            self.hparams["num_classes"], self.classes = num_classes, None

    def reset_input(self, in_channels: int) -> None:
        """Grey and colour pictures stand in the same border."""
        if in_channels not in (1, 3):
            raise InputError(f"in_channels is {in_channels}; the frozen network sees images of 1 or 3 channels")
        self.hparams["in_channels"], self.transform = in_channels, with_channels(self.transform, in_channels)
