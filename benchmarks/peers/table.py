"""Turn results into Markdown: `python table.py RESULTS.jsonl...`. Standard library only.

A cell is the median over the rounds (least..most). The ratios compare Levante with the best peer that keeps its data.
"""

import collections
import json
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One figure of one workload. better: which way is better, or None where it is not a race."""

    work: str
    key: str
    title: str
    better: str | None = "less"


COLUMNS = [
    Column("cold", "first_result_s", "cold start s"),
    Column("w1", "p50_ms", "W1 p50 ms"),
    Column("w1", "p99_ms", "W1 p99 ms"),
    Column("w2", "wf_per_s", "W2 wf/s", "more"),
    Column("w3", "act_per_s", "W3 200 act/s", "more"),
    Column("w3k", "act_per_s", "W3 1000 act/s", "more"),
    Column("w4", "total_s", "W4 s"),
    Column("w5", "p50_ms", "W5 p50 ms"),
    Column("w5b", "p50_ms", "W5 update p50 ms"),
    Column("w6", "finish_s", "W6 restart s"),
    Column("w6", "steps_completed_twice", "W6 completed twice", None),
    Column("w6", "steps_started_twice", "W6 started twice", None),
    Column("w6s", "finish_s", "W6 spare s"),
    Column("w6s", "steps_completed_twice", "W6 spare completed twice", None),
    Column("w8", "create_s", "W8 create s"),
    Column("w8", "fresh_workflow_ms", "W8 fresh wf ms"),
]


class Results:
    """All lines of some result files, by peer and workload."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.machines: list[Line] = []
        self.peers: list[str] = []
        self.lines: dict[tuple[str, str], list[Line]] = collections.defaultdict(list)
        self.facts: dict[str, Line] = {}
        for path in files:
            for text in path.read_text().splitlines():
                self._take(json.loads(text))

    def _take(self, line: Line) -> None:
        if "machine" in line:
            self.machines.append(line["machine"])
            return
        if line["peer"] not in self.peers:
            self.peers.append(line["peer"])
        self.lines[line["peer"], line["work"]].append(line)
        if "facts" in line:
            self.facts[line["peer"]] = line["facts"]

    def of(self, peer: str, work: str) -> list[Line]:
        return self.lines.get((peer, work), [])

    def figures(self, peer: str, work: str, key: str) -> list[float]:
        """Return what was measured, one figure a round; key may name an inner one: `host/pss_mb`."""
        found = (_inner(line, key) for line in self.of(peer, work))
        return [value for value in found if isinstance(value, int | float)]

    def median(self, peer: str, work: str, key: str) -> float | None:
        figures = self.figures(peer, work, key)
        return statistics.median(figures) if figures else None

    def keeps_its_data(self, peer: str) -> bool:
        return not str(self.facts.get(peer, {}).get("durability", "none")).startswith("none")


def _inner(line: Any, key: str) -> Any:
    for part in key.split("/"):
        line = line.get(part) if isinstance(line, dict) else None
    return line


def digits(value: float) -> str:
    """Write a figure with three significant digits or so."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(results: Results, peer: str, work: str, key: str) -> str:
    """Write median (least..most), or why there is none."""
    lines = results.of(peer, work)
    figures = results.figures(peer, work, key)
    if not figures:
        return _why_empty(lines)
    text = digits(statistics.median(figures))
    if len(figures) > 1:
        text += f" ({digits(min(figures))}..{digits(max(figures))})"
    unfinished = len(lines) - len(figures)
    return text + (f" [{unfinished} of {len(lines)} did not finish]" if unfinished else "")


def _why_empty(lines: list[Line]) -> str:
    if not lines:
        return "-"
    for key, text in (("skipped", "skip"), ("error", "FAIL")):
        if key in lines[0]:
            return text
    return f">{lines[0]['limit_s']}" if lines[0].get("limit_s") else "-"


def row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def head(*titles: str) -> Iterator[str]:
    yield row(titles)
    yield "|" + " --- |" * len(titles)


def times(results: Results) -> Iterator[str]:
    """Write the table of all workloads."""
    columns = [column for column in COLUMNS if any(results.of(peer, column.work) for peer in results.peers)]
    yield from head("peer", *[column.title for column in columns])
    for peer in results.peers:
        yield row([peer, *[cell(results, peer, column.work, column.key) for column in columns]])


def ratios(results: Results) -> Iterator[str]:
    """Write, for each variant of Levante and each race, how many times better it is than the best durable peer."""
    ours = [peer for peer in results.peers if peer.startswith("levante")]
    others = [peer for peer in results.peers if peer not in ours and results.keeps_its_data(peer)]
    if not ours or not others:
        yield "No ratios: they need Levante and at least one peer that keeps its data."
        return
    yield "How many times better than the best peer that keeps its data; over 1 is ahead.\n"
    yield from head("workload", "best peer", "its median", *[f"{mine}" for mine in ours])
    for column in COLUMNS:
        medians = {peer: results.median(peer, column.work, column.key) for peer in [*ours, *others]}
        known = {peer: value for peer, value in medians.items() if value is not None}
        best = [peer for peer in others if peer in known]
        if column.better is None or not best:
            continue
        first = (max if column.better == "more" else min)(best, key=lambda peer: known[peer])
        cells = [_ratio(known.get(mine), known[first], column) for mine in ours]
        yield row([column.title, first, digits(known[first]), *cells])


def _ratio(mine: float | None, theirs: float, column: Column) -> str:
    if not mine or not theirs:
        return "-"
    ratio = mine / theirs if column.better == "more" else theirs / mine
    return f"{digits(mine)} ({ratio:.2f}x)"


def costs(results: Results) -> Iterator[str]:
    """Write what it costs to be there and to work."""
    yield "Idle: PSS in MiB and CPU in % of one core, by role (median). Foreign: cores that others used during W1 to W4.\n"
    yield from head("peer", "idle", "W8 PSS before -> after", "CPU ms per workflow in W2", "foreign cores median (most)")
    for peer in results.peers:
        yield row([peer, _idle(results, peer), _growth(results, peer), _cpu(results, peer), _foreign(results, peer)])


def _idle(results: Results, peer: str) -> str:
    roles = sorted(
        {role for line in results.of(peer, "idle") for role in line if f"{_inner(line, role + '/pss_mb')}" != "None"}
    )
    medians = [
        (role, results.median(peer, "idle", f"{role}/pss_mb"), results.median(peer, "idle", f"{role}/cpu_pct"))
        for role in roles
    ]
    return "; ".join(f"{role} {digits(pss or 0)} MiB, {digits(cpu or 0)} %" for role, pss, cpu in medians) or "-"


def _growth(results: Results, peer: str) -> str:
    lines = [line for line in results.of(peer, "w8") if "pss_before" in line]
    if not lines:
        return "-"
    before, after = lines[0]["pss_before"], lines[0]["pss_after"]
    return f"n={lines[0]['n']}: " + "; ".join(f"{role} {before[role]:.0f} -> {after[role]:.0f}" for role in before)


def _cpu(results: Results, peer: str) -> str:
    lines = [line for line in results.of(peer, "w2") if line.get("cpu_s")]
    if not lines:
        return "-"
    by_role = {
        role: statistics.median(line["cpu_s"][role] / line["n"] * 1e3 for line in lines) for role in lines[0]["cpu_s"]
    }
    served = sum(value for role, value in by_role.items() if role != "client")
    return "; ".join(f"{role} {digits(value)}" for role, value in by_role.items()) + f"; all but client {digits(served)}"


def _foreign(results: Results, peer: str) -> str:
    figures = [figure for work in ("w1", "w2", "w3", "w4") for figure in results.figures(peer, work, "foreign_cores")]
    return f"{digits(statistics.median(figures))} ({digits(max(figures))})" if figures else "-"


def notes(results: Results) -> Iterator[str]:
    """Write what was left out or failed, and versions and settings."""
    for (peer, work), lines in results.lines.items():
        for line in lines:
            for key in ("skipped", "error"):
                if key in line:
                    yield f"- {peer}, {work}, {key}: {line[key]}"
    for peer, facts in results.facts.items():
        yield f"- {peer}: " + "; ".join(f"{key} {value}" for key, value in facts.items())
    for machine in results.machines:
        yield "- machine: " + "; ".join(f"{key} {value}" for key, value in machine.items())


def report(files: Iterable[Path]) -> str:
    """Return the whole report as Markdown."""
    results = Results(files)
    sections = {
        "Workloads, median (least..most)": times(results),
        "Ratios": ratios(results),
        "Costs": costs(results),
        "Notes": dict.fromkeys(notes(results)),
    }
    return "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n"


if __name__ == "__main__":
    print(report(Path(name) for name in sys.argv[1:]))
