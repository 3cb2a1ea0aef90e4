"""Polyphonic music by a Transformer with relative attention (Huang et al., 2019, arXiv:1809.04281: Music Transformer).

A piece is a sequence of events: the keys of a step from the highest to the lowest, then "next step". Each event is predicted from
all before it, so that one note of a chord speaks for or against another, which coins thrown for each key can't do. Attention
adds to the likeness of two events a term for their distance:

    S_ij = (q_i · k_j + q_i · r_{i−j}) / √d,       r: a learned vector for each distance

since in music it matters how long ago something was, not at which place of the piece. All q_i · r_{i−j} come from one product
Q Rᵀ [T, T] whose rows are shifted into place (`skew`), in place of a table of vectors for each pair [T, T, d].

Keys of a step that aren't below the last one have the probability 0. A set of keys then is one sequence of events: −log p of a
step is the sum over its events, and it compares nat by nat with that of models of piano rolls.

Departures from the paper: events of chorales, which have no dynamics and no time finer than a quarter note; no absolute
positions; norms before each half of a block; AdamW; several continuations are drawn by stochastic beam search.
"""

import math
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.midi import KEYS
from zoo.blocks.cache import LayerCache
from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.recurrent.rolls import RollModel, check_temperature
from zoo.models.text.stochastic_beam import stochastic_beam_search

NEXT, PADDING, EVENTS = KEYS, KEYS + 1, KEYS + 1  # event e < 88 is the key 87 − e


def events_of(roll: Tensor) -> Tensor:
    """The events of a roll [T, 88], int64 [L]: each step's keys from the highest to the lowest, then NEXT."""
    ends = torch.ones(len(roll), 1, dtype=torch.bool, device=roll.device)
    return torch.cat([roll.flip(1) > 0.5, ends], 1).nonzero()[:, 1]


def roll_of(events: Tensor) -> Tensor:
    """The roll, bool [T, 88], of events that end with NEXT."""
    step = (events == NEXT).cumsum(0) - (events == NEXT).long()
    roll = torch.zeros(int((events == NEXT).sum()), KEYS, dtype=torch.bool)
    notes = events != NEXT
    roll[step[notes], KEYS - 1 - events[notes]] = True
    return roll


def skew(products: Tensor) -> Tensor:
    """q_i · r_{i−j} at [i, j] from q_i · r at [i, distance], distances falling to 0 from left to right.

    Padding by a column and reading on in rows of the old length moves row i to the left by T − 1 − i. What stands right of
    j = i is of no use. The last dimensions are [new, every], the new ones being the last of every event.
    """
    new, every = products.shape[-2:]
    return F.pad(products, (1, 0)).flatten(-2)[..., new:].unflatten(-1, (new, every))


class Block(nn.Module):
    """Causal attention with relative positions and an MLP, each on the normalised stream and added to it."""

    def __init__(self, width: int, heads: int, *, reach: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        # the last one: that far or farther
        self.distance = nn.Parameter(torch.randn(heads, reach, width // heads) * 0.02)
        self.up, self.activation, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [N, heads, T, d]
        if cache is not None:
            k, v = cache.extend(k, v)
        weight = self.scores(q, k).softmax(3).to(v.dtype)
        x = x + self.dropout1(self.out((weight @ v).transpose(1, 2).flatten(2)))
        return x + self.dropout2(self.down(self.activation(self.up(self.norm2(x)))))

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """What the softmax is taken of, [N, heads, new, every]."""
        new, every = q.shape[2], k.shape[2]
        falling = torch.arange(every - 1, -1, -1, device=q.device).clamp(max=self.reach - 1)
        if new == 1:  # the few distances that have a vector, not one for each event
            relative = (q @ self.distance.to(q.dtype).mT)[..., falling]
        else:
            relative = skew(q @ self.distance[:, falling].to(q.dtype).mT)
        future = torch.ones(new, every, dtype=torch.bool, device=q.device).triu(every - new + 1)
        return ((q @ k.transpose(2, 3) + relative) / math.sqrt(q.shape[3])).masked_fill(future, -math.inf)


class MusicTransformer(RollModel):
    """Decoder-only Transformer over the events of piano rolls.

    Args:
        width: length of the stream's vectors.
        layers: blocks.
        heads: of an attention.
        reach: distances, in events, that have a vector of their own; all farther ones share the last.
        dropout: of the embedding and of what each half of a block adds.
        crop: steps that a training piece is cut to, at a random place; 0 takes whole ones.

    Shapes:
        events: int64 [N, L]; log-probabilities of the next event: [N, L, 89].
    """

    reading: ClassVar[str] = "the sum over its events, each given all before it"

    def __init__(
        self,
        width: int = 128,
        layers: int = 3,
        *,
        heads: int = 4,
        reach: int = 256,
        dropout: float = 0.0,
        crop: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value in (("width", width), ("layers", layers), ("heads", heads), ("reach", reach)):
            check_count(value, name)
        if width % heads:
            raise InputError(f"width {width} doesn't fall into {heads} heads: change one of them")
        if crop and check_count(crop, "crop") < 2:
            raise InputError("crop is 1, but the first step of a piece isn't scored: give 2 or more, or 0 for none")
        self.embedding = nn.Embedding(EVENTS + 1, width, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, reach=reach, dropout=dropout) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, EVENTS)

    def forward(self, events: Tensor) -> Tensor:
        """Log-probabilities of the event after each one."""
        return self._log_p(events, None)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> list[Tensor]:
        """Of each roll of a batch the log-probabilities of the event after each one."""
        rolls, lengths = labelled(batch)
        pieces = (events_of(roll[:length]) for roll, length in zip(rolls, lengths.tolist(), strict=True))
        return [self(F.pad(events, (1, 0), value=NEXT)[None])[0] for events in pieces]

    @torch.no_grad()
    def step(self, events: Tensor, state: list[LayerCache] | None = None) -> tuple[Tensor, list[LayerCache]]:
        """Log-probabilities of the event after each one, and the keys and values of all so far, kept in `state`."""
        state = state or [LayerCache() for _ in self.blocks]
        return self._log_p(events, state), state

    def _log_p(self, events: Tensor, state: list[LayerCache] | None) -> Tensor:
        x = self.dropout(self.embedding(events))
        for i, block in enumerate(self.blocks):
            x = block(x, state[i] if state else None)
        logits = self.head(self.norm(x)).float()
        notes = torch.arange(EVENTS, device=events.device)
        above = (notes <= events[:, :, None]) & (events[:, :, None] < NEXT)  # keys that would have come before
        return logits.masked_fill(above, -math.inf).log_softmax(2)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def log_prob(self, roll: Tensor) -> Tensor:
        """Log-probability of each step but the first of a roll [T, 88], in nats: [T − 1].

        Raises:
            InputError: for another shape, or values other than 0 and 1.
        """
        roll = self.checked(roll)
        events = events_of(roll)
        each, step = self._terms(events[None])
        return torch.zeros(len(roll), device=each.device).index_add(0, step[0], each[0])[1:].cpu()

    @verb
    def compose(self, n: int, *, primer: Any = None, temperature: float = 1.0, seed: int | None = None) -> Tensor:
        """A piano roll, bool [n, 88], that goes on from a primer [T, 88]; `write_midi` makes it a file.

        Args:
            primer: what precedes, a roll or the path of a MIDI file; None begins with the chord of C major. It isn't repeated.
            temperature: 0 takes the likeliest event each time, 1 samples from the model as it is.

        Raises:
            InputError: for a primer of another shape, or a temperature below 0.
        """
        check_count(n)
        check_temperature(temperature)
        generator = seeded_generator(torch.device("cpu"), seed)
        new, state = self._start(primer)[None], None
        events: list[int] = []
        while n:
            log_p, state = self.step(new, state)
            events.append(draw(_finite(log_p[0, -1]), temperature, generator))
            n -= events[-1] == NEXT
            new = torch.tensor([[events[-1]]], device=self.device)
        return roll_of(torch.tensor(events))

    @verb
    def variations(
        self,
        n: int,
        count: int,
        *,
        primer: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> list[tuple[Tensor, float]]:
        """Different continuations of one primer, [(roll [n, 88], log-probability), …], by stochastic beam search.

        They are drawn without replacement: no two are alike, and the first alone is a draw of `compose`'s distribution.

        Args:
            count: continuations at most; a model that is sure of itself may have fewer.
            temperature: above 0.
        """
        check_count(n)
        if check_temperature(temperature) == 0:
            raise InputError("temperature must be above 0: at 0 there is one continuation, which compose gives")

        def step(newest: Tensor, state: list[LayerCache] | None) -> tuple[Tensor, list[LayerCache]]:
            log_p, state = self.step(newest.to(self.device), state)
            return (_finite(log_p[:, -1]) / temperature).log_softmax(1), state

        found = stochastic_beam_search(
            step,
            None,
            start=self._start(primer).cpu(),
            ended=lambda events: events[-1] == NEXT and events.count(NEXT) == n,
            beams=count,
            length=n * EVENTS,
            generator=seeded_generator(torch.device("cpu"), seed),
            reorder=lambda state, rows: [cache.rows(rows) for cache in state],
        )
        return [(roll_of(torch.tensor(events)), value) for events, value in found]

    def _start(self, primer: Any) -> Tensor:
        """NEXT, which begins every piece, and the events of a primer."""
        events = events_of(self.opening(primer))
        return F.pad(events, (1, 0), value=NEXT)

    # Training --------------------------------------------------------------------------------------------------------

    def _terms(self, events: Tensor) -> tuple[Tensor, Tensor]:
        """log p of each event of pieces [N, L] (0 where they are filled up), and the step that it belongs to."""
        log_p = self(F.pad(events[:, :-1], (1, 0), value=NEXT))
        real = events != PADDING
        each = log_p.gather(2, events.masked_fill(~real, NEXT)[:, :, None])[:, :, 0].masked_fill(~real, 0)
        ends = (events == NEXT).long()
        return each, ends.cumsum(1) - ends

    def nats(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Sum of −log p over all steps but the first of each roll, and their number."""
        pieces, (rolls, lengths) = [], labelled(batch)
        for roll, length in zip(rolls, lengths.tolist(), strict=True):
            start, crop = 0, self.hparams["crop"]
            if self.training and 0 < crop < length:
                start = int(torch.randint(length - crop + 1, ()))
                length = crop
            pieces.append(events_of(roll[start : start + length]))
        events = nn.utils.rnn.pad_sequence(pieces, batch_first=True, padding_value=PADDING)
        each, step = self._terms(events)
        scored = (step > 0) & (events != PADDING)
        return -(each * scored).sum(), (scored & (events == NEXT)).sum()

    def example(self) -> Tensor:
        return F.pad(events_of(self.golden_inputs()["rolls"][0]), (1, 0), value=NEXT)[None]

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """−log p of each step, and of the events one by one, with what was computed for those before kept."""
        total, state = torch.zeros(()), None
        events = F.pad(events_of(inputs["rolls"][0]), (1, 0), value=NEXT)
        for now, then in pairwise(events):
            log_p, state = self.step(now[None, None], state)
            total = total + log_p[0, -1, then].cpu()
        each = torch.cat([self.log_prob(roll) for roll in inputs["rolls"]])
        return {"log_prob": each, "one_by_one": total[None]}


def draw(log_p: Tensor, temperature: float, generator: torch.Generator) -> int:
    """An event by log-probabilities [89], some of which are −∞; at temperature 0 the likeliest."""
    log_p = log_p.double().cpu()  # the same draws on every device
    if temperature == 0:
        return int(log_p.argmax())
    return int(torch.multinomial(((log_p - log_p.max()) / temperature).softmax(0), 1, generator=generator))


def _finite(log_p: Tensor) -> Tensor:
    if log_p.isnan().any():
        raise InputError("the model gave logits that aren't finite: its weights are damaged or its training diverged")
    return log_p
