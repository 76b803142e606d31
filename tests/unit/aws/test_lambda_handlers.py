"""What surrounds every handler: a correlation id in the log, metrics, and nothing of what requests hold."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from levante_core.adapters.aws.composition import AwsSettings
from levante_core.adapters.aws.lambda_handlers import OF_THE_GATEWAY, InvocationFailed, Observer

SETTINGS = AwsSettings("t", "b", "p", "arn:aws:sqs:us-east-1:123456789012:p-dead-letters.fifo")
SECRET = "what the user sent"
EVENT = {"requestContext": {"requestId": "gateway-1"}, "body": SECRET}


@dataclass(frozen=True)
class Context:
    function_name: str = "api"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:api"
    aws_request_id: str = "invocation-1"


@pytest.fixture(autouse=True)
def logger_left_as_it_was() -> Iterator[None]:
    """Powertools makes the logger "levante" its own, with the standard output of that moment, once in a process."""
    logger = logging.getLogger("levante")
    before = {name: list(value) if isinstance(value, list) else value for name, value in vars(logger).items()}
    for name in vars(logger).keys() - vars(logging.getLogger("plain")).keys():
        delattr(logger, name)
    logger.handlers = []
    yield
    vars(logger).clear()
    vars(logger).update(before)


def answering(answer: dict[str, Any]) -> Any:
    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        logging.getLogger("levante.dispatch").warning("the fast path could not send")
        return answer

    return handler


def lines(captured: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.splitlines()]


def test_log_when_a_service_warns_then_the_line_has_the_gateways_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    """The access log, the request log and what the services say share one id."""
    Observer(SETTINGS, "l-api")(answering({}), correlation_id_path=OF_THE_GATEWAY)(EVENT, Context())
    (line,) = [one for one in lines(capsys.readouterr().out) if "message" in one]
    assert line["correlation_id"] == "gateway-1"
    assert line["function_request_id"] == "invocation-1"
    assert (line["service"], line["level"], line["message"]) == ("l-api", "WARNING", "the fast path could not send")


def test_log_when_the_level_is_higher_then_warnings_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """LEVANTE_LOG_LEVEL is for all that the services say."""
    settings = AwsSettings("t", "b", "p", "arn", log_level="ERROR")
    Observer(settings, "l-stream")(answering({}))(EVENT, Context())
    assert [one for one in lines(capsys.readouterr().out) if "message" in one] == []


@pytest.mark.parametrize("environment", [{}, {"POWERTOOLS_LOGGER_LOG_EVENT": "true"}], ids=["plain", "asked to log events"])
def test_output_when_events_hold_payloads_then_it_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """No payload is logged, not even when powertools is told to log events."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    handler = Observer(SETTINGS, "l-api")(answering({"body": SECRET}))
    assert handler(EVENT, Context()) == {"body": SECRET}
    written = capsys.readouterr()
    assert written.out
    assert SECRET not in written.out + written.err


def test_log_when_a_service_tells_of_an_error_then_its_message_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a library's error quotes; the class and the place are there."""

    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        try:
            int(SECRET)
        except ValueError:
            logging.getLogger("levante.dispatcher").exception("record 1 could not be dealt with; it comes again")
        return {}

    Observer(SETTINGS, "l-stream")(handler)({}, Context())
    written = capsys.readouterr()
    (line,) = [one for one in lines(written.out) if "message" in one]
    assert line["message"].startswith("record 1 could not be dealt with; it comes again\nValueError\n")
    assert SECRET not in written.out + written.err


def test_metrics_when_a_batch_fails_in_part_then_the_items_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A metric is written when there is something to count, and not for every invocation: each line costs."""
    nothing: dict[str, Any] = {"batchItemFailures": []}
    answers = iter([nothing, {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}, nothing])
    handler = Observer(SETTINGS, "l-stream")(lambda _event, _context: next(answers))
    counted = []
    for _ in range(3):
        handler({}, Context())
        counted.append([_counted(line) for line in lines(capsys.readouterr().out)])
    assert counted == [[("l-stream", "ColdStart", 1)], [("l-stream", "ItemsFailed", 2)], []]


def _counted(line: dict[str, Any]) -> tuple[str, str, float]:
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (metric,) = directive["Metrics"]
    assert directive["Namespace"] == "Levante"
    (value,) = line[metric["Name"]]
    return line["service"], metric["Name"], value


def test_handler_when_it_raises_then_lambda_learns_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch that failed comes again only if the invocation fails. Lambda logs the message, which may quote payloads."""

    def broken(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise RuntimeError("down, and canary-7f3a9 was sent")

    with pytest.raises(InvocationFailed, match=r"(?s)^RuntimeError\n.*broken$") as failed:
        Observer(SETTINGS, "l-stream")(broken)({}, Context())
    assert "canary-7f3a9" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert [_counted(line)[1] for line in lines(capsys.readouterr().out)] == ["ColdStart"]
