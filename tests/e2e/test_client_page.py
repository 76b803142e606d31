"""The page of the client: its code runs, and prints what it should."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import LocalSite

PAGE = Path(__file__).parents[2] / "docs" / "client.md"

pytestmark = pytest.mark.timeout(180)


def test_page_when_its_code_is_run_then_it_does_what_it_says(
    local_site: LocalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first block is the workflow's module, the others are one program that imports it."""
    module, *program = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "checkout.py").write_text(module, encoding="utf-8")
    local_site.start_worker("checkout", tmp_path)
    local_site.wait_for_workers(1)
    monkeypatch.setenv("LEVANTE_SERVER_URL", local_site.url)
    monkeypatch.setenv("LEVANTE_API_KEY", local_site.key)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "checkout", raising=False)
    names: dict[str, Any] = {}
    for block in program:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    sys.modules.pop("checkout", None)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == ["anybody", "Ada", "COMPLETED"]
    assert printed[3].startswith("1 WORKFLOW_EXECUTION_STARTED")
    assert printed[-3] == "['kite', 'ball', 'drum']"
    assert printed[-2].startswith("order.cents - Input should be a valid integer")
    assert printed[-1] == "FAILED WorkflowError {'cents': -1} no refunds"
