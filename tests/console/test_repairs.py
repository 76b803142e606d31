"""What is stuck is repaired where it is seen: without the command line, and recorded as done by hand."""

from tests.console.conftest import Console
from tests.console.expecting import expect
from tests.console.test_journeys import status_of


def test_activity_when_retried_after_a_fix_then_the_execution_goes_on_at_once(console: Console) -> None:
    """Nobody waits for the next attempt."""
    stuck = console.shop.stuck_order()
    page = console.page
    console.open(f"/executions/{stuck}")
    why = page.get_by_role("region", name="Why it waits")
    expect(why).to_contain_text("next attempt")
    console.shop.mend()
    why.get_by_role("button", name="Retry now").click()
    expect(status_of(page)).to_have_text("Completed")


def test_activity_when_completed_by_hand_then_the_code_goes_on_and_the_history_says_who(
    console: Console,
) -> None:
    """As if the activity had returned it."""
    stuck = console.shop.stuck_order()
    page = console.page
    console.open(f"/executions/{stuck}")
    page.get_by_role("button", name="Complete…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Result, as JSON").fill("not json")
    dialog.get_by_role("button", name="Complete", exact=True).click()
    expect(dialog).to_contain_text("This is no JSON")
    dialog.get_by_label("Result, as JSON").fill('"paid-in-cash"')
    dialog.get_by_label("Reason").fill("the customer came by")
    dialog.get_by_role("button", name="Complete", exact=True).click()
    expect(status_of(page)).to_have_text("Completed")
    expect(page.get_by_label("Result", exact=True)).to_contain_text("paid-in-cash")
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.get_by_role("button", name="by hand")).to_contain_text("the customer came by")


def test_activity_when_failed_by_hand_then_the_execution_fails_with_that_message(console: Console) -> None:
    """The failure is the code's to handle, as any other."""
    stuck = console.shop.stuck_order()
    page = console.page
    console.open(f"/executions/{stuck}")
    page.get_by_role("button", name="Fail…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Message of the error").fill("the order was called off")
    dialog.get_by_role("button", name="Fail", exact=True).click()
    expect(status_of(page)).to_have_text("Failed")
    expect(page.locator(".card").filter(has=page.get_by_role("heading", name="Failure"))).to_contain_text("called off")


def test_timer_when_skipped_then_what_waits_for_it_goes_on(console: Console) -> None:
    """A wait of days ends now."""
    waiting = console.shop.site.start("reminder", {"days": 3})
    page = console.page
    console.open(f"/executions/{waiting}")
    page.get_by_role("button", name="Skip the wait").click()
    expect(status_of(page)).not_to_have_text("Running")
