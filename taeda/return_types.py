"""Results with names: `torch.max(x, 1)` gives a `taeda.return_types.max` with `.values` and `.indices`.

A class is made when it is first asked for, by name; it is a tuple with a property for each field.
"""

from __future__ import annotations

from operator import itemgetter

#: Names of the fields where they are not (values, indices).
FIELDS: dict[str, tuple[str, ...]] = {
    "aminmax": ("min", "max"),
    "frexp": ("mantissa", "exponent"),
    "histogram": ("hist", "bin_edges"),
    "histogramdd": ("hist", "bin_edges"),
    "geqrf": ("a", "tau"),
    "linalg_cholesky_ex": ("L", "info"),
    "linalg_eig": ("eigenvalues", "eigenvectors"),
    "linalg_eigh": ("eigenvalues", "eigenvectors"),
    "linalg_inv_ex": ("inverse", "info"),
    "linalg_ldl_factor": ("LD", "pivots"),
    "linalg_ldl_factor_ex": ("LD", "pivots", "info"),
    "linalg_lstsq": ("solution", "residuals", "rank", "singular_values"),
    "linalg_lu": ("P", "L", "U"),
    "linalg_lu_factor": ("LU", "pivots"),
    "linalg_lu_factor_ex": ("LU", "pivots", "info"),
    "linalg_qr": ("Q", "R"),
    "linalg_slogdet": ("sign", "logabsdet"),
    "linalg_solve_ex": ("result", "info"),
    "linalg_svd": ("U", "S", "Vh"),
    "lu_unpack": ("P", "L", "U"),
    "qr": ("Q", "R"),
    "slogdet": ("sign", "logabsdet"),
    "svd": ("U", "S", "V"),
    "triangular_solve": ("solution", "cloned_coefficient"),
}
_TYPES: dict[str, type] = {}


class Result(tuple):
    """A tuple whose places have names."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        places = ",\n".join(f"{n}={v!r}" for n, v in zip(self._fields, self))
        return f"taeda.return_types.{type(self).__name__}(\n{places})"

    def __reduce__(self):
        return make, (type(self).__name__, tuple(self), self._fields)


def result_type(name: str, fields: tuple[str, ...] | None = None) -> type[Result]:
    """The class of the results of operator `name`."""
    found = _TYPES.get(name)
    if found is None:
        fields = fields or FIELDS.get(name) or ("values", "indices")
        members: dict = {f: property(itemgetter(k)) for k, f in enumerate(fields)}
        members |= {"__slots__": (), "__module__": __name__, "_fields": fields, "n_fields": len(fields)}
        found = _TYPES[name] = type(name, (Result,), members)
    return found


def make(name: str, values, fields: tuple[str, ...] | None = None) -> Result:
    """A result of operator `name`; `fields` may be left out where they are (values, indices) or in `FIELDS`."""
    return result_type(name, fields)(values)


def __getattr__(name: str) -> type[Result]:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return result_type(name)
