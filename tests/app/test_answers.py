"""What the app answers: each tab once, and a sentence for what can't work."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.app import answers
from zoo.core.samples import sample_split
from zoo.errors import InputError


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(sample_split("cifar10")[0][0].permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def board(picture, colour):
    """A board of 280 pixels with a digit [28, 28] as the ink, as Gradio gives it: RGBA, or black on a white ground."""
    ink = np.asarray(Image.fromarray(picture).resize((280, 280)))
    if colour == "alpha":
        return {"composite": np.dstack([np.zeros((280, 280, 3), np.uint8), ink])}
    return {"composite": np.dstack([255 - ink] * 3)}


@pytest.mark.parametrize("colour", ["alpha", "black"])
def test_a_drawn_digit_is_read_as_the_packaged_one(colour):
    images, labels = sample_split("mnist")
    chances = [answers.read_board("lenet5-mnist", board(image[0].numpy(), colour)) for image in images[:40]]
    assert np.mean([max(p, key=p.get) == str(int(n)) for p, n in zip(chances, labels, strict=False)]) > 0.9


def test_what_cannot_work_is_one_sentence(tmp_path, photo):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    calls = [
        (answers.classify, ("speednet-cifar10", None), "no picture yet"),
        (answers.classify, ("speednet-cifar10", str(text)), "text.png"),
        (
            answers.read_board,
            ("lenet5-mnist", {"composite": np.full((280, 280, 4), [255, 255, 255, 0], np.uint8)}),
            "empty",
        ),
        (answers.read_board, ("lenet5-mnist", {"composite": np.full((280, 280, 3), 255, np.uint8)}), "empty"),
        (answers.read_board, ("lenet5-mnist", None), "empty"),
        (answers.draw, ("consistency-mnist", 1000, 0), "from 1 to 64"),
        (answers.draw, ("consistency-mnist", None, 0), "from 1 to 64"),
        (answers.draw, ("consistency-mnist", 1, 0, "7"), "consistency-mnist|unconditional|labels"),
        (answers.draw, ("consistency-mnist", 1, 0, "any", "a seven"), "takes no words"),
        (lambda *a: list(answers.write(*a)), ("gpt-xor", " ", 5, 1.0, 0), "is empty"),
        (lambda *a: list(answers.write(*a)), ("gpt-xor", "01", 5, 1.0, -1), "seed"),
        (answers.translate, ("transformer-multi30k", "x" * 501, 5), "501 characters"),
        (answers.compose, ("music-transformer-chorales", 0, 1.0, 0), "from 1 to 128"),
        (answers.explain, ("resnet20-cifar10", photo, "tea-leaves"), "tea-leaves"),
        (answers.play, ("value-iteration-frozenlake", 0, 0), "from 1 to 20"),
    ]
    for call, arguments, said in calls:
        with pytest.raises(InputError, match=said) as error:
            call(*arguments)
        assert "\n" not in str(error.value)


def test_tabs_answer(photo):
    assert sum(answers.classify("speednet-cifar10", photo).values()) <= 1.001
    assert Image.open(answers.draw("cgan-mnist", 2, 0, "7")).size[0] > 100
    assert list(answers.write("gpt-xor", "01", 6, 0.0, 0))[-1].startswith("01")
    keys, (rate, values), file = answers.compose("lstm-chorales", 4, 1.0, 0)
    assert keys.size == (32, 352) and len(values) == 4 * int(rate * answers.SECONDS) and file.endswith(".mid")
    assert Image.open(answers.explain("resnet20-cifar10", photo, "saliency")).size[0] > 30
    picture, returns = answers.play("value-iteration-frozenlake", 2, 0)
    assert picture.endswith(".gif") and "2 episodes" in returns


def test_sound_has_the_pitch_of_its_key():
    roll = torch.zeros(3, 88, dtype=torch.bool)
    roll[:, 48] = True
    values = answers.sound(roll).astype(float)
    loudest = np.abs(np.fft.rfft(values)).argmax() * answers.RATE / len(values)
    assert abs(loudest - 440) < 2


def test_every_tab_has_models():
    for verb in ("predict", "sample", "stream", "translate", "compose", "play"):
        assert answers.names(verb)
