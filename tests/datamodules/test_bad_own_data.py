"""What is wrong with a person's own data is one sentence, for every kind: nothing there, nothing in it, noise, half a file."""

import shutil

import pytest

import zoo
from datamodules.examples import EXAMPLES, write_example
from zoo.errors import ZooError

CUT_IS_FINE = {"text-file", "text-folder", "pairs-tsv", "wav-folder"}  # half of a text is a text


def read(kind, root):
    more = {}
    if kind == "pairs-tsv":
        from datamodules.multi30k import learn_byte_pairs

        more = {"tokenizer": learn_byte_pairs(["a b c", "d e f"], 300).to_str()}
    data = zoo.datamodule(kind, root=str(root), **more)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    next(iter(data.train_dataloader()))


def refused(kind, root):
    with pytest.raises(ZooError) as caught:
        read(kind, root)
    said = str(caught.value)
    assert "\n" not in said and " no a " not in said and not said.endswith(": ")
    return said


@pytest.mark.filterwarnings("ignore:.*are skipped")
@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_kind_says_what_is_wrong(kind, tmp_path):
    assert str(tmp_path / "nowhere") in refused(kind, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(kind, tmp_path / "empty")
    for name, raw in (
        ("noise.csv", bytes(range(256)) * 4),
        ("zero.csv", b""),
        ("prose.csv", b"It was the best of times.\n"),
    ):
        (tmp_path / name).write_bytes(raw)
        refused(kind, tmp_path / name)
    root = write_example(kind, tmp_path / "example")
    read(kind, root)
    folder = tmp_path / "cut"
    shutil.copytree(root if root.is_dir() else root.parent, folder)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    damaged = folder if root.is_dir() else folder / root.name
    if kind not in CUT_IS_FINE:
        refused(kind, damaged)
