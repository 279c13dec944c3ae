"""A lock that children of fork do not inherit as taken."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


class ForkLock:
    """`with lock.held():`; re-entrant. A child of fork starts with a new one: whoever held it is not in the child."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def held(self) -> AbstractContextManager[object]:
        """The lock as a context manager, which releases what it took even if the process forks amid it."""
        return self._lock
