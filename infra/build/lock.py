"""Pin what the Lambda functions import: `python infra/build/lock.py [--upgrade]`, with uv on the PATH.

Which packages: the dependency group `functions` of pyproject.toml. Which versions: the newest that its `dependencies` allow.
The pins, with a hash for every platform, go to functions/requirements.txt, from which `sam build` installs.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = "functions/requirements.txt"
IN_THE_RUNTIME = ("botocore", "python-dateutil", "six", "urllib3")
"""Of the AWS SDK, which the tracer asks for and Lambda's Python has: there it gets its fixes without a deployment."""


def main() -> int:
    """Write the pins anew. Those that still fit are kept unless --upgrade is given."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as allowed:
        allowed.write("\n".join(project["dependencies"]))
        allowed.flush()
        command = ["uv", "pip", "compile", "--quiet", "--group", "functions", "--constraints", allowed.name]
        command += ["--python-version", "3.13", "--universal", "--generate-hashes", "--no-annotate"]
        command += ["--custom-compile-command", "python infra/build/lock.py", "--output-file", TARGET]
        command += [option for name in IN_THE_RUNTIME for option in ("--no-emit-package", name)]
        return subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=False).returncode  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
