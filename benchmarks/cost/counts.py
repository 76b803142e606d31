"""What one workload used, by what it is billed as."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

Number = int | float


class Unit(StrEnum):
    """What AWS bills. The detail of a count says which function, table or index, or operation it was."""

    GATEWAY = "gateway_requests"
    INVOCATION = "invocations"
    BILLED_MS = "billed_ms"
    WRITE = "write_units"
    READ = "read_units"
    FIFO = "fifo_requests"
    STANDARD = "standard_requests"
    S3_PUT = "s3_puts"
    S3_GET = "s3_gets"
    LOG = "log_bytes"
    ALARM = "alarm_months"
    FREE = "free_of_charge"


TABLE = "table"
"""The detail of units of the base table; those of an index have its name."""


class Counts:
    """Numbers by unit and detail."""

    def __init__(self) -> None:
        self._numbers: defaultdict[Unit, Counter[str]] = defaultdict(Counter)

    def add(self, unit: Unit, detail: str, number: Number = 1) -> None:
        """Count."""
        self._numbers[unit][detail] += number  # type: ignore[assignment]  # read units come in halves

    def of(self, unit: Unit) -> Mapping[str, Number]:
        """Return the numbers of a unit by detail; empty where it was not used."""
        return dict(sorted(self._numbers[unit].items())) if unit in self._numbers else {}

    def sum(self, unit: Unit) -> Number:
        """Return the number of a unit."""
        return sum(self.of(unit).values())

    def of_indexes(self, unit: Unit) -> Number:
        """Return the number of a unit but for the base table's."""
        return self.sum(unit) - self.of(unit).get(TABLE, 0)

    def plus(self, other: "Counts") -> "Counts":
        """Return the sum."""
        total = Counts.read(self.written())
        for unit in Unit:
            for detail, number in other.of(unit).items():
                total.add(unit, detail, number)
        return total

    def times(self, factor: Number) -> "Counts":
        """Return so many times as much."""
        return Counts.read({unit: {detail: factor * n for detail, n in self.of(unit).items()} for unit in self._numbers})

    def written(self) -> dict[str, dict[str, Number]]:
        """Write as JSON. A count that came to nothing is left out."""
        found = {str(unit): self.of(unit) for unit in Unit}
        return {unit: {detail: _plain(n) for detail, n in of.items() if n} for unit, of in found.items() if any(of.values())}

    @classmethod
    def read(cls, written: Mapping[str, Mapping[str, Number]]) -> Self:
        """Read what `written` wrote. Raises: ValueError for a unit that is not known."""
        counts = cls()
        for unit, numbers in written.items():
            for detail, number in numbers.items():
                counts.add(Unit(unit), detail, number)
        return counts


def _plain(number: Number) -> Number:
    return int(number) if number == int(number) else number
