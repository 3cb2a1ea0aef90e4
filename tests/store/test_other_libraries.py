"""The lines for other libraries run as they stand on the cards, and do what the sentence above them says."""

import re

import pytest
import torch

from tests import published
from tests.sweeps import by_size, large, some
from zoo.paths import CHECKPOINTS
from zoo.store import cards, int8
from zoo.store.folder import read_tensors

FOLDERS = published.folders()
BLOCK = re.compile(r"```python\n(.*?)```", re.S)
BLOCKS = {name: BLOCK.findall(cards.other_libraries(folder)) for name, folder in FOLDERS.items()}
CAPTUM = {  # an example of each architecture, a big network beside a small one
    folder.config["architecture"]: name
    for name, folder in sorted(FOLDERS.items())
    if any("captum" in b for b in BLOCKS[name])
}

WITH_DIFFUSERS = [name for name, blocks in BLOCKS.items() if any("diffusers" in b for b in blocks)]


def architecture(name: str) -> str:
    return FOLDERS[name].config["architecture"]


def run(code, name, monkeypatch):
    monkeypatch.chdir(CHECKPOINTS / name)
    space: dict = {}
    exec(compile(code, f"{name}/README.md", "exec"), space)
    return space


@pytest.mark.parametrize("name", [name for name, blocks in BLOCKS.items() if any("import to_" in b for b in blocks)])
def test_the_network_of_another_library_gives_the_same(name, monkeypatch):
    code = next(block for block in BLOCKS[name] if "import to_" in block)
    if "transformers" in code:
        pytest.importorskip("transformers")
    space = run(code, name, monkeypatch)
    model, net = space["model"], space["net"]
    given = model.golden_inputs()
    with torch.no_grad():
        if "to_transformers" in code:
            tokens = given["tokens"][:, : model.context]
            pairs = [(net(tokens).logits, model(tokens))]
            if "batch" in space:
                real = space["batch"]["attention_mask"].bool()
                pairs.append((space["logits"][real], model(space["batch"]["input_ids"], real)[real]))
        elif "to_pyg" in code:
            x, edges = given["x"], given["edge_index"]
            x = x.to_dense() if x.layout is not torch.strided else x
            pairs = [(net(x, edges), model(x, edges))]
        else:
            x = model.transform(given["image"])
            pairs = [(net(x), model(x))]
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", some(WITH_DIFFUSERS, architecture, few=1))
def test_a_scheduler_of_diffusers_draws_the_same(name, monkeypatch):
    pytest.importorskip("diffusers")
    space = run(next(block for block in BLOCKS[name] if "diffusers" in block), name, monkeypatch)
    model = space["model"]
    start = torch.randn(2, *model.image_shape, generator=torch.Generator().manual_seed(0))
    wanted = model.trajectory(start, sampler="ddim", steps=10)[-1]
    torch.testing.assert_close(space["x"], wanted, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("name", some(by_size(CAPTUM.values()), large, few=1))
def test_integrated_gradients_are_complete(name, monkeypatch):
    pytest.importorskip("captum")
    space = run(next(block for block in BLOCKS[name] if "captum" in block), name, monkeypatch)
    model, x = space["model"], space["x"]
    with torch.no_grad():
        difference = (model(x) - model(torch.zeros_like(x)))[0, 0]
    from captum.attr import IntegratedGradients

    found = space["attribution"].sum()
    assert space["attribution"].shape == x.shape
    torch.testing.assert_close(found, (difference + space["error"][0]).to(found.dtype), rtol=1e-2, atol=1e-3)
    more = IntegratedGradients(model).attribute(x, target=0, n_steps=150, internal_batch_size=100).sum()
    torch.testing.assert_close(more, difference.to(more.dtype), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", [n for n, f in FOLDERS.items() if f.config["weights"]["dtype"] == "int8"])
def test_the_lines_that_make_float32_of_int8_give_what_loading_gives(name, monkeypatch):
    assert int8.LINES + "\n" in BLOCKS[name]
    found = run(int8.LINES, name, monkeypatch)["tensors"]
    wanted = int8.unpack(read_tensors(CHECKPOINTS / name / "model.safetensors"))
    assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_new_int8_files_say_so(tmp_path):
    from safetensors import safe_open

    from zoo.store.folder import weights_bytes

    (tmp_path / "w.safetensors").write_bytes(weights_bytes(torch.nn.Linear(128, 64), torch.int8))
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", **int8.METADATA}


@pytest.mark.parametrize("name", [name for name in FOLDERS if (CHECKPOINTS / name / "tokenizer.json").is_file()])
def test_word_pieces_fill_up_in_transformers(name):
    transformers = pytest.importorskip("transformers")
    words = transformers.PreTrainedTokenizerFast.from_pretrained(CHECKPOINTS / name)
    batch = words(["a", "a longer text than that"], padding=True, return_tensors="pt")
    assert batch["input_ids"].shape[0] == 2 and batch["attention_mask"][0].sum() < batch["attention_mask"].shape[1]
    masks = architecture(name) in ("bert", "adapter-bert")  # an adapted language model keeps its pieces
    assert words.pad_token_id == 0 and (words.mask_token_id == 2) == masks
