import asyncio

from levante_local.greenlets import call
from tests.integration.api.harness import Answer, Api, completed, decoded, failed, on_a_loop


async def waited(api: Api, *closing: dict[str, object]) -> Answer:
    """Start an execution, wait for its result, and meanwhile let a worker commit these events; none: terminate it."""
    api.register("greet")
    body = {"execution_id": "e1", "input": {"a": 1}, "wait_for_result": True}
    sent = api.event("POST", "/v1/workflows/greet/execute", body, key="client")
    waiting = asyncio.ensure_future(call(api.handler, sent, None))
    (delivered,) = await call(lambda: api.poll(wait_seconds=20))
    assert not waiting.done()
    if closing:
        await call(api.commit, delivered, *closing)
    else:
        await call(api.call, "POST", "/v1/workflows/executions/e1/terminate")
    return decoded(await waiting)


@on_a_loop
async def test_wait_when_it_completes_then_exactly_three_keys_come(api: Api) -> None:
    """With exactly these keys the official client decodes the synchronous answer, with more the other one."""
    answer = await waited(api, completed(None))
    assert (answer.status, answer.body) == (200, {"workflow_name": "greet", "execution_id": "e1", "result": None})


@on_a_loop
async def test_wait_when_it_fails_then_409_has_status_and_failure(api: Api) -> None:
    """A caller who waits for a result that will never be is told why, never with a 2xx."""
    answer = await waited(api, failed("no such greeting"))
    assert (answer.status, answer.body["code"]) == (409, "EXECUTION_NOT_COMPLETED")
    assert "no such greeting" in answer.body["detail"]
    assert (answer.body["status"], answer.body["execution_id"]) == ("FAILED", "e1")
    assert (answer.body["failure"]["type"], answer.body["failure"]["message"]) == ("ValueError", "no such greeting")


@on_a_loop
async def test_wait_when_it_is_terminated_then_409_has_the_status_and_no_failure(api: Api) -> None:
    """A terminated execution has no failure of its own."""
    answer = await waited(api)
    assert (answer.status, answer.body["status"], answer.body["failure"]) == (409, "TERMINATED", None)
