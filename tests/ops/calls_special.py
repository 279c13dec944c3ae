"""Calls for test_gradients_rest: special functions."""

from __future__ import annotations

import taeda
from taeda._bind import bound


def on(name, *rest):
    """The operator with these further arguments after the float tensors."""
    return lambda *tensors: bound(name)(*tensors, *rest)


def floats(*shapes, low=0.4, high=3.0):
    return lambda t: [t(*s, low=low, high=high) for s in shapes]


def at_order(name):
    """The incomplete gamma functions have a gradient by their second argument only."""
    order = taeda.tensor([0.7, 2.5, 4.0], dtype=taeda.float64)
    return lambda x: bound(name)(order, x)


CALLS = {
    "polygamma": [(lambda x, n=n: taeda.polygamma(n, x), floats((2, 3))) for n in range(4)],
    "_polygamma_method": (on("_polygamma_method", 2), floats((2, 3))),
    "_polygamma_in_place": (lambda x: x.clone().polygamma_(2), floats((2, 3))),
    "mvlgamma": (on("mvlgamma", 2), floats((2, 3), low=1.5)),
    "_polygamma_of": (on("_polygamma_of", 3), floats((2, 3))),
    "frexp": (lambda x: taeda.frexp(x)[0] * x, floats((2, 3))),
    **{name: (at_order(name), floats((3,))) for name in ("igamma", "igammac")},
    "special_zeta": (lambda q: bound("special_zeta")(taeda.tensor([1.5, 2.0, 4.5], dtype=taeda.float64), q), floats((3,))),
}  # fmt: skip
WITHOUT: set[str] = set()
