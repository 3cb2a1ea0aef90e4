"""Model cards, MODEL_CARDS.md and index.json: everything generated from the checkpoint folders, nothing written by hand.

A card draws on five files of the folder: config.json, recipe.yaml (its `card` section holds the only hand-written words),
metrics.json, provenance.json and, where a family has one, extra.md (generated tables and figures of its own).
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from zoo import registry
from zoo.core.files import parse_json, write_text
from zoo.core.protocols import verbs_of
from zoo.errors import CheckpointError, ZooError
from zoo.index import INDEX, digest_of
from zoo.paths import CHECKPOINTS, names_in
from zoo.store import costs, int8
from zoo.store.files import FINISHED, TOKENIZER, TOKENIZER_CONFIG
from zoo.store.folder import read_config, read_recipe, tokenizer_config
from zoo.store.front_matter import data_class, front_matter
from zoo.store.hub import locate
from zoo.store.pin import read_pin
from zoo.store.stub import stub

LICENCE = "apache-2.0"


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """While it is entered, whatever the files of a folder lack for a card is one sentence.

    Raises:
        CheckpointError: naming the folder and the key or the value.
    """
    try:
        yield
    except ZooError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{path.name}: config.json, recipe.yaml, metrics.json and provenance.json don't hold the facts of a card "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from None


class Folder:
    """The files of a checkpoint folder that cards are made from.

    Raises:
        CheckpointError: naming the files that are missing, or what they lack.
    """

    def __init__(self, path: Path) -> None:
        missing = [name for name in FINISHED if not (path / name).is_file()]
        if missing:
            raise CheckpointError(f"{path.name} is unfinished: {', '.join(missing)} missing")
        self.path = path
        with telling(path):
            self.config = read_config(path)
            self.metrics: list[dict[str, Any]] = _json(path / "metrics.json")
            if blind := [
                metric["metric"] for metric in self.metrics if metric.get("better") not in ("higher", "lower")
            ]:
                raise CheckpointError(
                    f"{path.name}: metrics.json doesn't say whether higher or lower is better: {', '.join(blind)}"
                )
            self.provenance = _json(path / "provenance.json")
            self.recipe = read_recipe(path / "recipe.yaml")
        self.words: dict[str, str] = self.recipe.get("card") or {}
        self.name: str = self.config["name"]

    @property
    def dataset(self) -> str:
        return (self.config["data"] or {}).get("name", "none")

    @property
    def costs(self) -> dict[str, Any]:
        """Operations and milliseconds of one input, where they were measured on these weights."""
        return costs.of(self.name, self.config["weights"]["sha256"])

    @cached_property
    def entry(self) -> dict[str, Any]:
        """This checkpoint's entry of index.json."""
        keys = ("dataset", "split", "metric", "value", "better", "how", "mean", "std", "n_seeds")
        return {
            "architecture": self.config["architecture"],
            "task": self.config["task"],
            "dataset": self.dataset,
            "parameters": self.config["weights"]["parameters"],
            "size": (self.path / "model.safetensors").stat().st_size,
            "sha256": self.config["weights"]["sha256"],
            "licence": weights_licence(self.dataset),
            "data_licence": getattr(data_class(self.dataset), "licence", ""),
            "flops": self.costs.get("flops"),
            "milliseconds": self.costs.get("milliseconds"),
            "minutes": round(self.provenance["seconds"] / 60, 2),
            "hardware": self.provenance["hardware"],
            "verbs": verbs_of(registry.architecture(self.config["architecture"])),
            "paper": self.words.get("paper", ""),
            "summary": self.words.get("summary", ""),
            **({"classes": digest_of(self.config["classes"])} if self.config["classes"] else {}),
            "metrics": [{key: metric[key] for key in keys if key in metric} for metric in self.metrics],
            **read_pin(self.path, self.config["weights"]["sha256"]),
        }


def folders() -> list[Folder]:
    """All finished checkpoint folders of the checkout; a folder with a recipe alone is work to come and is left out."""
    return [
        Folder(CHECKPOINTS / name)
        for name in names_in(CHECKPOINTS)
        if all((CHECKPOINTS / name / file).is_file() for file in FINISHED)
    ]


def write_card(path: Path) -> None:
    """Write README.md of a checkpoint folder."""
    with telling(path):
        text = card(Folder(path))
    write_text(path / "README.md", text)


def write_section(path: Path, text: str, *, measured_on: Iterable[str] = ()) -> None:
    """Put sections, "## Title" and what follows, into extra.md of a folder: each in place of that of its title, or at the end.

    Checkpoints whose weights the text speaks of are named in `measured_on`. Their hashes are noted below the title, for
    `outdated_sections`.
    """
    file = path / "extra.md"
    notes = [f"{Path(name).name} {read_config(locate(name))['weights']['sha256'][:16]}" for name in measured_on]
    if notes:
        text = re.sub(r"(?m)^(## .*\n)", rf"\1\n<!-- measured on {', '.join(notes)} -->\n", text)
    found = _sections(file.read_text(encoding="utf-8") if file.exists() else "") | _sections(text)
    write_text(file, "\n".join(found.values()))


def outdated_sections(path: Path) -> list[str]:
    """Titles of the sections in extra.md of a folder that were measured on other weights than the folders beside it hold now."""
    file, titles = path / "extra.md", []
    for title, text in _sections(file.read_text(encoding="utf-8") if file.exists() else "").items():
        note = re.search(r"<!-- measured on (.*) -->", text)
        for name, sha256 in (part.split() for part in note[1].split(", ")) if note else ():
            config = path.parent / name / "config.json"
            if not config.is_file() or not _json(config)["weights"]["sha256"].startswith(sha256):
                titles.append(title.removeprefix("## "))
                break
    return titles


def _sections(text: str) -> dict[str, str]:
    """Sections of a Markdown text by their title lines."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.rstrip() + "\n" for part in parts if part.strip()}


def card(folder: Folder) -> str:
    """The text of a checkpoint's README.md, with the Hub's front matter."""
    config, facts = folder.config, folder.provenance
    parts = [f"---\n{head(folder)}\n---\n", f"# {folder.name}\n"]
    if (folder.path / "preview.png").exists():
        parts.append("![preview](preview.png)\n")
    parts.append(f"{plain(folder.words.get('summary', '')).strip()}\n")
    parts.append(f"## Use\n\n```python\n{snippet(folder)}\n```\n")
    if folder.config["task"] == "image-classification" and (
        fit := getattr(data_class(folder.dataset), "photographs", "")
    ):
        parts.append(f"{fit}\n")
    parts.append(f"## Measured\n\n{plain(metric_table(folder.metrics))}\n")
    root = " --root FOLDER" if folder.dataset == "image-folder" else ""
    parts.append(
        f"From exactly this file (sha256 `{config['weights']['sha256'][:16]}…`): `python scripts/evaluate.py {folder.name}{root}`.\n"
    )
    if (folder.path / "extra.md").exists():
        parts.append((folder.path / "extra.md").read_text(encoding="utf-8").rstrip() + "\n")
    if others := other_libraries(folder):
        parts.append(f"## With other libraries\n\n{others}\n")
    weights = config["weights"]
    rows = {
        "architecture": f"`{registry.ARCHITECTURES[config['architecture']].replace(':', '.')}`, {weights['parameters']:,} parameters",
        "weights": f"{weights['dtype']}, {'averaged (EMA)' if weights['averaged'] else 'raw'}, "
        f"{(folder.path / 'model.safetensors').stat().st_size / 2**20:.2f} MiB",
        "command": f"`{facts['command']}`",
        "time": training_time(folder, named=True),
        "hardware": "; then ".join(ran_on(part, several="parts" in facts) for part in facts.get("parts", [facts])),
        "run": f"{facts['epochs']} epochs, {facts['steps']:,} steps, seed {facts['seed']}",
        "versions": f"python {facts['python']}, torch {facts['torch']}, lightning {facts['lightning']}",
    }
    parts.append(
        "## Trained\n\n| | |\n|---|---|\n" + "\n".join(f"| {k} | {plain(v)} |" for k, v in rows.items()) + "\n"
    )
    parts.append(f"Method: {plain(folder.words.get('paper', ''))}. {plain(departures(folder))}\n")
    if chosen := folder.words.get("chosen", "").strip():
        parts.append(f"Choices: {plain(chosen)}{kept(folder)}\n")
    parts.append(f"## Data and licence\n\n{data_licence(folder.dataset)}\n")
    parts.append(f"## Limits\n\n{plain(folder.words.get('limits', '')).strip()}\n")
    return "\n".join(parts)


def plain(text: str) -> str:
    """Words of a card without HTML, which a class or a data set may have in its name: each tag shows as it is written."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def head(folder: Folder) -> str:
    """The YAML block that the Hub reads."""
    data = data_class(folder.dataset)
    hub_id = getattr(data, "hub_id", None)
    return front_matter(
        folder.config,
        folder.metrics,
        weights_licence(folder.dataset),
        language=languages(data, folder.config["init"]),
        datasets=[hub_id] if hub_id else None,
    )


def languages(data: object, init: dict[str, Any]) -> list[str] | None:
    """Languages that a model reads and writes, as the Hub names them: its own arguments', else those of its data."""
    own = [init[key] for key in ("source", "target") if isinstance(init.get(key), str)]
    return own or list(getattr(data, "languages", ())) or None


def snippet(folder: Folder) -> str:
    """Lines that use the model; they run as they stand, and a test runs them.

    They come from the class variable `use` of the data module where it has one, else of the architecture.
    """
    data = data_class(folder.dataset)
    architecture: Any = registry.architecture(folder.config["architecture"])
    use = getattr(data, "use", "") or architecture.use
    sentence = getattr(data, "sentences", {}).get(folder.config["init"].get("source"), "")
    for word, value in (("{name}", folder.name), ("{data}", folder.dataset), ("{sentence}", sentence)):
        use = use.replace(word, value)
    lines = use.splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    rest = "\n".join(line for line in lines if line not in imports).strip("\n")
    return "\n".join(["import zoo", *imports, "", f'model = zoo.load("{folder.name}")', *([rest] if rest else [])])


def other_libraries(folder: Folder) -> str:
    """The card's lines for other libraries, as Markdown; a test runs them in the folder."""
    architecture: Any = registry.architecture(folder.config["architecture"])
    pairs = architecture.other_libraries(folder.config["init"])
    if folder.config["weights"]["dtype"] == "int8":
        said = "`model.safetensors` holds whole numbers and a scale for every 64 of them; a plain reader makes float32 of them so:"
        pairs = [*pairs, (said, int8.LINES)]
    texts = []
    for said, lines in pairs:
        if lines and "model" in lines.replace("model.safetensors", "").replace("zoo.models", ""):
            imports = [line for line in lines.splitlines() if line.startswith(("import ", "from "))]
            rest = "\n".join(line for line in lines.splitlines() if line not in imports).strip("\n")
            lines = "\n".join(["import zoo", *imports, "", f'model = zoo.load("{folder.name}")', rest])
        texts.append(f"{said}\n\n```python\n{lines}\n```" if lines else said)
    return "\n\n".join(texts)


def metric_table(metrics: list[dict[str, Any]]) -> str:
    """Metrics as a Markdown table, with mean ± std where there are several seeds."""
    lines = ["| metric | data, split | this file | seeds | how |", "|---|---|---|---|---|"]
    for m in metrics:
        seeds = f"{m['mean']:.5g} ± {m['std']:.2g} (n = {m['n_seeds']})" if "std" in m and "mean" in m else "1"
        how = m["how"].replace("|", "\\|")  # a bar would end the cell
        lines.append(f"| {m['metric']} | {m['dataset']}, {m['split']} | {m['value']:.5g} | {seeds} | {how} |")
    return "\n".join(lines)


def duration(facts: dict[str, Any]) -> str:
    def text(seconds: float) -> str:
        return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"

    every = facts.get("seconds_all_seeds")
    return text(facts["seconds"]) + (f" (all {len(every)} seeds: {text(sum(every))})" if every else "")


def ran_on(part: dict[str, Any], *, several: bool) -> str:
    """The machine of a run or of one part of it, and with `several` parts its share and its torch."""
    kind = "device" if "NVIDIA" in part["hardware"] else "CPU thread"
    share = f"{part['epochs']} epochs, {duration(part)}: " if several else ""
    return f"{share}{part['hardware']}, {part['devices']} {kind}(s), {part['precision']}" + (
        f", torch {part['torch']}" if several else ""
    )


BUILT_ON = ("base", "autoencoder", "vectors", "critic")  # arguments that name a checkpoint which a training needs


def training_time(folder: Folder, *, named: bool = False) -> str:
    """A training's time, and with the checkpoints that it builds on, and those that these build on; their names with `named`."""
    seconds: dict[str, float] = {}

    def walk(built: Folder) -> None:
        for key in BUILT_ON:
            name = built.config["init"].get(key)
            if name and name not in seconds and (CHECKPOINTS / name / "provenance.json").exists():
                parent = Folder(CHECKPOINTS / name)
                seconds[name] = parent.provenance["seconds"]
                walk(parent)

    walk(folder)
    own, names = duration(folder.provenance), f", {' and '.join(seconds)}" if named else ""
    total = duration({"seconds": folder.provenance["seconds"] + sum(seconds.values())})
    return f"{own}; {total} with what it builds on{names}" if seconds else own


def departures(folder: Folder) -> str:
    """What differs from the paper, out of the architecture file's docstring and the recipe."""
    module = inspect.getdoc(inspect.getmodule(registry.architecture(folder.config["architecture"]))) or ""
    texts = [p.replace("\n", " ") for p in module.split("\n\n") if p.startswith("Departures")]
    return " ".join([*texts, folder.words.get("departures", "").strip()]).strip()


def kept(folder: Folder) -> str:
    """Which of a run's weights are published, out of its recipe; nothing for a method that is fitted in one go."""
    if "callbacks.KeepBest'" in str(folder.recipe.get("trainer")):
        return " The epoch that was best on the validation part is kept."
    if folder.config["weights"]["averaged"]:
        return " The average of its last weights is kept."
    return " The last epoch is kept." if folder.provenance["epochs"] > 1 else ""


def data_licence(dataset: str) -> str:
    """What the card says of licences: that of the code, of the weights, and of the data they come from."""
    data = data_class(dataset)
    ours = "Code and weights: Apache-2.0."
    if data is None:
        return f"{ours} No data set was used."
    if (licence := weights_licence(dataset)) != LICENCE:
        ours = f"Code: Apache-2.0. Weights: {licence}, for non-commercial use only, as their training data ask."
    hub = getattr(data, "hub_id", None)
    return f"{ours} Training data: {dataset}{f' ({hub})' if hub else ''}, licence: {data.licence}. {data.licence_note}"


def weights_licence(dataset: str) -> str:
    """The Hub's identifier of the licence of weights that were trained on a data set."""
    return getattr(data_class(dataset), "weights_licence", LICENCE)


def model_cards(found: list[Folder]) -> str:
    """The text of MODEL_CARDS.md: every checkpoint, by task."""
    parts = [
        "# Models\n",
        f"{len(found)} checkpoints. Generated by `python scripts/cards.py` from the folders of `checkpoints/`; each links to its card. "
        "Measured on the test split where no other is named.\n",
    ]
    for task in sorted({folder.config["task"] for folder in found}):
        parts.append(
            f"## {task}\n\n| model | data | parameters | MiB | measured | trained |\n|---|---|---|---|---|---|"
        )
        for folder in (f for f in found if f.config["task"] == task):
            size = (folder.path / "model.safetensors").stat().st_size / 2**20
            parts.append(
                f"| [{folder.name}](checkpoints/{folder.name}/README.md) | {folder.dataset} "
                f"| {folder.config['weights']['parameters']:,} | {size:.2f} | {headline(folder)} | {training_time(folder)} |"
            )
        parts.append("")
    for extra in sorted((CHECKPOINTS.parent / "docs").glob("compare-*.md")):
        parts.append(extra.read_text(encoding="utf-8").rstrip() + "\n")
    return "\n".join(parts).rstrip() + "\n"


def headline(folder: Folder, most: int = 3) -> str:
    """The first metrics of a checkpoint in a cell of a table, with the split where it isn't the test split."""
    shown = []
    for m in folder.metrics[:most]:
        spread = f" ± {m['std']:.2g}" if "std" in m and "mean" in m else ""
        split = "" if m["split"] == "test" else f" ({m['split']})"
        shown.append(f"{m['metric']}{split} {m.get('mean', m['value']):.4g}{spread}")
    return ", ".join(shown)


def generated() -> dict[Path, str]:
    """Every generated file of the tree with the text that it should hold."""
    found = folders()
    index = {"models": {folder.name: folder.entry for folder in found}}
    texts = {folder.path / "README.md": card(folder) for folder in found}
    for folder in found:
        if (folder.path / TOKENIZER).is_file():
            pieces = (folder.path / TOKENIZER).read_text(encoding="utf-8")
            texts[folder.path / TOKENIZER_CONFIG] = tokenizer_config(pieces, folder.config["init"])
    texts[CHECKPOINTS.parent / "MODEL_CARDS.md"] = model_cards(found)
    texts[INDEX] = json.dumps(index, indent=1, ensure_ascii=False) + "\n"
    texts[INDEX.with_name("typed.pyi")] = stub({folder.name: folder.config["architecture"] for folder in found})
    return texts


def stale() -> list[Path]:
    """Generated files that differ from what the folders say."""
    return [path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def _json(path: Path) -> Any:
    return parse_json(path.read_text(encoding="utf-8"))
