"""What config.json looked like in earlier versions, and how each becomes the next one: folders of any age load.

A change of the format is a new number in `FORMAT`, and a function here from the number before. Folders of every format are kept
in tests/store/frozen/ as they were written, and load there for ever.
"""

from collections.abc import Callable
from typing import Any

from zoo.errors import CheckpointError

FORMAT = 1
MIGRATIONS: dict[
    int, Callable[[dict[str, Any]], dict[str, Any]]
] = {}  # of the number before, a function to the next one


def migrated(config: dict[str, Any], where: str) -> dict[str, Any]:
    """The content of a config.json as this version writes it.

    Raises:
        CheckpointError: for the format of a later version, or what is none.
    """
    found = config.get("zoo_format")
    if isinstance(found, bool) or not isinstance(found, int) or not min(MIGRATIONS, default=FORMAT) <= found <= FORMAT:
        raise CheckpointError(f"{where} has zoo_format {found!r}, this version reads {FORMAT}: update the package")
    for number in range(found, FORMAT):
        config = MIGRATIONS[number](dict(config)) | {"zoo_format": number + 1}
    return config
