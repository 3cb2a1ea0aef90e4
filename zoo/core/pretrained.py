"""How a model is read and written: what travels with its weights, its checkpoint folder, and its repository on the Hub.

The store does the work. It is imported when one of these methods is called, since it knows models and not the other way round.
"""

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import lightning as L

from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.registry import ARCHITECTURES

if TYPE_CHECKING:
    from zoo.store.pin import Published


class Pretrained(L.LightningModule):
    """The part of `ZooModule` that users of the Hub expect of a model.

    Attributes:
        name, transform, classes, data: see `ZooModule`.
    """

    name: str | None
    transform: Transform | None
    classes: list[str] | None
    data: dict[str, Any] | None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What travels with the weights travels with Lightning's `.ckpt` files too."""
        transform = self.transform.to_dict() if self.transform else None
        path = f"{type(self).__module__}:{type(self).__name__}"
        checkpoint["zoo"] = {"name": self.name, "classes": self.classes, "data": self.data, "transform": transform}
        checkpoint["zoo"]["architecture"] = next((a for a, target in ARCHITECTURES.items() if target == path), None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        travels = checkpoint.get("zoo", {})
        self.name, self.classes, self.data = (
            travels.get(key, getattr(self, key)) for key in ("name", "classes", "data")
        )
        if travels.get("transform"):
            self.transform = Transform(**travels["transform"])

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Self:
        """What `zoo.load` reads, if it is a model of this class; a name with a slash is a folder, or "owner/name" on the Hub.

        Args:
            name: a name of `zoo.list_models()`, "hf://owner/name[@revision]", "owner/name", or a folder.
            options: revision, token, cache_dir, local_files_only, as in huggingface_hub.

        Raises:
            InputError: for a model of another class.
            CheckpointError, UnknownNameError: as `zoo.load`.
        """
        from zoo.store.folder import read
        from zoo.store.hub import locate

        text = str(name)
        hub = text.count("/") == 1 and not text.startswith(("hf://", ".", "/")) and not Path(text).exists()
        model: Any = read(locate(f"hf://{text}" if hub else name, **options))
        if not isinstance(model, cls):
            raise InputError(f"{text} holds a {type(model).__name__}, no {cls.__name__}: take zoo.load")
        return model

    def save_pretrained(self, folder: str | Path, *, base_model: str | None = None, overwrite: bool = False) -> Path:
        """Write config.json, model.safetensors and golden.safetensors to a folder that `zoo.load` reads.

        Files of the folder that the zoo didn't write stay as they are, and a link is followed.

        Args:
            base_model: the Hub repository that the model was fine-tuned from.
            overwrite: replace even a config.json or another file of our names that the zoo didn't write.

        Raises:
            InputError: for a folder that can't be written, or holds such a file.
        """
        from zoo.store.folder import write

        model: Any = self
        return write(model, Path(folder), base_model=base_model, overwrite=overwrite)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        data: L.LightningDataModule | None = None,
        recipe: str | Path | None = None,
        licence: str | None = None,
        summary: str = "",
        base_model: str | None = None,
        private: bool = False,
        token: str | None = None,
        commit_message: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> "Published":
        """Publish this model as a Hub repository that `zoo.load("hf://owner/name")` reads.

        Args:
            data: measure the card's metrics on its test split, from exactly the file that is published.
            recipe: the YAML file that it was trained by.
            licence: the Hub's identifier of the licence of these weights, such as "apache-2.0".
            base_model: the Hub repository that it was fine-tuned from.
            private, token, commit_message, revision, create_pr: as in huggingface_hub.

        Raises:
            PublishError: in one sentence, with all that is missing.
        """
        from zoo.store.publish import push

        model: Any = self
        return push(
            model,
            repo_id,
            data=data,
            recipe=recipe,
            licence=licence,
            summary=summary,
            base_model=base_model,
            private=private,
            token=token,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        """What the card says of other libraries: sentences, each with lines that use `model`, for a model of these arguments.

        A test runs the lines of every card.
        """
        return []


def init_arguments(module: Any) -> dict[str, Any]:
    """The arguments a module was made with, as plain JSON values; LightningCLI adds keys of its own to hparams."""
    known = inspect.signature(type(module)).parameters
    found = {key: value for key, value in module.hparams.items() if key in known}
    return json.loads(json.dumps(found, default=_plain))


def _plain(value: Any) -> Any:
    """A number of NumPy or of a tensor as Python's own."""
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value).__name__} can't stand in config.json")
    return value.item()
