"""Searching, as every listing does it: forgiving about case, order and what stands between words."""

import re
from collections.abc import Iterable
from functools import lru_cache

_BETWEEN = re.compile(r"[\W_]+")


def is_found(search: str, texts: Iterable[str]) -> bool:
    """Tell whether each word of a search is in one of the texts. Words are letters and digits; nothing is in all texts."""
    plain = [_plain(text) for text in texts]
    return all(any(word in text for text in plain) for word in _words(search))


@lru_cache(maxsize=64)
def _words(search: str) -> frozenset[str]:
    return frozenset(_plain(search).split())


def _plain(text: str) -> str:
    return _BETWEEN.sub(" ", text.casefold())
