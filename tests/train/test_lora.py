"""Fine-tuning by a low-rank change: little learns, and the result is an ordinary checkpoint."""

import pytest
import torch

import zoo
from zoo.errors import InputError
from zoo.train.finetuning import finetune
from zoo.train.finetuning_command import main

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    model = zoo.create("gpt", vocab_size=6, context=16, layers=1, heads=2, width=16)
    model.classes = list("abc de"[:6])
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "gpt-base")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("abc de " * 120)
    return path


def test_the_result_is_an_ordinary_model_that_differs_by_the_rank_alone(base, text, tmp_path):
    settings = {"batch_size": 8, "context": 16}
    options = {"epochs": 2, "lr": 0.01, "scratch": False, "trainer": QUIET}
    found = finetune(str(base), "text-file", root=text, settings=settings, into=tmp_path / "tuned", lora=2, **options)
    old, new = zoo.load(base).state_dict(), found.model.state_dict()
    assert old.keys() == new.keys()
    changed = {key for key in old if not torch.equal(old[key], new[key])}
    assert changed == {"blocks.0.attention.qkv.weight", "blocks.0.attention.out.weight"}
    for key in changed:
        assert torch.linalg.matrix_rank(new[key] - old[key], atol=1e-5) <= 2
    assert zoo.verify(found.folder)
    assert "--lora 2" in (found.folder / "provenance.json").read_text()


def test_a_rank_that_does_not_fit_and_other_modes_are_refused(base, text, tmp_path):
    for bad in ({"lora": 99}, {"lora": 2, "mode": "head"}, {"lora": 2, "freeze": ("blocks",)}):
        with pytest.raises(InputError):
            finetune(str(base), "text-file", root=text, into=tmp_path / "bad", trainer=QUIET, **bad)
    words = [
        str(base),
        "--data",
        "text-file",
        "--data.path",
        str(text),
        "--lora",
        "99",
        "--into",
        str(tmp_path / "bad"),
    ]
    assert main(words) == 2
