"""Who may see and do what, and where the key is kept."""

import json
from typing import Any

from tests.console.conftest import Console
from tests.console.expecting import expect
from tests.console.pages import all_pages
from tests.support.processes import Refused, Site, wait_until

WRITES = {
    "Start a workflow", "Start", "Run again…", "Reset…", "Cancel…", "Terminate…", "Send", "Send and wait", "Ask", "Answer",
    "Pause…", "Resume", "Trigger now", "Retry now", "Complete…", "Fail…", "Skip the wait",
}  # fmt: skip


def test_link_when_it_holds_a_key_then_the_key_leaves_the_address_at_once(tab: Console) -> None:
    """It is kept for this tab, in neither cookie nor local storage, and no request's address holds it."""
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.sign_in()
    key = tab.shop.site.key
    assert key not in tab.page.url
    assert tab.page.evaluate("sessionStorage.getItem('levante.key')") == key
    assert key not in json.dumps(tab.page.evaluate("({...localStorage})"))
    assert tab.page.evaluate("document.cookie") == ""
    assert not [url for url in asked if key in url]


def test_key_when_it_is_refused_then_another_is_asked_for_and_what_was_typed_stays(tab: Console) -> None:
    """A key that is revoked in the middle of something costs nothing that was typed."""
    site = tab.shop.site
    made = site.call("POST", "/v1/keys", {"name": "short", "role": "client"})
    tab.sign_in(made["secret"])
    tab.open("/start?workflow=order")
    tab.page.get_by_label("customer").fill("somebody patient")
    site.call("DELETE", f"/v1/keys/{made['key_id']}")
    wait_until(lambda: _is_refused(site, made["secret"]), "the key is refused")
    tab.page.get_by_label("total_cents").fill("1")
    tab.page.get_by_role("button", name="Start", exact=True).click()
    dialog = tab.page.get_by_role("dialog", name="Sign in to Levante")
    expect(dialog).to_contain_text("does not accept this API key")
    dialog.get_by_label("API key").fill(site.key)
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_have_count(0)
    expect(tab.page.get_by_label("customer")).to_have_value("somebody patient")


def _is_refused(site: Site, key: str) -> bool:
    try:
        site.call("GET", "/v1/workflows", key=key)
    except Refused as error:
        return error.status == 401
    return False


def test_page_when_nobody_is_signed_in_then_it_asks_for_a_key_and_shows_nothing(tab: Console) -> None:
    """The files are open; the data is not."""
    tab.page.goto(f"{tab.url}#/executions")
    expect(tab.page.get_by_role("dialog", name="Sign in to Levante")).to_be_visible()
    expect(tab.page.get_by_role("heading", name="Executions")).to_have_count(0)


def test_viewer_when_they_look_at_any_page_then_no_button_that_writes_can_be_pressed(tab: Console) -> None:
    """A link that was handed over changes nothing."""
    tab.sign_in(tab.shop.viewer)
    disabled: set[str] = set()
    for _, path in all_pages(tab.shop):
        tab.open(path)
        tab.page.locator("[aria-busy]").first.wait_for(state="detached")
        tab.page.wait_for_timeout(300)
        texts = "elements => elements.map(element => element.innerText.trim())"
        enabled = tab.page.locator("main button:enabled, main a.button").evaluate_all(texts)
        assert not {*enabled} & WRITES, path
        disabled |= {*tab.page.locator("main button:disabled").evaluate_all(texts)}
        assert tab.page.get_by_role("checkbox", name="Select").count() == 0
    assert disabled >= {"Run again…", "Terminate…", "Send", "Ask", "Start", "Pause…", "Trigger now", "Answer"}


def test_keyboard_when_nothing_else_is_there_then_an_execution_is_found_and_a_dialog_answered(tab: Console) -> None:
    """Every step by Tab, Enter, Space and Escape."""
    order = tab.shop.order("keys")
    tab.sign_in()
    page = tab.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Executions")).to_be_focused()
    page.keyboard.press("Enter")
    search = page.get_by_role("searchbox")
    search.wait_for()
    _tab_to(page, search)
    page.keyboard.type(order)
    link = page.get_by_role("link", name=order, exact=True)
    link.wait_for()
    expect(page.get_by_role("row")).to_have_count(3)  # the head, the order and its parcel
    _tab_to(page, link)
    page.keyboard.press("Enter")
    copy = page.get_by_role("button", name="Copy as…")
    copy.wait_for()
    _tab_to(page, copy)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(copy).to_be_focused()


def _tab_to(page: Any, wanted: Any, most: int = 60) -> None:
    for _ in range(most):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} cannot be reached with the keyboard")
