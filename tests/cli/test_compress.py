"""`zoo compress` and `zoo decompress`: files to bytes to the same black and white images."""

import numpy as np
import pytest
from PIL import Image

from zoo.cli.main import main
from zoo.core.samples import sample_split

pytest.importorskip("constriction")


def test_a_folder_comes_back_black_and_white(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    digits = sample_split("mnist")[0][:5, 0]
    for i, digit in enumerate(digits):
        Image.fromarray(digit.numpy()).save(folder / f"{i}.png")
    message = tmp_path / "digits.zoo"
    assert main(["compress", str(folder), "-o", str(message)]) == 0 and "5 images" in capsys.readouterr().out
    assert main(["decompress", str(message), "-o", str(tmp_path / "again")]) == 0
    found = [np.asarray(Image.open(file).convert("L")) for file in sorted((tmp_path / "again").iterdir())]
    for image, digit in zip(found, digits, strict=True):
        np.testing.assert_array_equal(image > 127, digit.numpy() > 127)


def test_what_can_not_be_done_is_said_before_the_work(tmp_path, capsys):
    for arguments, word in (
        (["compress", str(tmp_path / "none.png")], "no file or folder"),
        (["compress", str(tmp_path)], "holds no image"),
        (["compress", str(tmp_path), "-o", "digits.zip"], "must end with"),
        (["decompress", str(tmp_path / "none.zoo")], "no file"),
    ):
        assert main(arguments) == 2 and word in capsys.readouterr().err
