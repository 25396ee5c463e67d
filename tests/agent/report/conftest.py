"""One browser for all tests of the page."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.report.browser import chromium, needs_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    needs_browser()
    with chromium() as launched:
        yield launched
