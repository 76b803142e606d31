"""Playwright's `expect`. Where it is not installed, all tests that import it are skipped, and say so."""

from typing import Any

import pytest

REASON = "Playwright is not installed, and the console not built: `make test-console`"
expect: Any = pytest.importorskip("playwright.sync_api", reason=REASON).expect
