"""What all image classifiers share: the verbs `predict` and `features`, the head, the loss and the accuracy.

A subclass defines `features(x)`, a dict of named stages that ends with "embedding" [N, D], and `head`, a linear layer from
the embedding to the logits.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.images import ImageLike
from zoo.module import ZooModule, check_count


class ImageClassifier(ZooModule):
    """Base of the image classifiers.

    Args:
        label_smoothing: probability mass that the loss spreads over the other classes.

    Shapes:
        images x: [N, C, H, W], already transformed; logits: [N, num_classes].
    """

    task: ClassVar[str] = "image-classification"
    head: nn.Linear

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Named stages of transformed images, in order; the last is "embedding" [N, D], what the head sees."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)["embedding"])

    # Verbs -----------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def predict_proba(self, images: ImageLike | list[ImageLike]) -> Tensor:
        """Class probabilities [N, num_classes] of a path, PIL image, array, uint8 tensor, or a list or batch of them."""
        if self.transform is None:
            raise InputError("this model has no transform yet: train it, load it, or set model.transform")
        x = self.transform(images).to(self.device)
        return self.eval()(x if x.ndim == 4 else x[None]).softmax(1)

    def predict(
        self, images: ImageLike | list[ImageLike], top: int = 3
    ) -> list[tuple[str, float]] | list[list[tuple[str, float]]]:
        """The `top` classes with their probabilities: a list for one image, a list of lists for several."""
        probability = self.predict_proba(images)
        value, index = probability.topk(min(check_count(top, "top"), probability.shape[1]))
        names = self.classes or [str(i) for i in range(probability.shape[1])]
        rows = [
            [(names[i], p) for i, p in zip(ii, pp, strict=True)]
            for ii, pp in zip(index.tolist(), value.tolist(), strict=True)
        ]
        single = not isinstance(images, list | tuple) and getattr(images, "ndim", 3) < 4
        return rows[0] if single else rows

    def reset_head(self, num_classes: int) -> None:
        """A fresh head for another number of classes; the embedding stays."""
        check_count(num_classes, "num_classes")
        if num_classes == self.head.out_features:
            return
        self.head = nn.Linear(self.head.in_features, num_classes).to(self.device)
        self.hparams["num_classes"] = num_classes
        self.classes = None
        print(f"{self.name or type(self).__name__}: new tensors head.weight, head.bias ({num_classes} classes)")

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch  # y is class indices [N], or probabilities [N, num_classes] under mixup
        loss = F.cross_entropy(self(x).float(), y, label_smoothing=self.label_smoothing)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "test")

    def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        x, y = batch
        logits = self(x).float()
        self.log(f"{split}/accuracy", (logits.argmax(1) == y).float().mean(), prog_bar=True, batch_size=len(y))
        self.log(f"{split}/loss", F.cross_entropy(logits, y), batch_size=len(y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        if (examples := self._examples(4)) is not None:
            return {"image": examples[0]}
        assert self.transform is not None
        shape = (4, len(self.transform.mean), *self.transform.size)
        generator = torch.Generator().manual_seed(0)
        return {"image": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The transformed images and their logits: a changed transform shows as clearly as a changed layer."""
        assert self.transform is not None
        x = self.transform(inputs["image"])
        return {"input": x, "logits": self(x)}

    def preview(self, path: Path) -> Path | None:
        """Twenty packaged test images with the class and probability given; mistakes are red."""
        from PIL import Image, ImageDraw

        examples = self._examples(20)
        if examples is None:
            return None
        images, labels = examples
        probability = self.predict_proba(images)
        names = self.classes or [str(i) for i in range(probability.shape[1])]
        cell, columns = 84, 10
        canvas = Image.new("RGB", (cell * columns, (cell + 14) * 2), "white")
        draw = ImageDraw.Draw(canvas)
        for i, (image, p, y) in enumerate(zip(images, probability, labels.tolist(), strict=True)):
            left, top = cell * (i % columns), (cell + 14) * (i // columns)
            pixels = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
            canvas.paste(
                Image.fromarray(pixels).resize((cell - 4, cell - 4), Image.Resampling.NEAREST), (left + 2, top)
            )
            text = f"{names[int(p.argmax())][:9]} {p.max():.2f}"
            draw.text((left + 3, top + cell - 3), text, fill="black" if int(p.argmax()) == y else "red")
        canvas.save(path, optimize=True)
        return path

    def _examples(self, n: int) -> tuple[Tensor, Tensor] | None:
        """The first n packaged real test images (uint8) and labels of the data set; None where none are packaged."""
        from datamodules.base import sample_split

        try:
            x, y = sample_split(self.data["name"] if self.data else "")
        except InputError:
            return None
        return x[:n], y[:n]
