"""A process that was told to keep its memory gets the same pages again."""

import sys

import pytest

from tests import snippets

ALLOCATE = """
import resource, torch
from zoo.core.allocator import keep_freed_memory

if {keep}:
    print("taken" if keep_freed_memory() else "not taken")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)  # 64 MiB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an option of glibc")
def test_freed_memory_comes_back_without_new_pages(tmp_path):
    def output(*, keep: bool) -> list[str]:
        return snippets.run(ALLOCATE.format(keep=keep), tmp_path).split("\n")[:-1]

    pages = 10 * 2**26 // 4096
    if int(output(keep=False)[-1]) < 0.9 * pages:
        pytest.skip("this system has larger pages, or keeps them by itself")
    taken, faults = output(keep=True)
    if taken == "not taken":
        pytest.skip("not glibc")
    assert int(faults) < 0.5 * pages  # the heap needs a few blocks until it has one of the right size


def test_other_c_libraries_are_left_alone(monkeypatch):
    from zoo.core import allocator as memory

    def no_library(_):
        raise OSError("no such library")

    monkeypatch.setattr(memory.ctypes, "CDLL", no_library)
    assert not memory.keep_freed_memory()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()
