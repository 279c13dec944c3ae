"""Finding the forward call behind a backward that fails."""

from __future__ import annotations

from .. import _core


class set_detect_anomaly:
    """Sets anomaly detection at once; as a context manager it restores what was set before.

    While it is on, forward calls remember where they were made: an error in backward is preceded by a warning with that
    stack. With check_nan a backward that yields NaN is an error.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self.before = _core.is_anomaly_enabled(), _core.is_anomaly_check_nan_enabled()
        _core._set_anomaly(bool(mode), bool(check_nan))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        _core._set_anomaly(*self.before)


class detect_anomaly:
    """Anomaly detection for a `with` block; see `set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan

    def __enter__(self) -> None:
        self.before = _core.is_anomaly_enabled(), _core.is_anomaly_check_nan_enabled()
        _core._set_anomaly(True, self.check_nan)

    def __exit__(self, *error: object) -> None:
        _core._set_anomaly(*self.before)
