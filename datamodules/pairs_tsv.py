"""A person's own sentences and their translations: two columns, the source first.

    Ein Hund läuft.<TAB>A dog is running.          .tsv without a header, or .csv; one pair a line

Sentences become tokens by the model's own byte pairs, which know every byte, so nothing is unknown.
"""

from typing import Any, ClassVar

import torch

from datamodules.base import CLI_KEYS
from datamodules.module import DataModule
from datamodules.multi30k import BEGIN, END, PairLoader
from datamodules.own import Own, check_shares, own_file, parts_of, read_text
from datamodules.own_text import pieces_of
from datamodules.place import device_of, share_of, training
from zoo.errors import InputError


class PairsTSV(Own, DataModule):
    """Pairs of sentences, a share of them held out.

    Args:
        root: the file.
        batch_size: pairs per batch, on average.
        tokenizer: the byte pairs of the model, as `tokenizers` writes them in JSON.
        source, target: the languages, as the model names them.
        val_share, test_share: shares that validate and test.
        seed: of the order of the batches, never of the split.
    """

    offers: ClassVar[tuple[str, ...]] = ("pairs",)
    name = "pairs-tsv"
    counted: ClassVar[str] = "pairs"

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        *,
        tokenizer: str | None = None,
        source: str | None = None,
        target: str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1")
        if tokenizer is None:
            raise InputError("pairs-tsv needs the byte pairs of a model: tokenizer=model.hparams['tokenizer']")
        self.root, self.batch_size, self.source, self.target, self.seed = str(root), batch_size, source, target, seed
        self.tokenizer = pieces_of(tokenizer)
        path = own_file(root, (".tsv", ".csv", ".txt"), "a file of pairs")
        delimiter = "," if path.suffix.lower() == ".csv" else "\t"
        pairs: list[tuple[str, str]] = []
        for line, text in enumerate(read_text(path).splitlines(), 1):
            if not text.strip():
                continue
            cells = [cell.strip() for cell in text.split(delimiter)]
            if len(cells) != 2 or not all(cells):
                raise InputError(
                    f"line {line} of {path} should be a sentence, a {'comma' if delimiter == ',' else 'tab'} and its "
                    f"translation, not {text[:60]!r}"
                )
            pairs.append((cells[0], cells[1]))
        if len(pairs) < 3:
            raise InputError(f"{path} holds {len(pairs)} pairs: it takes three to train, validate and test")
        parts = parts_of(len(pairs), val_share, test_share)
        self._pairs = {part: [pairs[i] for i in index.tolist()] for part, index in parts.items()}

    def sizes(self) -> dict[str, int]:
        return {part: len(pairs) for part, pairs in self._pairs.items()}

    def lines(self, part: str, language: str) -> list[str]:
        """The sentences of a part in the source or the target language."""
        return [pair[0 if language == self.source else 1] for pair in self._pairs[part]]

    def train_dataloader(self) -> PairLoader:
        return training(self, self._loader("train", shuffle=True, seed=self.seed, **share_of(self)))

    def val_dataloader(self) -> Any:
        return self._loader("val") if self._pairs["val"] else []

    def test_dataloader(self) -> Any:
        return self._loader("test")

    def _loader(self, part: str, **options: Any) -> PairLoader:
        with torch.inference_mode(False):
            sources, targets = (
                [torch.tensor(row.ids) for row in self.tokenizer.encode_batch([pair[i] for pair in self._pairs[part]])]
                for i in (0, 1)
            )
            framed = [torch.cat([torch.tensor([BEGIN]), row, torch.tensor([END])]) for row in targets]
            return PairLoader(sources, framed, self.batch_size, device=device_of(self), **options)
