"""A person's own texts, read as characters or as word pieces: one UTF-8 file is `text-file` (see `text`), a folder `text-folder`.

    stories/*.txt, stories/poems/*.md          the beginning of each file trains, then a part validates, the end tests

What a model reads decides: with `vocabulary` (its characters) batches hold characters, and those that the vocabulary lacks are
put behind it; with `tokenizer` (its word pieces in JSON) they hold pieces.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.files import DataNotFoundError
from datamodules.formats.characters import encode
from datamodules.own import Own, check_shares, read_text
from datamodules.place import share_of, training
from datamodules.text import CharacterText, Reading, SlidingWindows, Streams, TokenLoader, Windows
from zoo.errors import InputError, MissingExtraError

SUFFIXES = (".txt", ".md", ".text")


class TextFolder(Own, CharacterText):
    """All texts of a folder and its sub-folders (.txt, .md), the end of each held out.

    Args:
        root: the folder, or one file.
        batch_size: windows or streams per batch; fewer where the text is short.
        vocabulary: the characters of a model; those that only the texts have are put behind them.
        tokenizer: the word pieces of a model, as `tokenizers` writes them in JSON; batches hold pieces then.
        context: characters or pieces of a window; fewer where the text is short.
        reading: "windows" (shuffled) or "streams" (in order, for a model that carries its state).
        val_share, test_share: shares of each text, at its end, that validate and test.
        seed: of the offsets and shuffles, never of the split.
    """

    offers: ClassVar[tuple[str, ...]] = ("characters", "pieces")
    counted: ClassVar[str] = "characters"
    name = "text-folder"

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        *,
        vocabulary: str | None = None,
        tokenizer: str | None = None,
        context: int = 128,
        reading: Reading = "windows",
        val_share: float = 0.1,
        test_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        check_shares(val_share, test_share)
        super().__init__(
            batch_size, context=context, reading=reading, val_share=max(val_share, 1e-9), seed=seed, root=str(root)
        )
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(root), val_share=val_share)
        if vocabulary is not None and len(set(vocabulary)) != len(vocabulary):
            twice = next(c for c in vocabulary if vocabulary.count(c) > 1)
            raise InputError(f"vocabulary has the character {twice!r} twice; each may come up once")
        self.vocabulary, self.test_share = vocabulary, test_share
        self._texts = [read_text(path) for path in self.files()]
        if tokenizer is not None:
            self.tokenizer = pieces_of(tokenizer)
        self._parts: dict[str, Tensor] = {}

    def files(self) -> list[Path]:
        root = Path(str(self.root)).expanduser()
        if root.is_file():
            return [root]
        if not root.is_dir():
            raise DataNotFoundError(f"there is no folder {str(self.root)!r}: name one that holds texts")
        found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise InputError(f"the folder {str(self.root)!r} holds no text ({', '.join(SUFFIXES)})")
        return found

    @property
    def new_characters(self) -> str:
        """Characters of the texts that the given vocabulary lacks, sorted."""
        return "".join(sorted(set("".join(self._texts)) - set(self.vocabulary or "")))

    @property
    def classes(self) -> Any:  # type: ignore[override]  # known once the texts are read
        return None if hasattr(self, "tokenizer") else tuple((self.vocabulary or "") + self.new_characters)

    @property
    def num_classes(self) -> int:
        return self.tokenizer.get_vocab_size() if hasattr(self, "tokenizer") else len(self.classes)

    def read(self) -> str:
        return "".join(self._texts)

    def texts(self, part: str) -> list[str]:
        """The part "train" (the beginning), "val" or "test" (the end) of each text."""
        if part not in ("train", "val", "test"):
            raise InputError(f"part is {part!r}; it can be 'train', 'val' or 'test'")
        found = []
        for text in self._texts:
            first = round(len(text) * (1 - self.hparams["val_share"] - self.test_share))
            second = round(len(text) * (1 - self.test_share))
            found.append({"train": text[:first], "val": text[first:second], "test": text[second:]}[part])
        return [text for text in found if text]

    def setup(self, stage: str | None = None) -> None:
        """Encode the texts, once."""
        if self._parts:
            return
        for part in ("train", "val", "test"):
            texts = self.texts(part)
            with torch.inference_mode(False):
                if hasattr(self, "tokenizer"):
                    rows = [torch.tensor(found.ids, dtype=torch.int64) for found in self.tokenizer.encode_batch(texts)]
                else:
                    rows = [encode(text, self.classes, "the text") for text in texts]
                self._parts[part] = torch.cat(rows) if rows else torch.empty(0, dtype=torch.int64)
        least = min(len(self._parts["train"]), *(len(self._parts[p]) for p in ("val", "test") if len(self._parts[p])))
        if least < 8:
            raise InputError(
                f"{str(self.root)!r} holds {sum(map(len, self._texts))} characters: too few to hold a part of them out"
            )
        self.context = min(self.context, len(self._parts["train"]) // 3)

    def tokens(self, split: str) -> Tensor:
        """The tokens of "train", "val" or "test", on the CPU."""
        if split not in ("train", "val", "test"):
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'")
        self.setup()
        return self._parts[split]

    def sizes(self) -> dict[str, int]:
        """Characters, or pieces, of each part."""
        return {split: len(self.tokens(split)) for split in ("train", "val", "test")}

    def train_dataloader(self) -> TokenLoader:
        tokens, share = self._place("train"), share_of(self)
        fit = max(1, (len(tokens) - self.context) // self.context // share["world_size"])
        size = min(self.batch_size, fit)
        if self.reading == "streams":
            return training(self, Streams(tokens, size, self.context, seed=self.seed, **share))
        return training(self, Windows(tokens, size, self.context, seed=self.seed, **share))

    def val_dataloader(self) -> Any:
        return self._judged("val")

    def test_dataloader(self) -> Any:
        return self._judged("test")

    def _judged(self, part: str) -> Any:
        tokens = self._place(part)
        if len(tokens) < 2:
            return []
        if self.reading == "streams" and len(tokens) > 2 * self.context:
            fit = max(1, (len(tokens) - self.context) // self.context)
            return Streams(tokens, min(self.batch_size, fit), self.context, shift=False)
        return SlidingWindows(tokens, self.batch_size, self.context)


def pieces_of(tokenizer: str) -> Any:
    """The `tokenizers.Tokenizer` of a JSON text.

    Raises:
        MissingExtraError: if `tokenizers` isn't installed.
        InputError: for a text that is none.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("word pieces", "tokenizers", "text") from None
    try:
        return Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises Exception itself
        raise InputError(f"tokenizer is no tokenizer in JSON: {error}") from None


class TextFile(TextFolder):
    """One text, a UTF-8 file, its end held out.

    Args:
        path: the file; it is taken below `root` if that is given too. `root` alone may name the file as well.
        batch_size, vocabulary, tokenizer, context, reading, val_share, test_share, seed: see `TextFolder`.
    """

    name = "text-file"

    def __init__(
        self,
        path: str | None = None,
        batch_size: int = 32,
        *,
        vocabulary: str | None = None,
        tokenizer: str | None = None,
        context: int = 128,
        reading: Reading = "windows",
        val_share: float = 0.1,
        test_share: float = 0.1,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        if path is None and root is None:
            raise InputError("text-file needs the file: root=… or path=…")
        place = Path(root or "") / Path(path).expanduser() if path is not None else Path(str(root)).expanduser()
        super().__init__(
            str(place),
            batch_size,
            vocabulary=vocabulary,
            tokenizer=tokenizer,
            context=context,
            reading=reading,
            val_share=val_share,
            test_share=test_share,
            seed=seed,
        )
        self.hparams.update(path=path, root=root)

    def files(self) -> list[Path]:
        path = Path(str(self.root))
        if path.is_dir():
            raise InputError(f"{path} is a folder: text-folder reads all texts of one")
        if not path.is_file():
            raise DataNotFoundError(f"there is no file {str(path)!r}: name a text")
        return [path]
