"""What all image classifiers share: the verbs `predict` and `features`, the head, the loss and the accuracy.

A subclass defines `features(x)`, a dict of named stages that ends with "embedding" [N, D], and `head`, a linear layer from
the embedding to the logits.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.answers import in_parts, likeliest
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.data import ClassData, PictureData
from zoo.core.files import write_picture
from zoo.core.images import ImageLike, Transform, resize_input
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError

VIEWS = {"none": 1, "mirror": 2, "mirror+translate": 6}


class ImageClassifier(ZooModule):
    """Base of the image classifiers.

    Args:
        num_classes, in_channels: checked here, used by the subclass.
        label_smoothing: probability mass that the loss spreads over the other classes.

    Shapes:
        images x: [N, C, H, W], already transformed; logits: [N, num_classes].
    """

    task: ClassVar[str] = "image-classification"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'images, labels = sample_split("{data}")                # packaged test images, uint8 [N, C, H, W]\n'
        "print(model.predict(images[0], top=3))  # [(class, probability), …]; a path, PIL image or array will do too\n"
        "print(model.predict_proba(images[:8]).shape)\n"
        'five = zoo.load("{name}", num_classes=5)             # a fresh head on the trained backbone, to fine-tune'
    )
    learns_from: ClassVar[tuple[str, ...]] = ("labelled-images",)
    head: nn.Linear
    views: ClassVar[dict[str, int]] = VIEWS  # ways to look at an image in the test, with their numbers of looks
    tta: str = "none"  # a subclass that claims an accuracy with test-time augmentation says with which

    def __init__(self, num_classes: int = 10, in_channels: int = 1, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        check_count(num_classes, "num_classes")
        check_count(in_channels, "in_channels")
        self.label_smoothing = label_smoothing

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Named stages of transformed images, in order; the last is "embedding" [N, D], what the head sees."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)["embedding"])

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def predict_proba(self, images: ImageLike | list[ImageLike], *, tta: str = "none", batch_size: int = 256) -> Tensor:
        """Class probabilities [N, num_classes] of a path, PIL image, array, uint8 tensor, or a list or batch of them.

        Args:
            tta: the probabilities come from the mean logits of several views of each image, see `mean_logits`.
            batch_size: images that are read and go through the network at once; more of them take more memory.
        """
        transform, found = self._ready_transform(), []
        for part in in_parts(images, batch_size):
            x = transform(part).to(self.device)
            found.append(self.mean_logits(x if x.ndim == 4 else x[None], tta).softmax(1))
        return torch.cat(found)

    def _ready_transform(self) -> Transform:
        if self.transform is None:
            raise InputError(
                f"this {type(self).__name__} doesn't know yet how its images are prepared: train it, load a trained one, or set "
                "model.transform = zoo.core.images.Transform(size, mode, mean, std)"
            )
        return self.transform

    def mean_logits(self, x: Tensor, tta: str) -> Tensor:
        """Mean logits over views of x: itself and its mirror image; with "mirror+translate" half of the weight goes to
        both of these moved by one pixel up and left, and down and right."""
        if tta not in self.views:
            raise InputError(f"tta must be one of {', '.join(self.views)}, not {tta!r}")
        if tta == "none":
            return self(x)
        logits = (self(x) + self(x.flip(-1))) / 2
        if tta == "mirror+translate":
            height, width = x.shape[-2:]
            padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
            for view in (padded[..., :height, :width], padded[..., 2:, 2:]):
                logits = logits + (self(view) + self(view.flip(-1))) / 4
            logits = logits / 2
        return logits

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        return [
            (
                "captum attributes a class to pixels; integrated over enough steps, what it gives adds up to the difference "
                "between the image's logit and that of the baseline, up to `error`:",
                "from captum.attr import IntegratedGradients\n\n"
                'x = model.transform(model.golden_inputs()["image"])[:1]\n'
                "attribution, error = IntegratedGradients(model).attribute(x, target=0, return_convergence_delta=True)",
            )
        ]

    def predict(
        self, images: ImageLike | list[ImageLike], top: int = 3
    ) -> list[tuple[str, float]] | list[list[tuple[str, float]]]:
        """The `top` classes with their probabilities: a list for one image, a list of lists for several."""
        rows = likeliest(self.predict_proba(images), self.classes, top)
        single = not isinstance(images, list | tuple) and getattr(images, "ndim", 3) < 4
        return rows[0] if single else rows

    def reset_head(self, num_classes: int) -> None:
        """A fresh head for another number of classes; the embedding stays."""
        num_classes = check_count(num_classes, "num_classes")
        if num_classes == self.head.out_features:
            return
        biased = self.head.bias is not None
        self.head = nn.Linear(self.head.in_features, num_classes, bias=biased).to(self.device)
        self.hparams["num_classes"] = num_classes
        self.classes = None
        tensors = "head.weight, head.bias" if biased else "head.weight"
        print(f"{self.name or type(self).__name__}: new tensors {tensors} ({num_classes} classes)")

    def reset_input(self, in_channels: int) -> None:
        """Let the first layer take another number of channels: its weights are summed for one, spread for more.

        On an image whose channels are equal, the changed layer answers as the old one did to a grey image and back.
        """
        in_channels = check_count(in_channels, "in_channels")
        before = self.hparams.get("in_channels")
        if before is None:
            raise InputError(f"{type(self).__name__} has no argument in_channels: its input can't be replaced")
        if in_channels == before:
            return
        name, first = next((n, m) for n, m in self.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))
        old = first.weight.detach().unflatten(1, (before, -1))  # a linear layer sees pixels channel by channel
        index = torch.arange(in_channels, device=old.device) % before
        new = old.sum(1, keepdim=True) if in_channels == 1 else old[:, index] * (before / in_channels)
        new = new.flatten(1, 2).contiguous()
        if isinstance(first, nn.Conv2d):
            first.in_channels = in_channels
        else:
            first.in_features = new.shape[1]
        trained = isinstance(first.weight, nn.Parameter)
        first.weight = nn.Parameter(new, requires_grad=first.weight.requires_grad) if trained else new
        self.hparams["in_channels"] = in_channels
        self.transform = with_channels(self.transform, in_channels)
        print(f"{self.name or type(self).__name__}: {name}.weight now takes {in_channels} channel(s), was {before}")

    def reset_image_size(self, size: int | tuple[int, int]) -> None:
        """Take images of another size, see `zoo.core.images.resize_input`."""
        resize_input(self, size)

    # A person's own images -------------------------------------------------------------------------------------------

    def data_settings(self, kind: str) -> dict[str, Any]:
        """For folders of images: the model's transform, and images moved a little, photographs mirrored too."""
        if kind not in ("image-folder", "unlabelled-folder"):
            return {}
        transform = self._ready_transform()
        shift = max(1, min(transform.size) // 16)
        augment = {"translate": shift} | (
            {"flip": "random"} if transform.mode == "RGB" else {}
        )  # letters aren't mirrored
        return {"transform": transform, "augment": augment}

    def adapt_to(self, data: PictureData) -> None:
        """Take the channels and classes of a data module, with a fresh head where the classes are others.

        Raises:
            InputError: for images of another size than the network's.
        """
        wanted, transform, classes = data.preprocess, self.transform, list(data.classes)
        if transform is not None and list(wanted["size"]) != list(transform.size):
            raise InputError(
                f"{self.name} takes images of {list(transform.size)} pixels, the data has {list(wanted['size'])}: "
                "put them into an image-folder, which resizes"
            )
        self.reset_input(len(wanted["mean"]))
        if self.head is None or self.head.out_features != len(classes):
            self.reset_head(len(classes))
        elif self.classes != classes:
            self.head.reset_parameters()  # as many classes, but others

    # Fine-tuning -----------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """Parts with parameters from input to head; a list of blocks counts block by block."""
        found: list[tuple[str, nn.Module]] = []
        for name, child in self.named_children():
            blocks = child.named_children() if isinstance(child, nn.ModuleList) else ()
            found += [(f"{name}.{i}", block) for i, block in blocks] or [(name, child)]
        return [(name, layer) for name, layer in found if any(True for _ in layer.parameters())]

    def param_groups(self, lr: float, *, layer_decay: float = 1.0) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser, one a layer: the head learns at `lr`, each layer below `layer_decay` times
        as fast as the one above it (Howard and Ruder, 2018). What is frozen is left out.

        Raises:
            InputError: if everything is frozen, or for a rate that isn't positive or a decay outside (0, 1].
        """
        if not lr > 0 or not 0 < layer_decay <= 1:
            raise InputError(f"lr must be above 0 and layer_decay in (0, 1], not {lr!r} and {layer_decay!r}")
        groups = [
            {"name": name, "lr": lr * layer_decay**depth, "params": [p for p in layer.parameters() if p.requires_grad]}
            for depth, (name, layer) in enumerate(reversed(self.layers))
        ]
        groups = [group for group in reversed(groups) if group["params"]]
        if not groups:
            raise InputError(f"all parts of {type(self).__name__} are frozen: unfreeze one of {', '.join(self.parts)}")
        return groups

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)  # y is class indices [N], or probabilities [N, num_classes] under mixup
        loss = F.cross_entropy(self(x).float(), y, label_smoothing=self.label_smoothing)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "test")

    def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        x, y = labelled(batch)
        logits = self(x).float()
        self.log(f"{split}/accuracy", (logits.argmax(1) == y).float().mean(), prog_bar=True, batch_size=len(y))
        if split == "test" and self.tta != "none":
            correct = self.mean_logits(x, self.tta).argmax(1) == y
            self.log("test/accuracy_tta", correct.float().mean(), batch_size=len(y))
        self.log(f"{split}/loss", F.cross_entropy(logits, y), batch_size=len(y))

    def evaluate(self, data: ClassData) -> list[dict[str, Any]]:
        """As in ZooModule; says beside an accuracy with test-time augmentation what that was."""
        entries = super().evaluate(data)
        for entry in entries:
            if entry["metric"] == "accuracy_tta":
                entry["how"] += f", mean logits of {self.views[self.tta]} views ({self.tta})"
        return entries

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        if (examples := self._examples(4)) is not None:
            return {"image": examples[0]}
        transform = self._ready_transform()
        shape = (4, len(transform.mean), *transform.size)
        generator = torch.Generator().manual_seed(0)
        return {"image": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)}

    def example(self) -> Tensor | None:
        return None if self.transform is None else self.transform(self.golden_inputs()["image"])

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The transformed images and their logits: a changed transform shows as clearly as a changed layer."""
        x = self._ready_transform()(inputs["image"])
        return {"input": x, "logits": self(x)}

    def preview(self, path: Path) -> Path | None:
        """Twenty packaged test images with the class and probability given; of mistakes, in red, the true class too."""
        from PIL import Image, ImageDraw

        examples = self._examples(20)
        if examples is None:
            return None
        images, labels = examples
        probability = self.predict_proba(images)
        names = self.classes or [str(i) for i in range(probability.shape[1])]
        foreign = int(labels.max()) >= len(names)  # a new head has classes of its own: no answer of it is wrong
        cell, columns, caption = 84, 10, 26  # pixels, images, pixels of two lines
        canvas = Image.new("RGB", (cell * columns, (cell + caption) * 2), "white")
        draw = ImageDraw.Draw(canvas)
        for i, (image, p, y) in enumerate(zip(images, probability, labels.tolist(), strict=True)):
            left, top = cell * (i % columns), (cell + caption) * (i // columns)
            pixels = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
            canvas.paste(
                Image.fromarray(pixels).resize((cell - 4, cell - 4), Image.Resampling.NEAREST), (left + 2, top)
            )
            answer = int(p.argmax())
            right = answer == y or foreign
            text = f"{names[answer][:11]} {p.max():.0%}"
            draw.text((left + 3, top + cell - 3), text, fill="black" if right else "red")
            if not right:
                draw.text((left + 3, top + cell + 9), f"true: {names[y][:11]}", fill="red")
        write_picture(path, canvas, optimize=True)
        return path

    def _examples(self, n: int) -> tuple[Tensor, Tensor] | None:
        """The first n packaged real test images (uint8) and labels of the data set; None where none are packaged."""
        from zoo.core.samples import sample_split

        try:
            x, y = sample_split(self.data["name"] if self.data else "")
        except InputError:
            return None
        return x[:n], y[:n]


def with_channels(transform: Transform | None, channels: int) -> Transform | None:
    """The transform for images of another number of channels; None where no image has so many."""
    if transform is None or channels not in (1, 3):
        return None
    mean, std = (sum(values) / len(values) for values in (transform.mean, transform.std))
    return replace(transform, mode="L" if channels == 1 else "RGB", mean=[mean] * channels, std=[std] * channels)
