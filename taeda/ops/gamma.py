"""The gamma function's relatives: pointwise operators over the primitives of `special_functions`."""

from __future__ import annotations

import math

from .helpers import tensor_argument
from .namespace import F
from .special_functions import digamma, gamma_density, igamma, igammac, lgamma, trigamma, zeta
from .special_functions import polygamma as _order_n
from .table import NO_DERIVATIVE, composite, floating, pointwise

pointwise(
    "lgamma",
    lgamma,
    grad=lambda g, x: g * digamma(x),
    to_float=True,
    accepts=floating,
    domain=(0.2, 6),
    oracle="scipy.special.gammaln(x)",
    doc="log |Gamma(input)|; infinite at 0, -1, -2, ...",
)
pointwise(
    "digamma",
    digamma,
    grad=lambda g, x: g * trigamma(x),
    to_float=True,
    accepts=floating,
    domain=(0.2, 6),
    oracle="scipy.special.digamma(x)",
    doc="The derivative of lgamma; NaN at -1, -2, ..., infinite at 0 with the other sign.",
)
pointwise(
    "_trigamma",
    trigamma,
    to_float=True,
    accepts=floating,
    method=False,
    domain=(0.2, 6),
    oracle="scipy.special.polygamma(1, x)",
    doc="The derivative of digamma.",
)
pointwise(
    "_polygamma_at",
    lambda x, n: _order_n(n, x),
    types="Tp->T",
    params="Tensor input, Number n",
    grad=(lambda g, x, n: g * _order_n(n + 1, x), None),
    to_float=True,
    accepts=floating,
    method=False,
    function=False,
    samples=lambda t: [((t(3, 4, low=1, high=6), n), {}) for n in (2, 3)],
    oracle="lambda x, n: scipy.special.polygamma(n, x)",
    doc="The derivative of order n of digamma, n >= 2.",
)


@composite("_polygamma_of", inplace=True, opcheck=False)
def _polygamma_of(input, n):
    if not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' must be int, not {type(n).__name__}")
    tensor_argument("polygamma", "input", input)
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return F.digamma(input) if n == 0 else F._trigamma(input) if n == 1 else F._polygamma_at(input, n)


@composite(
    out=True,
    samples=lambda t: [((n, t(3, 4, low=1, high=6)), {}) for n in (0, 2, 5)],
    oracle="lambda n, x: scipy.special.polygamma(n, x)",
)
def polygamma(n, input):
    """The derivative of order n (a whole number from 0 on) of digamma at each element of input."""
    return _polygamma_of(input, n)


@composite(function=False, method="polygamma")
def _polygamma_method(self, n):
    """taeda.polygamma(n, self)."""
    return _polygamma_of(self, n)


@composite(function=False, method="polygamma_", opcheck=False)
def _polygamma_in_place(self, n):
    """In-place polygamma()."""
    return F._polygamma_of_(self, n)


@composite(
    method=True,
    out=True,
    inplace=True,
    samples=lambda t: [((t(3, 4, low=1.2, high=5), p), {}) for p in (1, 2, 3)],
    oracle="lambda x, p: scipy.special.multigammaln(x, p)",
)
def mvlgamma(input, p):
    """The multivariate log-gamma function of dimension p: log(pi) p (p - 1)/4 + the sum of lgamma(input - k/2), k < p."""
    tensor_argument("mvlgamma", "input", input)
    if not isinstance(p, int):
        raise TypeError(f"mvlgamma(): argument 'p' must be int, not {type(p).__name__}")
    if p < 1:
        raise RuntimeError(f"p has to be greater than or equal to 1, got {p}")
    if not input.is_floating_point():
        input = input.to(F.get_default_dtype())
    steps = F.arange(0, p, dtype=input.dtype) * -0.5
    return F.sum(F.lgamma(F.unsqueeze(input, -1) + steps), -1) + p * (p - 1) / 4 * math.log(math.pi)


def _incomplete_samples(t):
    return [((t(3, 4, low=0.2, high=6), t(3, 4, low=0.1, high=8)), {})]


def _slope(sign):
    return lambda g, a, x: g * gamma_density(a, x) * sign


for _name, _primitive, _sign, _oracle, _doc in (
    ("igamma", igamma, 1, "scipy.special.gammainc", "lower"),
    ("igammac", igammac, -1, "scipy.special.gammaincc", "upper"),
):
    pointwise(
        _name,
        _primitive,
        types="TT->T",
        params="Tensor input, Tensor other",
        grad=(NO_DERIVATIVE, _slope(_sign)),
        accepts=floating,
        samples=_incomplete_samples,
        opcheck=False,
        oracle=_oracle,
        doc=f"The regularised {_doc} incomplete gamma function of parameters input >= 0 at other >= 0.\n\n"
        "Differentiable by other only.",
    )

pointwise(
    "special_zeta",
    zeta,
    types="TT->T",
    grad=(NO_DERIVATIVE, lambda g, s, q: g * -s * zeta(s + 1, q)),
    to_float=True,
    accepts=floating,
    method=False,
    function=False,
    samples=lambda t: [((t(3, 4, low=1.2, high=6), t(4, low=0.3, high=8)), {})],
    opcheck=False,
    oracle="scipy.special.zeta",
    doc="The Hurwitz zeta function: the sum of (other + k) ** -input, k >= 0. Differentiable by other only.",
)
