"""Tokenizers that came with a model, as untrusted as any other file."""

from typing import Any

from zoo.errors import InputError, MissingExtraError


def tokenizer_of(text: str, what: str = "word pieces") -> Any:
    """A `tokenizers.Tokenizer` of its JSON text.

    Raises:
        InputError: for a text that is none, whatever the library makes of it.
        MissingExtraError: if `tokenizers` isn't installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError(what, "tokenizers", "text") from None
    try:
        return Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of its Rust code is no Exception
        raise InputError(f"the {what} of this model are damaged: {type(error).__name__}: {str(error)[:120]}") from None
