"""Programs of the docs that call a host with the official client: saved, run, and compared with what the page shows."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.pages import ROOT, file_of, parse
from tests.support.processes import LocalSite

SERVED = dedent(
    """
    import levante as workflows

    @workflows.activity()
    async def work() -> int:
        return 1

    @workflows.workflow.define(name="greet")
    class Greet:
        @workflows.workflow.entrypoint
        async def run(self, name: str) -> str:
            await work()
            return f"hello {name}"
    """
)
"""What pages take for granted: workflows that a reader has."""


@pytest.mark.parametrize(
    ("page", "program", "printed"),
    [
        ("events.md", "watch.py", "WORKFLOW_EXECUTION_STARTED"),
        ("interactive.md", "answer.py", "ann approved 3"),
        ("schedules.md", "schedule.py", ""),
    ],
)
def test_program_of_a_page_when_run_then_it_does_what_the_page_says(
    local_site: LocalSite, tmp_path: Path, page: str, program: str, printed: str
) -> None:
    """A reader saves it, sets LEVANTE_API_KEY and LEVANTE_SERVER_URL, and starts it."""
    files = {file_of(example): str(example.parsed) for example in parse(ROOT / "docs" / page, python=print).examples()}
    files["served.py"] = SERVED
    for name, text in files.items():
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    modules = " ".join(Path(name).stem for name in files if name and name != program)
    local_site.start_worker(modules, tmp_path)
    local_site.wait_for_workers(1)
    local_site.wait_for_result(local_site.start("greet", {"name": "Ada"}, execution_id="order-1"))
    environment = {"LEVANTE_API_KEY": local_site.key, "LEVANTE_SERVER_URL": local_site.url}
    ended = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert printed in ended.stdout
    if page == "events.md":
        shown = (ROOT / "docs" / page).read_text(encoding="utf-8").partition("```\n1 ")[2].partition("```")[0]
        assert ended.stdout == f"1 {shown}"
    if page == "schedules.md":
        assert local_site.call("GET", "/v1/workflows/schedules/greet-in-the-morning")["workflow_name"] == "greet"
