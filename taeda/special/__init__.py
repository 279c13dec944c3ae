"""`taeda.special`: special functions, with PyTorch's names and signatures.

Every function takes a tensor (the polynomials, xlogy, xlog1py and zeta: one tensor and a tensor or number) of any shape and
`out=`. Whole numbers and bool compute in the default floating point dtype; what a function does not take is refused with a
NotImplementedError that names it.
"""

from __future__ import annotations

from ..ops.namespace import F as _F

#: Name here -> operator.
_OPERATORS = {
    "digamma": "digamma", "psi": "digamma", "gammaln": "lgamma", "multigammaln": "mvlgamma", "polygamma": "polygamma",
    "gammainc": "igamma", "gammaincc": "igammac", "zeta": "special_zeta",
    "erf": "erf", "erfc": "erfc", "erfcx": "special_erfcx", "erfinv": "erfinv", "ndtr": "special_ndtr", "ndtri": "special_ndtri",
    "log_ndtr": "special_log_ndtr", "entr": "_entropy",
    "exp2": "exp2", "expm1": "expm1", "expit": "sigmoid", "logit": "logit", "log1p": "log1p", "xlogy": "xlogy", "xlog1py": "special_xlog1py",
    "sinc": "sinc", "round": "round", "softmax": "softmax", "log_softmax": "log_softmax", "logsumexp": "logsumexp",
    "i0": "i0", "i0e": "special_i0e", "i1": "special_i1", "i1e": "special_i1e",
    "airy_ai": "special_airy_ai", "spherical_bessel_j0": "special_spherical_bessel_j0",
    "bessel_j0": "special_bessel_j0", "bessel_j1": "special_bessel_j1", "bessel_y0": "special_bessel_y0", "bessel_y1": "special_bessel_y1",
    "modified_bessel_i0": "special_modified_bessel_i0", "modified_bessel_i1": "special_modified_bessel_i1",
    "modified_bessel_k0": "special_modified_bessel_k0", "modified_bessel_k1": "special_modified_bessel_k1",
    "scaled_modified_bessel_k0": "special_scaled_modified_bessel_k0", "scaled_modified_bessel_k1": "special_scaled_modified_bessel_k1",
    "hermite_polynomial_h": "special_hermite_polynomial_h", "hermite_polynomial_he": "special_hermite_polynomial_he",
    "laguerre_polynomial_l": "special_laguerre_polynomial_l", "legendre_polynomial_p": "special_legendre_polynomial_p",
    **{f"{s}chebyshev_polynomial_{k}": f"special_{s}chebyshev_polynomial_{k}" for s in ("", "shifted_") for k in "tuvw"},
}  # fmt: skip


def _fill(names: dict) -> None:
    import taeda

    for name, operator in _OPERATORS.items():
        names[name] = getattr(taeda if hasattr(taeda, operator) else _F, operator)


_fill(globals())
__all__ = sorted(_OPERATORS)
