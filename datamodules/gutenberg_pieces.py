"""The nine novels of `datamodules.gutenberg` as word pieces, for masked language models (Devlin et al., 2019).

Of each novel the first 90 % train, the next 5 % validate and the last 5 % test, cut between words. The pieces (WordPiece, lower
case, accents stripped) are learnt from the training part. A training batch is (tokens, next tokens), int64 [B, T]: windows of the
whole training part in a new order and at a new offset in every epoch. A model of pieces takes the first of the two alone.

`passages` cuts a part into short texts with the number of their novel: what a model's states are probed with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.files import fetch, sha256_of
from datamodules.gutenberg import FILES
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.text import Windows
from zoo.errors import InputError, MissingExtraError

NOVELS = {name.rpartition("_")[0].replace("--", ", ").replace("-", " "): name for name in FILES}  # title: file
PARTS = {"train": (0, 90), "val": (90, 95), "test": (95, 100)}  # percent of each novel
SPECIAL = ("[PAD]", "[UNK]", "[MASK]")  # tokens 0, 1 and 2
MASK = 2


class GutenbergPieces(DataModule):
    """Nine novels as word pieces.

    Args:
        batch_size: windows per batch and process.
        context: pieces of a window.
        vocab_size: pieces, the special ones among them.
        novels: titles to take; default all nine.
        seed: of the order and offset of the windows, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    name = "gutenberg-pieces"
    offers: ClassVar[tuple[str, ...]] = ("pieces",)
    languages: ClassVar[tuple[str, ...]] = ("en",)
    licence: ClassVar[str] = "public domain (in the USA)"
    licence_note: ClassVar[str] = "Project Gutenberg's texts without their trademark headers."
    homepage: ClassVar[str] = "https://www.gutenberg.org"

    def __init__(
        self,
        batch_size: int = 64,
        *,
        context: int = 64,
        vocab_size: int = 8192,
        novels: list[str] | None = None,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        for what, value in (("batch_size", batch_size), ("context", context)):
            if value < 1:
                raise InputError(f"{what} is {value}; it must be at least 1.")
        if vocab_size < 200:
            raise InputError(f"vocab_size is {vocab_size}; the characters alone need about 200.")
        for title in novels or ():
            if title not in NOVELS:
                raise InputError(f"there is no novel {title!r}; there are {', '.join(NOVELS)}.")
        self.batch_size, self.context, self.vocab_size, self.seed, self.root = (
            batch_size,
            context,
            vocab_size,
            seed,
            root,
        )
        self.novels = list(novels or NOVELS)
        self._texts: dict[str, list[str]] = {}
        self._tokens: dict[tuple[str, torch.device], Tensor] = {}
        self._tokenizer: Any = None

    def prepare_data(self) -> None:
        for title in self.novels:
            self._path(title)

    def _path(self, title: str) -> Path:
        return fetch(f"gutenberg/{NOVELS[title]}", (), FILES[NOVELS[title]], root=self.root)

    def texts(self, part: str) -> list[str]:
        """The part "train", "val" or "test" of each novel."""
        if part not in PARTS:
            raise InputError(f"part is {part!r}; it can be {', '.join(PARTS)}.")
        if not self._texts:
            parts: dict[str, list[str]] = {name: [] for name in PARTS}
            for title in self.novels:
                path = self._path(title)
                if sha256_of(path) != FILES[path.name]:
                    raise InputError(f"{path} isn't the text that the numbers belong to: remove it and fetch it again.")
                words = path.read_text(encoding="utf-8").split()
                for name, (start, end) in PARTS.items():
                    parts[name].append(" ".join(words[len(words) * start // 100 : len(words) * end // 100]))
            self._texts = parts
        return self._texts[part]

    def passages(self, part: str, words: int) -> list[tuple[str, int]]:
        """All pieces of so many words of a part, with the number of their novel."""
        if words < 1:
            raise InputError(f"words is {words}; it must be at least 1.")
        found = []
        for label, text in enumerate(self.texts(part)):
            pieces = text.split()
            starts = range(0, len(pieces) - words + 1, words)
            found += [(" ".join(pieces[start : start + words]), label) for start in starts]
        return found

    @property
    def tokenizer(self) -> Any:
        """The word pieces, a `tokenizers.Tokenizer`."""
        if self._tokenizer is None:
            self._tokenizer = learn_word_pieces(self.texts("train"), self.vocab_size)
        return self._tokenizer

    def tokens(self, part: str) -> Tensor:
        """All pieces of a part, one novel after the other, int64 [N]."""
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            rows = self.tokenizer.encode_batch([piece for text in self.texts(part) for piece in cut(text)])
            return torch.tensor([token for row in rows for token in row.ids])

    def train_dataloader(self) -> Windows:
        tokens = self._place("train")
        return training(self, Windows(tokens, self.batch_size, self.context, seed=self.seed, **share_of(self)))

    def val_dataloader(self) -> Windows:
        return Windows(self._place("val"), self.batch_size, self.context, shuffle=False)

    def _place(self, part: str) -> Tensor:
        """A part on the trainer's device, moved there once."""
        device = device_of(self)
        if (part, device) not in self._tokens:
            with torch.inference_mode(False):
                self._tokens[part, device] = self.tokens(part).to(device)
        return self._tokens[part, device]


def cut(text: str, words: int = 500) -> list[str]:
    """A long text in parts, between words: a tokenizer takes half as long for them."""
    found = text.split()
    return [" ".join(found[start : start + words]) for start in range(0, len(found), words)]


def learn_word_pieces(texts: Sequence[str], vocab_size: int) -> Any:
    """A WordPiece tokenizer of some texts.

    Raises:
        MissingExtraError: if `tokenizers` isn't installed.
    """
    try:
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    except ImportError:
        raise MissingExtraError("word pieces", "tokenizers", "text") from None
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    # one apostrophe, as in `datamodules.gutenberg`, and no marks of italics
    plain = [normalizers.Replace("’", "'"), normalizers.Replace("_", " ")]
    tokenizer.normalizer = normalizers.Sequence([*plain, normalizers.BertNormalizer(lowercase=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator((piece for text in texts for piece in cut(text)), trainer)
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == [0, 1, MASK]
    return tokenizer
