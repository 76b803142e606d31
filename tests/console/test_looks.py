"""What every page owes to everybody: it can be read and used by all, is small, and keeps up with long histories."""

import gzip
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from levante_api.console.site import BUILT
from levante_core.domain.frozen import wire_time
from tests.console.conftest import HERE, Console, Shop, new_console
from tests.console.expecting import expect
from tests.console.pages import all_pages

ROOT = HERE.parents[1]
AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "docs" / "assets" / "console"
SHOWN = {"home", "executions", "execution", "history", "start", "schedule", "inbox", "workers"}
MOST_PICTURE_BYTES = 150_000
MOST_FIRST_BYTES, MOST_SCRIPT_BYTES, MOST_STYLE_BYTES = 180_000, 320_000, 20_000
MOST_ROWS = 300
MANY_EVENTS = 50_000


@pytest.mark.timeout(150)
def test_page_when_axe_looks_at_it_then_it_finds_nothing(tab: Console) -> None:
    """All pages, in both themes: contrast, names of fields and buttons, order of headings, keyboard."""
    pages = all_pages(tab.shop)
    tab.sign_in()
    tab.page.evaluate(AXE.read_text())  # through the driver, which the page's policy does not hold up
    violations: dict[str, list[str]] = {}
    for name, path in pages:
        tab.open(path)
        tab.page.locator("[aria-busy]").first.wait_for(state="detached")
        for theme, rules in (("light", None), ("dark", ["color-contrast"])):  # themes differ in colours alone
            tab.page.emulate_media(color_scheme=theme)
            tab.page.wait_for_timeout(100)
            if found := _violations(tab.page, rules):
                violations[f"{name}, {theme}"] = found
    assert violations == {}


def test_axe_when_a_page_has_faults_then_it_finds_them(tab: Console) -> None:
    """So the test above can fail: for a field without a name, and for grey on grey in the dark."""
    tab.sign_in()
    tab.page.evaluate(AXE.read_text())
    tab.page.evaluate("document.querySelector('h1').insertAdjacentHTML('afterend', '<input><p id=faint>faint</p>')")
    tab.page.emulate_media(color_scheme="dark")
    tab.page.evaluate("document.getElementById('faint').style.color = '#333'")
    assert {rule.split(":")[0] for rule in _violations(tab.page, None)} >= {"label", "color-contrast"}


def _violations(page: Any, rules: list[str] | None) -> list[str]:
    """Say what axe finds, by all of its rules or some."""
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    result = page.evaluate("options => axe.run(document, options)", options)
    return [f"{one['id']}: {node['html'][:160]}" for one in result["violations"] for node in one["nodes"][:2]]


def test_scripts_and_styles_when_built_then_they_stay_small() -> None:
    """What the first page needs, all there is, and the styles; as they are sent, compressed."""
    index = gzip.decompress((BUILT / "index.html.gz").read_bytes()).decode()
    sizes = {path.name.removesuffix(".gz"): path.stat().st_size for path in (BUILT / "assets").iterdir()}
    scripts = {name: size for name, size in sizes.items() if name.endswith(".js")}
    assert sum(size for name, size in scripts.items() if name in index) <= MOST_FIRST_BYTES
    assert sum(scripts.values()) <= MOST_SCRIPT_BYTES
    assert sum(size for name, size in sizes.items() if name.endswith(".css")) <= MOST_STYLE_BYTES


def test_history_when_it_is_long_and_in_a_file_then_few_rows_are_in_the_page_and_no_server_is_asked(
    tab: Console, tmp_path: Path
) -> None:
    """50,000 events, opened without a network, filtered, and scrolled to the end."""
    tab.sign_in()
    tab.open("/history-file")
    page = tab.page
    page.context.set_offline(True)
    file = tmp_path / "long.json"
    file.write_text(json.dumps(_long_history()))
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text(f"{MANY_EVENTS:,} events")).to_be_visible()
    rows = page.locator(".history-row")
    assert 5 < rows.count() <= MOST_ROWS
    page.get_by_label("Kind of event").select_option("failures")
    expect(page.get_by_text(f"9 of {MANY_EVENTS:,}")).to_be_visible()
    expect(rows.first).to_contain_text("the bank is closed")
    page.get_by_label("Kind of event").select_option("")
    page.get_by_role("region", name="Events").evaluate("element => { element.scrollTop = element.scrollHeight }")
    expect(page.get_by_role("button", name=f"{MANY_EVENTS} ", exact=False).last).to_be_visible()
    assert rows.count() <= MOST_ROWS
    page.context.set_offline(False)


def _long_history() -> dict[str, Any]:
    begun = datetime(2026, 12, 1, 10, tzinfo=UTC)
    times = [wire_time(begun + timedelta(seconds=number)) for number in range(MANY_EVENTS + 1)]
    events: list[dict[str, Any]] = [{"kind": "execution_started", "workflow_name": "import", "input": {"rows": 25_000}}]
    failure = {
        "kind": "application",
        "type": "ConnectionError",
        "message": "the bank is closed",
        "stack": None,
        "cause": None,
    }
    for seq in range(1, MANY_EVENTS // 2 + 1):
        events.append({"kind": "activity_scheduled", "seq": seq, "name": "store", "input": {"row": seq}, "attempt": 1})
        outcome = {"failure": failure} if seq % 2500 == 0 else {"result": f"row {seq} is stored"}
        kind = "activity_failed" if "failure" in outcome else "activity_completed"
        events.append({"kind": kind, "seq": seq, "at": times[2 * seq - 1], "attempt": 1, **outcome})
    for number, event in enumerate(events, 1):
        event.update(event_id=number, recorded_at=times[number - 1])
    return {"execution_id": "import-1", "run_id": "r", "status": "COMPLETED", "events": events[:MANY_EVENTS]}


@pytest.mark.skipif(os.environ.get("LEVANTE_PICTURES") != "1", reason="draws docs/assets/console anew: LEVANTE_PICTURES=1")
def test_pictures_when_drawn_then_they_show_each_page_and_are_small(browser: Any, shop: Shop) -> None:
    """For docs/console.md and the README."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    shop.mend()
    for customer, quantity in (("ada", 1), ("grace", 2), ("linus", 3), ("barbara", 1), ("edsger", 5)):
        shop.site.wait_for_result(shop.order(customer, quantity))
    shop.site.start("refused", {"customer": "john"}, execution_id=shop.new_id("payment"))
    shop.site.start("reminder", {"days": 3}, execution_id=shop.new_id("reminder"))
    shown = [(name, path) for name, path in all_pages(shop) if name in SHOWN]
    time.sleep(6)
    console = new_console(browser, f"{shop.site.url}/console/", shop, color_scheme="light")
    console.sign_in()
    for name, path in shown:
        console.open(path)
        console.page.wait_for_timeout(900)
        picture = PICTURES / f"{name}.png"
        console.page.screenshot(path=picture, scale="css")
        assert picture.stat().st_size <= MOST_PICTURE_BYTES
    console.page.emulate_media(color_scheme="dark")
    console.open(next(path for name, path in shown if name == "execution"))
    console.page.wait_for_timeout(900)
    console.page.screenshot(path=PICTURES / "execution-dark.png", scale="css")
    console.page.context.close()
