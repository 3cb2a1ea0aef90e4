"""Names: the likelihood sums to one, ends are learnt, the 3-gram is counted right, and what is refused."""

import itertools
import math

import pytest
import torch

from datamodules.first_names import FirstNames, NameRows, rows_of
from datamodules.text import IGNORED
from zoo.errors import InputError
from zoo.models.recurrent.names import NameRNN, Trigram

CHARACTERS = ("\n", "a", "b")


def model() -> NameRNN:
    torch.manual_seed(0)
    small = NameRNN(3, 8, embedding=4).eval()
    small.classes = list(CHARACTERS)
    return small


def test_rows_frame_each_name():
    assert rows_of(["ab", "b"], CHARACTERS).tolist() == [[0, 1, 2, 0], [0, 2, 0, -1]]
    x, y = NameRows(rows_of(["ab", "b"], CHARACTERS), 2, shuffle=False).batch(0, 0)
    assert x.tolist() == [[0, 1, 2], [0, 2, 0]] and y.tolist() == [[1, 2, 0], [2, 0, IGNORED]]


def test_probabilities_of_all_short_names_and_of_what_goes_on_make_one():
    net = model()
    names = ["".join(letters) for n in (1, 2, 3) for letters in itertools.product("ab", repeat=n)]
    finished = (-net.name_nats(names)).exp().sum().item()
    empty, _ = net.step(torch.tensor([[0]]))
    finished += empty[0, -1].softmax(0)[0].item()
    longer = sum(
        math.exp(-net.name_nats(name).item()) / net(net.tokens("\n" + name)[None])[0, -1].softmax(0)[0].item()
        * net(net.tokens("\n" + name)[None])[0, -1].softmax(0)[1:].sum().item()
        for name in names
        if len(name) == 3
    )  # fmt: skip
    assert finished + longer == pytest.approx(1, abs=1e-5)


def test_a_name_alone_and_in_a_list_has_the_same_likelihood():
    net = model()
    torch.testing.assert_close(net.name_nats(["ab", "b", "abba"])[1:2], net.name_nats("b"))


def test_made_up_names_begin_as_asked_and_follow_the_seed():
    net = model()
    names = net.names(20, start="ab", seed=1)
    assert all(name.startswith("ab") and "\n" not in name for name in names)
    assert names == net.names(20, start="ab", seed=1) != net.names(20, start="ab", seed=2)


def test_trigram_counts():
    counted = Trigram(["ab", "aa"], "\nab", k=1.0)
    assert counted.probability("\n\n", "a") == pytest.approx(3 / 5)
    assert counted.probability("\na", "b") == pytest.approx(2 / 5)
    assert counted.nats("ab") == pytest.approx(-math.log(3 / 5 * 2 / 5 * 2 / 4))
    assert sum(counted.probability("\na", c) for c in CHARACTERS) == pytest.approx(1)
    assert Trigram(["ab"] * 50, "\nab").choose(["ab"]).k == 0.003


def test_what_makes_no_sense_is_refused():
    for bad in ("", [], [""]):
        with pytest.raises(InputError, match="at least one letter"):
            model().name_nats(bad)
    with pytest.raises(InputError, match="line break"):
        model().names(2, start="a\n")
    with pytest.raises(InputError, match="k must"):
        Trigram([], "ab", k=0)
    with pytest.raises(InputError, match="'train'"):
        FirstNames().words("all")


@pytest.mark.data("first-names")
def test_the_split_is_disjoint_and_complete():
    data = FirstNames()
    parts = {part: data.words(part) for part in data.counts}
    assert {part: len(names) for part, names in parts.items()} == data.counts
    assert len(set().union(*parts.values())) == sum(data.counts.values()) == 29_494
