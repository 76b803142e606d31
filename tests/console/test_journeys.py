"""What people come for, done in a browser against a real host and a real worker."""

import re
from typing import Any

from tests.console.conftest import HERE, Console
from tests.console.expecting import expect
from tests.support.processes import wait_until

MOST_EXACT = 2**63 - 1
MANY = 60
"""Executions that are acted on together: more than a page of the list has."""


def status_of(page: Any) -> Any:
    """Return the badge beside the title of an execution."""
    return page.locator(".page-head .badge").first


def test_stuck_order_when_looked_at_then_the_reason_is_there_and_its_end_appears_by_itself(console: Console) -> None:
    """Why does it not go on: without a reload, and without the command line."""
    stuck = console.shop.stuck_order()
    page = console.page
    console.open("/executions?blocked=1")
    row = page.get_by_role("row").filter(has_text=stuck)
    expect(row).to_contain_text("Activity fails")
    row.get_by_role("link", name=stuck, exact=True).click()
    why = page.get_by_role("region", name="Why it waits")
    expect(why).to_contain_text("charge")
    expect(why).to_contain_text("503 Service Unavailable")
    expect(why).to_contain_text("next attempt")
    console.shop.mend()
    expect(status_of(page)).to_have_text("Completed", timeout=40_000)
    expect(page.get_by_label("Result", exact=True)).to_contain_text("payment-margaret-8400")


def test_execution_when_no_worker_is_there_then_the_page_says_which_command_starts_one(console: Console) -> None:
    """Within seconds of the start."""
    site = console.shop.site
    deployment = console.shop.new_id("absent")
    worker = site.start_worker("orphan.py", HERE, deployment=deployment, DRAIN_SECONDS="1")
    site.wait_for_workers(1, deployment)
    worker.stop()
    started = site.start("orphan", {}, deployment_name=deployment)
    console.open(f"/executions/{started}")
    why = console.page.get_by_role("region", name="Why it waits")
    expect(why).to_contain_text(f"levante worker MODULE --deployment-name {deployment}")


def test_code_when_it_raises_then_error_and_stack_are_shown(console: Console) -> None:
    """So that whoever wrote it knows where to look."""
    broken = console.shop.site.start("broken", {})
    console.open(f"/executions/{broken}")
    why = console.page.get_by_role("region", name="Why it waits")
    expect(why).to_contain_text("KeyError")
    why.get_by_text("Stack").first.click()
    expect(why.get_by_role("region", name="Stack").first).to_contain_text('raise KeyError("parcel")')


def test_order_when_looked_for_by_search_key_then_it_is_found_and_the_address_keeps_the_question(
    console: Console,
) -> None:
    """A link shows the same to whoever follows it."""
    customer = console.shop.new_id("lovelace")
    order = console.shop.order(customer)
    page = console.page
    console.open("/executions")
    page.get_by_role("searchbox").fill(f"customer:{customer}")
    expect(page.get_by_role("link", name=order, exact=True)).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page).to_have_url(re.compile(f"q=customer%3A{customer}"))
    page.reload()
    expect(page.get_by_role("link", name=order, exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("there-is-no-such-id")
    expect(page.get_by_text("Nothing matches these filters")).to_be_visible()
    page.get_by_role("button", name="Clear the filters").click()
    expect(page.get_by_role("link", name=order, exact=True)).to_be_visible()


def test_order_when_started_with_the_form_then_problems_are_said_and_it_runs(console: Console) -> None:
    """The form is made of the schema that the worker has registered."""
    page = console.page
    console.open("/start?workflow=order")
    page.get_by_label("customer").fill("grace")
    page.get_by_role("button", name="Add to items").click()
    page.get_by_label("article").fill("samovar")
    page.get_by_label("total_cents").fill("much")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text(re.compile("type .*integer", re.IGNORECASE))).to_be_visible()
    page.get_by_label("total_cents").fill("9900")
    page.get_by_label("speed").select_option("express")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(status_of(page)).to_have_text("Completed")
    expect(page.get_by_label("Result", exact=True)).to_contain_text("1 x samovar")
    page.get_by_role("link", name="Children").click()
    expect(page.get_by_role("row").filter(has_text="parcel")).to_contain_text("Completed")


def test_number_when_it_has_64_bits_then_it_is_exact_in_view_edit_and_run(console: Console) -> None:
    """JavaScript would make 9223372036854775808 of it."""
    page = console.page
    first = console.shop.site.start("echo", {"number": MOST_EXACT})
    console.shop.site.wait_for_result(first)
    console.open(f"/executions/{first}")
    expect(page.get_by_label("Result", exact=True)).to_contain_text(str(MOST_EXACT))
    page.get_by_role("link", name="Run again…").click()
    expect(page.get_by_label("number")).to_have_value(str(MOST_EXACT))
    page.get_by_label("label").fill("once more")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(status_of(page)).to_have_text("Completed")
    expect(page.get_by_label("Result", exact=True)).to_contain_text(str(MOST_EXACT))
    expect(page.get_by_label("Input", exact=True)).to_contain_text("once more")
    again = page.locator("h1").inner_text()
    assert again != first
    assert console.shop.site.call("GET", f"/v1/workflows/executions/{again}")["result"] == {"result": MOST_EXACT}


def test_approval_when_answered_in_the_inbox_then_the_workflow_goes_on(console: Console) -> None:
    """With a form of what the workflow asks for."""
    waiting = console.shop.site.start("expense", {"title": console.shop.new_id("trip")})
    page = console.page
    console.open("/inbox")
    card = page.locator(".card").filter(has_text=waiting)
    card.get_by_label("approved").check()
    card.get_by_label("by").fill("Grace")
    card.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Answered")).to_be_visible()
    assert console.shop.site.wait_for_result(waiting) == {"result": "Grace: approved"}
    expect(card).to_have_count(0)


def test_messages_when_sent_from_the_page_then_the_workflow_takes_them(console: Console) -> None:
    """A signal, an update with its answer, and a query."""
    stuck = console.shop.stuck_order()
    page = console.page
    console.open(f"/executions/{stuck}/messages")
    forms = {name: page.get_by_role("form", name=name) for name in ("change_address", "rename", "state")}
    forms["change_address"].get_by_label("address").fill("12 Rua Augusta")
    forms["change_address"].get_by_role("button", name="Send").click()
    expect(forms["change_address"]).to_contain_text("Accepted")
    forms["rename"].get_by_label("address").fill("1 Rossio")
    forms["rename"].get_by_role("button", name="Send and wait").click()
    expect(forms["rename"].get_by_label("Answer", exact=True)).to_contain_text("12 Rua Augusta")
    forms["state"].get_by_role("button", name="Ask").click()
    expect(forms["state"].get_by_label("Answer", exact=True)).to_contain_text("charging")


def test_execution_when_reset_from_a_step_then_a_new_run_goes_on_from_there(console: Console) -> None:
    """A place that is not possible is refused, and the possible ones are offered."""
    order = console.shop.order("hopper")
    console.shop.site.wait_for_result(order)
    first_run = console.shop.site.history(order)["run_id"]
    page = console.page
    console.open(f"/executions/{order}")
    page.get_by_role("button", name="Reset…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("ship it once more")
    dialog.get_by_role("button", name="Reset", exact=True).click()
    expect(dialog).to_have_count(0)
    wait_until(lambda: console.shop.site.history(order)["run_id"] != first_run, "a new run is there")
    expect(status_of(page)).to_have_text("Completed")


def test_execution_when_forked_from_a_step_then_another_one_goes_on_and_this_one_stays(console: Console) -> None:
    """What if it had gone on otherwise: without touching what has happened."""
    done = console.shop.order("fork")
    wait_until(lambda: console.shop.site.status(done) == "COMPLETED", f"{done} is complete")
    page = console.page
    console.open(f"/executions/{done}")
    page.get_by_role("button", name="Reset…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("In another execution").check()
    dialog.get_by_role("button", name="Fork").click()
    expect(page.locator("h1")).not_to_have_text(done)
    expect(status_of(page)).to_have_text("Completed", timeout=20_000)


def test_executions_when_some_are_chosen_then_they_are_ended_together_after_a_question(console: Console) -> None:
    """What cannot be taken back asks first."""
    mark = console.shop.new_id("batch")
    ids = [console.shop.site.start("reminder", {"days": 3}, execution_id=f"{mark}-{number}") for number in range(3)]
    page = console.page
    console.open(f"/executions?q={mark}")
    page.get_by_label(f"Select {ids[0]}", exact=True).check()
    page.get_by_label(f"Select {ids[1]}", exact=True).check()
    page.get_by_role("button", name="Terminate…").click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate them").click()
    expect(page.get_by_text("2 terminated")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="Terminated")).to_have_count(2)
    assert console.shop.site.status(ids[2]) == "RUNNING"


def test_executions_when_a_filter_finds_many_then_a_job_acts_on_all_and_tells_of_the_odd_ones(console: Console) -> None:
    """All that a filter finds, more than a page shows, with the reason; what it does not apply to is counted."""
    mark = console.shop.new_id("many")
    site = console.shop.site
    ids = [site.start("echo", {"number": number}, execution_id=f"{mark}-{number:03}") for number in range(MANY)]
    wait_until(lambda: all(site.status(one) == "COMPLETED" for one in ids), "all are complete", seconds=60)
    waiting = site.start("reminder", {"days": 3}, execution_id=f"{mark}-odd")
    page = console.page
    console.open(f"/executions?q={mark}")
    page.get_by_role("button", name="All that match…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{MANY + 1} executions match")
    dialog.get_by_label("What").select_option("rerun")
    dialog.get_by_label("Reason").fill("the price was wrong")
    sent: list[str] = []

    def lose_the_first_answer(route: Any) -> None:
        sent.append(route.request.post_data_json["batch_id"])
        answer = route.fetch()
        away = {"status": 503, "content_type": "application/json", "body": '{"detail": "away", "code": "UNAVAILABLE"}'}
        route.fulfill(**(away if len(sent) == 1 else {"response": answer}))

    page.route(
        re.compile(r"/v1/batches$"),
        lambda route: lose_the_first_answer(route) if route.request.method == "POST" else route.continue_(),
    )
    dialog.get_by_role("button", name=f"Run again: {MANY + 1} executions").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("button", name=f"Run again: {MANY + 1} executions").click()
    expect(page.locator(".page-head .badge").first).to_have_text("Completed", timeout=30_000)
    expect(page.locator(".facts")).to_contain_text(f"{MANY}")
    expect(page.locator(".facts")).to_contain_text("1 (1 still open)")
    expect(page.locator(".facts")).to_contain_text("the price was wrong")
    assert (len(sent), len(set(sent))) == (2, 1)
    assert site.status(waiting) == "RUNNING"
    page.get_by_role("link", name="Batch jobs").first.click()
    expect(page.get_by_role("row").filter(has_text=mark)).to_contain_text("the price was wrong")


def test_execution_when_paused_then_it_says_so_and_goes_on_once_it_is_resumed(console: Console) -> None:
    """With the reason, on the page and in the list: a paused execution does not look like one that runs."""
    stuck = console.shop.stuck_order("grace")
    page = console.page
    console.open(f"/executions/{stuck}")
    page.get_by_role("button", name="Pause…").click()
    page.get_by_label("Reason").fill("the bank is away")
    page.get_by_role("button", name="Pause it").click()
    why = page.get_by_role("region", name="Why it waits")
    expect(why).to_contain_text("the bank is away")
    expect(page.locator(".page-head")).to_contain_text("Paused")
    expect(page.get_by_role("button", name="Pause…")).to_have_count(0)
    console.shop.mend()
    console.open("/executions?blocked=1")
    expect(page.get_by_role("row").filter(has_text=stuck)).to_contain_text("Paused")
    console.open(f"/executions/{stuck}")
    why.get_by_role("button", name="Resume").click()
    expect(status_of(page)).to_have_text("Completed", timeout=40_000)


def test_schedule_when_paused_then_why_is_shown_and_it_can_be_triggered_once(console: Console) -> None:
    """And resumed."""
    schedule = console.shop.new_id("nightly")
    times = {
        "schedule_id": schedule,
        "input": {"number": 1},
        "cron_expressions": ["0 2 * * *"],
        "time_zone_name": "Europe/Lisbon",
    }
    console.shop.site.call(
        "POST", "/v1/workflows/schedules", {"workflow_identifier": "echo", "schedule_id": schedule, "schedule": times}
    )
    page = console.page
    console.open("/schedules")
    page.get_by_role("link", name=schedule).click()
    page.get_by_role("heading", name=schedule).wait_for()
    expect(page.get_by_text("At 02:00 (Europe/Lisbon)")).to_be_visible()
    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("dialog").get_by_label("Why").fill("the bank is closed")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("the bank is closed")).to_be_visible()
    expect(page.get_by_text("None while it is paused")).to_be_visible()
    page.get_by_role("button", name="Trigger now").click()
    expect(page.locator(".card").filter(has_text="Last executions").get_by_role("link")).to_have_count(1)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Active")).to_be_visible()


def test_agent_when_it_works_then_what_it_does_appears_without_a_reload(console: Console) -> None:
    """By the stream of the execution."""
    waiting = console.shop.site.start("reminder", {"days": 1})
    page = console.page
    console.open(f"/executions/{waiting}/history")
    expect(page.get_by_role("button", name="Timer started")).to_be_visible()
    console.shop.site.call("POST", f"/v1/workflows/executions/{waiting}/signals", {"name": "done"})
    expect(page.get_by_role("button", name="Signal received")).to_be_visible()
    expect(status_of(page)).to_have_text("Completed")


def test_commands_when_copied_then_they_name_the_key_without_holding_it(console: Console) -> None:
    """Command line, curl and Python."""
    order = console.shop.order("ada")
    page = console.page
    console.open(f"/executions/{order}")
    page.get_by_role("button", name="Copy as…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"levante executions get {order}")
    dialog.get_by_role("button", name="Copy for curl").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"executions/{order}" in copied
    assert "$LEVANTE_API_KEY" in copied
    assert console.shop.site.key not in dialog.inner_text()
