"""What comes back, and how."""

from typing import Any

from tests.compat.scenarios.server import Server, refused

MEGABYTE = 1_000_000
TEXT = 'Grüße, Καλημέρα, 世界 \U0001f30d \u2028 "quoted" back\\slash\ttab\nline \x00 \x7f'
VALUES: tuple[Any, ...] = (
    True,
    0,
    -(2**53) - 1,
    2**63,
    0.1,
    1e300,
    "",
    [],
    {},
    [1, [2, [3, None]], {"k": "v"}],
    {"result": "inner", "": None, "b64payload": 1, "a.b/c~d": {"$ref": "#"}},
)


def test_result_when_it_is_a_primitive_or_a_list_then_it_is_wrapped(server: Server) -> None:
    """What is no model comes as {"result": value}, and every JSON value survives the way there and back."""
    executions = [server.start("echo", {"value": value}) for value in VALUES]
    assert [server.completed(one).result for one in executions] == [{"result": value} for value in VALUES]


def test_result_when_it_is_a_number_then_its_kind_survives(server: Server) -> None:
    """1 and 1.0 and true are equal in Python, and still three things."""
    for value in (1, 1.0, True):
        result: Any = server.completed(server.start("echo", {"value": value})).result
        assert type(result["result"]) is type(value)


def test_result_when_it_is_a_model_then_it_is_a_plain_object(server: Server) -> None:
    """A model is its own JSON object, nested input models and all."""
    given = {"customer": "Ada", "quantity": 3, "address": {"city": "Turin"}}
    assert server.completed(server.start("order", given)).result == {"customer": "Ada", "total": 4.5, "city": "Turin"}


def test_result_when_there_is_none_then_it_is_null(server: Server) -> None:
    """None is null, unwrapped."""
    execution = server.completed(server.start("nothing"))
    assert (execution.status, execution.result) == ("COMPLETED", None)
    assert server.completed(server.start("echo", {"value": None})).result is None


def test_result_when_the_text_is_of_any_alphabet_then_it_survives(server: Server) -> None:
    """Unicode, control characters included, comes back as it was sent: as value and as key."""
    given = {TEXT: [TEXT]}
    assert server.completed(server.start("echo", {"value": given})).result == {"result": given}
    assert server.completed(server.start("greet", {"name": TEXT})).result == {"result": f"hello {TEXT}"}


def test_result_when_it_has_one_and_a_half_megabytes_then_both_ways_of_waiting_return_it(server: Server) -> None:
    """Results up to 2 MB pass, wherever they are kept."""
    size = 3 * MEGABYTE // 2
    assert server.completed(server.start("large", {"size": size})).result == {"result": "x" * size}
    answer: Any = server.client.workflows.execute_workflow_and_wait("large", {"size": size}, use_api_sync=True)
    assert answer == {"result": "x" * size}


def test_result_when_it_has_more_than_two_megabytes_then_the_execution_fails_and_says_why(server: Server) -> None:
    """A result that does not fit is no result: the execution is FAILED at once, not stuck."""
    body = refused(
        409,
        "EXECUTION_NOT_COMPLETED",
        server.client.workflows.execute_workflow_and_wait,
        "large",
        {"size": 3 * MEGABYTE},
        use_api_sync=True,
    )
    assert body["status"] == "FAILED"
    assert "3,000,013 bytes" in body["detail"]


def test_input_when_it_has_one_and_a_half_megabytes_then_it_is_taken(server: Server) -> None:
    """Inputs up to 2 MB pass, and come back."""
    value = "é" * (3 * MEGABYTE // 4)
    assert server.completed(server.start("echo", {"value": value})).result == {"result": value}
