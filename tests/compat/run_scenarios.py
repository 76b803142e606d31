"""Run scenarios in the environment that this is started in: `python -m tests.compat.run_scenarios URL KEY [NAME...]`.

Without names, they are read from standard input, one a line, until it ends. Each is answered with one line of JSON.
"""

import json
import sys
import traceback
from collections.abc import Iterable

from mistralai.client._version import __version__

from tests.compat.scenarios import scenarios
from tests.compat.scenarios.server import Server


def main(url: str, key: str, names: Iterable[str]) -> int:
    """Run the scenarios. Returns 1 if one of them failed."""
    server, known = Server(url, key), scenarios()
    failures = 0
    say(client=__version__, names=sorted(known))
    for name in names:
        try:
            known[name](server)
        except Exception:  # noqa: BLE001 - a failure is what is reported
            failures += 1
            say(name=name, ok=False, error=traceback.format_exc())
        else:
            say(name=name, ok=True, error=None)
    return int(failures > 0)


def say(**facts: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:] or (line.strip() for line in sys.stdin)))
