"""Translation by recurrent networks with attention (Bahdanau et al., 2015, arXiv:1409.0473; Luong et al., 2015,
arXiv:1508.04025).

One network reads the source from both ends into a state m_s for each of its tokens; another one writes the target. Before each
token it looks back at all m_s, at some more than at others:

    α_ts = softmax_s(h_t · A m_s),     c_t = Σ_s α_ts m_s,     p(y_{t+1} | y_1 … y_t, x) = softmax(E tanh(C [h_t ; c_t]))

so that nothing has to pass through one vector. What α looks at is roughly the word being translated: the attention map.

Departures from the papers: c_t isn't fed back into the next step, so that all steps of a training target run as one fused call;
GRUs in place of LSTMs; byte pairs; one table of vectors E for both languages and the read-out; label smoothing; AdamW.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datamodules.multi30k import BEGIN, END, LANGUAGES
from zoo.errors import InputError, MissingExtraError
from zoo.module import ZooModule, check_count
from zoo.text.beam import beam_search
from zoo.text.causal import draw_text
from zoo.text.pieces import PADDING

SHOWN = (
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.",
    "Ein Hund rennt durch den Schnee.",
    "Eine Frau in einem roten Kleid liest ein Buch.",
)


class AttentionSeq2Seq(ZooModule):
    """Bidirectional GRU, GRU, and attention between them.

    Args:
        vocab_size: tokens of both languages together.
        width: units of the decoder, and of both directions of the encoder together.
        embedding: length of a token's vector.
        dropout: of the vectors and before the read-out.
        label_smoothing: share of the target that is spread over all tokens.
        tokenizer: the byte pairs as `tokenizers` writes them in JSON; training takes them over from the data.
        source, target: the languages; training takes them over, too.

    Shapes:
        sources: int64 [N, S]; lengths: int64 [N]; targets (from BEGIN on): int64 [N, T]; logits: [N, T, vocab_size].
    """

    task: ClassVar[str] = "translation"

    def __init__(
        self,
        vocab_size: int = 5000,
        width: int = 320,
        *,
        embedding: int = 192,
        dropout: float = 0.3,
        label_smoothing: float = 0.1,
        tokenizer: str | None = None,
        source: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value in (("vocab_size", vocab_size), ("width", width), ("embedding", embedding)):
            check_count(value, name)
        if width % 2:
            raise InputError(f"width is {width}; it must be even: half of it reads from each end")
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        self.encoder = nn.GRU(embedding, width // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(width, width)  # the encoder's last states to the decoder's first
        self.decoder = nn.GRU(embedding, width, batch_first=True)
        self.attention = nn.Linear(width, width, bias=False)
        self.combine = nn.Linear(2 * width, embedding)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout1, self.dropout2, self.dropout3 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)
        self._tokenizer: Any = None

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits of the token after each target token."""
        return self.decode(targets, *self.encode(sources, lengths))[0]

    def encode(self, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory [N, S, width], which of it is real [N, S], and the decoder's first state [1, N, width]."""
        x = self.dropout1(self.embedding(sources))
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(states, batch_first=True)
        real = torch.arange(memory.shape[1], device=memory.device) < lengths.to(memory.device)[:, None]
        return memory, real, torch.tanh(self.bridge(last.transpose(0, 1).flatten(1)))[None]

    def decode(self, targets: Tensor, memory: Tensor, real: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [N, T, vocab_size], the state after the last token, and the attention [N, T, S]."""
        h, state = self.decoder(self.dropout2(self.embedding(targets)), state)
        score = self.attention(h) @ memory.transpose(1, 2)
        weight = score.float().masked_fill(~real[:, None], -torch.inf).softmax(2)
        seen = weight.to(memory.dtype) @ memory
        out = self.dropout3(torch.tanh(self.combine(torch.cat([h, seen.to(h.dtype)], 2))))
        return F.linear(out, self.embedding.weight, self.bias), state, weight

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
            try:
                from tokenizers import Tokenizer
            except ImportError:
                raise MissingExtraError("byte pairs", "tokenizers", "text") from None
            self._tokenizer = Tokenizer.from_str(self.hparams["tokenizer"])
        return self._tokenizer

    def translate(self, text: str | Sequence[str], *, beams: int = 5, penalty: float = 1.0) -> Any:
        """The translation of a text; of several texts a list.

        Args:
            beams: translations that are followed at once; 1 takes the likeliest token each time.
            penalty: see `zoo.text.beam`.

        Raises:
            InputError: for an empty text, or numbers out of their range.
        """
        if not isinstance(text, str):
            return [self.translate(one, beams=beams, penalty=penalty) for one in text]
        tokens = self._search(text, beams, penalty)[1]
        return self.tokenizer.decode(tokens).strip()

    @torch.inference_mode()
    def attend(self, text: str, *, beams: int = 5) -> tuple[list[str], list[str], Tensor]:
        """The pieces of a text and of its translation, and how far each of these looked at each of those, [T, S]."""
        sources, tokens = self._search(text, beams, 1.0)
        targets = torch.tensor([[BEGIN, *tokens]], device=self.device)
        memory = self.encode(sources[None], torch.tensor([len(sources)]))
        weight = self.decode(targets, *memory)[2][0].cpu()  # the last row looks for the end
        pieces = [[self.tokenizer.decode([i]).strip() for i in ids] for ids in (sources.tolist(), [*tokens, END])]
        return pieces[0], [*pieces[1][:-1], "[end]"], weight

    def attention_map(self, text: str, path: str | Path) -> Path:
        """Draw `attend`: a row for each piece of the translation."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        columns, rows, weight = self.attend(text)
        figure, axes = plt.subplots(figsize=(1 + 0.4 * len(columns), 1 + 0.3 * len(rows)), layout="constrained")
        axes.imshow(weight, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=60)
        axes.set_yticks(range(len(rows)), rows)
        figure.savefig(path, dpi=100)
        plt.close(figure)
        return Path(path)

    @torch.inference_mode()
    def _search(self, text: str, beams: int, penalty: float) -> tuple[Tensor, list[int]]:
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"a text to translate must be a string with something in it, not {text!r}")
        self.eval()
        sources = torch.tensor(self.tokenizer.encode(text.strip()).ids, device=self.device)
        memory, real, state = self.encode(sources[None], torch.tensor([len(sources)]))

        def step(newest: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            n = len(newest)
            logits, state, _ = self.decode(
                newest.to(self.device)[:, None], memory.expand(n, -1, -1), real.expand(n, -1), state
            )
            return logits[:, 0].float().log_softmax(1).index_fill(1, _never(logits.device), -torch.inf), state

        found = beam_search(
            step,
            state,
            start=BEGIN,
            end=END,
            beams=beams,
            length=2 * len(sources) + 10,
            penalty=penalty,
            reorder=lambda state, rows: state[:, rows.to(state.device)],
        )
        return sources, found[0][0]

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take byte pairs and languages over from the data module, so that they travel with the weights."""
        super().setup(stage)
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage != "fit" or not hasattr(data, "tokenizer"):
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

    def _loss(self, batch: tuple[Tensor, Tensor, Tensor], smoothing: float) -> Tensor:
        sources, lengths, targets = batch
        logits = self(sources, lengths, targets[:, :-1]).float()
        return F.cross_entropy(
            logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=PADDING, label_smoothing=smoothing
        )

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self._loss(batch, self.hparams["label_smoothing"])
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        tokens = int((batch[2][:, 1:] != PADDING).sum())
        self.log("val/nats_per_token", self._loss(batch, 0.0), prog_bar=True, batch_size=tokens)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    # Measures --------------------------------------------------------------------------------------------------------

    def evaluate(self, data: L.LightningDataModule) -> list[dict[str, Any]]:
        """sacreBLEU and chrF on the test part, by beams and greedily."""
        try:
            from sacrebleu.metrics import BLEU, CHRF
        except ImportError:
            raise MissingExtraError("sacreBLEU", "sacrebleu", "text") from None
        if (data.source, data.target) != (self.hparams["source"], self.hparams["target"]):
            raise InputError(
                f"the data goes from {data.source} to {data.target}, the model from {self.hparams['source']} to "
                f"{self.hparams['target']}"
            )
        sources, wanted = data.lines("test", data.source), [data.lines("test", data.target)]
        pair = f"test2016, {LANGUAGES[data.source]} to {LANGUAGES[data.target]}, detokenised, last epoch"
        entries = []
        for beams in (5, 1):
            found = self.translate(sources, beams=beams)
            for metric, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
                value = scorer.corpus_score(found, wanted).score
                how = f"{pair}, beams {beams}, length penalty 1; {scorer.get_signature()}; float32"
                name = metric if beams > 1 else f"{metric}_greedy"
                entries.append({"dataset": data.name, "split": "test", "metric": name, "value": value, "how": how})
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
        return {"logits": self(inputs["sources"], inputs["lengths"], inputs["targets"])}

    def preview(self, path: Path) -> Path | None:
        """Some translations."""
        if self.hparams["source"] != "de":
            return None
        return draw_text("\n\n".join(f"{text}\n    {self.translate(text)}" for text in SHOWN), path)


def _never(device: torch.device) -> Tensor:
    """Tokens that no translation has."""
    return torch.tensor([PADDING, BEGIN], device=device)
