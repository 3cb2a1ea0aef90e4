"""Performance RNN (Simon and Oore, 2017; Oore et al., 2018, arXiv:1808.03715): an LSTM that plays the piano event by event.

    p(e_t | e_1 … e_{t−1}, c) = softmax(V h_t + b),       h_t = LSTM([one-hot(e_{t−1}), c], h_{t−1})

An event is a key going down or up, some milliseconds passing, or a change of touch: 413 in all, see
`datamodules.formats.performance`. Timing and loudness are part of the text, so what is learnt is a performance and no score. The
condition c is the shares of the twelve pitch classes in the next stretch; in half of the training windows it is left out, so
that the model plays without it too.

Departures from the papers: an embedding for the one-hot input; no conditions that need labels of the recordings, such as composer
or period; AdamW.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.performance import EVENTS, PITCHES, SHIFTS, UNIT, UP, WAIT, Note, events_of, notes_of
from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import EventData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.text.sampling import Choice

CHORD = (48, 55, 60, 64)  # C3 G3 C4 E4, which an empty stage begins with
State = tuple[Tensor, Tensor]


class PerformanceRNN(ZooModule):
    """LSTM layers over performance events.

    Args:
        width: units of a layer; 512 in the paper.
        layers: LSTM layers, one on the other; 3 in the paper.
        embedding: length of an event's vector.
        dropout: between the layers and before the read-out.

    Shapes:
        events: int64 [N, T]; conditions: [N, 13], a mark that there is one and a share for each pitch class; logits: [N, T, 413].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "from datamodules.formats.performance import write_performance\n"
        "\n"
        "notes = model.perform(10.0, seed=0)                  # ten seconds: [(pitch, velocity, start, end), …]\n"
        'write_performance(notes, "piece.mid")'
    )

    def __init__(self, width: int = 512, layers: int = 3, *, embedding: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value in (("width", width), ("layers", layers), ("embedding", embedding)):
            check_count(value, name)
        self.embedding = nn.Embedding(EVENTS, embedding)
        self.rnn = nn.LSTM(embedding + 13, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, EVENTS)

    def forward(self, events: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Logits of the event after each one."""
        return self.step(events, conditions)[0]

    def step(
        self, events: Tensor, conditions: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Logits of the event after each one, and the state after the last; without conditions they are zeros."""
        x = self.embedding(events)
        if conditions is None:
            conditions = x.new_zeros(events.shape[0], 13)
        condition = conditions.to(x)[:, None].expand(-1, events.shape[1], -1)
        hidden, state = self.rnn(torch.cat([x, condition], 2), state)
        return self.head(self.dropout(hidden)), state

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def perform(
        self,
        seconds: float,
        *,
        primer: list[Note] | None = None,
        pitch_classes: list[float] | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> list[Note]:
        """Notes that go on from a primer for some seconds; times begin where the primer ends. The same seed gives the same.

        Args:
            primer: what precedes; None begins with a held chord of C major.
            pitch_classes: twelve weights from C to B, how much each is to be used; None leaves that to the model.
            temperature: 0 takes the likeliest event each time, 1 samples from the model as it is.

        Raises:
            InputError: for seconds that aren't above 0, weights that aren't twelve, or an empty primer.
        """
        if not (isinstance(seconds, int | float) and 0 < seconds <= 3600):
            raise InputError(f"seconds must be above 0 and at most 3600, not {seconds!r}")
        opening = [Note(pitch, 74, 0, 60) for pitch in CHORD] if primer is None else list(primer)
        if not opening:
            raise InputError("the primer holds no note: give one, or None")
        heard = events_of(opening)
        condition = None if pitch_classes is None else _as_condition(pitch_classes)[None].to(self.device)
        choice, generator = Choice(temperature, None, None, EVENTS), seeded_generator(torch.device("cpu"), seed)
        events: list[int] = []
        state, new, passed = None, heard[None].to(self.device), 0
        limit = math.ceil(seconds / UNIT)
        while passed < limit and len(events) < 400 * seconds + 100:  # a model that never waits is stopped
            logits, state = self.step(new, condition, state)
            event = choice.draw(logits[0, -1], generator)
            events.append(event)
            passed += event - WAIT + 1 if WAIT <= event < WAIT + SHIFTS else 0
            new = torch.tensor([[event]], device=self.device)
        return notes_of(events)

    @verb
    def event_nats(self, events: Tensor) -> Tensor:
        """−log p of each event but the first of a piece [L], in nats: [L − 1]."""
        if events.ndim != 1 or len(events) < 2 or events.min() < 0 or events.max() >= EVENTS:
            raise InputError(f"a piece is two or more events 0..{EVENTS - 1} in one row, not {list(events.shape)}")
        events = events.to(self.device)
        return F.cross_entropy(self(events[None, :-1])[0].float(), events[1:], reduction="none").cpu()

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.classes = None  # events have numbers; their names are the data module's

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        condition = pitch_class_shares(y) * (torch.rand(len(y), 1, device=y.device) < 0.5)
        loss = F.cross_entropy(self(x, condition).float().flatten(0, 1), y.flatten())
        self.log_train(nats_per_event=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = labelled(batch)
        loss = F.cross_entropy(self(x).float().flatten(0, 1), y.flatten())
        self.log("val/nats_per_event", loss, prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: EventData) -> list[dict[str, Any]]:
        """Nats an event and nats a second over the test pieces, everything up to the first wait left out."""
        total = count = units = 0.0
        for piece in data.pieces("test"):
            first = int((piece >= WAIT).logical_and(piece < WAIT + SHIFTS).nonzero()[0])
            nats = self.event_nats(piece)[first:].double()
            total, count = total + nats.sum().item(), count + len(nats)
            waits = piece[first + 1 :]
            waits = waits[(waits >= WAIT) & (waits < WAIT + SHIFTS)]
            units += (waits - WAIT + 1).sum().item()
        how = "all test pieces, each from its first wait on, without a condition; float32"
        values = {"nats_per_event": total / count, "nats_per_second": total / (units * UNIT)}
        return [entry(data, "test", key, value, how, better="lower") for key, value in values.items()]

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {
            "events": torch.randint(EVENTS, (2, 24), generator=generator),
            "conditions": torch.rand(2, 13, generator=generator),
        }

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits with and without the condition."""
        return {"conditioned": self(inputs["events"], inputs["conditions"]), "logits": self(inputs["events"])}

    def preview(self, path: Path) -> Path:
        """Twelve seconds as bars, a row a key, the harder struck the darker."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3), layout="constrained")
        axis = figure.subplots()
        for note in self.perform(12.0, seed=0):
            shade = 0.75 - 0.7 * note.velocity / 127
            axis.barh(note.pitch, (note.end - note.start) * UNIT, left=note.start * UNIT, height=0.9, color=str(shade))
        axis.set(xlabel="seconds", ylabel="key")
        write_figure(path, figure, dpi=80)
        return path


def pitch_class_shares(events: Tensor) -> Tensor:
    """Conditions [N, 13] of windows of events [N, T]: 1, and the share of each pitch class among the keys that go down."""
    down = events < UP
    counts = torch.zeros(len(events), 12, device=events.device)
    counts.scatter_add_(1, events % PITCHES % 12, down.float())
    return torch.cat([torch.ones_like(counts[:, :1]), counts / counts.sum(1, keepdim=True).clamp(min=1)], 1)


def _as_condition(weights: list[float]) -> Tensor:
    shares = torch.tensor([float(w) for w in weights])
    if len(shares) != 12 or not shares.isfinite().all() or shares.min() < 0 or not shares.sum() > 0:
        raise InputError(f"pitch_classes are twelve weights from C to B, 0 or more and not all 0, not {weights!r}")
    return torch.cat([torch.ones(1), shares / shares.sum()])
