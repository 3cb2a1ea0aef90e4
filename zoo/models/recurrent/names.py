"""Names made up letter by letter (after Karpathy's makemore, 2022): one to many, with an end that the model chooses itself.

    p(name) = Π_t p(x_t | x_1 … x_{t−1}),        x_0 = x_{n+1} = "\\n"

The network is that of char_rnn.py. A name begins after a line break and ends with one, so the length is part of what is learnt.
Beside it stands the oldest model of the kind (Shannon, 1948): the counts of what follows each two letters,

    p(c | a, b) = (n(a b c) + k) / (n(a b) + k V),

which sees two letters back and no further. A generator that only repeats its list is worthless, so `evaluate` also counts how
many of its names are new.
"""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.first_names import rows_of
from zoo.core.checks import check_count, seeded_generator
from zoo.core.drawing import draw_text
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.recurrent.char_rnn import CharRNN
from zoo.models.text.sampling import Choice

END = "\n"


class NameRNN(CharRNN):
    """Character model of names. See CharRNN for the arguments.

    Shapes:
        tokens: int64 [N, T], each row a name behind a line break; logits: [N, T, vocab_size].
    """

    learns_from: ClassVar[tuple[str, ...]] = ()
    use: ClassVar[str] = (
        'print(model.names(8, seed=0), model.names(4, start="zo", temperature=0.7, seed=0))\n'
        'print(model.name_nats(["maria", "xqzv"]))            # −log p of each name, in nats'
    )

    def __init__(
        self,
        vocab_size: int = 27,
        width: int = 128,
        *,
        kind: Literal["rnn", "gru", "lstm"] = "rnn",
        embedding: int = 32,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(vocab_size, width, kind=kind, embedding=embedding, layers=layers, dropout=dropout)
        self.save_hyperparameters()

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def names(
        self, n: int, *, start: str = "", temperature: float = 1.0, seed: int | None = None, longest: int = 30
    ) -> list[str]:
        """Make up n names; the same seed gives the same ones.

        Args:
            start: letters that all of them begin with.
            temperature: below 1 for likelier names.
            longest: letters after which a name is broken off.
        """
        check_count(n)
        if END in start:
            raise InputError("start holds a line break, which ends a name: give letters alone")
        choice = Choice(temperature, None, None, self.vocab_size)
        generator = seeded_generator(torch.device("cpu"), seed)
        tokens = self.tokens(END + start).to(self.device)
        first, state = self.step(tokens[None])
        logits = first[:, -1].expand(n, -1)
        state = self.rows(state, torch.zeros(n, dtype=torch.long, device=self.device))
        written = [start] * n
        running = [True] * n
        for _ in range(check_count(longest, "longest")):
            drawn = [choice.draw(row, generator) for row in logits]
            for i, token in enumerate(drawn):
                running[i] = running[i] and self.characters[token] != END
                if running[i]:
                    written[i] += self.characters[token]
            if not any(running):
                break
            logits, state = self.step(torch.tensor(drawn, device=self.device)[:, None], state)
            logits = logits[:, -1]
        return written

    @verb
    def name_nats(self, names: str | list[str]) -> Tensor:
        """−log p of names in nats, with their ends, [N]."""
        listed = [names] if isinstance(names, str) else list(names)
        if not listed or not all(isinstance(name, str) and name for name in listed):
            raise InputError("give a name of at least one letter, or a list of such names")
        rows = rows_of(listed, tuple(self.characters)).to(self.device)
        targets = rows[:, 1:]
        logits = self(rows[:, :-1].clamp(min=0)).float()
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none")
        return nats.reshape(targets.shape).sum(1)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: Any) -> list[dict[str, Any]]:
        """Nats a name on the test part beside a 3-gram's, and how many of 2,000 made-up names are new and distinct."""
        test = data.words("test")
        trigram = Trigram(data.words("train"), "".join(data.classes)).choose(data.words("val"))
        names = [name for name in self.names(2000, seed=0) if name]
        listed = set(data.words("train"))
        letters = sum(len(name) + 1 for name in test)
        nats = self.name_nats(test).double().sum().item()
        how = f"all {len(test):,} test names, the end of each counted"
        drawn = "of 2,000 names, temperature 1, seed 0"
        return [
            entry(data, "test", "nats_per_name", nats / len(test), how, better="lower"),
            entry(data, "test", "nats_per_char", nats / letters, how, better="lower"),
            entry(data, "test", "trigram_nats_per_name", sum(map(trigram.nats, test)) / len(test),
                  f"a 3-gram with k = {trigram.k:g}, chosen on the validation part; {how}", better="lower"),
            entry(data, "test", "novelty", sum(name not in listed for name in names) / len(names),
                  f"share {drawn} that the training part doesn't hold", better="higher"),
            entry(data, "test", "held_out_met", sum(name in set(test) for name in set(names)) / len(test),
                  f"share of the test names that come up among {drawn.removeprefix('of ')}", better="higher"),
            entry(data, "test", "distinct", len(set(names)) / len(names), f"share {drawn} that differ", better="higher"),
        ]  # fmt: skip

    def preview(self, path: Path) -> Path | None:
        """Forty-eight made-up names."""
        if self.classes is None:
            return None
        names = self.names(48, seed=0)
        return draw_text(
            "\n".join("  ".join(f"{n:12}" for n in names[i : i + 6]) for i in range(0, 48, 6)), path, columns=True
        )


class Trigram:
    """Counts of what follows each two characters of names, k added to each.

    Args:
        names: to count.
        characters: all that a name may hold, with its end.
        k: above 0.
    """

    def __init__(self, names: list[str], characters: str, k: float = 0.1) -> None:
        if not k > 0:
            raise InputError(f"k must be above 0, not {k!r}: what was never counted would be impossible")
        self.size, self.k = len(characters), k
        self.three: Counter[str] = Counter()
        self.two: Counter[str] = Counter()
        for name in names:
            framed = END * 2 + name + END
            for i in range(2, len(framed)):
                self.three[framed[i - 2 : i + 1]] += 1
                self.two[framed[i - 2 : i]] += 1

    def probability(self, before: str, character: str) -> float:
        """p(character | the two before it)."""
        return (self.three[before + character] + self.k) / (self.two[before] + self.k * self.size)

    def nats(self, name: str) -> float:
        """−log p of a name with its end."""
        framed = END * 2 + name + END
        chances = [self.probability(framed[i - 2 : i], framed[i]) for i in range(2, len(framed))]
        return -torch.tensor(chances, dtype=torch.float64).log().sum().item()

    def choose(self, names: list[str], among: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)) -> "Trigram":
        """Set k to the one under which these names are likeliest; returns the model."""

        def total(k: float) -> float:
            self.k = k
            return sum(map(self.nats, names))

        self.k = min(among, key=total)
        return self
