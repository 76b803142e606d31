"""A host with a worker, and pages of Chromium that look at it, as users do and below a path of a proxy."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.console.below import Below
from tests.support.processes import LocalSite, Refused, wait_until

WANTED = os.environ.get("LEVANTE_TEST_CONSOLE") == "1"
NOT_WANTED = "needs the built console and a browser: `make test-console`, or set LEVANTE_TEST_CONSOLE=1"
DRAWS = os.environ.get("LEVANTE_PICTURES") == "1"
DRAWN_AT = Path("/tmp/shop")  # noqa: S108 - what pictures show of a failure's place
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HERE = Path(__file__).parent
VIEWPORT = {"width": 1280, "height": 860}
EXPECT_MILLISECONDS = 12_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if WANTED:
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=NOT_WANTED))


@dataclass
class Shop:
    """The installation that the pages look at. payment_is_down: a file that makes each charge fail."""

    site: LocalSite
    payment_is_down: Path
    viewer: str
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def new_id(self, kind: str) -> str:
        """Return an id that no other begins with."""
        return f"{kind}-{next(self.numbers):04}"

    def order(self, customer: str = "ada", quantity: int = 2) -> str:
        """Start an order. Returns its id."""
        items = [{"article": "teapot", "quantity": quantity}, {"article": "cup", "quantity": 4}]
        body = {"customer": customer, "items": items, "total_cents": 4200 * quantity}
        return self.site.start("order", body, execution_id=self.new_id("order"))

    def stuck_order(self, customer: str = "margaret") -> str:
        """Start an order whose payment fails again and again."""
        self.payment_is_down.touch()
        stuck = self.order(customer)
        wait_until(lambda: self.blockers(stuck), f"{stuck} is stuck")
        return stuck

    def mend(self) -> None:
        """Let payments through."""
        self.payment_is_down.unlink(missing_ok=True)

    def blockers(self, execution_id: str) -> list[dict[str, Any]]:
        """Return what is in an execution's way."""
        return self.site.call("GET", f"/v1/workflows/executions/{execution_id}")["blockers"] or []


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop that all tests share: what a test starts, it names itself."""
    directory = tmp_path_factory.mktemp("shop")
    site = LocalSite(directory)
    site.deployment = "shop"
    payment_is_down = directory / "payment-is-down"
    try:
        site.start_host()
        if DRAWS:
            DRAWN_AT.mkdir(exist_ok=True)
            shutil.copy(HERE / "shop.py", DRAWN_AT)
        site.start_worker("shop.py", DRAWN_AT if DRAWS else HERE, SHOP_BROKEN=str(payment_is_down))
        site.wait_for_workers(1)
        viewer = site.call("POST", "/v1/keys", {"name": "look", "role": "viewer"})["secret"]
        yield Shop(site, payment_is_down, viewer)
    finally:
        site.close()


@pytest.fixture(autouse=True)
def _payments_work(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    with suppress(Refused):
        if "shop" in request.fixturenames:
            request.getfixturevalue("shop").mend()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, or what else of its kind is on the path."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install --group console")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is on the path ({', '.join(BROWSERS)}): apt-get install chromium")
    api.expect.set_options(timeout=EXPECT_MILLISECONDS)
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def below(shop: Shop) -> Iterator[str]:
    """The same installation below a path of a proxy."""
    with Below(shop.site.port, "/levante") as proxy:
        yield proxy.url


@dataclass
class Console:
    """A tab. Whatever it asks of other servers, and what breaks its policy or fails in its scripts, fails the test."""

    page: Any
    url: str
    shop: Shop
    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Write down what must not happen."""
        self.page.on("request", lambda request: self._see(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._hear)

    def _see(self, url: str) -> None:
        if not url.startswith((self.url.removesuffix("console/"), "data:", "blob:")):
            self.foreign.append(url)

    def _hear(self, message: Any) -> None:
        if "Content Security Policy" in message.text or (message.type == "error" and "status of" not in message.text):
            self.problems.append(message.text)

    def sign_in(self, key: str | None = None) -> None:
        """Follow the link that `levante dev` prints."""
        self.page.goto(f"{self.url}#key={key or self.shop.site.key}")
        self.page.get_by_role("heading", name="What needs you").wait_for()

    def open(self, path: str) -> None:
        """Go to a page by its address."""
        self.page.goto(f"{self.url}#{path}")
        self.page.locator("h1").first.wait_for()


def new_console(browser: Any, url: str, shop: Shop, **options: Any) -> Console:
    """Open a tab that knows nothing of others."""
    page = browser.new_context(viewport=VIEWPORT, **options).new_page()
    page.set_default_timeout(15_000)
    console = Console(page, url, shop)
    console.watch()
    return console


@pytest.fixture(params=["root", "below"])
def console(request: pytest.FixtureRequest, browser: Any, shop: Shop) -> Iterator[Console]:
    """A tab that is signed in, at the root of its host and below a path of it."""
    url = f"{shop.site.url}/console/" if request.param == "root" else request.getfixturevalue("below")
    opened = new_console(browser, url, shop, permissions=["clipboard-read", "clipboard-write"])
    opened.sign_in()
    yield opened
    opened.page.context.close()
    assert (opened.foreign, opened.problems) == ([], [])


@pytest.fixture
def tab(browser: Any, shop: Shop) -> Iterator[Console]:
    """A tab at the root that is not signed in."""
    opened = new_console(browser, f"{shop.site.url}/console/", shop)
    yield opened
    opened.page.context.close()
    assert (opened.foreign, opened.problems) == ([], [])
