"""One of each page, with something on it, for tests that go through all of them."""

from tests.console.conftest import Shop


def all_pages(shop: Shop) -> list[tuple[str, str]]:
    """Put something on each page. Returns names and addresses."""
    stuck = shop.stuck_order()
    shop.site.start("expense", {"title": "the chairs"}, execution_id=shop.new_id("expense"))
    schedule = shop.new_id("hourly")
    times = {"input": {"number": 1}, "intervals": [{"every": "PT1H"}]}
    body = {"workflow_identifier": "echo", "schedule_id": schedule, "schedule": times}
    shop.site.call("POST", "/v1/workflows/schedules", body)
    batch = shop.new_id("batch")
    job = {"batch_id": batch, "filter": {"search": batch}, "action": {"kind": "retry"}, "reason": "the bank is back"}
    shop.site.call("POST", "/v1/batches", job)
    return [
        ("home", "/"),
        ("executions", "/executions"),
        ("execution", f"/executions/{stuck}"),
        ("history", f"/executions/{stuck}/history"),
        ("messages", f"/executions/{stuck}/messages"),
        ("children", f"/executions/{stuck}/children"),
        ("raw", f"/executions/{stuck}/raw"),
        ("start", f"/start?from={stuck}"),
        ("workflows", "/workflows"),
        ("workflow", "/workflows/order"),
        ("schedules", "/schedules"),
        ("schedule", f"/schedules/{schedule}"),
        ("workers", "/deployments"),
        ("deployment", "/deployments/shop"),
        ("batches", "/batches"),
        ("batch", f"/batches/{batch}"),
        ("inbox", "/inbox"),
        ("history-file", "/history-file"),
    ]
