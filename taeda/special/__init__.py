"""`taeda.special`: special functions with PyTorch's names. The operators live in the table."""

from __future__ import annotations

from .._bind import public_names as _public_names
from ..ops.namespace import F as _F

globals().update(_public_names("special_"))
#: Names here of functions that are public elsewhere too.
_ELSEWHERE = {
    **{name: name for name in (
        "digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "log_softmax", "logit", "logsumexp",
        "polygamma", "round", "sinc", "softmax", "xlogy",
    )},
    "entr": "_entropy", "expit": "sigmoid", "gammaln": "lgamma", "multigammaln": "mvlgamma", "psi": "digamma",
}  # fmt: skip
globals().update({name: getattr(_F, own) for name, own in _ELSEWHERE.items()})

__all__ = sorted({*_public_names("special_"), *_ELSEWHERE})
