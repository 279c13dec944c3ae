"""Bessel and Airy functions. Those with a gradient are the ones that PyTorch differentiates."""

from __future__ import annotations

from .scalar import as_expr, select, sign, sin
from .special_functions import airy_ai, i0, i0e, i1, i1e, j0, j1, k0, k0e, k1, k1e, y0, y1
from .table import floating, pointwise

pointwise(
    "i0",
    i0,
    grad=lambda g, x: g * i1(x),
    to_float=True,
    accepts=floating,
    domain=(-12, 12),
    oracle="scipy.special.i0(x)",
    doc="The modified Bessel function of the first kind of order 0.",
)


def _special(name, fn, oracle, doc, domain, grad=False, accepts=floating):
    pointwise(
        f"special_{name}",
        fn,
        types="T->T",
        grad=grad,
        to_float=True,
        accepts=accepts,
        method=False,
        function=False,
        domain=domain,
        oracle=oracle,
        doc=doc,
    )


_FIRST = "The modified Bessel function of the first kind of order"
_SECOND = "The modified Bessel function of the second kind of order"

_special(
    "i0e",
    i0e,
    "scipy.special.i0e(x)",
    f"{_FIRST} 0, times exp(-abs(input)).",
    (-12, 12),
    lambda g, x, y: g * (i1e(x) - sign(x) * y),
    floating,
)
_special(
    "i1",
    i1,
    "scipy.special.i1(x)",
    f"{_FIRST} 1.",
    (-12, 12),
    lambda g, x, y: g * select(x.eq(0), as_expr(0.5, x.dtype), i0(x) - y / x),
    floating,
)
_special(
    "i1e",
    i1e,
    "scipy.special.i1e(x)",
    f"{_FIRST} 1, times exp(-abs(input)).",
    (-12, 12),
    lambda g, x, y: g * select(x.eq(0), as_expr(0.5, x.dtype), i0e(x) - y * (sign(x) + 1 / x)),
    floating,
)
_special("modified_bessel_i0", i0, "scipy.special.i0(x)", f"{_FIRST} 0.", (-12, 12))
_special("modified_bessel_i1", i1, "scipy.special.i1(x)", f"{_FIRST} 1.", (-12, 12))
_special("modified_bessel_k0", k0, "scipy.special.k0(x)", f"{_SECOND} 0; infinite at 0, NaN below.", (0.1, 9))
_special("modified_bessel_k1", k1, "scipy.special.k1(x)", f"{_SECOND} 1; infinite at 0, NaN below.", (0.1, 9))
_special("scaled_modified_bessel_k0", k0e, "scipy.special.k0e(x)", f"{_SECOND} 0, times exp(input).", (0.1, 9))
_special("scaled_modified_bessel_k1", k1e, "scipy.special.k1e(x)", f"{_SECOND} 1, times exp(input).", (0.1, 9))
_special("bessel_j0", j0, "scipy.special.j0(x)", "The Bessel function of the first kind of order 0.", (-20, 20))
_special("bessel_j1", j1, "scipy.special.j1(x)", "The Bessel function of the first kind of order 1.", (-20, 20))
_special(
    "bessel_y0", y0, "scipy.special.y0(x)", "The Bessel function of the second kind of order 0; NaN below 0.", (0.1, 20)
)
_special(
    "bessel_y1", y1, "scipy.special.y1(x)", "The Bessel function of the second kind of order 1; NaN below 0.", (0.1, 20)
)
_special("airy_ai", airy_ai, "scipy.special.airy(x)[0]", "The Airy function Ai.", (-9, 9))
_special(
    "spherical_bessel_j0",
    lambda x: select(x.eq(0), as_expr(1, x.dtype), select(abs(x).eq(float("inf")), as_expr(0, x.dtype), sin(x) / x)),
    "scipy.special.spherical_jn(0, x)",
    "The spherical Bessel function of the first kind of order 0: sin(input) / input, 1 at 0.",
    (0.1, 20),
)
