"""`taeda.nn.functional`: the operators of the table that belong to neural networks, with PyTorch's signatures."""

from __future__ import annotations

from ..ops.namespace import F as _F
from ..ops.table import TABLE as _TABLE


def _with_inplace(name: str):
    """PyTorch's activations take `inplace` after their parameters."""
    op = _TABLE[name]
    numbers = op.params.count("Number")
    plain, twin = getattr(_F, name), getattr(_F, name + "_")

    def function(input, *args, inplace=False, **kwargs):
        if len(args) > numbers:
            *args, inplace = args
        return (twin if inplace else plain)(input, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = op.doc
    return function


def _entries():
    """(name, operator) of what belongs here. Where the function of the package itself takes other arguments, the
    operator's trait `nn` is the name."""
    for op in list(_TABLE.values()):
        nn = op.traits and op.traits.get("nn")
        if nn:
            yield from ((name, op) for name in ((op.name, *(op.aliases or ())) if nn is True else (nn,)))


def _fill(names: dict) -> None:
    for name, op in _entries():
        fn = getattr(_F, op.name)
        found = _with_inplace(op.name) if op.kind == "map" and op.inplace else _F.exported(op, fn)
        names[name] = found
        if op.inplace:
            names[name + "_"] = getattr(_F, op.name + "_")
    for name in ("sigmoid", "tanh", "rrelu_"):
        names[name] = getattr(_F, name)


_fill(globals())
