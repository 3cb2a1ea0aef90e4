"""The base of all data modules."""

from typing import Any

import lightning

from zoo.errors import InputError


class DataModule(lightning.LightningDataModule):
    """A LightningDataModule that `trainer.predict` takes, too."""

    name: str

    def predict_dataloader(self) -> Any:
        """Batches to predict: the test split, or the validation split of data without one.

        Raises:
            InputError: for data with neither, such as an environment.
        """
        for split in ("test_dataloader", "val_dataloader"):
            if getattr(type(self), split) is not getattr(lightning.LightningDataModule, split):
                loader = getattr(self, split)()
                if not isinstance(loader, list) or loader:
                    return loader
        raise InputError(f"{self.name} has no held-out split to predict: give trainer.predict a loader of your own")
