"""Check that a built site loads nothing from another host: no script, style, font, image or frame."""  # noqa: INP001 - a script

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "object": "data", "link": "href"}
"""Elements that a browser fetches something for, and the attribute that says from where."""
HARMLESS_LINKS = {"canonical", "next", "prev", "license", "author", "alternate"}
FOREIGN = re.compile(r"(?:https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")
IN_SCRIPT = re.compile(
    r"[\"'`]((?:https?:)?//[^\"'`\s]*?(?:unpkg\.com|jsdelivr\.net|cdnjs\.|googleapis\.com|gstatic\.com|\.m?js|\.css|\.woff2?)\b"
    r"[^\"'`\s]*)[\"'`]"
)
TEXT_OF_PAGES = "search_index.js"
"""The index of the search quotes pages, and loads nothing."""


class _Page(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes of an element."""
        given = {name: value or "" for name, value in attrs}
        self._is_style = tag == "style"
        self.loaded += IN_STYLE.findall(given.get("style", ""))
        if tag == "link" and set(given.get("rel", "").split()) & HARMLESS_LINKS:
            return
        if FOREIGN.match(address := given.get(LOADING.get(tag, ""), "")):
            self.loaded.append(address)

    def handle_data(self, data: str) -> None:
        """Look at styles within the page."""
        if self._is_style:
            self.loaded += IN_STYLE.findall(data)


def loaded_from_elsewhere(site: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a site with an address on another host that it loads something from."""
    for file in sorted(site.rglob("*")):
        if file.suffix not in {".html", ".css", ".js"} or file.name == TEXT_OF_PAGES:
            continue
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".html":
            page = _Page()
            page.feed(text)
            addresses = page.loaded
        else:
            addresses = (IN_STYLE if file.suffix == ".css" else IN_SCRIPT).findall(text)
        yield from ((file, address) for address in addresses)


def main(site: Path) -> int:
    """Print what is wrong. Returns how many addresses are."""
    if not (site / "index.html").exists():
        sys.stderr.write(f"{site} is no site\n")
        return 1
    found = list(loaded_from_elsewhere(site))
    for file, address in found:
        sys.stderr.write(f"{file}: loads {address}, which readers without a network do not have\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
