"""Result dtypes of operands: PyTorch's rules over codes, as core/dtype.cpp has them for real tensors."""

from __future__ import annotations

_INTS = ("u8", "i8", "i16", "i32", "i64")
_FLOATS = ("f16", "bf16", "f32", "f64")
_RANK = {c: k for k, c in enumerate(("i8", "i16", "i32", "i64"))}


def category(code: str) -> int:
    return 0 if code == "b1" else 1 if code in _INTS else 2 if code in _FLOATS else 3


def promote(a: str, b: str) -> str:
    """Of two tensors with dimensions."""
    if a == b:
        return a
    ca, cb = category(a), category(b)
    if ca != cb:
        high, low = (a, b) if ca > cb else (b, a)
        return "c128" if category(high) == 3 and low == "f64" else high
    if ca == 1:
        if "u8" in (a, b):
            other = b if a == "u8" else a
            return "i16" if other == "i8" else other
        return max(a, b, key=_RANK.__getitem__)
    if ca == 2:
        return "f64" if "f64" in (a, b) else "f32"  # f16 with bf16 gives f32 as well
    return "c128"


def result_type(operands: list[tuple[str, str]], default: str) -> str:
    """operands: (how, code) with how "dim" (a tensor with dimensions), "zero" (a 0-d tensor) or "number" (code b1,
    i64 or f64).
    default: the default float dtype."""
    by: dict[str, str | None] = {"dim": None, "zero": None, "number": None}
    for how, code in operands:
        known = by[how]
        if how == "number":
            by[how] = code if known is None or category(code) > category(known) else known
        else:
            by[how] = code if known is None else promote(known, code)
    number = by["number"]
    if number is not None and category(number) == 2:
        by["number"] = default
    result: str | None = None
    for how in ("dim", "zero", "number"):
        found = by[how]
        if found is None:
            continue
        if result is None:
            result = found
        elif category(found) > category(result):
            result = promote(result, found)
    assert result is not None
    return result
