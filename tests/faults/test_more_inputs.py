"""More inputs of strangers: what lies beside pictures, a person's own tables and sounds, the files of cards and of publishing."""

import csv
import io
import json
import random
import shutil
import struct
import warnings
from pathlib import Path

import pytest
import torch

from datamodules.dna_fasta import read_fasta
from datamodules.formats.boxes import read_coco, read_voc
from datamodules.jsb_chorales import read_rolls
from datamodules.own import column, read_rows
from datamodules.own_graphs import GraphCSV, SmilesCSV
from datamodules.tudataset import read_graphs
from tests.faults.counts import count, some_architectures
from tests.faults.test_inputs import attack, on_disk, picture
from tests.hub.folders import make_folder
from tests.tiny import TINY
from zoo import registry
from zoo.core.audio import to_waveform
from zoo.core.pictures import read_labels
from zoo.store import cards, publish
from zoo.store import folder as checkpoint
from zoo.store.guard import bounded

pytestmark = pytest.mark.filterwarnings("ignore")  # of files without sense, by the libraries that read them

VOC = b"""<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size>
<object><name>RBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"""
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 2, "name": "cell"}],
    "annotations": [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 20, 30], "iscrowd": 0}],
}


def test_boxes(tmp_path):
    attack("VOC files", count(100, 5_000), [VOC], on_disk(tmp_path / "a.xml", read_voc))
    attack("COCO files", count(100, 5_000), [json.dumps(COCO).encode()], on_disk(tmp_path / "a.json", read_coco))


def test_masks(tmp_path):
    modes = ("L", "P", "1", "I;16")
    seeds = [raw for mode in modes for kind in ("PNG", "TIFF", "BMP") if (raw := picture(kind, mode)) is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attack("masks", count(100, 5_000), seeds, on_disk(tmp_path / "a.png", read_labels))


def test_sounds(tmp_path):
    pytest.importorskip("soundfile")
    samples = struct.pack("<64h", *(100 * i for i in range(64)))
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    wav = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    wav += b"data" + struct.pack("<I", len(samples)) + samples
    attack("sound files", count(100, 5_000), [wav], on_disk(tmp_path / "a.wav", to_waveform))


def test_tables(tmp_path):
    rows = [
        ["text", "label", "x"],
        ["a film", "good", "1.5"],
        ['one "more"', "bad", ""],
        ["third, of all", "good", "-2e3"],
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)

    def read(path: Path) -> None:
        header, found = read_rows(path)
        column(header, "label", (), "labels", path)
        assert all(len(row) == len(header) for row in found)

    seeds = [text.getvalue().encode(), "a;b\n1;2\n3;4\n".encode("utf-8-sig")]
    attack("own tables", count(100, 5_000), seeds, on_disk(tmp_path / "a.csv", read))
    attack("own sequences", count(100, 3_000), [b">a\nACGT\nNNAC\n>b\nGGGT\n"], on_disk(tmp_path / "a.fa", read_fasta))
    molecules = b"smiles,value\nCCO,1.5\nCCN,2.5\nc1ccccc1,0.5\nCC(=O)O,-1\nCCCC,0\nCCCl,1\n"
    attack(
        "own molecules", count(50, 2_000), [molecules], on_disk(tmp_path / "m.csv", lambda path: SmilesCSV(str(path)))
    )


def test_graphs(tmp_path):
    nodes = "id,label,f\n" + "".join(f"n{i},{'ab'[i % 2]},{i}\n" for i in range(12))
    edges = "source,target\n" + "".join(f"n{i},n{(i + 1) % 12}\n" for i in range(12))
    for name, raw in (("nodes", nodes), ("edges", edges)):
        place = tmp_path / name
        place.mkdir()
        (place / "nodes.csv").write_text(nodes)
        (place / "edges.csv").write_text(edges)
        read = on_disk(place / f"{name}.csv", lambda path: GraphCSV(str(path.parent)))
        attack(f"{name} of own graphs", count(50, 2_000), [raw.encode()], read)
    parts = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n",
        "graph_indicator": "1\n1\n2\n2\n",
        "graph_labels": "1\n-1\n",
        "node_labels": "0\n1\n0\n1\n",
    }
    raw = tmp_path / "tu"
    raw.mkdir()
    for part, text in parts.items():
        (raw / f"X_{part}.txt").write_text(text)
    assert len(read_graphs(raw, "X", 2)) == 2
    for part, text in parts.items():
        attack(
            f"TU {part}",
            count(30, 1_500),
            [text.encode()],
            on_disk(raw / f"X_{part}.txt", lambda _: read_graphs(raw, "X", 2)),
        )
        (raw / f"X_{part}.txt").write_text(text)


def test_chorales(tmp_path):
    seed = json.dumps({part: [[[60, 64], [62]], [[70]]] for part in ("train", "valid", "test")}).encode()
    attack("chorales", count(100, 3_000), [seed], on_disk(tmp_path / "a.json", read_rolls))


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "provenance.json", "recipe.yaml", "README.md"])
def test_cards_and_publishing(tmp_path, name, monkeypatch):
    folder = make_folder(tmp_path / "tiny-mnist")
    monkeypatch.setattr(checkpoint, "verify", lambda _: True)  # the weights are another test's
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)

    def read(path: Path) -> None:
        publish.problems(path.parent)
        cards.write_card(path.parent)

    seed = (folder / name).read_bytes()
    attack(f"{name} of cards", count(20, 800), [seed], on_disk(folder / name, read))


def test_configs_of_every_architecture():
    """Any value at any place of the arguments of any architecture."""
    values = [
        None,
        True,
        0,
        -1,
        0.5,
        3,
        7,
        10**6,
        10**18,
        1e308,
        "",
        "x",
        "\0",
        [],
        [1],
        [[1]],
        {},
        {"a": 1},
        [None],
        "10",
    ]
    for name in some_architectures():
        torch.manual_seed(0)
        model = registry.architecture(name)(**TINY[name].init)
        init, tensors = checkpoint.init_arguments(model), dict(model.state_dict())
        seeds = [json.dumps([key, value]).encode() for key in init for value in values]

        def build(raw: bytes, name: str = name, init: dict = init, tensors: dict = tensors) -> None:
            try:
                key, value = json.loads(raw)
            except (ValueError, TypeError, RecursionError):
                return
            if not isinstance(key, str):
                return
            config = {"architecture": name, "name": None, "classes": None, "data": None, "preprocess": None}
            with bounded(tensors) as guard, checkpoint.plain_floats():
                guard.check(init | {key: value})
                checkpoint.build(config | {"init": init | {key: value}})

        chosen = random.Random(name).sample(seeds, min(len(seeds), count(3, 40)))
        attack("arguments of every architecture", count(0, 40), chosen, build)
