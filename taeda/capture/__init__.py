"""Capture: running Python once and recording what it does as a graph."""

from .errors import CaptureError
from .symint import SymBool, SymInt, SymNumber

SymFloat = SymNumber

__all__ = ["CaptureError", "SymBool", "SymFloat", "SymInt", "SymNumber"]
