"""A person's own images without classes: a folder, searched with all its sub-folders, any size and format that Pillow reads.

    pictures/*.jpg, pictures/2024/*.png                  a share is held out, the same way every time

It is what the self-supervised models and the generators learn from. `image-folder` is the same for images with classes.
"""

from pathlib import Path
from typing import Any, ClassVar

from datamodules.augment import Settings
from datamodules.files import DataNotFoundError
from datamodules.image_folder import ImageFolder, image_files
from zoo.core.images import Transform
from zoo.errors import InputError


class UnlabelledFolder(ImageFolder):
    """Images of a folder and its sub-folders, all with the label 0. A share of them is held out.

    Args:
        root: the folder.
        batch_size, image_size, transform, val_share, test_share, augment, normalize, seed: see `ImageFolder`.
    """

    offers: ClassVar[tuple[str, ...]] = ("images",)
    name = "unlabelled-folder"

    def __init__(
        self,
        root: str,
        batch_size: int = 64,
        *,
        image_size: int = 64,
        transform: Transform | dict[str, Any] | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        augment: Settings | None = None,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            batch_size,
            image_size=image_size,
            transform=transform,
            val_share=val_share,
            test_share=test_share,
            augment=augment,
            normalize=normalize,
            seed=seed,
        )

    def find(self, root: Path) -> dict[str, dict[str, list[Path]]]:
        if not root.is_dir():
            raise DataNotFoundError(f"there is no folder {str(root)!r}: name one that holds images.")
        found = image_files(root)
        if len(found) < 3:
            raise InputError(f"{str(root)!r} holds {len(found)} images: it takes three to train, validate and test.")
        return {"train": {"image": found}}
