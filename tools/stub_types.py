"""What the stubs know beyond the operator table: signatures of the core's own methods, and results that depend on arguments."""

from __future__ import annotations

#: Classes that exist for the type checker, in `_core.pyi`.
CLASSES = """\
class Size(tuple[_int, ...]):
    def numel(self) -> _int: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> _int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __add__(self, other: tuple[_int, ...]) -> Size: ...  # type: ignore[override]
    def __radd__(self, other: tuple[_int, ...]) -> Size: ...
    def __mul__(self, n: SupportsIndex) -> Size: ...
    def __rmul__(self, n: SupportsIndex) -> Size: ...

class _Pair(tuple[Tensor, Tensor]):
    values: Tensor
    indices: Tensor

class _Ends(tuple[Tensor, Tensor]):
    min: Tensor
    max: Tensor
"""

_CASTS = "bfloat16 bool byte char cpu double float half int long short"
_FLAGS = "is_complex is_floating_point is_inference is_signed _is_view"
_SIZES = "data_ptr dim element_size get_device ndimension nelement numel storage_offset"
_CAST = "(self, memory_format: Any = None) -> Tensor"
#: Signatures of Tensor's methods that are not operators, or whose results have types of several kinds.
METHODS = {
    **{name: [_CAST] for name in _CASTS.split()},
    **{name: ["(self) -> _int"] for name in _SIZES.split()},
    **{name: ["(self) -> _bool"] for name in _FLAGS.split()},
    "backward": [
        "(self, gradient: Tensor | None = None, retain_graph: _bool | None = None, create_graph: _bool = False, "
        "inputs: Tensor | Sequence[Tensor] | None = None) -> None"
    ],
    "cuda": ["(self, device: Any = None, non_blocking: _bool = False, memory_format: Any = None) -> Tensor"],
    "detach": ["(self) -> Tensor"],
    "detach_": ["(self) -> Self"],
    "is_contiguous": ["(self, memory_format: Any = None) -> _bool"],
    "is_same_size": ["(self, other: Tensor) -> _bool"],
    "item": ["(self) -> Any"],  # a number of Python: which kind, the dtype says
    "numpy": ["(self, *, force: _bool = False) -> Any"],
    "register_hook": ["(self, hook: Callable[..., Any]) -> Any"],
    "register_post_accumulate_grad_hook": ["(self, hook: Callable[..., Any]) -> Any"],
    "requires_grad_": ["(self, requires_grad: _bool = True) -> Self"],
    "resize_": ["(self, *sizes: Any) -> Self"],
    "retain_grad": ["(self) -> None"],
    "size": ["(self, dim: None = None) -> Size", "(self, dim: _int) -> _int"],
    "stride": ["(self, dim: None = None) -> tuple[_int, ...]", "(self, dim: _int) -> _int"],
    "to": [
        "(self, *args: Any, dtype: _dtype | None = None, device: Any = None, non_blocking: _bool = False, copy: _bool = False, "
        "memory_format: Any = None) -> Tensor"
    ],
    "tolist": ["(self) -> Any"],
    "type": [
        "(self, dtype: None = None, non_blocking: _bool = False) -> str",
        "(self, dtype: _dtype | str, non_blocking: _bool = False) -> Tensor",
    ],
    "type_as": ["(self, other: Tensor) -> Tensor"],
    "where": ["(self, condition: Tensor, other: Tensor | Number) -> Tensor"],
}
_EXTREME = [
    "({self}) -> Tensor",
    "({self}, dim: _int, keepdim: _bool = False, *, out: tuple[Tensor, Tensor] | None = None) -> _Pair",
    "({self}, other: Tensor, *, out: Tensor | None = None) -> Tensor",
]
#: Overloads of operators whose results have types of several kinds; {self} is `self` or `input: Tensor`.
OVERLOADS = {
    "max": _EXTREME,
    "min": _EXTREME,
    "median": ["({self}) -> Tensor", "({self}, dim: _int, keepdim: _bool = False) -> _Pair"],
    "nonzero": ["({self}, *, as_tuple: Literal[False] = False) -> Tensor", "({self}, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]"],
}  # fmt: skip
#: Overloads of functions only.
FUNCTIONS = {
    "where": [
        "(condition: Tensor) -> tuple[Tensor, ...]",
        "(condition: Tensor, input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor",
    ],
}
#: Results of the core's functions.
RESULTS = {
    **dict.fromkeys(("as_tensor", "empty", "empty_strided", "from_bytes", "from_dlpack", "from_numpy", "frombuffer", "tensor"), "Tensor"),
    **dict.fromkeys(("get_default_dtype", "promote_types", "result_type"), "_dtype"),
    **dict.fromkeys(("is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled"), "_bool"),
    **dict.fromkeys(("set_default_dtype", "set_num_threads"), "None"),
    "get_num_threads": "_int",
}  # fmt: skip


def overloads(name: str, signatures: list[str]) -> list[str]:
    """Stub lines of a function with these signatures."""
    lines = []
    for signature in signatures:
        lines += ["@overload"] if len(signatures) > 1 else []
        lines.append(f"def {name}{signature}: ...")
    return lines
