"""What every Lambda function has around its handler: logs with a correlation id, metrics, and traces when they are on."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from levante_core.adapters.aws.composition import AwsSettings
from levante_core.adapters.error_logs import errors_of, frames_of, keep_payloads_out

LambdaHandler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]

NAMESPACE = "Levante"
FUNCTION_NAME = "AWS_LAMBDA_FUNCTION_NAME"
"""Environment variable. Source: Lambda developer guide, Defined runtime environment variables (read 2026-11-23)."""
OF_THE_GATEWAY = "requestContext.requestId"
"""Where an event of API Gateway has its correlation id, which the gateway's own log has too."""


class InvocationFailed(Exception):
    """What Lambda logs in place of the error that a handler let through, whose message may quote what a user sent."""


class Observer:
    """Wraps the handlers of one process. Neither events nor answers are logged or traced: they hold payloads.

    Metrics, written when there is something to count: ColdStart; ItemsFailed, of batches that were dealt with in part;
    ItemsParked, how many items are parked, which the sweep counts.
    """

    def __init__(self, settings: AwsSettings, function: str) -> None:
        """Take over what the services log. function: its name, which tells installations apart in logs and metrics."""
        self._logger = Logger(service="levante", level=settings.log_level, utc=True, use_rfc3339=True)
        self._logger.append_keys(service=function)
        keep_payloads_out(*self._logger.handlers)
        self._metrics = Metrics(namespace=NAMESPACE, service=function)
        self._metrics.add_metric("ColdStart", MetricUnit.Count, 1)
        self._tracer = Tracer(service=function) if settings.tracing else None

    def __call__(self, handler: LambdaHandler, *, correlation_id_path: str | None = None) -> LambdaHandler:
        """Wrap a handler. correlation_id_path: where its events have the id that its log lines are to share.

        The lines of other handlers share the id of the invocation.
        """

        def measured(event: dict[str, Any], context: Any) -> dict[str, Any]:
            try:
                answer = handler(event, context)
            except Exception as error:  # noqa: BLE001 - it goes on, as what may be logged of it
                raise InvocationFailed("\n".join([*errors_of(error), *frames_of(error)])) from None
            else:
                for name, count in _counted(answer).items():
                    self._metrics.add_metric(name, MetricUnit.Count, count)
                return answer
            finally:
                if self._metrics.metric_set:
                    self._metrics.flush_metrics()

        observed: LambdaHandler = self._logger.inject_lambda_context(
            measured, log_event=False, correlation_id_path=correlation_id_path
        )
        if self._tracer is None:
            return observed
        traced: LambdaHandler = self._tracer.capture_lambda_handler(observed, capture_response=False, capture_error=False)
        return traced


def _counted(answer: Mapping[str, Any]) -> dict[str, int]:
    """Return what there is to count of an answer."""
    counts = {"ItemsFailed": len(answer.get("batchItemFailures", ())), "ItemsParked": answer.get("parked", 0)}
    return {name: count for name, count in counts.items() if count}
