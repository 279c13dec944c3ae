"""How tensors print: PyTorch's format, without importing NumPy."""

from __future__ import annotations

import math

from . import _core

_FORMATTED_LIMIT = 1000.0


class _Options:
    precision, threshold, edgeitems, linewidth = 4, 1000, 3, 80
    sci_mode: bool | None = None


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """Sets how tensors print. profile: "default", "short" or "full"."""
    if profile is not None:
        presets = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}
        if profile not in presets:
            raise ValueError(f"set_printoptions(): profile must be default, short or full, got {profile!r}")
        _Options.precision, _Options.threshold, _Options.edgeitems, _Options.linewidth = presets[profile]
    for name, value in (
        ("precision", precision),
        ("threshold", threshold),
        ("edgeitems", edgeitems),
        ("linewidth", linewidth),
    ):
        if value is not None:
            setattr(_Options, name, value)
    _Options.sci_mode = sci_mode


class _Formatter:
    """Text of one element: the same width and notation for all."""

    def __init__(self, values: list, dtype):
        self.floats = dtype.is_floating_point
        self.whole = self.scientific = False
        self.width = 1
        if not self.floats:
            self.width = max((len(str(v)) for v in values), default=1)
            return
        finite = [abs(v) for v in values if math.isfinite(v) and v != 0]
        self.whole = True
        if finite:
            low, high = min(finite), max(finite)
            self.whole = all(v == math.ceil(v) for v in finite)
            wide = high / low > _FORMATTED_LIMIT or high > 1.0e8
            self.scientific = wide if self.whole else wide or low < 1.0e-4
        if _Options.sci_mode is not None:
            self.scientific = _Options.sci_mode
        self.width = max((len(self._text(v)) for v in values), default=1)

    def _text(self, v) -> str:
        if not self.floats:
            return str(v)
        if self.scientific:
            return f"{v:.{_Options.precision}e}"
        if self.whole:
            return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"
        return f"{v:.{_Options.precision}f}"

    def __call__(self, v) -> str:
        return self._text(v).rjust(self.width)


def _vector(t, indent: int, formatter: _Formatter, summarize: bool) -> str:
    per_line = max(1, (_Options.linewidth - indent) // (formatter.width + 2))
    edge = _Options.edgeitems
    if summarize and t.shape[0] > 2 * edge:
        items = [formatter(v) for v in t[:edge].tolist()] + [" ..."] + [formatter(v) for v in t[-edge:].tolist()]
    else:
        items = [formatter(v) for v in t.tolist()]
    lines = [", ".join(items[k : k + per_line]) for k in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(t, indent: int, formatter: _Formatter, summarize: bool) -> str:
    if t.dim() == 0:
        return formatter(t.item())
    if t.dim() == 1:
        return _vector(t, indent, formatter, summarize)
    edge = _Options.edgeitems
    if summarize and t.shape[0] > 2 * edge:
        rows = [_nested(t[k], indent + 1, formatter, summarize) for k in range(edge)]
        rows.append("...")
        rows += [_nested(t[k], indent + 1, formatter, summarize) for k in range(t.shape[0] - edge, t.shape[0])]
    else:
        rows = [_nested(t[k], indent + 1, formatter, summarize) for k in range(t.shape[0])]
    return "[" + ("," + "\n" * (t.dim() - 1) + " " * (indent + 1)).join(rows) + "]"


def _shown(t) -> list:
    """The elements that a summary prints, as one flat list."""
    edge = _Options.edgeitems
    if t.dim() == 0:
        return [t.item()]
    parts = [t[:edge], t[t.shape[0] - edge :]] if t.shape[0] > 2 * edge else [t]
    if t.dim() == 1:
        return [v for part in parts for v in part.tolist()]
    return [v for part in parts for row in part for v in _shown(row)]


def tensor_text(self) -> str:
    """repr() of a tensor."""
    name = "Parameter containing:\n" if type(self).__name__ == "Parameter" else ""
    prefix, suffixes = "tensor(", []
    stands_for = _core.wrapped_value(self)
    if stands_for is not None:
        return stands_for.text()
    if _core.traced_value(self) is not None:
        return f"{name}tensor(<traced>, shape={tuple(self.shape)}, dtype={self.dtype})"
    usual = (_core.get_default_dtype(), _core.int64, _core.bool)
    t = self.detach()
    if t.numel() == 0:
        body = "[]"
        if t.dim() != 1:
            suffixes.append(f"size={tuple(t.shape)}")
        if t.dtype is not _core.get_default_dtype():
            suffixes.append(f"dtype={t.dtype}")
    else:
        summarize = t.numel() > _Options.threshold
        values = _shown(t) if summarize else t.reshape((-1,)).tolist()
        if t.dtype not in usual:
            suffixes.append(f"dtype={t.dtype}")
        body = _nested(t, len(prefix), _Formatter(values, t.dtype), summarize)
    if self.grad_fn is not None:
        node = self.grad_fn
        suffixes.append(f"grad_fn=<{node.name()}>")
    elif self.requires_grad:
        suffixes.append("requires_grad=True")
    text = prefix + body
    line = len(text) - text.rfind("\n")
    for suffix in suffixes:
        if line + len(suffix) + 3 > _Options.linewidth:
            text += ",\n" + " " * len(prefix) + suffix
            line = len(prefix) + len(suffix)
        else:
            text += ", " + suffix
            line += len(suffix) + 2
    return name + text + ")"
