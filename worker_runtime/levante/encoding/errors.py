"""What goes wrong when payloads are encoded, classed by what must happen next.

No message quotes a payload or a key.
"""

from levante.errors import ErrorCode, InvalidArguments, WorkflowsException


class EncodingMisconfigured(WorkflowsException):
    """A setting is missing or wrong, or a library is not installed: whoever deploys the worker changes that."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code=ErrorCode.WORKER_RUNTIME_CONFIG_ERROR)


class PayloadNotEncodable(InvalidArguments):
    """The value is no JSON, or too large even when encoded; the same value can never be sent."""

    def __init__(self, message: str, code: ErrorCode = ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR) -> None:
        super().__init__(message)
        self.code = code


class PayloadUndecodable(WorkflowsException):
    """A payload cannot be read. Never the answer to a temporary failure: those are BlobStoreFailed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code=ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR)


class PayloadDamaged(PayloadUndecodable):
    """The payload was cut, changed or never was one."""


class PayloadTooLarge(PayloadUndecodable, InvalidArguments):
    """The payload would have more bytes, once it is decoded, than this worker takes. Another try would not change that."""

    def __init__(self, message: str) -> None:
        WorkflowsException.__init__(self, message, status=422, code=ErrorCode.INPUT_SIZE_EXCEEDED_ERROR)


class DecryptionFailed(PayloadUndecodable):
    """No configured key opens the payload: it was encrypted with another key, or changed. AES-GCM cannot tell which."""


class PayloadMisplaced(PayloadUndecodable):
    """A reference leads out of the place where payloads of this execution, or fields of this namespace, are kept."""


class BlobMissing(PayloadUndecodable):
    """The blob store holds nothing under the key: it has expired, or another store is configured."""


class BlobStoreFailed(WorkflowsException):
    """The blob store did not answer, or refused. The same call may succeed later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=503, code=ErrorCode.TEMPORAL_SERVICE_ERROR)
