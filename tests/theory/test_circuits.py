"""Written-down networks: every Boolean function, polygons, and staircases within their error."""

import itertools
import math

import pytest
import torch

from zoo.errors import InputError
from zoo.theory import circuits

INPUTS = {n: torch.tensor(list(itertools.product((-1.0, 1.0), repeat=n)), dtype=torch.float64) for n in (2, 3, 4)}


def test_all_functions_of_two_and_three_bits():
    for n in (2, 3):
        for table in itertools.product((-1, 1), repeat=2**n):
            assert circuits.sign_network(table)(INPUTS[n]).tolist() == list(table)


def test_random_functions_of_four_bits_and_the_printed_offset():
    generator, wrong = torch.Generator().manual_seed(0), 0
    for _ in range(100):
        table = (2 * torch.randint(2, (16,), generator=generator) - 1).tolist()
        net = circuits.sign_network(table)
        assert net(INPUTS[4]).tolist() == table
        wrong += circuits.SignNet(net.weight, 3.0)(INPUTS[4]).tolist() != table  # n − 1, as printed
    assert wrong > 80


def test_a_function_a_mapping_and_bits_give_the_same_network():
    xor = circuits.sign_network(lambda a, b: -a * b, inputs=2)
    expected = [-1, 1, 1, -1]
    assert xor(INPUTS[2]).tolist() == expected == circuits.sign_network([0, 1, 1, 0])(INPUTS[2]).tolist()
    mapping = {tuple(int(v) for v in x): y for x, y in zip(INPUTS[2].tolist(), expected, strict=True)}
    assert circuits.sign_network(mapping)(INPUTS[2]).tolist() == expected


def test_a_triangle_and_its_mirror_image():
    corners = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]
    x = [[0.5, 0.5], [1.5, 1.5], [-0.1, 0.5], [0.0, 0.0], [1.0, 1.0]]
    for order in (corners, corners[::-1]):
        assert circuits.polygon(order)(x).tolist() == [1, 0, 0, 1, 1]


def test_a_staircase_keeps_its_error():
    for error in (0.3, 0.05):
        net = circuits.staircase(math.sin, 0.0, 6.0, slope=1.0, error=error)
        x = torch.linspace(0, 6, 2001, dtype=torch.float64)
        assert (net(x) - x.sin()).abs().max() <= error + 1e-9


def test_bad_input():
    for table in ([1, 1, 1], [], [1, 2]):
        with pytest.raises(InputError):
            circuits.sign_network(table)
    with pytest.raises(InputError, match="turn one way"):
        circuits.polygon([[0, 0], [1, 1], [1, 0], [0, 1]])
    with pytest.raises(InputError, match="−1 or"):
        circuits.sign_network([1, -1])([[0.5]])
    with pytest.raises(InputError, match="slope"):
        circuits.staircase(math.sin, 0, 1, 0, 0.1)
