"""What a server knows of a cached block's use: all that an order of eviction is told."""

from __future__ import annotations

from typing import NamedTuple


class BlockUse(NamedTuple):
    """The use of a block of KV cache.

    Attributes
    ----------
    session, call : str
        Whose request computed it or held it last. Engines know them only if the client sends them.
    ends_session : bool
        That request was the last of its session, and the client said so. No engine knows it
        otherwise.
    hits : int
        How many requests found it in the cache.
    is_shared : bool
        More than one session has used it.
    freed : int
        Number of the release that freed it: the smallest was free the longest.
    """

    session: str
    call: str
    ends_session: bool = False
    hits: int = 0
    is_shared: bool = False
    freed: int = -1
