"""Configs that ask for a million of something: every number in the arguments of every architecture, in a process with limits."""

import copy
import inspect
import random
import resource
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zoo
from tests import forked
from tests.faults.counts import count, record, some_architectures
from tests.tiny import TINY
from zoo import registry
from zoo.errors import ZooError
from zoo.store import folder as checkpoint
from zoo.store.guard import bounded

LONGEST = 1.0  # seconds of processor time until a model is there or refused
GROWTH = 2**29  # bytes by which the process may grow
LIMIT = 6 * 2**30  # bytes of address space: an allocation beyond it fails
HUGE = (10**9, 10**12, -(10**9))
LARGE = (10**5, 10**6, 2**20)  # the guard lets numbers up to 2^20 through to the constructor
SHARDS = 6


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each number in a tree of arguments."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*at, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield at


def put(tree: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    tree = inner = copy.deepcopy(tree)
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return tree


def ask(names: list[str]) -> None:
    """Put large numbers into the arguments of architectures, one at a time, and try to build what they ask for."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    for name in names:
        model = zoo.create(name, **TINY[name].init)
        init, tensors = checkpoint.init_arguments(model), dict(model.state_dict())
        numbers = list(places(init))
        signature = inspect.signature(registry.architecture(name)).parameters
        numbers += [(key,) for key, p in signature.items() if "int" in str(p.annotation) and init.get(key) is None]
        tries = [(at, value) for at in numbers for value in HUGE]
        large = [(at, value) for at in numbers for value in LARGE]
        tries += random.Random(name).sample(large, min(len(large), count(1, 10)))
        for at, value in tries:
            config = {"architecture": name, "name": None, "classes": None, "data": None, "preprocess": None}
            before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            try:
                with bounded(tensors) as guard, checkpoint.plain_floats():
                    guard.check(asked := put(init, at, value))
                    checkpoint.build(config | {"init": asked})
            except ZooError:
                pass
            took = time.process_time() - started
            grew = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            assert took < LONGEST and grew < GROWTH, f"{name} {at} = {value}: {took:.2f} s, {grew / 2**20:.0f} MiB"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_config_that_asks_for_a_million_is_built_or_refused_at_once(shard):
    names = some_architectures()[shard::SHARDS]
    forked.finish(forked.start(ask, names), timeout=count(300, 3000))
    record(
        "configs that ask for a million or a billion of something, by architecture",
        len(names),
        "built or refused within a second, in half a gigabyte",
    )
