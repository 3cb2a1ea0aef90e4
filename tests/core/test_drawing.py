"""Texts as pictures: lines break where a reader expects it."""

import pytest
from PIL import Image

from zoo.core.drawing import draw_text, wrapped


def test_a_long_line_breaks_between_words_and_keeps_its_indent():
    line = "    " + "word " * 30 + "end"
    parts = wrapped(line, 80)
    assert all(len(part) <= 80 and part.startswith("    word") for part in parts[:-1])
    assert " ".join(" ".join(parts).split()) == " ".join(line.split())


@pytest.mark.parametrize("line", ["", "a  b   c", "  indented", "x" * 80])
def test_a_short_line_stays_as_it_is(line):
    assert wrapped(line, 80) == [line]


def test_a_word_that_fits_no_line_is_cut():
    assert wrapped("x" * 100, 80) == ["x" * 80, "x" * 20]
    deep = wrapped(" " * 100 + "x" * 100, 80)  # the indent never takes the whole line
    assert "".join("".join(deep).split()) == "x" * 100 and max(map(len, deep)) <= 80


def test_every_line_has_its_place_in_the_picture(tmp_path):
    heights = []
    for name, text in (("one", "word"), ("two", "word\n\nword"), ("long", "word " * 100)):
        with Image.open(draw_text(text, tmp_path / f"{name}.png")) as picture:
            heights.append(picture.height)
    assert heights[0] < heights[1] < heights[2]
