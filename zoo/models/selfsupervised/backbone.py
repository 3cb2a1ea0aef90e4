"""What the self-supervised models share: an encoder, its embedding, and a head that takes the place of the pretext.

Without `num_classes` a model learns its pretext task and needs no labels. With `num_classes` the parts of the pretext are left
out and it is an ordinary image classifier on the same encoder; `zoo.load("simclr-cifar10", num_classes=5)` gets there with
pretrained weights.

The encoder is small: 17 million multiply-adds for an image of 32×32 pixels, a stride of two already in the first layer.

The embedding holds the means over the four quarters of the last three stages: the last one has turned to the pretext, those
before know more of what other tasks need, and a linear probe may use all of them. On held-out images, the third stage from above
made a probe better by 1.3 points. The pretext itself works on the last two.
"""

from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.batch import images_of
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.core.data import ClassData, ImageData, PictureData
from zoo.core.images import ImageLike, Transform, save_grid
from zoo.errors import InputError


class SelfSupervised(ImageClassifier):
    """Base of the models that learn from images without labels. A subclass gives `build_pretext` and `pretext_loss`.

    Args:
        num_classes: None for the pretext task, or the classes of a head on the encoder.
        in_channels: channels of the image.
        width: channels of the first stage; the others have 2, 4 and 8 times as many.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1]; embedding: [N, 56 width]; logits: [N, num_classes].
    """

    learns_from: ClassVar[tuple[str, ...]] = ("images", "labelled-images")
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'images, labels = sample_split("{data}")                # packaged test images, uint8 [N, C, H, W]\n'
        'print(model.features(model.transform(images[:8]))["embedding"].shape)\n'
        'five = zoo.load("{name}", num_classes=5)             # a fresh head on the trained backbone, to fine-tune\n'
        "print(five.predict_proba(images[:8]).shape)"
    )
    head: nn.Linear | None  # type: ignore[assignment]  # none as long as the pretext is learnt

    def __init__(self, num_classes: int | None, in_channels: int, width: int) -> None:
        super().__init__(1 if num_classes is None else num_classes, in_channels)
        check_count(width, "width")
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.stage1 = nn.Sequential(layer(width, 2 * width, 2), Residual(2 * width))
        self.stage2 = nn.Sequential(layer(2 * width, 4 * width, 2), Residual(4 * width))
        self.stage3 = layer(4 * width, 8 * width, 2)
        self.embedding_dim, self.pretext_dim = 56 * width, 48 * width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)
        self.head = None if num_classes is None else nn.Linear(self.embedding_dim, num_classes)
        if num_classes is None:
            self.task = "image-feature-extraction"  # type: ignore[misc]  # of this object, until it has a head
            self.build_pretext(width)

    def build_pretext(self, width: int) -> None:
        """The parts that only the pretext task needs; they are left out once there is a head."""
        raise NotImplementedError

    def pretext_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of images x [N, C, H, W] in [0, 1], and values to log beside it."""
        raise NotImplementedError

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem [N, w, H/2, W/2], stage1 [N, 2w, H/4, W/4], stage2 [N, 4w, …], stage3 [N, 8w, …], embedding [N, 56w]."""
        stages = {"stem": self.stem(x.contiguous(memory_format=torch.channels_last))}
        stages["stage1"] = self.stage1(stages["stem"])
        stages["stage2"] = self.stage2(stages["stage1"])
        stages["stage3"] = self.stage3(stages["stage2"])
        quarters = [F.adaptive_avg_pool2d(stages[f"stage{i}"], 2).flatten(1) for i in (1, 2, 3)]
        return stages | {"embedding": torch.cat(quarters, 1)}

    def top(self, x: Tensor) -> Tensor:
        """The part of the embedding that the pretext works on, that of the last two stages: [N, 48w]."""
        return self.features(x)["embedding"][:, -self.pretext_dim :]

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes], or the embedding [N, 56 width] as long as there is no head."""
        embedding = self.features(x)["embedding"]
        return embedding if self.head is None else self.head(embedding)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def predict_proba(self, images: ImageLike | list[ImageLike], *, tta: str = "none", batch_size: int = 256) -> Tensor:
        """As in ImageClassifier.

        Raises:
            InputError: as long as the model has no head.
        """
        if self.head is None:
            name = self.name or type(self).__name__
            raise InputError(
                f'{name} learnt without labels and has no classes: zoo.load("{name}", num_classes=N) puts a head on it, to be '
                "fine-tuned on labelled images"
            )
        return super().predict_proba(images, tta=tta, batch_size=batch_size)

    def _ready_transform(self) -> Transform:
        if self.transform is None and self.head is None:  # the pretexts take pixels in [0, 1]
            mode, channels = ("L", 1) if self.hparams["in_channels"] == 1 else ("RGB", 3)
            return Transform(size=[32, 32], mode=mode, mean=[0.0] * channels, std=[1.0] * channels)
        return super()._ready_transform()

    def adapt_to(self, data: PictureData) -> None:
        """Images with classes get a head in place of the pretext; images without go on with the pretext."""
        if "labelled-images" in data.offers:
            super().adapt_to(data)
        elif self.head is not None:
            raise InputError(f"{self.name or type(self).__name__} has a head for classes: it needs images with labels")

    def reset_head(self, num_classes: int) -> None:
        """A fresh head; the first one takes the place of the pretext's parts."""
        check_count(num_classes, "num_classes")
        if self.head is not None:
            super().reset_head(num_classes)
            return
        encoder = {"stem", "stage1", "stage2", "stage3", "head"}
        for name in [name for name, _ in self.named_children() if name not in encoder]:
            setattr(self, name, None)
        for name in list(self._buffers):
            delattr(self, name)
        self.head = nn.Linear(self.embedding_dim, num_classes).to(self.device)
        self.hparams["num_classes"], self.classes = num_classes, None
        self.task = type(self).task  # type: ignore[misc]
        print(f"{self.name or type(self).__name__}: new tensors head.weight, head.bias ({num_classes} classes)")

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.head is not None:
            return super().training_step(batch, batch_idx)
        loss, others = self.pretext_loss(images_of(batch))
        self.log_train(loss=loss, **others)
        return loss

    def _measure(self, batch: Any, split: str) -> None:
        if self.head is not None:
            super()._measure(batch, split)
            return
        x = images_of(batch)
        loss, others = self.pretext_loss(x)
        for key, value in {"loss": loss, **others}.items():
            self.log(f"{split}/{key}", value.float(), prog_bar=key == "loss", batch_size=len(x))

    def evaluate(self, data: ClassData) -> list[dict[str, Any]]:
        """Of a classifier its accuracy; of a backbone a linear probe with all labels and with 1 % of them, and neighbours."""
        if self.head is not None or not hasattr(data, "tensors") or not hasattr(data, "classes"):
            return super().evaluate(data)
        from zoo.metrics.transfer import probe_entries

        return probe_entries(self, cast("ImageData", data))

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self._ready_transform()(inputs["image"])
        return {"input": x, "output": self(x)}

    @torch.no_grad()
    def preview(self, path: Path) -> Path | None:
        """Six packaged test images, each followed by the nine whose embeddings are nearest to its own by their angle."""
        if self.head is not None:
            return super().preview(path)
        examples = self._examples(200)
        if examples is None:
            return None
        z = F.normalize(self.eval()(self._ready_transform()(examples[0]).to(self.device)).float(), dim=1)
        nearest = (z[:6] @ z.T).topk(10, dim=1).indices.flatten().cpu()  # the nearest one is the image itself
        return save_grid(examples[0][nearest].float() / 255, path, columns=10)


class Residual(nn.Module):
    """Two layers and what they are added to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(layer(channels, channels), layer(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def layer(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution, batch norm and ReLU."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)  # batch norm has the bias
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


def projector(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Two dense layers with batch norm between them: what the contrastive losses see in place of the embedding."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim), nn.BatchNorm1d(hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, out_dim)
    )
