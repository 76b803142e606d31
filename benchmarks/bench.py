"""Levante beside other engines, on this machine, in one go.

Installs what can be installed, each peer in an environment of its own under .bench/ (or $LEVANTE_BENCH_HOME), measures
them in turn, round after round, so that foreign load is spread evenly, and prints medians and ratios. Standard library only.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from peers import install, machine, table

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
DURABLE = ["levante", "restate", "absurd", "dbos:pg", "dbos:sqlite"]
ALL = [*DURABLE, "levante:official", "temporal", "awslocal"]
WORK = "cold,w1,w2,w3,w3k,w4,w6,w6s,idle"
ROUND_LIMIT = 900
"""Seconds that one peer may take for one round."""


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--peers", nargs="+", default=DURABLE, help=f"name or name:variant; levante@COMMIT; 'all' is {' '.join(ALL)}"
    )
    parser.add_argument("--work", default=WORK, help=f"workloads, by default {WORK}; also w5, w5b and w8")
    parser.add_argument("--sleepers", type=int, default=10000, help="executions in w8")
    parser.add_argument("--install-only", action="store_true")
    parsed = parser.parse_args()
    parsed.peers = ALL if parsed.peers == ["all"] else parsed.peers
    unknown = [peer for peer in parsed.peers if peer.partition(":")[0].partition("@")[0] not in install.PEERS]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}")
    return parsed


def installed(peers: Sequence[str], home: Path) -> dict[str, Path]:
    """Return the Python of each peer that can be had; say why the others cannot."""
    print("== environments", flush=True)
    pythons = {}
    for peer in peers:
        try:
            pythons[peer] = install.environment(peer, home, CHECKOUT)
        except install.CannotInstall as reason:
            print(f"   without {peer}: {reason}", flush=True)
    return pythons


def in_turn(peers: Sequence[str], number: int) -> list[str]:
    """Return the order of a round: each begins with another peer."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def measure(python: Path, command: Sequence[str], home: Path) -> bool:
    """Run one peer for one round; tell whether it came to its end. A failure is printed, and the round goes on."""
    env = {**os.environ, "LEVANTE_BENCH_HOME": str(home)}
    run = subprocess.Popen([str(python), str(HERE / "peers" / "run.py"), *command], env=env)
    try:
        code = run.wait(ROUND_LIMIT)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        if run.poll() is None:
            run.terminate()  # it stops what it has started
            run.wait(60)
    if code is None:
        print(f"   {command[0]} did not finish within {ROUND_LIMIT} s", flush=True)
    elif code:
        print(f"   {command[0]} failed with code {code}", flush=True)
    return code == 0


def main() -> int:
    """Install, measure, report."""
    asked = arguments()
    home = Path(os.environ.get("LEVANTE_BENCH_HOME") or CHECKOUT / ".bench").resolve()
    (home / "results").mkdir(parents=True, exist_ok=True)
    pythons = installed(asked.peers, home)
    if asked.install_only or not pythons:
        return 0 if pythons else 1
    out = home / "results" / time.strftime("%Y-%m-%dT%H%M%S.jsonl")
    out.write_text(json.dumps({"machine": machine.described(home, CHECKOUT)}) + "\n")
    all_well = True
    for number in range(asked.rounds):
        for peer in in_turn(list(pythons), number):
            print(f"== round {number + 1} of {asked.rounds}: {peer} (load {os.getloadavg()[0]:.2f})", flush=True)
            sizes = ["--reps", "1", "--rep0", str(number), "--only", asked.work, "--sleepers", str(asked.sleepers)]
            all_well &= measure(pythons[peer], [peer, "--out", str(out), *sizes], home)
    report = table.report([out])
    out.with_suffix(".md").write_text(report)
    print(f"\n{report}\nResults: {out}\nReport:  {out.with_suffix('.md')}")
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
