"""How long tokens take to a client, and what readers cost the work beside them. Run by `make bench-streaming`."""

import argparse

from benchmarks.streaming import beside
from benchmarks.streaming.tokens import Load, floor, levante, tokens


def percentile(taken: list[float], share: float) -> float:
    """Return the value that so large a share of the sorted values does not exceed."""
    return taken[min(len(taken) - 1, int(len(taken) * share))]


def show_tokens(load: Load) -> None:
    """Print percentiles and cores of the engine and of the floor, and the ratio of their medians."""
    print(f"{load.streams} streams, {load.per_second:g} tokens a second each, for {load.seconds:g} s; milliseconds, cores")
    print(f"{'from':>8} {'client':>8} {'p50':>8} {'p95':>8} {'p99':>8}")
    medians: dict[str, list[float]] = {}
    for name, start in (("floor", floor), ("levante", levante)):
        with start(load) as server:
            taken, cores = tokens(server, load)
        for kind, some in taken.items():
            p50, p95, p99 = (percentile(some, share) for share in (0.5, 0.95, 0.99))
            medians.setdefault(kind, []).append(p50)
            print(f"{name:>8} {kind:>8} {p50:>8.1f} {p95:>8.1f} {p99:>8.1f}", flush=True)
        print(f"{name:>8} " + ", ".join(f"{role} {share:.2f} cores" for role, share in cores.items()), flush=True)
    for kind, (bare, ours) in medians.items():
        print(f"{kind:>8} median: {ours / bare:.1f} times the floor")


def show_work(readers: int) -> None:
    """Print executions a second beside readers, and what these take of the host."""
    print(
        f"\nexecutions of one activity, {beside.AT_ONCE} at a time; {readers} readers of {beside.STREAMS} other executions"
    )
    print(f"{'beside':>20} {'a second':>9} {'ratio':>6} {'host without, cores':>20} {'host, MiB':>10}")
    alone = None
    for row in beside.measure(readers):
        alone = alone or row.per_second
        print(f"{row.name:>20} {row.per_second:>9.0f} {row.per_second / alone:>6.2f} ", end="")
        print(f"{row.quiet_cores:>20.3f} {row.host_mib:>10.0f}", flush=True)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--official", type=int, default=2, help="streams read by the official client; it can take few")
    parser.add_argument("--per-second", type=float, default=50.0, help="tokens of each stream")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--readers", type=int, default=1000, help="beside the work; 0 leaves that out")
    given = parser.parse_args()
    show_tokens(Load(given.streams, given.official, int(given.seconds * given.per_second), given.per_second))
    if given.readers:
        show_work(given.readers)


if __name__ == "__main__":
    main()
