"""What workflow code must not call, and what it uses instead.

The rules name what everything else of the standard library ends in: `Path.read_text` ends in `open`, `random.choice` in
`random.getrandbits`. Which call the code itself made is found by going up through `FACILITIES`.
"""

from __future__ import annotations

import _thread
import datetime as dt
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import FrameType, ModuleType


@dataclass(frozen=True, slots=True)
class Kind:
    """Calls that are refused for one reason. why: what the call does, as in "it reads the clock".

    is_inherited: whether who calls a facility that makes such a call counts as making it.
    """

    why: str
    instead: str
    is_inherited: bool = True


CLOCK = Kind("it reads the clock, which differs on replay", "workflow.now()", is_inherited=False)
BLOCKING_SLEEP = Kind("it stops the whole worker, and no timer is recorded", "await workflow.sleep(...)")
RANDOM = Kind("its result differs on replay", "workflow.random()")
UUID = Kind("its result differs on replay", "workflow.uuid4()")
ENVIRONMENT = Kind("another worker may have another environment", "an activity, or a value in the input of the workflow")
FILE = Kind("it goes to the file system, which differs on replay", "an activity")
NETWORK = Kind("it goes to the network, which differs on replay", "an activity")
THREAD = Kind("threads run in another order on replay", "asyncio tasks, or an activity")
PROCESS = Kind("it reaches outside the workflow again on every replay", "an activity")
EVENT_LOOP = Kind("a workflow has an event loop of its own, which is replayed", "await, or an activity")

_TIME = "time monotonic perf_counter process_time thread_time clock_gettime"
_FILES = (
    "access chdir chmod chown getcwd link listdir lstat mkdir mkfifo open readlink remove rename replace rmdir scandir stat "
    "statvfs symlink truncate unlink utime"
)
_PROCESSES = "execv execve fork forkpty getpid getppid kill posix_spawn posix_spawnp spawnv spawnve startfile system"
_NETWORK = "gethostname gethostbyname gethostbyname_ex gethostbyaddr socketpair"
_THREADS = "start_new_thread start_joinable_thread"

Function = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Rule:
    """A function that is refused, as its callers write it."""

    name: str
    kind: Kind


def _of(module: ModuleType, names: str, kind: Kind) -> Iterable[tuple[Function, Rule]]:
    """Pair the functions of these names with a rule; those that this platform or version lacks are left out."""
    return (
        (getattr(module, name), Rule(f"{module.__name__}.{name}", kind)) for name in names.split() if hasattr(module, name)
    )


FUNCTIONS: Mapping[Function, Rule] = dict(
    [
        *_of(time, _TIME, CLOCK),
        *_of(time, " ".join(f"{name}_ns" for name in _TIME.split()), CLOCK),
        *_of(time, "sleep", BLOCKING_SLEEP),
        (dt.datetime.now, Rule("datetime.now", CLOCK)),  # noqa: TID251 - named in order to be refused
        (dt.datetime.utcnow, Rule("datetime.utcnow", CLOCK)),  # noqa: TID251 - same
        (dt.datetime.today, Rule("datetime.today", CLOCK)),  # noqa: TID251 - same
        (dt.date.today, Rule("date.today", CLOCK)),
        *_of(random, "random getrandbits", RANDOM),
        *_of(os, "urandom getrandom", RANDOM),
        (open, Rule("open", FILE)),
        *_of(os, _FILES, FILE),
        *_of(os, _PROCESSES, PROCESS),
        *_of(socket, _NETWORK, NETWORK),
        *_of(_thread, _THREADS, THREAD),
    ]
)
"""Functions written in C. Methods of `random` are those of the hidden generator that the module's functions share."""


def _always(_frame: FrameType) -> bool:
    return True


def _without_seed(frame: FrameType) -> bool:
    """Tell whether `Random.seed` is called without a seed. Not so for SystemRandom, whose seed does nothing."""
    return frame.f_locals.get("a") is None


@dataclass(frozen=True, slots=True)
class CodeRule:
    """A rule on a function written in Python. name: None for its own. applies: tells from its frame if a call is meant."""

    kind: Kind
    name: str | None = None
    applies: Callable[[FrameType], bool] = _always


_ENVIRON = "__getitem__ __setitem__ __delitem__ __iter__ __len__ __repr__ copy setdefault"

CODE: Mapping[tuple[str, str], CodeRule] = {
    **{("os", f"_Environ.{method}"): CodeRule(ENVIRONMENT, "os.environ") for method in _ENVIRON.split()},
    ("random", "Random.seed"): CodeRule(RANDOM, applies=_without_seed),
    ("uuid", "uuid1"): CodeRule(UUID),
    ("uuid", "uuid4"): CodeRule(UUID),
    ("uuid", "getnode"): CodeRule(UUID),
    ("socket", "socket.__init__"): CodeRule(NETWORK),
    ("socket", "getaddrinfo"): CodeRule(NETWORK),
    ("socket", "getfqdn"): CodeRule(NETWORK),
    ("subprocess", "Popen.__init__"): CodeRule(PROCESS),
    ("asyncio.runners", "run"): CodeRule(EVENT_LOOP),
    ("asyncio.runners", "Runner.__init__"): CodeRule(EVENT_LOOP),
    ("asyncio.events", "new_event_loop"): CodeRule(EVENT_LOOP),
}
"""Functions written in Python, by module and qualified name; so none of these modules need be imported."""

CODE_NAMES = frozenset(name for _, name in CODE)

FACILITIES = frozenset(
    [
        *("collections.abc", "os", "posixpath", "ntpath", "genericpath", "io"),
        *("random", "secrets", "uuid"),
        *("pathlib", "pathlib._local", "pathlib._abc", "tempfile", "shutil", "glob"),
        *("socket", "http.client", "urllib.request", "subprocess", "threading"),
        *("concurrent.futures.thread", "concurrent.futures.process"),
    ]
)
"""Modules of the standard library on whose behalf nothing is called: who calls them is who calls what they call."""

FACILITY_PACKAGES = ("multiprocessing.",)

WRITTEN_AS: Mapping[str, str] = {
    "random.Random.": "random.",
    "posixpath.": "os.path.",
    "ntpath.": "os.path.",
    "genericpath.": "os.path.",
    "pathlib._local.": "pathlib.",
    "pathlib._abc.": "pathlib.",
    "asyncio.runners.": "asyncio.",
    "asyncio.events.": "asyncio.",
    "concurrent.futures.thread.": "concurrent.futures.",
    "concurrent.futures.process.": "concurrent.futures.",
}
"""Where functions are defined, and where their callers find them."""


def is_facility(module: str) -> bool:
    """Tell whether this module is one of `FACILITIES`."""
    return module in FACILITIES or module.startswith(FACILITY_PACKAGES)


def written(module: str, name: str) -> str:
    """Return a function as its callers write it."""
    full = f"{module}.{name}".removesuffix(".__init__")
    defined = next((prefix for prefix in WRITTEN_AS if full.startswith(prefix)), "")
    return WRITTEN_AS.get(defined, "") + full.removeprefix(defined)
