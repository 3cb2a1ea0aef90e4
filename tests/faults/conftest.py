"""The loopback Hub of tests/hub, and the table of what was tried."""

import pytest

from tests.faults import counts
from tests.hub.conftest import as_alice, hub  # noqa: F401  # fixtures
from tests.hub.folders import make_folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two versions of one checkpoint, old and new."""
    place = tmp_path_factory.mktemp("versions")
    return [make_folder(place / version / "tiny-mnist", seed) for seed, version in enumerate(("old", "new"))]


def pytest_sessionfinish() -> None:
    counts.write_table()
