"""The beginning of time, from which times are counted and before which nothing is recorded."""

from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
