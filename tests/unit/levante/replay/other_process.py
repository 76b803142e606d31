"""Replays, in a process of its own, what another one has lived through: `python -m tests.unit.levante.replay.other_process`.

Takes a pickled list of programs, their histories and what their code saw, and says how many it has seen the same.
"""

import gc
import pickle
import sys

from levante.replay.replayer import replay
from tests.unit.levante.replay.lives import Live


def main() -> None:
    """Replay all of them, with the garbage of each collected."""
    lives = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - of our own test
    for program, batches, seen in lives:
        again = Live(program)
        left = replay(again.run, batches, {})
        again.dispose()
        gc.collect()
        if left or repr(again.seen) != seen:
            sys.exit(f"{program!r}: asked for {left!r} more, and saw {again.seen!r}, not {seen}")
    sys.stdout.write(f"{len(lives)} replayed\n")


if __name__ == "__main__":
    main()
