"""What all models that restore hidden pieces of a text share: the verbs, the loss and the measures.

    L = −Σ_{t ∈ M} log p(x_t | x without M),        M: some of the places, drawn anew each time the text is seen

Of the places of M, 80 % hold "[MASK]", 10 % a random piece and 10 % what they held, so that the network has to make up its mind
at every piece, not at masks alone. With one place masked at a time, exp of the mean −log p(x_t | all others) is the
pseudo-perplexity of a text (Salazar et al., 2020, arXiv:1910.14659).

A subclass defines `states(tokens, real)`, what its last layer holds [N, T, D], and `head`, which turns states into logits.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.pieces import tokenizer_of
from datamodules.formats.words import PADDING, UNKNOWN, pad
from datamodules.gutenberg_pieces import MASK, SPECIAL
from zoo.core.answers import likeliest, ranked
from zoo.core.batch import inputs_of
from zoo.core.checks import check_count
from zoo.core.data import NamedData, OfferedData, PassageData, TokenData
from zoo.core.drawing import draw_text
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.text.probe import LinearProbe, probe_entries

SHOWN = (
    "Call me [MASK].",
    "The captain stood upon the [MASK] and looked at the sea.",
    "She was the eldest of the three [MASK].",
    "I have not the [MASK] doubt of it.",
    "He took off his [MASK] and sat down by the fire.",
    "It was a dark and [MASK] night.",
    "The [MASK] galloped up to the general and saluted.",
    "My dear Mr. [MASK], said his lady to him one day.",
)


class MaskedLM(ZooModule):
    """Base of the masked language models over word pieces; 0 fills up, 1 is the unknown piece, 2 the mask.

    Attributes:
        context: pieces that the model sees at most.
        mask_share: share of the places that a training text loses.

    Shapes:
        tokens: int64 [N, T], T ≤ context; real: bool [N, T], False where a text is filled up; logits: [N, T, vocab_size].
    """

    task: ClassVar[str] = "fill-mask"
    learns_from: ClassVar[tuple[str, ...]] = ("pieces", "labelled-text")
    use: ClassVar[str] = (
        'print(model.fill_mask("the captain stood on the [MASK] and looked at the sea ."))    # [(piece, probability), …]\n'
        'print(model.embed("a storm came up").shape)'
    )
    head: nn.Module

    def __init__(self, vocab_size: int, context: int, mask_share: float) -> None:
        super().__init__()
        if check_count(vocab_size, "vocab_size") <= len(SPECIAL):
            raise InputError(f"vocab_size is {vocab_size}, but the special pieces alone are {len(SPECIAL)}")
        if not 0 < mask_share < 1:
            raise InputError(f"mask_share must lie between 0 and 1, not {mask_share!r}")
        self.vocab_size, self.context, self.mask_share = vocab_size, check_count(context, "context"), mask_share
        self._tokenizer: Any = None

    def states(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """What the last layer holds at every place, [N, T, D]."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, real: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """Logits at every place, or at the places `at` [N, K] of each row alone: [N, K, vocab_size]."""
        if tokens.shape[1] > self.context:
            raise InputError(f"{tokens.shape[1]} pieces don't fit into a context of {self.context}: crop them")
        states = self.states(tokens, real)
        if at is not None:
            states = states.gather(1, at[:, :, None].expand(-1, -1, states.shape[2]))
        return self.head(states)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """The word pieces, a `tokenizers.Tokenizer`.

        Raises:
            InputError: if there are none yet.
            MissingExtraError: if `tokenizers` isn't installed.
        """
        if self._tokenizer is None:
            if self.hparams["tokenizer"] is None:
                raise InputError("this model has no word pieces yet: train it, or load it")
            self._tokenizer = tokenizer_of(self.hparams["tokenizer"], "word pieces")
        return self._tokenizer

    def tokens(self, text: str, *, lenient: bool = False) -> Tensor:
        """The pieces of a text, int64 [T].

        Args:
            lenient: a word that no pieces make up becomes the unknown, as long as another word is known.

        Raises:
            InputError: for what is no text, has nothing in it, or a word that no pieces make up, named with its position.
        """
        if not isinstance(text, str):
            raise InputError(f"a text must be a string, not {type(text).__name__}")
        found = self.tokenizer.encode(text)
        if not found.ids:
            raise InputError(f"the text {text[:20]!r} is empty: give at least one word")
        if UNKNOWN in found.ids and not (lenient and set(found.ids) != {UNKNOWN}):
            start, end = found.offsets[found.ids.index(UNKNOWN)]
            raise InputError(
                f"the text has {text[start:end]!r} at position {start}, which the model's pieces don't make up: replace it"
            )
        return torch.tensor(found.ids)

    def _fitting(self, text: str) -> Tensor:
        tokens = self.tokens(text)
        if len(tokens) > self.context:
            raise InputError(
                f"the text {text[:20]!r}… has {len(tokens)} pieces, the model sees {self.context}: give a shorter one, or parts"
            )
        return tokens

    @verb
    def fill_mask(self, text: str, top: int = 5) -> Any:
        """The likeliest pieces for "[MASK]" in a text: [(piece, probability), …]; for several masks a list of such lists.

        Raises:
            InputError: for a text without a mask, or one that `tokens` refuses or that exceeds the context.
        """
        tokens = self._fitting(text)
        at = (tokens == MASK).nonzero().flatten()
        if not len(at):
            raise InputError(f"the text {text[:40]!r} has no {SPECIAL[MASK]}: put one where a word is missing")
        logits = self(tokens[None].to(self.device), at=at[None].to(self.device))[0].float().cpu()
        rows = ranked(_finite(logits).softmax(1), self.tokenizer.id_to_token, top)
        return rows[0] if len(rows) == 1 else rows

    @verb
    def embed(self, text: str | Sequence[str]) -> Tensor:
        """The mean of a text's last states, [width]; of several texts [N, width].

        Raises:
            InputError: for no text, or one that `tokens` refuses or that exceeds the context.
        """
        if isinstance(text, str):
            return self._means([self._fitting(text)])[0]
        if len(text) == 0:
            raise InputError("there is no text: give one, or a list of texts")
        return self._means([self._fitting(one) for one in text])

    @verb
    def _means(self, texts: Sequence[Tensor]) -> Tensor:
        """Means of the last states of texts that fit, [N, width]."""
        rows = []
        for start in track(range(0, len(texts), 64), "reading"):
            tokens, lengths = pad(texts[start : start + 64])
            real = (torch.arange(tokens.shape[1]) < lengths[:, None]).to(self.device)
            states = self.states(tokens.to(self.device), real).float()
            rows.append((states * real[:, :, None]).sum(1) / real.sum(1, keepdim=True))
        return torch.cat(rows).cpu()

    def classify(self, text: str | Sequence[str], examples: Mapping[str, Sequence[str]], top: int = 3) -> Any:
        """The likeliest classes of a text, [(class, probability), …], by a linear read-out of examples' mean states.

        Args:
            text: one text, or several for a list of such lists.
            examples: some texts of each class.

        Raises:
            InputError: for fewer than two classes, a class without a text, or a text that `embed` refuses.
        """
        if len(examples) < 2 or not all(examples.values()):
            raise InputError("examples has to hold two or more classes with one or more texts each")
        labels = torch.tensor([i for i, texts in enumerate(examples.values()) for _ in texts])
        known = self.embed([one for texts in examples.values() for one in texts])
        probe = LinearProbe(known, labels, len(examples))
        found = likeliest(probe(self.embed([text] if isinstance(text, str) else list(text))), list(examples), top)
        return found[0] if isinstance(text, str) else found

    def perplexity(self, text: str) -> float:
        """The pseudo-perplexity of a text: exp of the mean −log p of each piece given all others that the context holds."""
        return math.exp(self.pseudo_nats(self.tokens(text)).mean().item())

    @verb
    def pseudo_nats(self, tokens: Tensor) -> Tensor:
        """−log p of each of the pieces [T] given the others, float64 [T]; in a longer text those around it, as many as fit."""
        length = min(len(tokens), self.context)
        places = torch.arange(len(tokens))
        starts = (places - length // 2).clamp(0, len(tokens) - length)
        found = []
        for chunk in track(places.split(256), "reading"):
            rows = tokens[starts[chunk, None] + torch.arange(length)].to(self.device)  # a window around each place
            at = (chunk - starts[chunk])[:, None].to(self.device)
            logits = self(rows.scatter(1, at, MASK), at=at)[:, 0].float()
            found.append(F.cross_entropy(_finite(logits), rows.gather(1, at)[:, 0], reduction="none").double().cpu())
        return torch.cat(found)

    # A person's own text ---------------------------------------------------------------------------------------------

    def data_settings(self, kind: str) -> dict[str, Any]:
        """The model's word pieces, and its window."""
        if kind not in ("text-file", "text-folder") or self.hparams["tokenizer"] is None:
            return {}
        return {"tokenizer": self.hparams["tokenizer"], "context": self.context}

    def learner_for(self, data: OfferedData) -> Any:
        """For texts with classes an adapter-BERT on this model; for running text the model itself."""
        if "labelled-text" not in data.offers:
            return self
        from zoo.models.adaptation.adapter_bert import AdapterBERT

        sizes = {key: self.hparams[key] for key in ("vocab_size", "context", "layers", "heads", "width", "tokenizer")}
        if not self.hparams.get("norm_first", True) or self.hparams.get("positions", "rotary") != "rotary":
            raise InputError(
                f"{self.name or type(self).__name__} has learned positions or late norms: adapters don't fit it"
            )
        classifier = AdapterBERT(len(data.classes), **sizes)
        classifier.start_from(self)
        classifier.name = self.name
        return classifier

    def adapt_to(self, data: NamedData) -> None:
        """Nothing changes: word pieces spell new words out.

        Raises:
            InputError: for characters in place of pieces.
        """
        if not hasattr(data, "tokenizer"):
            raise InputError(
                f"{self.name or type(self).__name__} reads word pieces: make the data module with "
                'tokenizer=model.hparams["tokenizer"]'
            )

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take the word pieces over from the data module, so that they travel with the weights."""
        super().setup(stage)
        data: TokenData | None = getattr(self.trainer, "datamodule", None)
        if stage != "fit" or data is None or not hasattr(data, "tokenizer"):
            return
        if (size := data.tokenizer.get_vocab_size()) != self.vocab_size:
            raise InputError(f"the data has {size} pieces, the model vocab_size={self.vocab_size}: make them equal")
        if self.hparams["tokenizer"] not in (None, data.tokenizer.to_str()):
            raise InputError("the data has other word pieces than the model: train a fresh one")
        self.hparams["tokenizer"], self._tokenizer = data.tokenizer.to_str(), data.tokenizer

    def hide(
        self, tokens: Tensor, share: float, *, always: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens with a share of each row's places hidden, those places [N, K], and what they held [N, K].

        `always` puts the mask at all of them, in place of at four fifths.
        """
        options: dict[str, Any] = {"device": tokens.device, "generator": generator}
        count = max(1, round(share * tokens.shape[1]))
        places = torch.rand(tokens.shape, **options).topk(count, dim=1).indices
        held = tokens.gather(1, places)
        shown = torch.full_like(held, MASK)
        if not always:
            fate = torch.rand(held.shape, **options)
            other = torch.randint(len(SPECIAL), self.vocab_size, held.shape, **options)
            shown = torch.where(fate < 0.8, shown, torch.where(fate < 0.9, other, held))
        return tokens.scatter(1, places, shown), places, held

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        seen, places, held = self.hide(inputs_of(batch), self.mask_share)
        loss = F.cross_entropy(self(seen, at=places).float().flatten(0, 1), held.flatten())
        self.log_train(nats=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        nats, right = self.restore(inputs_of(batch), seed=batch_idx)
        self.log_dict({"val/nats": nats.mean(), "val/accuracy": right.float().mean()}, prog_bar=True)

    def restore(self, tokens: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
        """−log p of the pieces of 15 % of the places, all masked, and whether the likeliest piece is right; both flat."""
        generator = torch.Generator().manual_seed(seed)  # on the CPU: the same places on every device
        seen, places, held = (
            x.to(self.device) for x in self.hide(tokens.cpu(), 0.15, always=True, generator=generator)
        )
        logits = self(seen, at=places).float().flatten(0, 1)
        return F.cross_entropy(logits, held.flatten(), reduction="none"), logits.argmax(1) == held.flatten()

    # Measures --------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: PassageData) -> list[dict[str, Any]]:
        """Masked pieces restored, pseudo-perplexity, and a probe of the states beside a bag of words, on the test part."""
        size, known = self.context, [self._lenient(text) for text in data.texts("test")]
        windows = torch.cat([text[: len(text) // size * size].reshape(-1, size) for text in known])
        found = [self.restore(rows, seed=i) for i, rows in enumerate(windows.split(64))]
        nats, right = (torch.cat(part).double() for part in zip(*found, strict=True))
        chosen = windows[:: max(1, len(windows) // 100)][:100]
        pseudo = torch.cat([self.pseudo_nats(row) for row in chosen]).mean()
        part = "the last 5 % of each novel; last epoch, nothing chosen on them; float32"
        masked = f"{len(nats):,} pieces, 15 % of each of the {len(windows):,} windows of {size}, all masked; {part}"
        alone = f"each piece of {len(chosen)} windows of {size} masked alone: exp of the mean -log p; {part}"
        values = (
            ("masked_accuracy", right.mean().item(), masked),
            ("masked_nats", nats.mean().item(), masked),
            ("pseudo_perplexity", math.exp(pseudo.item()), alone),
        )
        entries = [
            entry(data, "test", metric, value, how, better="higher" if metric == "masked_accuracy" else "lower")
            for metric, value, how in values
        ]
        return entries + probe_entries(
            data, lambda texts: self._means([self._lenient(text)[:size] for text in texts]), part
        )

    def _lenient(self, text: str) -> Tensor:
        """The pieces of a text, with what none make up as the unknown."""
        return torch.tensor(self.tokenizer.encode(text).ids)

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(len(SPECIAL), self.vocab_size, (2, min(16, self.context)), generator=generator)
        lengths = torch.tensor([tokens.shape[1], tokens.shape[1] // 2])
        return {"tokens": tokens.masked_fill(torch.arange(tokens.shape[1]) >= lengths[:, None], PADDING)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens = inputs["tokens"]
        at = torch.arange(min(2, tokens.shape[1]), device=tokens.device).expand(len(tokens), -1)
        return {"logits": self(tokens, tokens != PADDING, at), "states": self.states(tokens, tokens != PADDING)[:, 0]}

    def preview(self, path: Path) -> Path | None:
        """Sentences with a hole, and what the model puts there."""
        if self.hparams["tokenizer"] is None:
            return None
        lines = []
        for text in SHOWN:
            try:
                found = self.fill_mask(text, 5)
            except InputError:  # a word of it isn't made up by these pieces
                continue
            lines += [text, "    " + "  ".join(f"{piece} {p:.2f}" for piece, p in found), ""]
        return draw_text("\n".join(lines), path) if lines else None


def _finite(logits: Tensor) -> Tensor:
    if not logits.isfinite().all():
        raise InputError("the model gave logits that aren't finite: its weights are damaged or its training diverged")
    return logits
