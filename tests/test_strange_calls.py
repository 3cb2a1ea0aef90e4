"""What people type from habit: keywords of other libraries, devices that aren't there, single inputs, paths, lists, bytes."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from datamodules.formats.midi import KEYS, write_midi
from tests.conftest import ROOT
from tests.tiny import TINY
from zoo.cli.main import main
from zoo.core.images import Transform, as_images
from zoo.errors import CheckpointError, InputError
from zoo.index import Metric, digest_of, tidy

CHECKPOINTS = ROOT / "checkpoints"


def tiny(name: str):
    torch.manual_seed(0)
    return zoo.create(name, **TINY[name].init).eval()


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


# Keywords, names, devices ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: zoo.load("lenet5-mnist", num_clases=3), "did you mean num_classes"),
        (lambda: zoo.load("lenet5-mnist", map_location="cpu"), "did you mean device"),
        (lambda: zoo.load("vae-mnist", latent_dim=64), r"zoo\.create\('vae', latent_dim=64\)"),
        (lambda: tiny("ddpm").sample(1, num_inference_steps=3), "did you mean steps"),
        (lambda: tiny("vae").sample(1, generator=None), "did you mean seed"),
        (lambda: tiny("gpt").generate("a", max_new_tokens=3), "did you mean n"),
        (lambda: tiny("lenet5").predict(torch.zeros(1, 28, 28), topk=2), "did you mean top"),
        (lambda: tiny("gcn").embed(None, levl="node"), "did you mean level"),
        (lambda: zoo.load("lenet5-mnist", device="cuda:7"), "can't be used here"),
        (lambda: zoo.load("lenet5-mnist", device="gpu"), "can't be used here"),
        (lambda: zoo.load("lenet5-mnist", device=3.5), "can't be used here"),
    ],
)
def test_what_was_meant_is_said(call, hint):
    with pytest.raises(InputError, match=hint) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_type_error_of_another_kind_stays_one():
    with pytest.raises(TypeError):
        tiny("vae").sample()


@pytest.mark.parametrize("seed", [1.5, "1", True, 2**64])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match="seed must be a whole number"):
        tiny("vae").sample(1, seed=seed)


def test_numbers_print_with_the_digits_that_they_have():
    value = torch.tensor(0.995).item()
    assert value != 0.995 and tidy(value) == 0.995
    assert tidy(0.1) == 0.1 and tidy(1 / 3) == 1 / 3 and tidy(float("nan")) != 0 and tidy(3) == 3
    assert zoo.info("lenet5-mnist").metric("accuracy") == float(f"{zoo.info('lenet5-mnist').metric('accuracy'):.4g}")
    assert "0.995 " in Metric("d", "test", "m", 0.995, "how").spread + " "


def test_verify_knows_the_order_of_the_classes(tmp_path):
    folder = shutil.copytree(CHECKPOINTS / "lenet5-mnist", tmp_path / "lenet5-mnist")
    assert zoo.verify(folder)
    config = json.loads((folder / "config.json").read_text())
    config["classes"] = config["classes"][::-1]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="names the classes otherwise"):
        zoo.verify(folder)
    assert digest_of(None) == "" and digest_of(["a", "b"]) != digest_of(["b", "a"])


@pytest.mark.parametrize("name", ["lstm-names", "conv1d-tfbs"])
def test_classifiers_of_texts_and_dna_take_a_new_head(name, capsys):
    model = zoo.load(name, num_classes=np.int64(4))
    text = "Smith" if name == "lstm-names" else "ACGT" * 26
    assert model.predict_proba([text]).shape == (1, 4) and model.classes is None
    assert "new tensors" in capsys.readouterr().out


def test_a_notebook_shows_what_a_model_is():
    shown = zoo.load("lenet5-mnist")._repr_html_()
    assert "lenet5-mnist" in shown and "accuracy" in shown and "trainable parameters" in shown and "Conv2d" in shown
    fresh = tiny("vae")
    assert fresh.card is None and "fresh weights" in fresh._repr_html_()
    assert not [name for name in dir(fresh) if not name.startswith("_") and not readable(fresh, name)]


def readable(model: object, name: str) -> bool:
    """Whether a tool that walks all attributes gets through."""
    try:
        getattr(model, name, None)
    except RuntimeError as error:  # Lightning's own, where there is no Trainer yet
        return "Trainer" in str(error) or "trainer" in str(error)
    return True


# Inputs ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vae", "autoencoder", "ppca", "realnvp-image", "vqvae", "kl-ae"])
def test_codes_of_whatever_predict_takes(name, photo):
    model = tiny(name)
    shape = model.image_shape
    picture = Image.open(photo)
    one = as_images(photo, shape)
    assert one.shape == (1, *shape)
    expected = model.encode(one)
    for same in (str(photo), picture, np.array(picture), [photo], one[0], one.numpy(), one.numpy()[0]):
        torch.testing.assert_close(model.encode(same), expected)
    bytes_ = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    torch.testing.assert_close(model.encode(bytes_), model.encode(bytes_.float() / 255))
    assert model.encode([photo, picture]).shape[0] == 2
    if hasattr(model, "reconstruct"):
        assert model.reconstruct(photo).shape == (1, *shape)
    for bad in (3, None, [], "nowhere.png", torch.rand(2, 3, 4), {"a": 1}):
        with pytest.raises(InputError):
            model.encode(bad)


@pytest.mark.parametrize("name", ["vae", "autoencoder", "realnvp-image", "vqvae", "score-sde"])
def test_a_path_between_two_images_however_they_come(name, photo):
    model = tiny(name)
    a, b = torch.rand(2, *model.image_shape)
    path = model.interpolate(a, b, steps=3)
    assert path.shape == (3, *model.image_shape)
    if name in ("realnvp-image", "score-sde"):
        torch.testing.assert_close(model.interpolate(a[None], b[None], steps=3), path)
    else:  # batches give a path each
        torch.testing.assert_close(model.interpolate(a[None], b[None], steps=3), path[None])
    assert model.interpolate(photo, b, steps=np.int64(2)).shape == (2, *model.image_shape)
    with pytest.raises(InputError):
        model.interpolate(a, torch.rand(2, *model.image_shape))


def test_likelihoods_of_lists_and_bytes(photo):
    flow = tiny("realnvp")
    torch.testing.assert_close(flow.log_prob([[0, 1], [2, 3]]), flow.log_prob(torch.tensor([[0.0, 1], [2, 3]])))
    torch.testing.assert_close(flow.log_prob(np.zeros((2, 2))), flow.log_prob(torch.zeros(2, 2)))
    for bad in ([[0.0], [1.0, 2.0]], "points", [[None, 1.0]], torch.zeros(2, 2, dtype=torch.complex64)):
        with pytest.raises(InputError):
            flow.log_prob(bad)
    for name in ("pixelcnn", "ppca"):
        model = tiny(name)
        assert model.log_prob(photo).shape == (1,)
        assert model.log_prob(torch.zeros(2, *model.image_shape, dtype=torch.uint8)).shape == (2,)


@pytest.mark.parametrize("name", ["music-transformer", "piano-roll-rnn"])
def test_music_goes_on_from_a_file(name, tmp_path):
    pytest.importorskip("mido")
    model, roll = tiny(name), torch.zeros(4, KEYS, dtype=torch.bool)
    roll[:, 40] = True
    path = write_midi(roll, tmp_path / "x.mid")
    expected = model.compose(3, primer=roll, seed=0)
    for same in (path, str(path), roll.numpy(), roll.int().tolist()):
        assert torch.equal(model.compose(3, primer=same, seed=0), expected)
    torch.testing.assert_close(model.log_prob(path), model.log_prob(roll))
    for bad in (tmp_path / "no.mid", [[1, 2]], "x", torch.full((2, KEYS), 0.5)):
        with pytest.raises(InputError):
            model.compose(3, primer=bad)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((28, 28), None),
        ((60, 56), None),
        ((28, 28 * 3), "stretched to 28 × 28"),
        ((28 * 5, 28 * 4), "one object"),
        ((5, 5), "one object"),
    ],
)
def test_pictures_that_can_not_be_meant_get_a_warning(size, said):
    transform = Transform([28, 28], "L", [0.0], [1.0])
    picture = np.zeros(size, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transform.pixels(picture)  # what data modules call for folders of any size
        if said is None:
            transform(picture)
    if said:
        with pytest.warns(UserWarning, match=said):
            transform(picture)


@pytest.mark.parametrize("name", ["latent-diffusion", "text-ldm", "value-iteration"])
def test_models_that_look_at_all_data_say_so_where_there_is_none(name, tmp_path):
    import lightning as L
    from torch.utils.data import DataLoader

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    with pytest.raises(InputError, match="datamodule="):
        trainer.fit(zoo.create(name, **TINY[name].init), DataLoader([TINY[name].batch()], batch_size=None))


def test_transparent_parts_are_white_and_said_so():
    ink = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    ink.putpixel((4, 4), (0, 0, 0, 255))
    transform = Transform([9, 9], "L", [0.0], [1.0])
    with pytest.warns(UserWarning, match="taken as white"):
        x = transform(ink)
    assert x[0, 4, 4] == 0 and x.sum() == 80
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transform(Image.new("RGBA", (9, 9), (1, 2, 3, 255)))


def test_arrays_of_objects_hold_numbers_or_are_refused():
    grey = np.arange(81, dtype=np.uint8).reshape(9, 9)
    transform = Transform([9, 9], "L", [0.0], [1.0])
    torch.testing.assert_close(transform(grey.astype(object)), transform(grey))
    torch.testing.assert_close(transform((grey / 255).astype(object)), transform(grey))
    for bad in (np.array([[None, 1]], dtype=object), np.array([["a"]], dtype=object), np.array([[1, 2]], dtype="U1")):
        with pytest.raises(InputError):
            transform(bad)


def test_a_part_of_a_name_finds_the_names_that_hold_it():
    with pytest.raises(LookupError, match=r"no data module.* named 'csv'.*Did you mean .*table-csv"):
        zoo.datamodule("csv")


def test_two_passes_over_a_loader_shuffle_anew():
    data = zoo.datamodule("xor")
    data.setup("fit")
    from datamodules.base import TensorLoader

    x = torch.arange(40, dtype=torch.uint8).reshape(40, 1, 1, 1)
    loader = TensorLoader(x, torch.arange(40), 10, mean=[0.0], std=[1.0], shuffle=True)
    passes = [torch.cat([y for _, y in loader]).tolist() for _ in range(3)]
    assert passes[0] != passes[1] != passes[2] and all(sorted(order) == list(range(40)) for order in passes)
    loader.set_epoch(1)  # as Lightning says it
    assert torch.cat([y for _, y in loader]).tolist() == passes[1]


# The command -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["perceptron-iris", "5.1,1.4", "6.0 5.1"], 2),
        (["linear-regression-concrete", "540,0,0,162,2.5,1040,676,28"], 1),
        (["mlp-xor", "0,1", "1,1"], 2),
        (["lstm-names", "Smith", "Kowalski"], 2),
        (["conv1d-tfbs", "ACGT" * 25 + "A"], 1),
        (["mpnn-esol", "CCO", "c1ccccc1"], 2),
    ],
)
def test_predict_answers_for_every_kind(arguments, rows, capsys):
    assert main(["predict", *arguments]) == 0
    assert len(capsys.readouterr().out.splitlines()) == rows


def test_predict_reads_files_of_rows_and_texts(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("petal length,petal width\n5.1,1.4\n\n6.0,2.5\n")
    (tmp_path / "a.txt").write_text("\ufeffSmith\n\nKowalski\n")
    assert main(["predict", "perceptron-iris", str(tmp_path / "a.csv")]) == 0
    assert main(["predict", "lstm-names", str(tmp_path / "a.txt"), "--top", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["perceptron-iris", "a,b"], "a row is numbers with commas"),
        (["perceptron-iris", "1,2,3"], "2 numbers a row"),
        (["perceptron-iris", "no.csv"], "there is no file"),
        (["lenet5-mnist", "no.png"], "there is no file 'no.png'"),
        (["gcn-karate", "x"], "takes graphs, which a command line can't hold"),
        (["gan-ring", "x"], "doesn't answer to an input"),
        (["mpnn-esol", "C(("], "C(("),
    ],
)
def test_predict_says_what_is_wrong(arguments, said, capsys):
    assert main(["predict", *arguments]) == 2
    assert said in capsys.readouterr().err
