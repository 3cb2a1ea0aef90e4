"""Model cards, MODEL_CARDS.md and index.json: everything generated from the checkpoint folders, nothing written by hand.

A card draws on five files of the folder: config.json, recipe.yaml (its `card` section holds the only hand-written words),
metrics.json, provenance.json and, where a family has one, extra.md (generated tables and figures of its own).
"""

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from zoo import registry
from zoo.errors import CheckpointError
from zoo.index import INDEX
from zoo.paths import CHECKPOINTS, names_in
from zoo.store.folder import read_config
from zoo.store.hub import locate
from zoo.store.pin import read_pin

LICENCE = "apache-2.0"
REQUIRED = ("config.json", "model.safetensors", "recipe.yaml", "metrics.json", "provenance.json", "golden.safetensors")

# Training data by data module: the Hub's name for it, its licence as its source states it, and what follows for the user.
DATA_LICENCES: dict[str, tuple[str | None, str, str]] = {
    "image-folder": (
        None,
        "the owner's",
        "whoever owns the images says what may be done with them and with the weights",
    ),
    "mnist": ("ylecun/mnist", "CC BY-SA 3.0", "attribute, and share adapted images alike; the weights hold no images"),
    "tinyshakespeare": (
        "karpathy/tiny_shakespeare",
        "public domain (the repository that holds it: MIT)",
        "nothing is asked of you",
    ),
    "fashion-mnist": ("zalando-datasets/fashion_mnist", "MIT", "keep the notice when you pass the images on"),
    "cora": (None, "MIT (the repository's)", "the abstracts behind the word counts belong to their publishers"),
    "citeseer": (None, "MIT (the repository's)", "the abstracts behind the word counts belong to their publishers"),
    "iris": (None, "CC BY 4.0", "name the UCI Machine Learning Repository and R. A. Fisher"),
    "names": (None, "MIT (the repository's)", "lists of names are facts"),
    "sst2": (
        None,
        "none stated",
        "distributed for research; the sentences come from film reviews and belong to their writers",
    ),
    "jsb-chorales": (None, "none stated", "Bach's music is in the public domain, the digital edition names no licence"),
    "moby-dick": (None, "public domain in the USA", "Project Gutenberg's text without its trademark header"),
    "gutenberg": (None, "public domain in the USA", "Project Gutenberg's texts without their trademark headers"),
    "multi30k": (None, "CC BY-NC-SA 4.0 (the paper's)", "not for commercial use; the captions belong to Flickr30k"),
    "moons": (None, "none needed", "points computed by a formula"),
    "two-gaussians": (None, "none needed", "points computed by a formula"),
    "logic-gate": (None, "none needed", "four patterns of two bits"),
    "karate": (None, "public domain", "facts published in 1977"),
    "mutag": (None, "none stated", "collected for research; ask before you pass the graphs on"),
    "proteins": (None, "none stated", "collected for research; ask before you pass the graphs on"),
    "tfbs": (None, "none stated", "ENCODE's data are free to use; the repository that prepared them names no licence"),
    "concrete": (
        None,
        "CC BY 4.0 (the data), CC BY-NC 4.0 (the splits)",
        "name I-Cheng Yeh and the UCI Machine Learning Repository",
    ),
    "esol": (None, "MIT", "keep DeepChem's notice when you pass the file on"),
    "mnist-points": (
        "ylecun/mnist",
        "CC BY-SA 3.0",
        "attribute, and share adapted images alike; the weights hold no images",
    ),
    "cifar10": (
        "uoft-cs/cifar10",
        "none stated by the authors",
        "cite the report; ask before commercial use of images",
    ),
    "cifar100": (
        "uoft-cs/cifar100",
        "none stated by the authors",
        "cite the report; ask before commercial use of images",
    ),
}


class Folder:
    """The files of a checkpoint folder that cards are made from.

    Raises:
        CheckpointError: naming the files that are missing.
    """

    def __init__(self, path: Path) -> None:
        missing = [name for name in REQUIRED if not (path / name).is_file()]
        if missing:
            raise CheckpointError(f"{path.name} is unfinished: {', '.join(missing)} missing")
        self.path = path
        self.config = _json(path / "config.json")
        self.metrics: list[dict[str, Any]] = _json(path / "metrics.json")
        if blind := [metric["metric"] for metric in self.metrics if metric.get("better") not in ("higher", "lower")]:
            raise CheckpointError(
                f"{path.name}: metrics.json doesn't say whether higher or lower is better: {', '.join(blind)}"
            )
        self.provenance = _json(path / "provenance.json")
        self.recipe = yaml.safe_load((path / "recipe.yaml").read_text(encoding="utf-8"))
        self.words: dict[str, str] = self.recipe.get("card") or {}
        self.name: str = self.config["name"]

    @property
    def dataset(self) -> str:
        return (self.config["data"] or {}).get("name", "none")

    @property
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
            "licence": LICENCE,
            "paper": self.words.get("paper", ""),
            "summary": self.words.get("summary", ""),
            "metrics": [{key: metric[key] for key in keys if key in metric} for metric in self.metrics],
            **read_pin(self.path, self.config["weights"]["sha256"]),
        }


def folders() -> list[Folder]:
    """All finished checkpoint folders of the checkout; a folder with a recipe alone is work to come and is left out."""
    return [
        Folder(CHECKPOINTS / name)
        for name in names_in(CHECKPOINTS)
        if all((CHECKPOINTS / name / file).is_file() for file in REQUIRED)
    ]


def write_card(path: Path) -> None:
    """Write README.md of a checkpoint folder."""
    (path / "README.md").write_text(card(Folder(path)), encoding="utf-8")


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
    file.write_text("\n".join(found.values()), encoding="utf-8")


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
    parts = [f"---\n{front_matter(folder)}\n---\n", f"# {folder.name}\n"]
    if (folder.path / "preview.png").exists():
        parts.append("![preview](preview.png)\n")
    parts.append(f"{folder.words.get('summary', '').strip()}\n")
    parts.append(f"## Use\n\n```python\n{snippet(folder)}\n```\n")
    parts.append(f"## Measured\n\n{metric_table(folder.metrics)}\n")
    root = " --root FOLDER" if folder.dataset == "image-folder" else ""
    parts.append(
        f"From exactly this file (sha256 `{config['weights']['sha256'][:16]}…`): `python scripts/evaluate.py {folder.name}{root}`.\n"
    )
    if (folder.path / "extra.md").exists():
        parts.append((folder.path / "extra.md").read_text(encoding="utf-8").rstrip() + "\n")
    weights = config["weights"]
    rows = {
        "architecture": f"`{registry.ARCHITECTURES[config['architecture']].replace(':', '.')}`, {weights['parameters']:,} parameters",
        "weights": f"{weights['dtype']}, {'averaged (EMA)' if weights['averaged'] else 'raw'}, "
        f"{(folder.path / 'model.safetensors').stat().st_size / 2**20:.2f} MiB",
        "command": f"`{facts['command']}`",
        "time": duration(facts),
        "hardware": f"{facts['hardware']}, {facts['devices']} {'device' if 'NVIDIA' in facts['hardware'] else 'CPU thread'}(s), {facts['precision']}",
        "run": f"{facts['epochs']} epochs, {facts['steps']:,} steps, seed {facts['seed']}",
        "versions": f"python {facts['python']}, torch {facts['torch']}, lightning {facts['lightning']}",
    }
    parts.append("## Trained\n\n| | |\n|---|---|\n" + "\n".join(f"| {k} | {v} |" for k, v in rows.items()) + "\n")
    parts.append(f"Method: {folder.words.get('paper', '')}. {departures(folder)}\n")
    parts.append(f"## Data and licence\n\nCode and weights: Apache-2.0. {data_licence(folder.dataset)}\n")
    parts.append(f"## Limits\n\n{folder.words.get('limits', '').strip()}\n")
    return "\n".join(parts)


def front_matter(folder: Folder) -> str:
    """The YAML block the Hub reads."""
    hub_dataset = DATA_LICENCES.get(folder.dataset, (None,))[0]
    results = [
        EvalResult(
            task_type=folder.config["task"],
            dataset_type=metric["dataset"],
            dataset_name=metric["dataset"],
            dataset_split=metric["split"],
            metric_type=metric["metric"],
            metric_value=metric["value"],
        )
        for metric in folder.metrics
    ]
    data = ModelCardData(
        license=LICENCE,
        library_name="lightning-model-zoo",
        pipeline_tag=folder.config["task"],
        datasets=[hub_dataset] if hub_dataset else None,
        metrics=sorted({metric["metric"] for metric in folder.metrics}),
        base_model=folder.config.get("base_model"),
        tags=["pytorch-lightning", folder.config["architecture"]],
        model_name=folder.name,
        eval_results=results,
    )
    return data.to_yaml()


SNIPPETS = {  # by architecture, else by data set, else by task and language, else by task
    "cfg-ddpm": 'images = model.sample(10, labels=list(range(10)), guidance=3.0, seed=0)    # without labels: any digit\nzoo.save_grid(images, "grid.png")',
    "text-ldm": 'images = model.sample(16, prompt="a thick slanted seven", seed=0)   # guidance=… for more of the prompt\nzoo.save_grid(images, "grid.png")',
    "controlnet": 'digits = zoo.load("ddpm-mnist").sample(1, seed=0)     # edges of any image will do: white lines on black [1, 1, 28, 28]\nedges = zoo.models.diffusion.controlnet.edge_map(digits)\nzoo.save_grid(model.sample(16, control=edges, seed=0), "grid.png")',
    "t2i-adapter": 'digits = zoo.load("ddpm-mnist").sample(1, seed=0)     # edges of any image will do: white lines on black [1, 1, 28, 28]\nedges = zoo.models.diffusion.controlnet.edge_map(digits)\nzoo.save_grid(model.sample(16, control=edges, seed=0), "grid.png")',
    "cvae": 'images = model.sample(10, labels=list(range(10)), seed=0)\nzoo.save_grid(images, "grid.png")',
    "names": 'print(model.predict("Takahashi", top=3))         # [(language, probability), …]; a list of names will do too',
    "sst2": 'print(model.predict("a quiet, moving film", top=2))  # [(label, probability), …]; a list of texts will do too',
    "moby-dick": 'print(model.generate("call me ishmael. ", 300, temperature=0.7, seed=0))',
    "jsb-chorales": 'from datamodules.formats.midi import write_midi\n\nroll = model.compose(64, seed=0)                     # piano roll, bool [64, 88]\nwrite_midi(roll, "chorale.mid")',
    "gutenberg": 'print(model.neighbours("whale"))                  # [(word, cosine), …]; also embed, similarity, analogy',
    "moons": "points = model.sample_points(500, seed=0)        # [500, 2]\nprint(model.log_prob(points).mean())              # exact, in nats",
    "bell": "print(model.sample_points(500, seed=0).mean(0))  # [500, 1] drawn; model.verdict(…) asks the discriminator",
    "coin": "print(model.sample_points(500, seed=0).mean(0))  # [500, 1] drawn; model.verdict(…) asks the discriminator",
    "ring": "print(model.sample_points(500, seed=0).mean(0))  # [500, 2] drawn; model.verdict(…) asks the discriminator",
    "two-gaussians": "print(model.sample_points(500, seed=0).mean(0))  # annealed Langevin dynamics; model.score(…) is the field",
    "cora": 'data = zoo.datamodule("cora").data               # a PyG Data; any other with 1433 features a node will do\nprint(model.predict(data)[:3])                   # [(class, probability)] for each node\nprint(model.embed(data).shape)',
    "citeseer": 'data = zoo.datamodule("citeseer").data           # a PyG Data; any other with 3703 features a node will do\nprint(model.predict(data)[:3])                   # [(class, probability)] for each node\nprint(model.embed(data).shape)',
    "tfbs": 'print(model.predict("acttccggttacgtcagcggaagtgacgtcaccgnnnacgt"))   # [(factor, probability), …]; predict_proba for all seven',
    "concrete": "mix = [[540, 0, 0, 162, 2.5, 1040, 676, 28]]    # cement, slag, fly ash, water, superplasticizer, aggregates, days\nprint(model.predict(mix))                       # MPa",
    "iris": "print(model.predict([[5.1, 1.4], [6.0, 4.5]]))   # sepal and petal length in cm",
    "logic-gate": "print(model.predict([[0, 0], [0, 1], [1, 0], [1, 1]]))   # [0, 1, 1, 0]",
    "karate": 'data = zoo.datamodule("karate").data             # a PyG Data of 34 members\nprint(model.predict(data))                       # [(side, probability)] for each member',
    "mutag": 'graph = zoo.datamodule("mutag").part("test")[0]  # a PyG Data; a Batch of graphs will do too\nprint(model.predict(graph))',
    "proteins": 'graph = zoo.datamodule("proteins").part("test")[0]  # a PyG Data; a Batch of graphs will do too\nprint(model.predict(graph))',
    "esol": 'print(model.predict(["CCO", "c1ccccc1"]))        # log10 of mol/l: SMILES strings, or PyG graphs of molecules',
    "mnist-points": 'digit = zoo.datamodule("mnist-points").part("test")[0]    # a PyG Data of points (x, y, brightness)\nprint(model.predict(digit, top=3))',
    "text-generation": 'print(model.generate("ROMEO:\\n", 300, temperature=0.8, seed=0))    # model.stream(…) yields the characters one by one',
    "xor": 'print(model.transitions())                    # the machine: P(next bit) after every context\nprint(model.generate("01", 8, temperature=0))',
    "image-classification": 'model.predict("photo.png", top=3)    # [(class, probability), …]: path, PIL image, array or tensor',
    "image-feature-extraction": "import torch\n\nx = torch.rand(4, 1, 28, 28)                     # images in [0, 1]\nprint(model.encode(x).shape, model.reconstruct(x).shape)",
    "translation.de": 'print(model.translate("Ein Hund rennt durch den Schnee.", beams=5))    # several texts give a list',
    "translation.en": 'print(model.translate("A dog runs through the snow.", beams=5))    # several texts give a list',
    "unconditional-image-generation": 'zoo.save_grid(model.sample(64, seed=0), "grid.png")',
}


def snippet(folder: Folder) -> str:
    """Three lines that use the model; they run as they stand."""
    task = folder.config["task"]
    keys = (folder.config["architecture"], folder.dataset, f"{task}.{folder.config['init'].get('source')}", task)
    use = next((SNIPPETS[key] for key in keys if key in SNIPPETS), "")
    return f'import zoo\n\nmodel = zoo.load("{folder.name}")' + (f"\n{use}" if use else "")


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


def departures(folder: Folder) -> str:
    """What differs from the paper, out of the architecture file's docstring and the recipe."""
    module = inspect.getdoc(inspect.getmodule(registry.architecture(folder.config["architecture"]))) or ""
    texts = [p.replace("\n", " ") for p in module.split("\n\n") if p.startswith("Departures")]
    return " ".join([*texts, folder.words.get("departures", "").strip()]).strip()


def data_licence(dataset: str) -> str:
    if dataset not in DATA_LICENCES:
        return f"Training data: {dataset}; see its data module for origin and licence."
    hub, licence, follows = DATA_LICENCES[dataset]
    return f"Training data: {dataset}{f' ({hub})' if hub else ''}, licence {licence}: {follows}."


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
                f"| {folder.config['weights']['parameters']:,} | {size:.2f} | {headline(folder)} | {duration(folder.provenance)} |"
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
    texts[CHECKPOINTS.parent / "MODEL_CARDS.md"] = model_cards(found)
    texts[INDEX] = json.dumps(index, indent=1, ensure_ascii=False) + "\n"
    return texts


def stale() -> list[Path]:
    """Generated files that differ from what the folders say."""
    return [path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
