"""What classifiers on a frozen network of the zoo share: they take its weights over when training begins."""

from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier
from zoo.core.samples import sample_split
from zoo.errors import InputError


class BasedClassifier(ImageClassifier):
    """Base of classifiers that are made from a checkpoint; a subclass defines `start_from`.

    Attributes:
        base: name of the checkpoint, or None for random weights in its place.
    """

    base: str | None = None
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n\n"
        'images, labels = sample_split("mnist")           # handwritten digits; a path, PIL image, array or tensor will do\n'
        "print(model.predict(images[0], top=3))           # [(class, probability), …]"
    )

    def setup(self, stage: str) -> None:
        """Take over the base's weights, unless this is a loaded checkpoint; a run that resumes puts its own in their place."""
        super().setup(stage)
        if stage == "fit" and self.base is not None and self.name is None:
            from zoo.api import load

            self.start_from(load(self.base))

    def start_from(self, base: Any) -> None:
        """Take over what this model needs of a trained network.

        Raises:
            InputError: for a network of another kind or size.
        """
        raise NotImplementedError

    def _examples(self, n: int) -> tuple[Tensor, Tensor] | None:
        """Packaged images of the data set; of USPS, of which none are packaged, MNIST's cut to the digit, which fills it."""
        found = super()._examples(n)
        if found is None and (self.data or {}).get("name") == "usps":
            x, y = sample_split("mnist")
            return x[:n, :, 4:-4, 4:-4], y[:n]
        return found

    def take_over(self, part: nn.Module, base: Any, kind: type[nn.Module]) -> None:
        """Copy into `part` the tensors of its names from a network of a kind, all of them with their shapes."""
        own = part.state_dict()
        weights = {k: v for k, v in base.state_dict().items() if k in own} if isinstance(base, kind) else {}
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
            raise InputError(f"{self.base or type(base).__name__} is no {kind.__name__} of the sizes given here")
        part.load_state_dict(weights)
