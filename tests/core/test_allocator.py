"""A process that was told to keep its memory gets the same pages again."""

import subprocess
import sys

import pytest

ALLOCATE = """
import resource, sys, torch
from zoo.core.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    print("taken" if keep_freed_memory() else "not taken")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    torch.ones(2**24)  # 64 MiB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def output(argument):
    done = subprocess.run([sys.executable, "-c", ALLOCATE, argument], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an option of glibc")
def test_freed_memory_comes_back_without_new_pages():
    pages = 40 * 2**26 // 4096
    if int(output("give")[-1]) < 0.9 * pages:
        pytest.skip("this system has larger pages, or keeps them by itself")
    told, faults = output("keep")
    if told == "not taken":
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
