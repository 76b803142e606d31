"""Log lines as items: one for each batch that a worker sends."""

from datetime import datetime

from pydantic import TypeAdapter

from levante_core.domain.frozen import wire_time
from levante_core.domain.names import Workspace
from levante_core.ports.item_store import EXPIRES_AT, Item, Scalar
from levante_core.protocol.logs import LogLine, LogsRequest
from levante_core.storage import keys
from levante_core.storage.decoding import reader
from levante_core.storage.large_documents import is_large
from levante_core.storage.runs import LEAVES_MORE

_LINES: TypeAdapter[tuple[LogLine, ...]] = TypeAdapter(tuple[LogLine, ...])


def lines_item(workspace: Workspace, request: LogsRequest, expires_at: datetime) -> Item:
    """Write a batch at the time of its last line."""
    last = wire_time(max(line.at for line in request.lines))
    key = keys.log_lines(workspace, request.deployment_name, request.worker_name, last, request.batch_id)
    lines = _LINES.dump_json(request.lines, exclude_defaults=True).decode()
    attributes: dict[str, Scalar] = {EXPIRES_AT: int(expires_at.timestamp()), LEAVES_MORE: is_large(lines)}
    return Item(key, attributes, {"lines": lines})


@reader
def lines_of(item: Item) -> tuple[LogLine, ...]:
    """Read a batch."""
    return _LINES.validate_json(item.documents["lines"])
