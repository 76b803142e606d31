"""What `make docs` refuses in the site that it has built."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "offline_site.py"
spec = importlib.util.spec_from_file_location("offline_site", SCRIPT)
assert spec
assert spec.loader
offline_site = importlib.util.module_from_spec(spec)
spec.loader.exec_module(offline_site)

CDN = "https://unpkg.com/mermaid@11/dist/mermaid.min.js"
FONT = "https://fonts.gstatic.com/roboto.woff2"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", f'<script src="{CDN}"></script>'),
        ("a.html", '<script src="//unpkg.com/mermaid"></script>'),
        ("a.html", '<link rel="stylesheet" href="https://example.org/site.css">'),
        ("a.html", '<link rel="preconnect" href="https://fonts.gstatic.com">'),
        ("a.html", '<img src="http://example.org/badge.svg" alt="">'),
        ("a.html", f"<style>@font-face {{ src: url({FONT}) }}</style>"),
        ("a.html", f'<p style="background: url({FONT})">text</p>'),
        ("assets/site.css", f"@font-face {{ src: url('{FONT}') }}"),
        ("assets/site.css", '@import "//fonts.googleapis.com/css?name=Roboto";'),
        ("assets/site.js", f'load("{CDN}")'),
        ("assets/site.js", "load('https://unpkg.com/resize-observer-polyfill')"),
    ],
)
def test_site_when_a_file_is_loaded_from_elsewhere_then_it_is_found(tmp_path: Path, name: str, text: str) -> None:
    """Somebody without a network would see no diagram, or another font."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    (tmp_path / "index.html").touch()
    assert [found for found, _ in offline_site.loaded_from_elsewhere(tmp_path)] == [file]
    assert offline_site.main(tmp_path) == 1


def test_site_when_it_only_links_elsewhere_then_nothing_is_found(tmp_path: Path) -> None:
    """A link is followed by readers, and a namespace by nobody."""
    (tmp_path / "index.html").write_text(
        '<link rel="canonical" href="https://example.org/"><a href="https://example.org/site.js">script</a>'
        '<script src="assets/site.js"></script><svg xmlns="http://www.w3.org/2000/svg"></svg><code>url(https://example.org)</code>'
    )
    (tmp_path / "assets.js").write_text('const namespace = "http://www.w3.org/2000/svg"; // see https://example.org/site.js')
    (tmp_path / "search_index.js").write_text(f'{{"text": "{CDN}"}}')
    assert offline_site.main(tmp_path) == 0


def test_site_when_it_was_not_built_then_the_check_fails(tmp_path: Path) -> None:
    """Nothing is found in an empty directory."""
    assert offline_site.main(tmp_path) == 1
