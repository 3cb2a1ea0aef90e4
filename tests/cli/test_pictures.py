"""zoo segment and zoo detect: drawings, summary lines, and refusals before any work."""

import numpy as np
import pytest
from PIL import Image

from zoo.cli.main import main
from zoo.core.samples import picture_sample


@pytest.fixture
def cells(tmp_path):
    pictures, _ = picture_sample("nuclei")
    for i in range(2):
        Image.fromarray(pictures[i, 0].numpy()).save(tmp_path / f"cells{i}.png")
    return tmp_path


def test_segment_counts_and_draws(cells, capsys):
    assert (
        main(
            [
                "segment",
                "unet-nuclei",
                str(cells / "cells0.png"),
                str(cells / "cells1.png"),
                "-o",
                str(cells / "out"),
                "--map",
            ]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "nucleus" in lines[0] and "% of the pixels" in lines[0]
    assert Image.open(cells / "out" / "cells0.segmented.png").size == (256, 256)
    numbers = np.array(Image.open(cells / "out" / "cells0.segmented.map.png"))
    assert f" {numbers.max()} × nucleus" in lines[0]
    assert main(["segment", "unet-nuclei", str(cells / "cells0.png"), "-o", str(cells / "one.png")]) == 0
    assert (cells / "one.png").exists()


def test_what_cannot_be_done_is_said_first(cells, capsys):
    for arguments, word in (
        (["segment", "unet-nuclei", str(cells / "no.png")], "no file"),
        (["segment", "unet-nuclei", str(cells / "cells0.png"), "-o", str(cells / "a.gif")], "must end with .png"),
        (
            ["segment", "unet-nuclei", *[str(cells / f"cells{i}.png") for i in (0, 1)], "-o", str(cells / "a.png")],
            "name a folder",
        ),
        (["segment", "lenet5-mnist", str(cells / "cells0.png")], "doesn't segment"),
        (["detect", "unet-nuclei", str(cells / "cells0.png")], "doesn't detect"),
    ):
        assert main(arguments) == 2
        assert word in capsys.readouterr().err
