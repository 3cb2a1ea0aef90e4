"""The published checkpoint folders, read once for all tests."""

from functools import cache

from zoo.store import cards


@cache
def folders() -> dict[str, cards.Folder]:
    """Each folder by its name."""
    return {folder.name: folder for folder in cards.folders()}
