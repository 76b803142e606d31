"""What workflow code must not call, and what it uses instead.

The rules name what everything else of the standard library ends in: `Path.read_text` ends in `open`, `random.choice` in
`random.getrandbits`. Which call the code itself made is found by going up through `FACILITIES`.
"""

from __future__ import annotations

import _thread
import builtins
import datetime as dt
import gc
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FrameType, ModuleType

from levante.determinism import clients


@dataclass(frozen=True, slots=True)
class Kind:
    """Calls that are refused for one reason. why: what the call does, as in "it reads the clock".

    is_inherited: whether who calls a facility that makes such a call counts as making it. is_anyones: whether it is refused
    to libraries, too, that the workflow's code calls.
    """

    why: str
    instead: str
    is_inherited: bool = True
    is_anyones: bool = False


CLOCK = Kind("it reads the clock, which differs on replay", "workflow.now()", is_inherited=False)
BLOCKING_SLEEP = Kind("it stops the whole worker, and no timer is recorded", "await workflow.sleep(...)", is_anyones=True)
TIME_ZONE = Kind("it reads clock or time zone of this machine", "workflow.now() and zoneinfo", is_inherited=False)
RANDOM = Kind("its result differs on replay", "workflow.random()")
UUID = Kind("its result differs on replay", "workflow.uuid4()")
ENVIRONMENT = Kind("another worker may have another environment", "an activity, or a value in the input of the workflow")
FILE = Kind("it goes to the file system, which differs on replay", "an activity")
NETWORK = Kind("it goes to the network, which differs on replay", "an activity", is_anyones=True)
THREAD = Kind("threads run in another order on replay", "asyncio tasks, or an activity", is_anyones=True)
PROCESS = Kind("it reaches outside the workflow again on every replay", "an activity", is_anyones=True)
MACHINE = Kind("another worker may run on another machine", "an activity", is_inherited=False)
PROCESS_ID = Kind("another worker has another process", "an activity")
TERMINAL = Kind("it waits for somebody at a terminal, and stops the whole worker", "a signal, or an update")
GARBAGE = Kind("what is garbage, and when, differs on replay", "references that are kept or dropped in the open")
WORKER = Kind("it changes the process of the worker, and so other executions", "the program around the worker")
EVENT_LOOP = Kind("a workflow has an event loop of its own, which is replayed", "await, or an activity")

_TIME = "time monotonic perf_counter process_time thread_time clock_gettime"
_FILES = (
    "access chdir chmod chown getcwd link listdir lstat mkdir mkfifo open readlink remove rename replace rmdir scandir stat "
    "statvfs symlink truncate unlink utime"
)
_PROCESSES = "_exit abort execv execve fork forkpty kill posix_spawn posix_spawnp spawnv spawnve startfile system"
_MACHINE = "cpu_count getloadavg getlogin uname"
_GARBAGE = "disable enable freeze get_count get_objects get_referrers get_stats set_threshold unfreeze"
_SIGNALS = "alarm pause pthread_kill raise_signal setitimer set_wakeup_fd siginterrupt"
_WORKER = "setprofile setrecursionlimit setswitchinterval settrace"
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


FUNCTIONS: dict[Function, Rule] = dict(
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
        *_of(os, "getpid getppid", PROCESS_ID),
        *_of(os, "putenv unsetenv", ENVIRONMENT),
        *_of(os, _MACHINE, MACHINE),
        *_of(time, "ctime localtime", TIME_ZONE),
        *((getattr(builtins, name), Rule(name, TERMINAL)) for name in ("input", "breakpoint")),
        *_of(gc, _GARBAGE, GARBAGE),
        *_of(signal, _SIGNALS, WORKER),
        *_of(sys, _WORKER, WORKER),
        *_of(select, "select poll epoll kqueue", NETWORK),
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


def _without_limit(frame: FrameType) -> bool:
    """Tell whether something is waited for without a time limit, which only another thread can bring about."""
    return frame.f_locals.get("timeout") is None


_LOOP_PROCESSES = ("subprocess_exec", "subprocess_shell", "connect_read_pipe", "connect_write_pipe")
_LOOP_THREADS = ("run_in_executor", "call_soon_threadsafe")
_LOOP_NETWORK = (
    "create_connection create_server create_unix_connection create_unix_server create_datagram_endpoint "
    "connect_accepted_socket getaddrinfo getnameinfo sock_accept sock_connect sock_recv sock_sendall add_reader add_writer"
)


def _loop_methods() -> Iterable[tuple[str, Kind]]:
    """Yield what asyncio's loops have and that of a workflow has not, with why."""
    yield from ((name, NETWORK) for name in _LOOP_NETWORK.split())
    yield from ((name, THREAD) for name in _LOOP_THREADS)
    yield from ((name, PROCESS) for name in _LOOP_PROCESSES)
    yield from ((name, WORKER) for name in ("add_signal_handler", "remove_signal_handler"))
    yield from ((name, EVENT_LOOP) for name in ("run_forever", "run_until_complete", "stop", "close"))


_ENVIRON = "__getitem__ __setitem__ __delitem__ __iter__ __len__ __repr__ copy setdefault"

CODE: Mapping[tuple[str, str], CodeRule] = {
    **{("os", f"_Environ.{method}"): CodeRule(ENVIRONMENT, "os.environ") for method in _ENVIRON.split()},
    ("random", "Random.seed"): CodeRule(RANDOM, applies=_without_seed),
    **dict.fromkeys(clients.names(clients.UUID), CodeRule(UUID)),
    **dict.fromkeys(clients.names(clients.CLOCK), CodeRule(CLOCK)),
    **dict.fromkeys(clients.names(clients.NETWORK), CodeRule(NETWORK)),
    **{
        ("levante.replay.event_loop.loop", f"DeterministicLoop.{name}"): CodeRule(kind, f"loop.{name}")
        for name, kind in _loop_methods()
    },
    ("asyncio.threads", "to_thread"): CodeRule(THREAD),
    ("asyncio.subprocess", "create_subprocess_exec"): CodeRule(PROCESS),
    ("asyncio.subprocess", "create_subprocess_shell"): CodeRule(PROCESS),
    ("threading", "Condition.wait"): CodeRule(THREAD, applies=_without_limit),
    ("signal", "signal"): CodeRule(WORKER),
    ("socket", "socket.__init__"): CodeRule(NETWORK),
    ("socket", "getaddrinfo"): CodeRule(NETWORK),
    ("socket", "getfqdn"): CodeRule(NETWORK),
    ("subprocess", "Popen.__init__"): CodeRule(PROCESS),
    ("asyncio.runners", "run"): CodeRule(EVENT_LOOP),
    ("asyncio.runners", "Runner.__init__"): CodeRule(EVENT_LOOP),
    **{
        ("asyncio.events", name): CodeRule(EVENT_LOOP)
        for name in ("new_event_loop", "set_event_loop", "set_event_loop_policy")
    },
}
"""Functions written in Python, by module and qualified name; so none of these modules need be imported."""

CODE_NAMES = frozenset(name for _, name in CODE)

FACILITIES = frozenset(
    [
        *("collections.abc", "os", "posixpath", "ntpath", "genericpath", "io"),
        *("random", "secrets", "uuid"),
        *("pathlib", "pathlib._local", "pathlib._abc", "tempfile", "shutil", "glob"),
        *("zipfile", "tarfile", "gzip", "bz2", "lzma", "shelve", "configparser", "fileinput", "filecmp", "platform"),
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
    "asyncio.threads.": "asyncio.",
    "asyncio.streams.": "asyncio.",
    "asyncio.subprocess.": "asyncio.",
    "concurrent.futures.thread.": "concurrent.futures.",
    "concurrent.futures.process.": "concurrent.futures.",
}
"""Where functions are defined, and where their callers find them."""


def take_in_late_modules() -> None:
    """Add functions of modules that Levante does not import, as soon as somebody has. A repeat changes nothing."""
    for name, (kind, is_meant) in LATE.items():
        if name not in _taken_in and name in sys.modules:
            _taken_in.add(name)
            for function, value in list(vars(sys.modules[name]).items()):
                if isinstance(value, BuiltinFunctionType) and is_meant(function):
                    FUNCTIONS[value] = Rule(f"{name}.{function}", kind)


LATE: Mapping[str, tuple[Kind, Callable[[str], bool]]] = {
    "numpy.random": (RANDOM, lambda function: function != "default_rng"),
    "uuid_utils": (UUID, lambda function: function in {"uuid1", "uuid4", "uuid6", "uuid7"}),
    "sqlite3": (FILE, lambda function: function == "connect"),
}
"""Modules with functions written in C: their kind, and which are meant."""
_taken_in: set[str] = set()


def is_facility(module: str) -> bool:
    """Tell whether this module is one of `FACILITIES`."""
    return module in FACILITIES or module.startswith(FACILITY_PACKAGES)


def written(module: str, name: str) -> str:
    """Return a function as its callers write it."""
    full = f"{module}.{name}".removesuffix(".__init__")
    defined = next((prefix for prefix in WRITTEN_AS if full.startswith(prefix)), "")
    return WRITTEN_AS.get(defined, "") + full.removeprefix(defined)
