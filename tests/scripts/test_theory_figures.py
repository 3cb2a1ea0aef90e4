"""The pictures of the theory page on tiny settings, and the facts that they show."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "figures" / "theory.py"
    spec = importlib.util.spec_from_file_location("theory_figures", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_information_and_coding(figures, tmp_path):
    found = figures.information(tmp_path / "a.png", draws=40, betas=3, iterations=30)
    assert found["entropy"] == pytest.approx(0.7219, abs=1e-4) and found["critical beta"] == pytest.approx(
        2.7333, abs=1e-4
    )
    table = figures.coding(tmp_path / "b.png")
    assert all(back < shortest for shortest, back, _ in table.values())
    assert (tmp_path / "a.png").stat().st_size > 10_000 and (tmp_path / "b.png").stat().st_size > 10_000


def test_circuits_and_planes(figures, tmp_path):
    found = figures.written(tmp_path / "a.png")
    assert all(error <= bound + 1e-9 for bound, error in found["errors"].items())
    ways = figures.planes(tmp_path / "b.png", steps=4, every=2)
    assert len(ways["tanh"]["I(X;T)"]) == 6


def test_memories_and_maps(figures, tmp_path):
    assert figures.memories(tmp_path / "a.png", sizes=(60,), tested=4)["60"][0] > 0.9
    assert figures.maps(tmp_path / "b.png") == {"units": 400, "classes": 10}


def test_wide_networks_are_more_gaussian(figures, tmp_path):
    found = figures.processes(tmp_path / "a.png", paths=50, networks=150)
    assert found["kurtosis"][1] > found["kurtosis"][256] and found["drift"][16] > found["drift"][256]
