"""What all models that predict the next character share: the verbs, the loss and the measures.

    log p(x) = Σ_t log p(x_t | x_1 … x_{t-1})          measured in nats a character (bits: divided by ln 2)

A subclass defines `hidden(tokens)`, the states [N, T, D] that `head` turns into logits, and `step(tokens, state)`, which goes on
from a state that holds all that came before: the hidden state of an RNN, the keys and values of a Transformer.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules import text as cuts
from datamodules.formats.characters import decode, encode
from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import CharacterData, ClassData
from zoo.core.drawing import draw_text
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import CheckpointError, InputError, ZooWarning
from zoo.models.text import writing
from zoo.models.text.sampling import Choice


class CausalLM(ZooModule):
    """Base of the character language models; `classes` are the characters in the order of their tokens.

    Attributes:
        context: characters that the model sees at most; None where a state carries all of them.
        window: length of the windows that measures cut a text into.
        stateful: the model can read a whole text in one pass.

    Shapes:
        tokens: int64 [N, T]; logits: [N, T, vocab_size].
    """

    task: ClassVar[str] = "text-generation"
    learns_from: ClassVar[tuple[str, ...]] = ("characters",)
    use: ClassVar[str] = (
        'print(model.generate("ROMEO:\\n", 200, temperature=0.8, seed=0))   # model.stream(…) yields the characters one by one\n'
        'print(model.perplexity("To be, or not to be"))'
    )
    stateful: ClassVar[bool] = False
    context: int | None = None
    window: int = 256
    head: nn.Linear

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = check_count(vocab_size, "vocab_size")

    def hidden(self, tokens: Tensor) -> Tensor:
        """The states [N, T, D] that the head sees."""
        raise NotImplementedError

    def step(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits [N, T, vocab_size] of tokens that follow what `state` holds (None: nothing), and the state after them."""
        raise NotImplementedError

    def rows(self, state: Any, index: Tensor) -> Any:
        """The rows [B'] of a state."""
        raise NotImplementedError

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.hidden(tokens))

    def setup(self, stage: str) -> None:
        """Take the characters over from the data module, so that they travel with the weights."""
        super().setup(stage)
        classes = getattr(getattr(self.trainer, "datamodule", None), "classes", None)
        if stage == "fit" and classes:
            if self.classes and list(classes) != self.classes:
                raise InputError(
                    "the data has other characters than the model: make the data module with "
                    'vocabulary="".join(model.classes)'
                )
            if len(classes) != self.vocab_size:
                raise InputError(
                    f"the data has {len(classes)} characters, the model vocab_size={self.vocab_size}: make them equal"
                )
            self.classes = list(classes)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @property
    def characters(self) -> Sequence[str]:
        """The vocabulary.

        Raises:
            InputError: if there is none yet.
            CheckpointError: if it isn't one distinct character a token.
        """
        if self.classes is None:
            raise InputError("this model has no characters yet: train it, load it, or set model.classes")
        if len(set(self.classes)) != self.vocab_size or {len(c) for c in self.classes} != {1}:
            raise CheckpointError(
                f"classes must be {self.vocab_size} distinct characters, not {str(self.classes)[:80]}"
            )
        return self.classes

    def tokens(self, text: str, what: str = "the text") -> Tensor:
        """Tokens of a text, int64 [len(text)]; a model that knows lower-case letters alone reads capitals as those.

        Raises:
            InputError: for an empty text, or a character outside the vocabulary, named with its position.
        """
        characters = self.characters
        if isinstance(text, str) and "a" in characters and not any(c.isupper() for c in characters):
            text = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)  # positions stay what they were
        return encode(text, characters, what)

    def generate(
        self,
        prompt: str | Sequence[str],
        n: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        beams: int | None = None,
    ) -> Any:
        """Continue a prompt by n characters; the prompt itself isn't repeated. The same seed gives the same text.

        Several prompts give a list, and go through the network together; each draws as it would alone.

        Args:
            prompt: at least one character; what exceeds the model's context is cropped at its beginning, with a warning.
            temperature: 0 takes the likeliest character each time; 1 samples from the model as it is.
            top_k: sample among so many of the likeliest characters.
            top_p: sample among the fewest characters that together have this probability.
            beams: don't sample: the likeliest text of n characters that beam search finds with so many beams.

        Raises:
            InputError: for a prompt that is empty or has unknown characters, an argument out of its range, or logits that
                aren't finite.
        """
        if beams is not None:
            if (temperature, top_k, top_p) != (1.0, None, None):
                raise InputError("beams look for the likeliest text: give them, or temperature, top_k and top_p")
            if isinstance(prompt, Sequence) and not isinstance(prompt, str):
                return [writing.likeliest(self, one, n, beams) for one in prompt]
            return writing.likeliest(self, prompt, n, beams)
        if isinstance(prompt, Sequence) and not isinstance(prompt, str):
            check_count(n)
            choice = Choice(temperature, top_k, top_p, self.vocab_size)
            return writing.together(
                self, [self.prompt_tokens(one, self.context).tolist() for one in prompt], n, choice, seed
            )
        return "".join(self.stream(prompt, n, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed))

    def stream(
        self,
        prompt: str,
        n: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """The characters of `generate` one after another, each as soon as it is known."""
        check_count(n)
        choice = Choice(temperature, top_k, top_p, self.vocab_size)
        tokens = self.prompt_tokens(prompt, self.context)
        return writing.stream(self, tokens.tolist(), n, choice, seeded_generator(torch.device("cpu"), seed))

    def prompt_tokens(self, prompt: str, room: int | None) -> Tensor:
        """Tokens of a prompt, cropped at its beginning to what there is room for."""
        tokens = self.tokens(prompt, "the prompt")
        if room and len(tokens) > room:
            warnings.warn(
                f"the prompt has {len(tokens)} characters, the model sees {room}: the first {len(tokens) - room} are cropped",
                category=ZooWarning,
                stacklevel=3,
            )
            tokens = tokens[-room:]
        return tokens

    def perplexity(self, text: str) -> float:
        """exp of the mean nats a character, over all characters of a text but the first.

        A model with a context reads it in sliding windows, half a context apart; a stateful one in one pass.
        """
        tokens = self.tokens(text)
        return math.exp(self.nats("stream" if self.stateful else "sliding", tokens))

    @verb
    def embed(self, text: str) -> Tensor:
        """The last layer's state after each character of a text, [len(text), D]; its mean stands for the text.

        Raises:
            InputError: for a text that is empty, has unknown characters, or exceeds the context.
        """
        tokens = self.tokens(text)
        if self.context and len(tokens) > self.context:
            raise InputError(f"the text has {len(tokens)} characters, the model sees {self.context}: embed it in parts")
        return self.hidden(tokens[None].to(self.device))[0]

    # Measures --------------------------------------------------------------------------------------------------------

    @verb
    def nats(self, reading: str, tokens: Tensor, *, batches: int = 200, batch_size: int = 64) -> float:
        """Mean nats a character of a text [N], read in one of these ways.

        sliding: windows half a window apart, each character but the first scored once.
        random:  `batches` times `batch_size` windows anywhere, all their positions scored, as nanoGPT does.
        stream:  one pass, the state carried from the first character to the last.
        """
        tokens = tokens.to(self.device)
        loader: cuts.TokenLoader
        if reading == "sliding":
            loader = cuts.SlidingWindows(tokens, batch_size, self.window)
        elif reading == "random":
            loader = cuts.RandomWindows(tokens, batch_size, self.window, batches=batches)
        elif reading == "stream" and self.stateful:
            loader = cuts.Stream(tokens)
        else:
            raise InputError(f"{type(self).__name__} can't be measured by {reading!r}: take 'sliding' or 'random'")
        return self._mean_nats(loader, carry=reading == "stream")

    @verb
    def _mean_nats(self, batches: Iterable[tuple[Tensor, Tensor]], *, carry: bool) -> float:
        total, count, state = torch.zeros((), dtype=torch.float64, device="cpu"), 0, None
        for x, y in batches:
            if carry:
                logits, state = self.step(x, state)
            else:
                logits = self(x)
            loss = F.cross_entropy(
                logits.float().flatten(0, 1), y.flatten(), ignore_index=cuts.IGNORED, reduction="none"
            )
            total += loss.double().sum().cpu()
            count += int((y != cuts.IGNORED).sum())
        value = total.item() / count
        if not math.isfinite(value):
            raise InputError(
                "the model gave logits that aren't finite: its weights are damaged or its training diverged"
            )
        return value

    def evaluate(self, data: CharacterData) -> list[dict[str, Any]]:
        """Nats and bits a character over the whole held-out part, in every way of reading; or the share of patterns met.

        Raises:
            InputError: if the data has other characters than the model.
        """
        if list(data.classes) != list(self.characters):
            raise InputError(
                f"{data.name} has other characters than {self.name or 'the model'}: it can't be measured on it"
            )
        if hasattr(data, "patterns"):
            return self._evaluate_patterns(data, *data.patterns)
        tokens = data.tokens("val")
        hows = {
            "sliding": f"sliding windows of {self.window} characters, {self.window // 2} apart, whole held-out part: each of "
            f"its {len(tokens) - 1:,} characters after the first scored once, from {self.window // 2} or more before it",
            "random": f"200 × 64 windows of {self.window} characters anywhere in the held-out part, seed 0, all positions scored "
            "(as nanoGPT estimates it)",
            "stream": f"one pass over the held-out part, state carried throughout: {len(tokens) - 1:,} characters",
        }
        entries = []
        for reading in ("sliding", "random", "stream") if self.stateful else ("sliding", "random"):
            nats = self.nats(reading, tokens)
            suffix = "" if reading == "sliding" else f"_{reading}"
            how = hows[reading] + "; weights as the run ended; float32"
            for metric, value in (("nats_per_char", nats), ("bits_per_char", nats / math.log(2))):
                entries.append(entry(data, "val", metric + suffix, value, how, better="lower"))
        return entries

    @verb
    def _evaluate_patterns(self, data: CharacterData, x: Tensor, answer: Tensor) -> list[dict[str, Any]]:
        probability = self(x.to(self.device))[:, -1].float().softmax(-1).cpu()  # [P, vocab_size]
        right = probability.gather(1, answer[:, None])
        how = f"all {len(x)} contexts that there are, which are also what it was trained on; float32"
        values = {
            "accuracy": (probability.argmax(1) == answer).double().mean().item(),
            "worst_probability": right.min().item(),
        }
        return [entry(data, "all", metric, value, how, better="higher") for metric, value in values.items()]

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        loss = cross_entropy(self(x), y)
        self.log_train(nats_per_char=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = labelled(batch)
        self.log_nats(cross_entropy(self(x), y), y)

    def log_nats(self, loss: Tensor, y: Tensor) -> None:
        """Log a validation batch's mean, weighted by the characters that it scores."""
        self.log("val/nats_per_char", loss, prog_bar=True, batch_size=int((y != cuts.IGNORED).sum()))

    # A person's own text ---------------------------------------------------------------------------------------------

    def data_settings(self, kind: str) -> dict[str, Any]:
        """The model's characters, its window, and texts read in order where it carries a state."""
        if kind not in ("text-file", "text-folder"):
            return {}
        known = {"vocabulary": "".join(self.characters)} if self.classes else {}
        return known | {"context": min(self.window, 256), "reading": "streams" if self.stateful else "windows"}

    def adapt_to(self, data: ClassData) -> None:
        """Take characters that are new behind those that are known: their vectors start at the mean of the others.

        Raises:
            InputError: for pieces in place of characters, or characters in another order.
        """
        wanted = list(data.classes or ())
        known = list(self.classes or wanted[: self.vocab_size])
        if not wanted or wanted[: len(known)] != known:
            raise InputError(
                f"{self.name or type(self).__name__} reads other characters: make the data module with "
                'vocabulary="".join(model.classes)'
            )
        new = wanted[len(known) :] if self.classes else wanted[self.vocab_size :]
        if new:
            self.add_characters(len(new))
            what = "new character gets a vector" if len(new) == 1 else "new characters get vectors"
            print(f"{self.name or type(self).__name__}: {len(new)} {what}: {''.join(new)[:60]!r}")
        elif self.vocab_size != len(wanted):
            self.take_fresh(vocab_size=len(wanted))
        self.classes = wanted

    @torch.no_grad()
    def add_characters(self, n: int) -> None:
        """Room for n more characters: rows of the embedding and the read-out that start at the mean of the others."""
        embedding: Any = self.get_submodule("embedding")
        tied = self.head.weight is embedding.weight

        def longer(rows: Tensor) -> nn.Parameter:
            mean = rows.mean(0, keepdim=True).expand(n, *rows.shape[1:])
            return nn.Parameter(torch.cat([rows, mean]), requires_grad=rows.requires_grad)

        embedding.weight, embedding.num_embeddings = longer(embedding.weight), embedding.num_embeddings + n
        self.head.weight = embedding.weight if tied else longer(self.head.weight)
        if self.head.bias is not None:
            self.head.bias = longer(self.head.bias)
        self.vocab_size = self.head.out_features = self.vocab_size + n
        self.hparams["vocab_size"] = self.vocab_size

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"tokens": torch.randint(self.vocab_size, (2, min(32, self.context or 32)), generator=generator)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of all tokens at once, and those of the last one when they are read one by one."""
        state, logits = None, None
        for token in inputs["tokens"].split(1, dim=1):
            logits, state = self.step(token, state)
        assert logits is not None
        return {"logits": self(inputs["tokens"]), "last": logits[:, -1]}

    @verb
    def transitions(self) -> dict[str, Tensor]:
        """The model as a finite-state machine: next-token probabilities [vocab_size] of every full context.

        Raises:
            InputError: if there are more than 64 contexts.
        """
        if self.context is None or self.vocab_size**self.context > 64:
            raise InputError(f"{type(self).__name__} has too many states for a table: at most 64 contexts")
        contexts = torch.cartesian_prod(*[torch.arange(self.vocab_size)] * self.context).reshape(-1, self.context)
        with torch.no_grad():
            probability = self(contexts.to(self.device))[:, -1].softmax(-1).cpu()
        return {decode(c, self.characters): p for c, p in zip(contexts, probability, strict=True)}

    def preview(self, path: Path) -> Path | None:
        """Some lines that the model wrote, or the table of a machine with few states."""
        if self.classes is None:
            return None
        if self.context and self.vocab_size**self.context <= 64:
            head = "context   " + "  ".join(f"P({c}) " for c in self.characters)
            rows = [f"{c:9} " + "  ".join(f"{v:.3f}" for v in p.tolist()) for c, p in self.transitions().items()]
            return draw_text("\n".join([head, *rows]), path, columns=True)
        start = "\n" if "\n" in self.classes else self.classes[0]
        return draw_text(self.generate(start, 600, temperature=0.8, seed=0).strip(), path)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean nats of targets y [N, T] under logits [N, T, V], without the ignored ones."""
    return F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), ignore_index=cuts.IGNORED)
