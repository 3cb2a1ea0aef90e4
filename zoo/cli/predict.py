"""What a model answers: classes with their probabilities, or numbers.

zoo predict speednet-cifar10 photo.png other.jpg
zoo predict lstm-sst2 "a quiet, moving film"                   # or a .txt file, a text a line
zoo predict perceptron-iris 5.1,1.4 4.9,1.5                    # or a .csv file, a row a line
zoo predict mpnn-esol CCO c1ccccc1                             # molecules as SMILES
"""

import argparse
import re
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

OF_IMAGES = ("image", "clustering")  # beginnings of the tasks whose inputs are files
AT_ONCE = 256  # inputs between two times that answers are printed
LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("inputs", nargs="+", help="image files, texts, DNA, rows of numbers with commas, or SMILES")
    command.add_argument("--top", type=int, default=3, help="classes to name (default: 3)")


def run(options: argparse.Namespace) -> None:
    from zoo.index import entries, known_as

    entry = entries().get(known_as(options.name))
    if entry is not None:
        check_inputs(entry.task, options.inputs)  # before torch is imported
    from zoo.core.protocols import Classifies, Predicts, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Predicts):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't answer to an input")
    chosen = {"top": options.top} if meets(model, Classifies) else {}
    labels, inputs = read_inputs(model, options.inputs)
    width = max(len(label) for label in labels)
    for start in range(0, len(inputs), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        for label, answer in zip(labels[part], model.predict(inputs[part], **chosen), strict=True):
            print(f"{label:{width}}  {as_text(answer)}", flush=True)


def check_inputs(task: str, inputs: list[str]) -> None:
    """Raises InputError for a file that isn't there, or a row that holds something else than numbers."""
    for text in inputs:
        if task.startswith(OF_IMAGES) and not Path(text).is_file():
            raise InputError(f"there is no file {text!r}")
        if task.startswith("tabular"):
            rows(text)


def read_inputs(model: Any, inputs: list[str]) -> tuple[list[str], list[Any]]:
    """What is printed before each answer, and what the model takes."""
    check_inputs(model.task, inputs)
    if model.task.startswith("tabular"):
        found = [row for text in inputs for row in rows(text)]
        return [",".join(f"{number:g}" for number in row) for row in found], found
    if model.task == "graph-ml" and "molecules" not in model.learns_from:
        raise InputError(
            f"{model.name} takes graphs, which a command line can't hold: call model.predict(data) in Python"
        )
    if model.task.startswith(OF_IMAGES):
        return inputs, list(inputs)
    texts = [line for text in inputs for line in lines(text)]
    return [text if len(text) <= 40 else f"{text[:39]}…" for text in texts], texts


def rows(text: str) -> list[list[float]]:
    """Rows of numbers of a text such as "5.1,1.4", or of a .csv file.

    Raises:
        InputError: for anything else than numbers; a first line of names is left out.
    """
    found, several = [], lines(text, ".csv")
    for number, line in enumerate(several, 1):
        try:
            found.append([float(part) for part in re.split(r"[,;\s]", line) if part.strip()])
        except ValueError:
            if number == 1 and len(several) > 1:
                continue  # the names of the columns
            where = f"line {number} of {text}" if len(several) > 1 else "a row"
            raise InputError(
                f"{where} is numbers with commas between them, such as 5.1,1.4, not {line!r:.60}"
            ) from None
    if not found:
        raise InputError(f"{text!r:.60} holds no row of numbers")
    return found


def lines(text: str, suffix: str = ".txt") -> list[str]:
    """The lines of a file of this suffix that aren't empty; any other text is one."""
    if not text.lower().endswith(suffix):
        return [text]
    from zoo.core.files import read_bounded

    raw = read_bounded(text, 2**26)
    try:
        found = [line for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{text} isn't UTF-8 text ({error.reason} at byte {error.start})") from None
    if not found:
        raise InputError(f"{text} is empty")
    return found


def as_text(answer: Any) -> str:
    """Classes with their probabilities, or numbers, in a line."""
    from zoo.core.files import shown

    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    if isinstance(answer, float):
        return f"{answer:.4g}"
    if isinstance(answer, list) and answer and isinstance(answer[0], tuple):
        return "  ".join(f"{shown(label)} {p:.3f}" for label, p in answer)
    return "  ".join(as_text(one) for one in answer) if isinstance(answer, list) else shown(answer)
