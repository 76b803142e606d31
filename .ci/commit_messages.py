"""Check commit messages as CONTRIBUTING says: of one file (the hook), or of all commits since the check came (CI)."""  # noqa: INP001 - a script

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_CHARACTERS = 72
BEGINNING = ".ci/checked-since"
"""File that names the last commit that was made without this check."""
NOT_IMPERATIVE = re.compile(r"^\w+(?:ed|ing|s)$")
IMPERATIVE_ALL_THE_SAME = {
    *("Address", "Bless", "Bring", "Compress", "Cross", "Discuss", "Embed", "Express", "Feed", "Focus", "Guess", "Harness"),
    *(
        "Need",
        "Pass",
        "Press",
        "Process",
        "Proceed",
        "Redress",
        "Seed",
        "Shed",
        "Speed",
        "Spring",
        "Stress",
        "String",
        "Suppress",
    ),
    *("Swing", "Toss", "Witness"),
}


def problems_with(message: str) -> Iterator[str]:
    """Yield what is wrong with a message, one sentence each."""
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    subject, *rest = lines or [""]
    if subject.startswith(("Merge ", "Revert ")):
        return
    if len(subject) > MOST_CHARACTERS:
        yield f"the subject has {len(subject)} characters, {len(subject) - MOST_CHARACTERS} too many"
    first = subject.partition(" ")[0]
    if not first[:1].isupper():
        yield "the subject begins with a capital letter"
    if NOT_IMPERATIVE.match(first) and first not in IMPERATIVE_ALL_THE_SAME:
        yield f"the subject is an order, such as 'Refuse batches beyond the next index', and {first!r} is none"
    if subject.endswith("."):
        yield "the subject ends without a full stop"
    if rest and rest[0].strip():
        yield "an empty line follows the subject"
    if not any(line.strip() for line in rest):
        yield "a body says why the change is made"


def main(arguments: list[str]) -> int:
    """Check a file that holds a message, or without an argument all commits. Returns how many have problems."""
    if arguments:
        messages = [("this commit", Path(arguments[0]).read_text(encoding="utf-8"))]
    else:
        since = Path(BEGINNING).read_text(encoding="utf-8").strip()
        listed = _git("log", "--no-merges", "--format=%h%x00%B%x01", f"{since}..HEAD") if _is_known(since) else ""
        messages = [(name.strip(), body) for name, _, body in (one.partition("\0") for one in listed.split("\1")) if body]
    failed = 0
    for name, message in messages:
        found = list(problems_with(message))
        failed += bool(found)
        for problem in found:
            print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201 - what the hook and CI show
    return failed


def _is_known(commit: str) -> bool:
    return subprocess.run(["git", "cat-file", "-e", commit], capture_output=True, check=False).returncode == 0  # noqa: S603, S607


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, check=True, text=True).stdout  # noqa: S603, S607


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
