"""Counting the tokens of a log that holds text: a tokenizer, or a stated ratio of characters."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from agentsim.errors import ConfigError

#: Characters a token where no tokenizer is at hand: o200k_base on mini-swe-agent's logs gives 3.8.
CHARACTERS = 3.8
#: Vocabularies of the extra ``tokenizers`` (bpe-openai), which need no download.
VOCABULARIES = ("o200k_base", "cl100k_base")
#: Characters that the vocabularies' encoder is given at once; it refuses a million.
_CHUNK = 500_000
#: Tokens that a chat template puts around each message, as OpenAI's cookbook counts them.
MESSAGE_TOKENS = 4


@dataclass(frozen=True)
class TokenCounter:
    """How many tokens a text has.

    Attributes
    ----------
    name : str
        For the header of the trace.
    is_estimate : bool
        Counted by characters, not by a tokenizer.
    """

    name: str
    is_estimate: bool
    _count: Callable[[str], int]

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._count(text) if text else 0


def find_counter(name: str | None = None) -> TokenCounter:
    """The counter a user names.

    Parameters
    ----------
    name : str or None
        One of `VOCABULARIES`, the path of a ``tokenizer.json``, ``chars:RATIO``, or None:
        o200k_base if it is installed, else `CHARACTERS` characters a token.

    Raises
    ------
    ConfigError
        If there is no such vocabulary or file, or what reads it is not installed.
    """
    if name is None:
        is_there = find_spec("bpe_openai") is not None
        return _vocabulary(VOCABULARIES[0]) if is_there else _by_characters(CHARACTERS)
    if name in VOCABULARIES:
        return _vocabulary(name)
    if name.startswith("chars:"):
        try:
            ratio = float(name.removeprefix("chars:"))
        except ValueError:
            ratio = 0.0
        if not 0.1 <= ratio <= 100:
            raise ConfigError(f"--tokenizer {name}: expected chars:RATIO with 0.1 to 100 a token")
        return _by_characters(ratio)
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"--tokenizer {name}: expected {', '.join(VOCABULARIES)}, chars:RATIO or the path of a "
            "tokenizer.json"
        )
    return _from_file(path)


def _by_characters(ratio: float) -> TokenCounter:
    return TokenCounter(
        f"{ratio:g} characters a token", True, lambda text: -int(-len(text) // ratio)
    )


def _vocabulary(name: str) -> TokenCounter:
    if find_spec("bpe_openai") is None:
        raise ConfigError(f"--tokenizer {name}: needs 'pip install agentsim[tokenizers]'")

    def count(text: str) -> int:
        encode = _encoder(name)
        return sum(len(encode(text[at : at + _CHUNK])) for at in range(0, len(text), _CHUNK))

    return TokenCounter(name, False, count)


@functools.cache
def _encoder(name: str) -> Callable[[str], list[int]]:
    """Loaded when the first text comes: most logs hold counts."""
    with warnings.catch_warnings():  # it opens its vocabulary by a deprecated way
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai

        encode: Callable[[str], list[int]] = bpe_openai.get_encoding(name).encode_ordinary
    return encode


def _from_file(path: Path) -> TokenCounter:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigError(f"--tokenizer {path}: needs 'pip install agentsim[tokenizers]'") from None
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"--tokenizer {path}: cannot be read: {error}") from error
    name = path.parent.name or path.stem
    return TokenCounter(
        name, False, lambda text: len(loaded.encode(text, add_special_tokens=False).ids)
    )
