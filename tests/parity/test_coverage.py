"""docs/coverage.md is what the suite measures."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from . import coverage


def test_the_page_is_up_to_date():
    assert coverage.TARGET.read_text() == coverage.page(), "run python -m tests.parity.coverage"
