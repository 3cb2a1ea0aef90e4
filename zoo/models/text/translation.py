"""Translation: what networks share that read a sentence in one language and write it in another.

All of them give p(y_{t+1} | y_1 … y_t, x) for every t at once, learn from the sum of its logarithms, and translate by looking
for the likeliest y, token by token (`beam.py`). How y comes to know x is each architecture's own: a subclass defines what is
kept of the source (`begin`), how one token goes on from there (`step`), and, if it has attention, where it looked (`look`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.pieces import tokenizer_of
from datamodules.formats.words import PADDING
from datamodules.multi30k import BEGIN, END, LANGUAGES
from zoo.core.checks import check_count
from zoo.core.data import PairData, PairTokenData
from zoo.core.drawing import draw_text, verbatim
from zoo.core.files import check_output, write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.errors import InputError, Interrupted, MissingExtraError
from zoo.models.text.beam import beam_searches

Pairs = tuple[Tensor, Tensor, Tensor]  # sources [N, S], their lengths [N], targets from BEGIN to END [N, T]

ROWS = 160  # of a batch of searches, all beams together: more of them take no less time each

SHOWN = {  # captions of the test part: those of the training part may be known by heart
    "de": (
        "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
        "Ein Boston Terrier läuft über saftig-grünes Gras vor einem weißen Zaun.",
        "Ein Mädchen in einem Karateanzug bricht ein Brett mit einem Tritt.",
        "Leute Reparieren das Dach eines Hauses.",
    ),
    "en": (
        "A man in an orange hat starring at something.",
        "A Boston Terrier is running on lush green grass in front of a white fence.",
        "A girl in karate uniform breaking a stick with a front kick.",
        "People are fixing the roof of a house.",
    ),
}

MAPS = (".png", ".jpg", ".webp", ".svg", ".pdf")  # what a map of attention can be drawn into


class Translator(ZooModule):
    """Base of the translators. A subclass has the arguments `vocab_size`, `label_smoothing`, and these three:

    Args:
        tokenizer: the byte pairs as `tokenizers` writes them in JSON; training takes them over from the data.
        source, target: the languages; training takes them over, too.

    Shapes:
        sources: int64 [N, S]; lengths: int64 [N]; targets (from BEGIN on): int64 [N, T]; logits: [N, T, vocab_size].
    """

    task: ClassVar[str] = "translation"
    learns_from: ClassVar[tuple[str, ...]] = ("pairs",)
    finetune_lr: ClassVar[float] = 3e-4
    use: ClassVar[str] = 'print(model.translate("{sentence}", beams=5))        # several texts give a list'

    def __init__(self) -> None:
        super().__init__()
        self._tokenizer: Any = None

    def check_languages(self) -> None:
        """Refuse languages that no data set here has; called after `save_hyperparameters`."""
        for what in ("source", "target"):
            if (language := self.hparams[what]) not in (None, *LANGUAGES):
                raise InputError(f"{what} is {language!r}; it can be {', '.join(LANGUAGES)}")

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits of the token after each target token."""
        raise NotImplementedError

    def begin(self, sources: Tensor, lengths: Tensor | None = None) -> Any:
        """What is known once sources [N, S] of some lengths [N] are read (None: all of S): a state of N rows."""
        raise NotImplementedError

    def step(self, newest: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits [B, vocab_size] of the tokens after newest [B], and the state after them."""
        raise NotImplementedError

    def reorder(self, state: Any, rows: Tensor) -> Any:
        """These rows of a state."""
        raise NotImplementedError

    # Verbs -----------------------------------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """The byte pairs, a `tokenizers.Tokenizer`.

        Raises:
            InputError: if there are none yet.
            MissingExtraError: if `tokenizers` isn't installed.
        """
        if self._tokenizer is None:
            if self.hparams["tokenizer"] is None:
                raise InputError("this model has no byte pairs yet: train it, or load it")
            self._tokenizer = tokenizer_of(self.hparams["tokenizer"], "byte pairs")
        return self._tokenizer

    def translate(self, text: str | Sequence[str], *, beams: int = 5, penalty: float = 1.0) -> Any:
        """The translation of a text; of several texts a list.

        Args:
            beams: translations that are followed at once; 1 takes the likeliest token each time.
            penalty: see `zoo.models.text.beam`.

        Raises:
            InputError: for an empty text, or numbers out of their range.
            Interrupted: a KeyboardInterrupt, with the translations that were made before it in `done`, None for the others.
        """
        if not isinstance(text, str) and isinstance(text, Sequence):
            found = self._searches(list(text), beams, penalty)
            return [self.tokenizer.decode(tokens).strip() for _, tokens in found]
        return self.tokenizer.decode(self._search(text, beams, penalty)[1]).strip()

    def _search(self, text: str, beams: int, penalty: float) -> tuple[Tensor, list[int]]:
        """The tokens of a text and of its translation."""
        return self._searches([text], beams, penalty)[0]

    @verb
    def _searches(self, texts: Sequence[str], beams: int, penalty: float) -> list[tuple[Tensor, list[int]]]:
        """The tokens of each text and of its translation; texts of like lengths go through the network together."""
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"a text to translate must be a string with something in it, not {text!r}")
        sources = [torch.tensor(self.tokenizer.encode(text.strip()).ids, device=self.device) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(sources[i]))
        found: dict[int, list[int]] = {}
        together = max(1, ROWS // check_count(beams, "beams"))
        parts = [order[i : i + together] for i in range(0, len(order), together)]
        try:
            for part in track(parts, "translating"):
                found |= zip(part, self._translate([sources[i] for i in part], beams, penalty), strict=True)
        except KeyboardInterrupt:
            done = [self.tokenizer.decode(found[i]).strip() if i in found else None for i in range(len(texts))]
            raise (Interrupted(done) if found else KeyboardInterrupt) from None
        return [(sources[i], found[i]) for i in range(len(texts))]

    def _translate(self, sources: list[Tensor], beams: int, penalty: float) -> list[list[int]]:
        """The tokens of the translations of some texts, by one search for all."""
        lengths = torch.tensor([len(tokens) for tokens in sources])
        padded = nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=PADDING)
        never = torch.tensor([PADDING, BEGIN], device=self.device)

        def step(newest: Tensor, state: Any) -> tuple[Tensor, Any]:
            logits, state = self.step(newest.to(self.device), state)
            return logits.float().log_softmax(1).index_fill(1, never, -torch.inf), state

        found = beam_searches(
            step,
            self.begin(padded, lengths),
            [2 * length + 10 for length in lengths.tolist()],
            start=BEGIN,
            end=END,
            beams=beams,
            penalty=penalty,
            reorder=lambda state, rows: self.reorder(state, rows.to(self.device)),
        )
        return [best[0][0] for best in found]

    def data_settings(self, kind: str) -> dict[str, Any]:
        """For a person's own pairs: the model's byte pairs and languages."""
        if kind != "pairs-tsv":
            return {}
        return {key: self.hparams[key] for key in ("tokenizer", "source", "target")}

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take byte pairs and languages over from the data module, so that they travel with the weights."""
        super().setup(stage)
        data: PairTokenData | None = getattr(self.trainer, "datamodule", None)
        if stage != "fit" or data is None or not hasattr(data, "tokenizer"):
            return
        if (size := data.tokenizer.get_vocab_size()) != self.hparams["vocab_size"]:
            raise InputError(
                f"the data has {size} tokens, the model vocab_size={self.hparams['vocab_size']}: make them equal"
            )
        known, given = self.hparams["tokenizer"], data.tokenizer.to_str()
        if known is not None and known != given:
            raise InputError("the data has other byte pairs than the model: train a fresh one")
        self.hparams.update({"tokenizer": given, "source": data.source, "target": data.target})
        self._tokenizer = data.tokenizer

    def _loss(self, batch: Pairs, smoothing: float) -> Tensor:
        sources, lengths, targets = batch
        logits = self(sources, lengths, targets[:, :-1]).float()
        return F.cross_entropy(
            logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=PADDING, label_smoothing=smoothing
        )

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        loss = self._loss(batch, self.hparams["label_smoothing"])
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: Pairs, batch_idx: int) -> None:
        tokens = int((batch[2][:, 1:] != PADDING).sum())
        self.log("val/nats_per_token", self._loss(batch, 0.0), prog_bar=True, batch_size=tokens)

    # Measures --------------------------------------------------------------------------------------------------------

    def evaluate(self, data: PairData) -> list[dict[str, Any]]:
        """sacreBLEU and chrF on the test part, by beams and greedily."""
        if (data.source, data.target) != (self.hparams["source"], self.hparams["target"]):
            raise InputError(
                f"the data goes from {data.source} to {data.target}, the model from {self.hparams['source']} to "
                f"{self.hparams['target']}"
            )
        try:
            from sacrebleu.metrics import BLEU, CHRF
        except ImportError:
            raise MissingExtraError("sacreBLEU", "sacrebleu", "text") from None
        sources, wanted = data.lines("test", data.source), [data.lines("test", data.target)]
        pair = f"test2016, {LANGUAGES[data.source]} to {LANGUAGES[data.target]}, detokenised, last epoch"
        entries = []
        for beams in (5, 1):
            found = self.translate(sources, beams=beams)
            for metric, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
                value = scorer.corpus_score(found, wanted).score
                how = f"{pair}, beams {beams}, length penalty 1; {scorer.get_signature()}; float32"
                name = metric if beams > 1 else f"{metric}_greedy"
                entries.append(entry(data, "test", name, value, how, better="higher"))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        size = self.hparams["vocab_size"]
        return {
            "sources": torch.randint(3, size, (2, 9), generator=generator),
            "lengths": torch.tensor([9, 4]),
            "targets": torch.randint(3, size, (2, 7), generator=generator),
        }

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of every eighth word: a vocabulary has thousands."""
        return {"logits": self(inputs["sources"], inputs["lengths"], inputs["targets"])[..., ::8]}

    def preview(self, path: Path) -> Path | None:
        """Some translations."""
        if not (texts := SHOWN.get(self.hparams["source"])):
            return None
        return draw_text("\n\n".join(f"{text}\n    {self.translate(text)}" for text in texts), path)


class AttentiveTranslator(Translator):
    """Base of the translators that look back at the source while they write."""

    def look(self, sources: Tensor, targets: Tensor) -> Tensor:
        """How far each target token [1, T] looked at each source token [1, S]: [T, S], rows sum to 1."""
        raise NotImplementedError

    @verb
    def attend(self, text: str, *, beams: int = 5) -> tuple[list[str], list[str], Tensor]:
        """The pieces of a text and of its translation, and how far each of these looked at each of those, [T, S]."""
        sources, tokens = self._search(text, beams, 1.0)
        # the last finds the end
        weight = self.look(sources[None], torch.tensor([[BEGIN, *tokens]], device=self.device))
        pieces = [[self.tokenizer.decode([i]).strip() for i in ids] for ids in (sources.tolist(), tokens)]
        return pieces[0], [*pieces[1], "[end]"], weight.float().cpu()

    def attention_map(self, text: str, path: str | Path) -> Path:
        """Draw `attend`: a row for each piece of the translation."""
        check_output(path, MAPS)
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        columns, rows, weight = self.attend(text)
        figure, axes = plt.subplots(figsize=(1 + 0.4 * len(columns), 1 + 0.3 * len(rows)), layout="constrained")
        axes.imshow(weight, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), [verbatim(piece) for piece in columns], rotation=60)
        axes.set_yticks(range(len(rows)), [verbatim(piece) for piece in rows])
        write_figure(path, figure, dpi=100)
        plt.close(figure)
        return Path(path)
