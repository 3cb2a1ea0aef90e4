"""A small example of every kind of a person's own data, out of the packaged samples or generated: to try `zoo finetune` on.

python -m datamodules.examples text-csv reviews/        # writes reviews/text.csv and prints what to name as root
"""

import argparse
import csv
import io
import json
import sys
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.core.files import write_picture, write_text, writing
from zoo.core.samples import SAMPLES, picture_sample, sample_split
from zoo.errors import InputError, one_sentence

GERMAN = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_example(kind: str, folder: str | Path) -> Path:
    """Write a small example of a kind of data into a folder; returns what `root` has to name.

    Raises:
        InputError: for a kind without an example, with those that have one.
    """
    if kind not in EXAMPLES:
        raise InputError(f"there is no example of {kind!r}; there are {', '.join(EXAMPLES)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return EXAMPLES[kind](folder)


def _images(folder: Path) -> Path:
    """Digits 0 and 1 of MNIST's test part."""
    from PIL import Image

    images, labels = sample_split("mnist")
    for digit, name in enumerate(("zero", "one")):
        (folder / name).mkdir(exist_ok=True)
        for i, image in enumerate(images[labels == digit][:40]):
            write_picture(folder / name / f"{i}.png", Image.fromarray(image[0].numpy()))
    return folder


def _text(folder: Path) -> Path:
    """The packaged excerpt of Shakespeare, with a few characters that a model of it doesn't know."""
    text = (SAMPLES / "tinyshakespeare.txt").read_text(encoding="utf-8")[:20_000]
    write_text(folder / "play.txt", text.replace("e,", "é,"))
    return folder / "play.txt"


def _texts(folder: Path) -> Path:
    text = (SAMPLES / "moby-dick.txt").read_text(encoding="utf-8")[:24_000]
    for i in range(3):
        write_text(folder / f"part{i + 1}.txt", text[8000 * i : 8000 * (i + 1)])
    return folder


def _table(path: Path, header: list[str], rows: Sequence[Sequence[object]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return path


def _reviews(folder: Path) -> Path:
    """Sentences of film reviews, positive or negative (SST-2's packaged excerpt)."""
    lines = (SAMPLES / "sst2.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [[text, ("negative", "positive")[int(label)]] for label, text in (line.split("\t") for line in lines)]
    return _table(folder / "reviews.csv", ["text", "label"], rows)


def _pairs(folder: Path) -> Path:
    """Counting sentences in German and English."""
    lines = [
        f"Ich sehe {a} und {b}.\tI see {c} and {d}."
        for a, c in zip(GERMAN, ENGLISH, strict=True)
        for b, d in zip(GERMAN, ENGLISH, strict=True)
    ]
    write_text(folder / "pairs.tsv", "\n".join(lines) + "\n")
    return folder / "pairs.tsv"


def _graph(folder: Path) -> Path:
    """Three groups of twenty nodes, joined mostly within a group, with five noisy features each."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(60) % 3
    features = torch.eye(3)[group].repeat(1, 2)[:, :5] + 0.5 * torch.rand(60, 5, generator=generator)
    nodes = [
        [f"n{i}", ["red", "green", "blue"][int(group[i])], *(f"{v:.3f}" for v in features[i].tolist())]
        for i in range(60)
    ]
    likely = torch.where(group[:, None] == group, 0.25, 0.02)
    joined = (torch.rand(60, 60, generator=generator) < likely).triu(1).nonzero().tolist()
    _table(folder / "nodes.csv", ["id", "label", *(f"f{i}" for i in range(5))], nodes)
    _table(folder / "edges.csv", ["source", "target"], [[f"n{a}", f"n{b}"] for a, b in joined])
    return folder


def _molecules(folder: Path) -> Path:
    """Chains of carbon with an end of oxygen or nitrogen, and a made-up solubility that falls with their length."""
    rows: list[list[object]] = []
    for n in range(1, 13):
        for end, gain in (("O", 1.0), ("N", 0.5), ("", -1.0), ("Cl", -1.5), ("C(=O)O", 1.5)):
            rows.append(["C" * n + end, round(gain - 0.4 * n, 2)])
    return _table(folder / "molecules.csv", ["smiles", "solubility"], rows)


def _flowers(folder: Path) -> Path:
    """Fisher's irises of two species, the packaged file, with one value left out."""
    with (SAMPLES / "iris.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and not row[-1].endswith("setosa")]
    rows[0][0] = ""
    header = ["sepal length", "sepal width", "petal length", "petal width", "species"]
    return _table(folder / "flowers.csv", header, rows)


def _sequences(folder: Path) -> Path:
    """Random DNA of 60 letters with TGACTCA somewhere in it."""
    generator = torch.Generator().manual_seed(0)
    lines = []
    for i in range(80):
        letters = ["ACGT"[k] for k in torch.randint(4, (60,), generator=generator).tolist()]
        start = int(torch.randint(53, (), generator=generator))
        letters[start : start + 7] = "TGACTCA"
        lines += [f">peak_{i}", "".join(letters)]
    write_text(folder / "AP1.fa", "\n".join(lines) + "\n")
    return folder / "AP1.fa"


def _music(folder: Path) -> Path:
    """Chorales of Bach's, the packaged excerpt."""
    from datamodules.formats.midi import write_midi
    from datamodules.jsb_chorales import sample

    for i, roll in enumerate(sample()):
        write_midi(Tensor(roll.float()), folder / f"chorale{i + 1}.mid")
    return folder


def _masks(folder: Path) -> Path:
    """Pictures of cell nuclei with a mask of two values each (the packaged part of BBBC038)."""
    pictures, instances = picture_sample("nuclei")
    for part, pixels in (("images", pictures), ("masks", (instances > 0)[:, None].to(torch.uint8) * 255)):
        (folder / part).mkdir(exist_ok=True)
        for i, picture in enumerate(pixels):
            _save(picture, folder / part / f"{i}.png")
    return folder


def _boxes(folder: Path) -> Path:
    """Pictures of blood cells with COCO's annotations.json (the packaged part of BCCD)."""
    pictures, marked = picture_sample("bccd")
    names = sorted({name for boxes in marked for name, _ in boxes})
    (folder / "images").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for i, picture in enumerate(pictures):
        _save(picture, folder / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": picture.shape[1], "width": picture.shape[2]})
        for name, (x0, y0, x1, y1) in marked[i]:
            box = {"id": len(boxes), "image_id": i, "category_id": names.index(name), "iscrowd": 0}
            boxes.append({**box, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)})
    kinds = [{"id": i, "name": name} for i, name in enumerate(names)]
    text = json.dumps({"images": images, "annotations": boxes, "categories": kinds})
    write_text(folder / "annotations.json", text)
    return folder


def _save(pixels: Tensor, path: Path) -> None:
    """Write uint8 [C, H, W] as a picture."""
    from PIL import Image

    array = pixels.permute(1, 2, 0).numpy()
    write_picture(path, Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array))


def _voices(folder: Path) -> Path:
    """A second of spoken digits in each of sixteen files (the packaged part of FSDD), split so that the two voices of the
    validation and of the test are different people."""
    from safetensors.torch import load_file

    voices = load_file(SAMPLES / "fsdd-mixtures.safetensors")["voices"]  # int16 [8, 2, 8192]
    for i, pair in enumerate(voices):
        part = "test" if i == len(voices) - 1 else "val" if i == len(voices) - 2 else "train"
        for samples, name in zip(pair, ("first", "second"), strict=True):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            with writing(folder / part / name / f"{i}.wav") as path, wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 8000, len(samples), "NONE", ""))
                file.writeframes(samples.numpy().tobytes())
    return folder


EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "image-folder": _images,
    "unlabelled-folder": _images,
    "text-file": _text,
    "text-folder": _texts,
    "text-csv": _reviews,
    "pairs-tsv": _pairs,
    "graph-csv": _graph,
    "smiles-csv": _molecules,
    "table-csv": _flowers,
    "dna-fasta": _sequences,
    "midi-folder": _music,
    "mask-folder": _masks,
    "box-folder": _boxes,
    "wav-folder": _voices,
}


@one_sentence
def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m datamodules.examples", description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=tuple(EXAMPLES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(argv)
    print(write_example(options.kind, options.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
