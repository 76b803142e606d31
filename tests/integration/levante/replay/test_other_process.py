"""Invariant 2 in another process: whatever hashes and addresses are there, replay does the same."""

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levante_core.protocol import HistoryBatch
from tests.support.forms import either
from tests.unit.levante.replay import other_process
from tests.unit.levante.replay.lives import lived
from tests.unit.levante.replay.programs import PROGRAMS, Program

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _garbage_of_others_is_left_alone() -> Iterator[None]:
    """Hundreds of forced collections would go through all that the test runner holds, which takes minutes late in a run."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_replay_when_another_process_with_another_hash_seed_does_it_then_it_sees_the_same() -> None:
    """Neither addresses nor hashes of texts lead anywhere: a worker on another machine has others."""
    lives: list[tuple[Program, list[HistoryBatch], str]] = []

    @settings(deadline=None, max_examples=either(short=20, full=100), database=None)
    @given(PROGRAMS, st.data())
    def live_through(program: Program, data: st.DataObject) -> None:
        live = lived(program, data)
        lives.append((program, live.batches, repr(live.seen)))

    live_through()
    for seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-m", other_process.__name__],
            input=pickle.dumps(lives),
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.decode().strip() == f"{len(lives)} replayed"
