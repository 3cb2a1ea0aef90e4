"""A model of each family learns a small real set of its kind, from the command line to a folder that loads and verifies."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from datamodules.examples import write_example
from zoo.core.images import Transform
from zoo.core.module import ZooModule
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.train import finetuning

QUICK = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty real digits of two classes as image files."""
    root = tmp_path_factory.mktemp("digits")
    images, labels = sample_split("mnist")
    for digit, name in enumerate(("ring", "stroke")):
        (root / name).mkdir()
        for i, image in enumerate(images[labels == digit][:30]):
            Image.fromarray(image[0].numpy()).resize((30, 26)).save(root / name / f"{i}.png")
    return root


def learns(model: ZooModule, kind: str, root: Path, into: Path, **options: object) -> finetuning.FineTuned:
    """Fine-tune, and check what holds for every kind."""
    found = zoo.finetune(model, kind, root=root, into=into, trainer=QUICK, **({"epochs": 3} | options))
    loaded = found.model
    assert type(loaded) is type(model) and loaded.name == into.name and zoo.verify(into)
    assert found.before.keys() == found.after.keys() == (found.scratch or found.after).keys()
    kept = json.loads((into / "finetuning.json").read_text(encoding="utf-8"))
    assert kept["after"] == found.after and "finetuning.png" in (into / "README.md").read_text(encoding="utf-8")
    for file in into.iterdir():
        assert str(root.parent).encode() not in file.read_bytes(), f"{file.name} names a path of this machine"
    again = zoo.evaluate(into, zoo.datamodule(str(into), root=str(root)))
    for entry in again:
        assert entry["value"] == pytest.approx(found.after[entry["metric"]], rel=1e-4, abs=1e-6)
    assert not list(into.parent.glob(".*.run"))
    return found


@pytest.mark.parametrize(
    ("name", "init"),
    [
        ("vae", {"latent_dim": 4, "hidden": [16]}),
        ("autoencoder", {"latent_dim": 4}),
        ("gan", {"latent_dim": 4, "hidden": [16]}),
        ("ddpm", {"width": 8, "blocks": 1, "timesteps": 50}),
        ("nice", {"layers": 2, "hidden_dim": 16, "depth": 1}),
        ("pixelcnn", {"width": 4, "layers": 2, "levels": 8}),
    ],
)
@pytest.mark.parametrize("kind", ["image-folder", "unlabelled-folder"])
def test_generators_learn_folders_of_images(name, init, kind, digits, tmp_path):
    if kind == "unlabelled-folder" and name != "vae":
        pytest.skip("one is enough")
    torch.manual_seed(0)
    model = zoo.create(name, **init)
    model.name = f"{name}-mnist"
    learns(model, kind, digits, tmp_path / "mine", epochs=2, scratch=name in ("vae", "gan"))


def test_a_self_supervised_backbone_learns_both_kinds(digits, tmp_path):
    torch.manual_seed(0)
    model = zoo.create("rotnet", width=8, view_size=16).eval()
    model.transform, model.name = Transform([16, 16], "RGB", [0.0] * 3, [1.0] * 3), "rotnet-small"
    found = learns(model, "unlabelled-folder", digits, tmp_path / "turned", epochs=2, scratch=False)
    assert "loss" in found.after and found.model.head is None
    found = learns(found.model, "image-folder", digits, tmp_path / "named", epochs=2, scratch=False)
    assert found.model.classes == ["ring", "stroke"] and found.model.task == "image-classification"


def test_what_a_model_cannot_learn_from_is_said_with_what_it_can(digits, tmp_path):
    model = zoo.create("vae", latent_dim=4, hidden=[16])
    with pytest.raises(InputError, match=r"can't learn from tinyshakespeare: it learns from image-folder.*char-rnn"):
        zoo.finetune(model, "tinyshakespeare", into=tmp_path / "no")
    with pytest.raises(InputError, match=r"unlabelled-folder needs --data\.root"):
        zoo.finetune(model, "unlabelled-folder", into=tmp_path / "no")
    (tmp_path / "few").mkdir()
    with pytest.raises(InputError, match="holds 0 images"):
        zoo.finetune(model, "unlabelled-folder", root=tmp_path / "few", into=tmp_path / "no")
    with pytest.raises(InputError, match="draws one of 10 classes, the data has 2"):
        zoo.finetune(zoo.create("cvae", latent_dim=4, hidden=[16]), root=digits, into=tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_run_that_was_cut_goes_on(digits, tmp_path, monkeypatch):
    def small() -> ZooModule:
        torch.manual_seed(0)
        model = zoo.create("vae", latent_dim=4, hidden=[16])
        model.name = "vae-mnist"
        return model

    options = {"root": digits, "epochs": 3, "trainer": QUICK, "scratch": False, "patience": None}
    whole = zoo.finetune(small(), **options, into=tmp_path / "whole")
    monkeypatch.setattr(finetuning.Resume, "__init__", eager(finetuning.Resume.__init__))
    original = finetuning.checkpoint.write
    monkeypatch.setattr(finetuning.checkpoint, "write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        zoo.finetune(small(), **options, into=tmp_path / "cut")
    assert (tmp_path / ".cut.run" / "tuned.ckpt").exists() and not (tmp_path / "cut").exists()
    monkeypatch.setattr(finetuning.checkpoint, "write", original)
    resumed = zoo.finetune(small(), **options, into=tmp_path / "cut")
    assert resumed.after == pytest.approx(whole.after)


def eager(init):
    """Save the state after every epoch."""
    return lambda self, path, every_seconds=0.0: init(self, path, 0.0)


# A kind for each family ------------------------------------------------------------------------------------------------


def example(kind: str, folder: Path) -> Path:
    return write_example(kind, folder / "example")


def fresh(architecture: str, name: str, **init: object) -> ZooModule:
    torch.manual_seed(0)
    model = zoo.create(architecture, **init).eval()
    model.name = name
    return model


@pytest.mark.parametrize(
    ("architecture", "init"),
    [("gpt", {"context": 32, "layers": 1, "heads": 2, "width": 16}), ("char-rnn", {"width": 16, "embedding": 8})],
)
@pytest.mark.parametrize("kind", ["text-file", "text-folder"])
def test_character_models_learn_texts_and_take_new_characters(architecture, init, kind, tmp_path, capsys):
    if kind == "text-folder" and architecture == "gpt":
        pytest.skip("one is enough")
    characters = "\n !'(),-.:;?" + "".join(map(chr, [*range(65, 91), *range(97, 123)]))
    model = fresh(architecture, f"{architecture}-old", vocab_size=len(characters), **init)
    model.classes = list(characters)
    before = model.get_submodule("embedding").weight.detach().clone()
    found = learns(model, kind, example(kind, tmp_path), tmp_path / "mine", epochs=1)
    learnt = found.model
    assert "new character" in capsys.readouterr().out and found.better == {"nats_per_char": "lower"}
    assert learnt.classes[: len(characters)] == list(characters) and learnt.vocab_size == len(learnt.classes)
    assert found.after["nats_per_char"] < found.before["nats_per_char"]
    new = "é" if kind == "text-file" else learnt.classes[-1]
    assert new in learnt.classes and len(learnt.generate(f"T{new}", 5, seed=0)) == 5
    assert len(before) == len(characters)


def test_a_text_is_held_out_from_however_it_is_named(tmp_path):
    path = example("text-file", tmp_path)
    named = ({"root": str(path)}, {"path": str(path)}, {"root": str(path.parent), "path": path.name})
    sizes = [zoo.datamodule("text-file", **where).sizes() for where in named]
    assert sizes[0] == sizes[1] == sizes[2] and min(sizes[0].values()) > 1000


def test_new_characters_start_at_the_mean_and_old_answers_stay():
    model = fresh("gpt", "gpt-old", vocab_size=5, context=8, layers=1, heads=2, width=8, tied=True)
    model.classes = list("abcde")
    tokens = torch.tensor([[0, 1, 2, 3]])
    old, mean = model(tokens), model.embedding.weight.mean(0)
    model.add_characters(2)
    assert model.head.weight is model.embedding.weight and model.hparams["vocab_size"] == 7
    torch.testing.assert_close(model(tokens)[..., :5], old)
    torch.testing.assert_close(model.embedding.weight[5:], mean.expand(2, -1))


def test_a_masked_model_goes_on_with_a_text(tmp_path):
    from datamodules.gutenberg_pieces import learn_word_pieces

    path = example("text-file", tmp_path)
    tokenizer = learn_word_pieces([path.read_text(encoding="utf-8")], 300)
    model = fresh(
        "bert", "bert-old", vocab_size=300, context=16, layers=1, heads=2, width=16, tokenizer=tokenizer.to_str()
    )
    found = learns(model, "text-file", path, tmp_path / "mine", epochs=2)
    assert set(found.after) == {"nats", "accuracy"} and found.after["nats"] < found.before["nats"]


def test_a_text_classifier_takes_new_words_and_classes(tmp_path, capsys):
    model = fresh("rnn-classifier", "lstm-old", num_classes=3, vocab_size=6, embedding=16, width=16)
    model._take(["the", "film", "a", "is"])
    model.classes = ["x", "y", "z"]
    found = learns(model, "text-csv", example("text-csv", tmp_path), tmp_path / "mine", epochs=2)
    assert "new words" in capsys.readouterr().out and found.model.classes == ["negative", "positive"]
    assert found.model.hparams["vocabulary"][:4] == ["the", "film", "a", "is"]
    assert found.model.predict("a lovely film")[0][0] in ("negative", "positive")


def test_a_translator_learns_pairs(tmp_path):
    from datamodules.multi30k import learn_byte_pairs

    path = example("pairs-tsv", tmp_path)
    pairs = learn_byte_pairs(path.read_text(encoding="utf-8").splitlines(), 300)
    init = {"layers": 1, "heads": 2, "width": 16}
    model = fresh(
        "transformer", "transformer-old", vocab_size=300, tokenizer=pairs.to_str(), source="de", target="en", **init
    )
    found = learns(model, "pairs-tsv", path, tmp_path / "mine", epochs=3, lr=1e-2)
    assert found.after["nats_per_token"] < found.before["nats_per_token"]
    (tmp_path / "bad.tsv").write_text("nur eine Spalte\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1 of .* should be a sentence, a tab and its translation"):
        zoo.finetune(model, "pairs-tsv", root=tmp_path / "bad.tsv", into=tmp_path / "no")


def test_node_models_learn_a_graph_of_two_tables(tmp_path):
    model = fresh("gcn", "gcn-old", num_classes=7, in_channels=20, hidden_dim=16, normalize_features=False)
    found = learns(model, "graph-csv", example("graph-csv", tmp_path), tmp_path / "mine", epochs=40, patience=None)
    assert found.model.classes == ["blue", "green", "red"] and found.after["accuracy"] > 0.5
    folder = tmp_path / "example"
    (folder / "edges.csv").write_text("source,target\nn0,n99\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 2 of .* names the node 'n99', which nodes\.csv lacks"):
        zoo.datamodule("graph-csv", root=folder)


def test_a_molecule_model_learns_smiles(tmp_path):
    path = example("smiles-csv", tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write("C1CC,0.5\nCCO,\n")
    found = learns(fresh("mpnn", "mpnn-old", hidden_dim=16, rounds=2), "smiles-csv", path, tmp_path / "mine", epochs=8)
    assert found.after["mse"] < found.before["mse"]
    notes = zoo.datamodule("smiles-csv", root=path).notes
    assert len(notes) == 1 and notes[0].startswith("2 of 62 rows are left out: row 62 (")


def test_tables_are_regressed_and_classified(tmp_path):
    path = example("table-csv", tmp_path)
    found = learns(
        fresh("perceptron", "perceptron-old", rule="adaline"), "table-csv", path, tmp_path / "mine", epochs=20
    )
    assert found.model.classes == ["Iris-versicolor", "Iris-virginica"] and found.after["accuracy"] > 0.7
    rows = [f"{i},{'north' if i % 3 else 'south'},{'' if i == 7 else i * 2},{3 * i + (i % 3)}" for i in range(60)]
    (tmp_path / "prices.csv").write_text("size,place,rooms,price\n" + "\n".join(rows), encoding="utf-8")
    model = fresh("regression-mlp", "mlp-old", in_channels=8, hidden=[16])
    found = learns(model, "table-csv", tmp_path / "prices.csv", tmp_path / "prices", epochs=30)
    assert found.after["mse"] < found.before["mse"] and found.model.hparams["in_channels"] == 5
    notes = zoo.datamodule("table-csv", root=tmp_path / "prices.csv").notes
    assert notes == ["place: 2 categories (north, south)", notes[1]] and notes[1].startswith(
        "rooms: 1 of 60 values are missing"
    )
    with pytest.raises(InputError, match="predicts a quantity, the target place has the classes north, south"):
        zoo.finetune(
            model, "table-csv", root=tmp_path / "prices.csv", settings={"target": "place"}, into=tmp_path / "no"
        )
    with pytest.raises(InputError, match="has no column 'cost': it has size, place, rooms, price"):
        zoo.datamodule("table-csv", root=tmp_path / "prices.csv", target="cost")


def test_a_motif_model_learns_fasta_files(tmp_path):
    model = fresh("conv1d", "conv1d-old", num_classes=7, motifs=8, width=8, hidden_dim=0, dropout=0.0)
    found = learns(model, "dna-fasta", example("dna-fasta", tmp_path), tmp_path / "mine", epochs=4)
    assert found.better["auc"] == "higher" and found.model.classes == ["AP1"]
    (tmp_path / "bad.fa").write_text(">a\nACGX\n>b\nACGT\n>c\nACGT\n", encoding="utf-8")
    with pytest.raises(InputError, match="'X'"):
        zoo.datamodule("dna-fasta", root=tmp_path / "bad.fa")


def test_a_music_model_learns_midi_files(tmp_path):
    folder = example("midi-folder", tmp_path)
    found = learns(fresh("piano-roll-rnn", "lstm-old", width=16), "midi-folder", folder, tmp_path / "mine", epochs=2)
    assert found.after["nats_per_step"] < found.before["nats_per_step"]
    from datamodules.jsb_chorales import sample
    from datamodules.midi_folder import read_roll

    for path, roll in zip(sorted(folder.glob("*.mid")), sample(), strict=True):
        assert torch.equal(read_roll(path), roll), path
    (folder / "broken.mid").write_bytes(b"MThd")
    with pytest.raises(InputError, match=r"broken\.mid can't be read as MIDI"):
        zoo.datamodule("midi-folder", root=folder)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("text-csv", "", "is empty"),
        ("text-csv", "text,label\nhello,a\n", "the one class 'a'"),
        ("text-csv", "words,label\nhello,a\n", "has no column for the text .text or sentence"),
        ("text-csv", "text,label\nhello\n", "row 2 of .* has 1 cells, the header has 2"),
        ("table-csv", "a,a\n1,2\n", "must name every column, each once"),
        ("table-csv", "a,b\n1,\n2,3\n", "has 1 rows with a b"),
        ("smiles-csv", "smiles,x,y\nC,1,2\n", "several columns of numbers .x, y.* target="),
        ("dna-fasta", "ACGT\n", "first line should begin with '>'"),
        ("text-file", "abc", "too few to hold"),
        ("pairs-tsv", "a\tb\n", "holds 1 pairs"),
    ],
)
def test_each_kinds_wrong_file_is_one_sentence(kind, text, words, tmp_path):
    path = tmp_path / ("data.tsv" if kind == "pairs-tsv" else "data.csv")
    path.write_text(text, encoding="utf-8")
    more = {"tokenizer": tokenizer_of_bytes()} if kind == "pairs-tsv" else {}
    with pytest.raises(InputError, match=words) as caught:
        zoo.datamodule(kind, root=str(path), **more).setup()
    assert "\n" not in str(caught.value)
    with pytest.raises((InputError, FileNotFoundError), match="there is no f"):
        zoo.datamodule(kind, root=str(tmp_path / "nowhere"), **more)


def tokenizer_of_bytes() -> str:
    from datamodules.multi30k import learn_byte_pairs

    return learn_byte_pairs(["a b"], 260).to_str()


def test_a_masked_model_becomes_a_classifier_of_texts(tmp_path):
    from datamodules.gutenberg_pieces import learn_word_pieces

    path = example("text-csv", tmp_path)
    tokenizer = learn_word_pieces([path.read_text(encoding="utf-8")], 300)
    model = fresh(
        "bert", "bert-old", vocab_size=300, context=32, layers=1, heads=2, width=16, tokenizer=tokenizer.to_str()
    )
    found = zoo.finetune(model, "text-csv", root=path, into=tmp_path / "mine", epochs=2, trainer=QUICK)
    assert type(found.model).__name__ == "AdapterBERT" and found.model.classes == ["negative", "positive"]
    assert {"accuracy", "loss"} <= found.after.keys() == found.scratch.keys()
    assert found.model.predict("a film")[0][0] in ("negative", "positive")
    assert found.model.encode("a \u2603 film").tolist()[1] == 1  # the unknown, as in training
    with pytest.raises(InputError, match="replace it"):
        found.model.predict("\u2603")
    data = zoo.datamodule(str(tmp_path / "mine"), root=str(path))
    again = {entry["metric"]: entry["value"] for entry in zoo.evaluate(tmp_path / "mine", data)}
    assert again == pytest.approx(found.after, rel=1e-4)


def test_graphs_of_pyg_are_taken_as_they_are(tmp_path):
    from tests.batches import citations, small_graphs

    graph = citations(nodes=30)()
    del graph.train_mask
    model = fresh("gcn", "gcn-old", num_classes=7, in_channels=20, hidden_dim=8, normalize_features=False)
    found = zoo.finetune(model, graph, into=tmp_path / "nodes", epochs=3, trainer=QUICK, scratch=False)
    assert found.model.classes == ["0", "1", "2"] and found.model.in_channels == 9
    graphs = small_graphs()().to_data_list() * 3
    model = fresh("gin", "gin-old", num_classes=4, in_channels=3, hidden_dim=8, num_layers=2)
    found = zoo.finetune(model, graphs, into=tmp_path / "graphs", epochs=3, trainer=QUICK, scratch=False)
    assert found.model.classes == ["0", "1"] and "accuracy" in found.after
    for bad in (3, [1, 2], None):
        with pytest.raises(InputError, match="data is the name of a kind"):
            zoo.finetune(model, bad, into=tmp_path / "no")


def test_a_detector_keeps_classes_that_it_knows_in_its_order_and_forgets_others(tmp_path, capsys):
    root = example("box-folder", tmp_path)
    model = fresh("yolo", "yolo-old", num_classes=3, in_channels=3, widths=(4, 4), stem=8, depth=0)
    model.transform, model.classes = Transform([64, 64], "RGB", [0.5] * 3, [0.3] * 3), ["WBC", "RBC", "Platelets"]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    data = zoo.datamodule("box-folder", root=str(root), **model.data_settings("box-folder"))
    model.adapt_to(data)
    assert list(data.classes) == model.classes and "new tensors" not in capsys.readouterr().out
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model.classes = ["cat", "dog", "emu"]
    data = zoo.datamodule("box-folder", root=str(root), **model.data_settings("box-folder"))
    model.adapt_to(data)
    assert list(data.classes) == ["Platelets", "RBC", "WBC"] and "new tensors" in capsys.readouterr().out
    fresh_ones = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert fresh_ones and len(fresh_ones) < len(before) / 2
