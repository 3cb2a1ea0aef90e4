"""The list of checkpoints: names, facts and metrics, read from the generated index.json. Imports neither torch nor lightning."""

import fnmatch
import hashlib
import json
import struct
import warnings
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, SupportsIndex, overload

from zoo.errors import CheckpointError, InputError, UnknownNameError
from zoo.paths import whereabouts
from zoo.registry import ARCHITECTURES, DATAMODULES, RENAMED

INDEX = Path(__file__).with_name("index.json")


@dataclass(frozen=True)
class Metric:
    """One measured claim: value on the published file, how it was measured, spread over seeds, and which direction is better."""

    dataset: str
    split: str
    metric: str
    value: float
    how: str
    std: float | None = None
    n_seeds: int = 1
    mean: float | None = None
    better: str = "lower"  # or "higher"

    @property
    def key(self) -> str:
        return f"{self.dataset}/{self.split}/{self.metric}"

    @property
    def spread(self) -> str:
        """The value, and mean ± std where there are several seeds."""
        over = "" if self.mean is None else f"   mean {self.mean:.5g} ± {self.std:.2g} over {self.n_seeds} seeds"
        return f"{self.value:<10.5g}{over}".rstrip()

    def __str__(self) -> str:
        split = "" if self.split == "test" else f" ({self.split})"
        return f"{self.metric}{split} {self.value:.4g}"


@dataclass(frozen=True)
class Version:
    """Earlier weights of a checkpoint that were published: `zoo.load("NAME@REVISION")` loads them."""

    repo: str
    revision: str
    sha256: str
    tag: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)  # by their full keys, as they were measured then

    def called(self, revision: str) -> bool:
        """Whether a revision names these weights: the commit, at least seven letters of it, or the tag."""
        return revision in (self.revision, self.tag) or (len(revision) >= 7 and self.revision.startswith(revision))


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a checkpoint without loading it. `size` is in bytes."""

    name: str
    architecture: str
    task: str
    dataset: str
    parameters: int
    size: int
    sha256: str
    licence: str
    paper: str
    summary: str
    repo: str | None = None
    revision: str | None = None
    data_licence: str = ""
    classes: str = ""  # digest of the class names in the order of the outputs, see `digest_of`
    flops: int | None = None  # operations of one input in matrix products, convolutions and attention
    milliseconds: float | None = None  # processor time of one input on one core
    minutes: float | None = None  # of training
    hardware: str = ""  # it was trained on
    verbs: tuple[str, ...] = ()  # what the model can do, a signature each
    metrics: dict[str, Metric] = field(default_factory=dict)
    earlier: tuple[Version, ...] = ()  # weights that these replaced, oldest first

    def claim(self, name: str) -> Metric | None:
        """A metric by its full key ("mnist/test/accuracy") or its last part ("accuracy"); None if it wasn't measured."""
        return next((metric for key, metric in self.metrics.items() if name in (key, metric.metric)), None)

    def metric(self, name: str) -> float | None:
        """The value of a metric by its full key ("mnist/test/accuracy") or its last part ("accuracy").

        None for a metric that other models have and this one hasn't.

        Raises:
            UnknownNameError: for a metric that no model has.
        """
        claim = self.claim(name)
        if claim is None:
            known = {
                part for m in [self, *entries().values()] for key, v in m.metrics.items() for part in (key, v.metric)
            }
            if name not in known:
                raise UnknownNameError("metric", name, {v.metric for v in self.metrics.values()} or known)
        return None if claim is None else claim.value

    def rank(self, name: str) -> float:
        """The value of a metric, turned so that the better of two models has the smaller rank."""
        claim = self.claim(name)
        if claim is None:
            raise InputError(f"{self.name} has no metric {name!r}; it has: {', '.join(self.metrics) or 'none'}")
        return -claim.value if claim.better == "higher" else claim.value

    @property
    def where(self) -> str:
        """Where the weights are: "here", "bundled", in a "wheel", on the "Hub", or "nowhere yet"."""
        return whereabouts(self.name, self.repo)

    @property
    def facts(self) -> dict[str, str]:
        """What is known, as texts for a table, without the metrics."""
        facts = {
            "task": self.task,
            "architecture": self.architecture,
            "data": self.dataset,
            "parameters": f"{self.parameters:,}",
            "size": f"{self.size / 2**20:.2f} MiB",
            "operations": "" if self.flops is None else f"{self.flops:,} an input",
            "time": "" if self.milliseconds is None else f"{self.milliseconds:g} ms an input on one core",
            "trained": "" if self.minutes is None else f"{self.minutes:.3g} min, {self.hardware}",
            "licence": self.licence,
            "data licence": self.data_licence,
            "paper": self.paper,
            "sha256": self.sha256,
        }
        return {key: text for key, text in facts.items() if text}

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}", "", *(f"{key:12} {text}" for key, text in self.facts.items()), ""]
        width = max((len(key) for key in self.metrics), default=0)
        lines += [f"{key:{width}}  {metric.spread}" for key, metric in self.metrics.items()]
        lines += ["", *(f"model.{verb}" for verb in self.verbs)]
        if self.earlier:
            lines += ["", "earlier weights:"]
        for old in self.earlier:
            values = ", ".join(f"{key} {value:.5g}" for key, value in old.metrics.items())
            lines.append(f"  {self.name}@{old.tag or old.revision[:12]}  sha256 {old.sha256[:16]}  {values}")
        return "\n".join(lines).rstrip()

    def _repr_html_(self) -> str:
        """The same for notebooks, with the checkpoint's picture if it lies here."""
        from zoo.paths import CHECKPOINTS

        picture = CHECKPOINTS / self.name / "preview.png"
        shown = (
            f'<img src="data:image/png;base64,{b64encode(picture.read_bytes()).decode()}">' if picture.is_file() else ""
        )
        rows: list[tuple[str, str]] = [
            *self.facts.items(),
            *((key, metric.spread) for key, metric in self.metrics.items()),
        ]
        return f"<b>{escape(self.name)}</b>: {escape(self.summary)}<br>{shown}{_html_table(rows)}"


class ModelTable(list[ModelInfo]):
    """A list of models that prints as a table and sorts by a metric, which is then the first one printed."""

    sorted_by: str | None = None

    @overload
    def __getitem__(self, index: SupportsIndex) -> ModelInfo: ...
    @overload
    def __getitem__(self, index: slice) -> "ModelTable": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "ModelInfo | ModelTable":
        """A model, or of a slice the part of the table."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        part = ModelTable(super().__getitem__(index))
        part.sorted_by = self.sorted_by
        return part

    def sort_by(self, metric: str) -> "ModelTable":
        """A new table of the models that have the metric, best first.

        Raises:
            InputError: if none of the models has it.
        """
        having = [m for m in self if m.claim(metric) is not None]
        if not having:
            known = sorted({v.metric for m in self for v in m.metrics.values()})
            raise InputError(f"none of these {len(self)} models has the metric {metric!r}; known: {', '.join(known)}")
        table = ModelTable(sorted(having, key=lambda m: m.rank(metric)))
        table.sorted_by = metric
        return table

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("name", "task", "data", "parameters", "MiB", "where", "metrics")]
        for m in self:
            first = sorted(m.metrics.values(), key=lambda v: self.sorted_by not in (v.key, v.metric))
            shown = "  ".join(str(v) for v in first[:3])
            rows.append((m.name, m.task, m.dataset, f"{m.parameters:,}", f"{m.size / 2**20:.1f}", m.where, shown))
        return rows

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        return _html_table(rows, head)

    def __str__(self) -> str:
        if not self:
            return "no model fits"
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _html_table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell.rstrip())}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table>{row(head, 'th') if head else ''}{body}</table>"


@cache
def entries() -> dict[str, ModelInfo]:
    """All checkpoints of the index by name."""
    found = {}
    try:
        raw: dict[str, dict[str, Any]] = (
            json.loads(INDEX.read_text(encoding="utf-8"))["models"] if INDEX.exists() else {}
        )
        for name, entry in sorted(raw.items()):
            metrics = [Metric(**{key: tidy(value) for key, value in m.items()}) for m in entry["metrics"]]
            facts: dict[str, Any] = {
                "name": name,
                "metrics": {m.key: m for m in metrics},
                "verbs": tuple(entry.get("verbs", ())),
            }
            facts["earlier"] = tuple(Version(**version) for version in entry.get("earlier", ()))
            found[name] = ModelInfo(**{**entry, **facts})
            _check_types(found[name])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise CheckpointError(
            f"{INDEX} is damaged ({type(error).__name__}: {str(error)[:80]}): install the package again, "
            "or run scripts/cards.py in a checkout"
        ) from None
    return found


def _check_types(entry: ModelInfo) -> None:
    texts = [
        entry.name,
        entry.architecture,
        entry.task,
        entry.dataset,
        entry.sha256,
        entry.licence,
        entry.paper,
        entry.summary,
    ]
    texts += [text for m in entry.metrics.values() for text in (m.dataset, m.split, m.metric, m.how, m.better)]
    numbers = [entry.parameters, entry.size, *(m.value for m in entry.metrics.values())]
    numbers += [n for m in entry.metrics.values() for n in (m.std, m.mean, m.n_seeds) if n is not None]
    numbers += [n for n in (entry.flops, entry.milliseconds, entry.minutes) if n is not None]
    texts += [entry.data_licence, entry.hardware]
    optional = [entry.repo, entry.revision, entry.classes, *(version.tag for version in entry.earlier)]
    texts += [text for v in entry.earlier for text in (v.repo, v.revision, v.sha256, *v.metrics)]
    numbers += [value for v in entry.earlier for value in v.metrics.values()]
    if not all(isinstance(text, str) for text in [*texts, *entry.verbs, *(t for t in optional if t is not None)]):
        raise TypeError(f"the entry {entry.name!r:.60} holds something else where a text belongs")
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise TypeError(f"the entry {entry.name!r:.60} holds something else where a number belongs")


def tidy(value: Any) -> Any:
    """A number that was measured in float32 with no more digits than that has: 0.995 for 0.9950000047683716."""
    if not isinstance(value, float) or not abs(value) < 3e38 or struct.unpack("f", struct.pack("f", value))[0] != value:
        return value
    short = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next((number for number in short if struct.unpack("f", struct.pack("f", number))[0] == value), value)


def digest_of(classes: Iterable[str] | None) -> str:
    """A short digest of class names in their order, by which `zoo verify` knows them; "" for none."""
    return hashlib.sha256("\0".join(classes).encode()).hexdigest()[:16] if classes else ""


def list_models(pattern: str = "*", *, task: str | None = None, dataset: str | None = None) -> list[str]:
    """Names of the checkpoints that match a shell pattern, a task and a data set ("mnist").

    A task is one of the Hub's, or the end of one: "image-classification", or "classification" of anything.

    Raises:
        UnknownNameError: a LookupError with the nearest names, if no checkpoint at all has the task or the data set.
    """
    return [m.name for m in models(pattern, task=task, dataset=dataset)]


def list_architectures(pattern: str = "*") -> list[str]:
    """Names of the architectures that `zoo.create` builds with fresh weights and that match a shell pattern."""
    return sorted(fnmatch.filter(ARCHITECTURES, pattern))


def list_datamodules(pattern: str = "*") -> list[str]:
    """Names of the data modules that `zoo.datamodule` makes and that match a shell pattern."""
    return sorted(fnmatch.filter(DATAMODULES, pattern))


def models(
    pattern: str = "*", *, task: str | None = None, dataset: str | None = None, sort: str | None = None
) -> ModelTable:
    """The same as a table; `sort` is a metric name, best first.

    Raises:
        UnknownNameError: as `list_models`.
        InputError: if no model of the selection has the metric to sort by.
    """
    if not isinstance(pattern, str):
        raise InputError(f"a pattern is a string such as '*mnist*', not {pattern!r:.60}")
    tasks = {m.task for m in entries().values()}
    fitting = {known for known in tasks if task is None or f"-{known}".endswith(f"-{task}")}
    datasets = {m.dataset for m in entries().values()}
    if task is not None and not fitting:
        raise UnknownNameError("task", task, tasks)
    if dataset is not None and dataset not in datasets:
        raise UnknownNameError("data set", dataset, datasets)
    table = ModelTable(
        m
        for m in entries().values()
        if fnmatch.fnmatchcase(m.name, pattern) and m.task in fitting and dataset in (None, m.dataset)
    )
    return table.sort_by(sort) if sort else table


def info(name: str) -> ModelInfo:
    """The facts of one checkpoint.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
    """
    name = known_as(name)
    if name not in entries():
        raise UnknownNameError("model", name, entries())
    return entries()[name]


def known_as(name: str) -> str:
    """The name of the index that differs from `name` in upper and lower case alone, else `name` as it is.

    An earlier name of a checkpoint warns and gives the present one.
    """
    lower = str(name).strip().lower()
    if lower not in entries() and lower in RENAMED:
        new = RENAMED[lower]
        warnings.warn(f"{lower} is called {new} now: write zoo.load({new!r})", FutureWarning, stacklevel=3)
        return new
    return lower if lower in entries() else str(name)


def nearest(name: str, also: Iterable[str] = ()) -> UnknownNameError:
    return UnknownNameError("model", name, {*entries(), *also})
