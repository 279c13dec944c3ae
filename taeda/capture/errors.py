"""Errors of a capture, and where in the user's code they are."""

from __future__ import annotations

import linecache
import os
import re
import sys
from dataclasses import dataclass

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: Rooms of the package whose code is written like a user's: errors inside a layer name the layer's caller.
_PYTHON = os.path.dirname(os.__file__) + os.sep


class CaptureError(RuntimeError):
    """Something that a captured program cannot express. The message names the user's line."""


def refuse_complex(what: str) -> None:
    """Programs compute with real numbers only."""
    raise CaptureError(
        f"{user_location().text()}: {what}: complex numbers cannot be captured. Compute with their real and imaginary "
        "parts (taeda.view_as_real) or outside of the captured function."
    )


@dataclass(frozen=True)
class Location:
    file: str
    line: int

    def text(self) -> str:
        """file:line, and the line itself."""
        source = linecache.getline(self.file, self.line).strip()
        return f"{self.file}:{self.line}{f': `{source}`' if source else ''}"


def with_numbers(error: Exception, hints: dict[str, int]) -> None:
    """Puts the example's sizes in the place of their names into a message of this package, as eager code words it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    ours = frame is not None and frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)
    if ours and not isinstance(error, CaptureError) and len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (re.sub(r"\bs\d+\b", lambda m: str(hints.get(m[0], m[0])), error.args[0]),)


def user_location() -> Location:
    """The innermost frame outside of this package."""
    frame = sys._getframe(1)
    last = frame
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) and not name.startswith("<"):
            return Location(name, frame.f_lineno)
        last, frame = frame, frame.f_back  # type: ignore[assignment]
    return Location(last.f_code.co_filename, last.f_lineno)
