"""The W3C trace context that a caller sends along."""

import re

_FORM = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}")


def chosen(in_body: str | None, in_header: str | None) -> str | None:
    """Return the one that counts: the body's if it is valid, else the header's; None if neither is.

    What is malformed or all zeros is dropped, as W3C Trace Context asks (section 3.2.2; read 2026-11-23).
    """
    return next((text for text in (in_body, in_header) if text is not None and _is_valid(text)), None)


def _is_valid(text: str) -> bool:
    match = _FORM.fullmatch(text)
    return bool(match and match["version"] != "ff" and set(match["trace"]) != {"0"} and set(match["parent"]) != {"0"})
