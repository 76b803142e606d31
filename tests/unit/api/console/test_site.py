"""The files of the console, as the API serves them."""

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest

from levante_api.console.site import NOT_BUILT, ConsoleSite, is_console


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    for name, text in {"index.html": "<p>page</p>", "assets/app-1a.js": "run()", "icon.svg": "<svg/>"}.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path.parent / "secret.txt.gz").write_bytes(gzip.compress(b"not for you"))
    return tmp_path


def event(path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"rawPath": path, "headers": sent, "requestContext": {"http": {"method": method}}}


def text_of(answer: dict[str, Any]) -> str:
    content = base64.b64decode(answer["body"])
    return (gzip.decompress(content) if answer["headers"].get("content-encoding") == "gzip" else content).decode()


def test_page_when_asked_for_then_a_strict_policy_comes_with_it(built: Path) -> None:
    """No inline script or style, and no other server."""
    answer = ConsoleSite(built=built).answer(event("/console/"))
    assert answer is not None
    assert (answer["statusCode"], text_of(answer)) == (200, "<p>page</p>")
    policy = answer["headers"]["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert answer["headers"]["cache-control"] == "no-cache"


@pytest.mark.parametrize("accepted", ["gzip, br", "identity"])
def test_asset_when_asked_for_then_it_is_kept_for_ever_and_compressed_where_that_is_read(built: Path, accepted: str) -> None:
    """Their names change with their content."""
    answer = ConsoleSite(built=built).answer(event("/console/assets/app-1a.js", accept_encoding=accepted))
    assert answer is not None
    assert text_of(answer) == "run()"
    assert ("content-encoding" in answer["headers"]) == accepted.startswith("gzip")
    assert "immutable" in answer["headers"]["cache-control"]


def test_page_when_the_browser_has_it_then_it_is_not_sent_again(built: Path) -> None:
    """304, without a body."""
    site = ConsoleSite(built=built)
    first = site.answer(event("/console/"))
    assert first is not None
    again = site.answer(event("/console/", if_none_match=first["headers"]["etag"]))
    assert again is not None
    assert (again["statusCode"], again["body"]) == (304, "")


@pytest.mark.parametrize("name", ["../secret.txt", "assets/../../secret.txt", "assets/..", "other/app-1a.js"])
def test_file_when_its_name_leads_elsewhere_then_there_is_none(built: Path, name: str) -> None:
    """Only what was built is served."""
    answer = ConsoleSite(built=built).answer(event(f"/console/{name}"))
    assert answer is not None
    assert answer["statusCode"] == 404


def test_console_when_it_is_not_built_then_it_says_what_to_run(tmp_path: Path) -> None:
    """A checkout has no built console."""
    answer = ConsoleSite(built=tmp_path).answer(event("/console/"))
    assert answer is not None
    assert (answer["statusCode"], answer["body"]) == (404, NOT_BUILT)


@pytest.mark.parametrize("path", ["/", "/console"])
def test_browser_when_it_asks_for_the_root_then_it_is_sent_to_the_console_below_whatever_is_in_front(path: str) -> None:
    """The address is relative, so a proxy may put the installation below any path."""
    answer = ConsoleSite().answer(event(path, accept="text/html,application/xhtml+xml"))
    assert answer is not None
    assert (answer["statusCode"], answer["headers"]["location"]) == (302, "console/")


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("GET", "/", "application/json"),
        ("POST", "/", "text/html"),
        ("POST", "/console/", "text/html"),
        ("GET", "/v1/workflows", "text/html"),
        ("GET", "/consoles", "text/html"),
    ],
)
def test_request_when_it_is_not_for_the_console_then_it_needs_a_key_as_ever(method: str, path: str, accept: str) -> None:
    """What is open is the console and nothing beside it."""
    assert not is_console(method, path, accept)
    assert ConsoleSite().answer(event(path, method, accept=accept)) is None


def test_policy_when_streams_are_elsewhere_then_the_page_may_read_them_there(built: Path) -> None:
    """And nothing but their host is added."""
    answer = ConsoleSite("https://streams.example/v1", built).answer(event("/console/"))
    assert answer is not None
    assert "connect-src 'self' https://streams.example;" in answer["headers"]["content-security-policy"]
