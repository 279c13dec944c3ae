"""Writes the type stubs `_core.pyi`, `__init__.pyi`, `nn/functional.pyi` and those of `special`, `linalg` and `fft` from the operator table
and the built core.

Run as `python tools/make_stubs.py`; `--check` only says whether the files are up to date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stub_types as known

_TYPES = {
    "Tensor": "Tensor",
    "Tensor?": "Tensor | None",
    "Tensor[]": "Sequence[Tensor]",
    "Tensor?[]": "Sequence[Tensor | None]",
    "Tensor|Number": "Tensor | Number",
    "Number": "Number",
    "Number?": "Number | None",
    "int": "_int",
    "int?": "_int | None",
    "int[]": "Sequence[_int] | _int",
    "int[]?": "Sequence[_int] | _int | None",
    "bool": "_bool",
    "bool?": "_bool | None",
    "float": "_float",
    "float?": "_float | None",
    "dtype": "_dtype",
    "dtype?": "_dtype | None",
    "str": "str",
    "str?": "str | None",
    "object": "Any",
}
#: Types of the parameters that composites share; others are Any.
_NAMED = {
    "input": "Tensor",
    "self": "Tensor",
    "other": "Tensor | Number",
    "dtype": "_dtype | None",
    "requires_grad": "_bool",
    "keepdim": "_bool",
    "generator": "Generator | None",
    "training": "_bool",
    "inplace": "_bool",
    "weight": "Tensor | None",
    "bias": "Tensor | None",
    "tensors": "Sequence[Tensor]",
    "mask": "Tensor",
    "index": "Tensor",
    "reduction": "str | _int",
    "p": "Any",
    "eps": "_float | None",
}
_SEVERAL = (
    dict.fromkeys(("sort", "topk", "kthvalue", "mode", "cummax", "cummin"), "_Pair")
    | dict.fromkeys(("var_mean", "std_mean", "histogram", "native_dropout", "lstm_cell"), "tuple[Tensor, Tensor]")
    | dict.fromkeys(("rnn_tanh", "rnn_relu", "gru"), "tuple[Tensor, Tensor]")
    | dict.fromkeys(
        ("lstm", "native_layer_norm", "native_group_norm", "native_batch_norm"), "tuple[Tensor, Tensor, Tensor]"
    )
    | {"aminmax": "_Ends", "histogramdd": "tuple[Tensor, tuple[Tensor, ...]]"}
)
_LISTS = {
    "split", "chunk", "unbind", "tensor_split", "meshgrid", "broadcast_tensors", "gradient", "unravel_index",
    "split_copy", "split_with_sizes", "split_with_sizes_copy", "unbind_copy", "unsafe_split",
    "unsafe_split_with_sizes", "unsafe_chunk", "hsplit", "vsplit", "dsplit",
}  # fmt: skip
_ANYTHING = {"unique", "unique_consecutive", "median", "nanmedian", "cond", "while_loop"}
_VALUES = {
    "allclose": "_bool", "equal": "_bool", "broadcast_shapes": "Size", "is_same_size": "_bool", "is_signed": "_bool",
    "is_distributed": "_bool", "is_inference": "_bool", "dim_order": "tuple[_int, ...]",
}  # fmt: skip
_HEADER = '''"""{what} Made from the operator table by `python tools/make_stubs.py`: do not edit."""

from builtins import bool as _bool, float as _float, int as _int
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, SupportsIndex, overload

{imports}
'''


def _result(op) -> str:
    name = op.name.strip("_")
    if name in _SEVERAL:
        return _SEVERAL[name]
    if name in _LISTS:
        return "tuple[Tensor, ...]"
    return "Any" if name in _ANYTHING else _VALUES.get(name, "Tensor")


def _of_schema(op, method: bool) -> str:
    parts = []
    for position, text in enumerate(op.params.split(",")):
        text = text.strip()
        if text == "*":
            parts.append("*")
            continue
        declared, _, default = text.partition("=")
        kind, _, name = declared.strip().rpartition(" ")
        if position == 0 and method:
            parts.append("self")
            continue
        last = position == len(op.params.split(",")) - 1
        if kind == "int[]" and last and method:
            parts.append(f"*{name}: Any")
            continue
        parts.append(f"{name}: {_TYPES[kind]}" + (f" = {default.strip()}" if default else ""))
    if op.out:
        parts += [] if "*" in parts else ["*"]
        parts.append("out: Tensor | None = None")
    return ", ".join(parts)


def _of_function(fn, method: bool, out: bool) -> str:
    parts, starred, slash = [], False, False
    for position, p in enumerate(inspect.signature(fn).parameters.values()):
        if position == 0 and method:
            parts.append("self")
            continue
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: Any")
            starred = True
        elif p.kind is p.VAR_KEYWORD:
            slash = True
        else:
            if p.kind is p.KEYWORD_ONLY and not starred:
                parts.append("*")
                starred = True
            default = (
                ""
                if p.default is p.empty
                else f" = {p.default!r}"
                if isinstance(p.default, (int, str, type(None)))
                else " = ..."
            )
            kind = _NAMED.get(p.name, "Any")
            if p.default is None and "None" not in kind and kind != "Any":
                kind += " | None"
            parts.append(f"{p.name}: {kind}{default}")
    if out and "out" not in inspect.signature(fn).parameters:
        parts += [] if starred else ["*"]
        parts.append("out: Tensor | None = None")
    return ", ".join([*parts, "**kwargs: Any"] if slash else parts)


def _signature(op, method: bool) -> str:
    fn = op.front or (op.fn if op.kind == "composite" else None)
    if op.front and op.front.__code__.co_argcount + op.front.__code__.co_kwonlyargcount <= len(op.parameters()):
        fn = None  # other names of the same parameters, whose types the schema tells
    return _of_function(fn, method, bool(op.out) and not method) if fn is not None else _of_schema(op, method)


def _operators(table, aliases) -> tuple[list[str], list[str]]:
    """(functions, methods) as stub lines."""
    functions, methods = {}, {}
    for op in table.values():
        if op.parent:
            continue
        for name in (op.name, *(op.aliases or ())):
            if op.function and op.name[0] != "_":
                functions[name] = f"def {name}({_signature(op, False)}) -> {_result(op)}: ..."
            if op.method is True and not name.startswith("__"):
                methods[name] = f"def {name}({_signature(op, True)}) -> {_result(op)}: ..."
            if op.inplace and op.method is True:
                methods[name + "_"] = f"def {name}_(self, *args: Any, **kwargs: Any) -> Self: ..."
            if op.inplace and op.function and op.name[0] != "_" and op.kind == "map":
                functions[name + "_"] = f"def {name}_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor: ..."
        if isinstance(op.method, str):
            methods[op.method] = f"def {op.method}({_signature(op, True)}) -> Tensor: ..."
    for name, signatures in known.OVERLOADS.items():
        functions[name] = [x.format(self="input: Tensor") for x in signatures]
        methods[name] = [x.format(self="self") for x in signatures]
    functions |= known.FUNCTIONS
    methods |= {name: signatures for name, signatures in known.METHODS.items() if name in methods}
    return _stub_lines(functions), _stub_lines(methods)


def _stub_lines(found: dict[str, str | list[str]]) -> list[str]:
    lines = []
    for name, one in sorted(found.items()):
        lines += [one] if isinstance(one, str) else known.overloads(name, one)
    return lines


_OPERATORS = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
]
_NUMBER_SLOTS = [f"__{side}{n}__" for side in ("", "r", "i") for n in _OPERATORS if (side, n) != ("i", "matmul")]
_PROTOCOL = [
    "def __init__(self, *args: Any, **kwargs: Any) -> None: ...",
    "def __getitem__(self, index: Any) -> Tensor: ...",
    "def __setitem__(self, index: Any, value: Any) -> None: ...",
    "def __len__(self) -> _int: ...",
    "def __iter__(self) -> Iterator[Tensor]: ...",
    "def __bool__(self) -> _bool: ...",
    "def __int__(self) -> _int: ...",
    "def __float__(self) -> _float: ...",
    "def __index__(self) -> _int: ...",
    "def __complex__(self) -> Any: ...",
    "def __contains__(self, value: Any) -> _bool: ...",
    "def __array__(self, dtype: Any = None, copy: Any = None) -> Any: ...",
    "def __array_namespace__(self, *, api_version: Any = None) -> Any: ...",
    "def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any: ...",
    "def __dlpack_device__(self) -> tuple[_int, _int]: ...",
    "def __neg__(self) -> Tensor: ...",
    "def __pos__(self) -> Tensor: ...",
    "def __abs__(self) -> Tensor: ...",
    "def __invert__(self) -> Tensor: ...",
    "def __hash__(self) -> _int: ...",
    *(f"def {n}(self, other: Any) -> Tensor: ..." for n in _NUMBER_SLOTS),
    *(f"def {n}(self, other: Any) -> Tensor: ...  # type: ignore[override]" for n in ("__eq__", "__ne__")),
    *(f"def {n}(self, other: Any) -> Tensor: ..." for n in ("__lt__", "__le__", "__gt__", "__ge__")),
]
_ATTRIBUTES = {
    "shape": "Size",
    "dtype": "_dtype",
    "device": "device",
    "ndim": "_int",
    "itemsize": "_int",
    "nbytes": "_int",
    "_version": "_int",
    "requires_grad": "_bool",
    "is_leaf": "_bool",
    "grad": "Tensor | None",
    "grad_fn": "Any",
    "data": "Tensor",
    "T": "Tensor",
    "mT": "Tensor",
    "H": "Tensor",
    "output_nr": "_int",
    "retains_grad": "_bool",
}


def _described(cls) -> str:
    return "property" if isinstance(cls, property) or inspect.isgetsetdescriptor(cls) else "callable"


def _tensor_class(core, methods: list[str]) -> list[str]:
    """The stub of Tensor: table methods, and what the core and `taeda._tensor` add."""
    named = {m.split("(")[0].removeprefix("def ") for m in (*methods, *_PROTOCOL)}
    lines = list(_PROTOCOL)
    for name, member in sorted(vars(core.Tensor).items()):
        if name in named or (name.startswith("__") and name.endswith("__")):
            continue
        if _described(member) == "property":
            lines.append(f"{name}: {_ATTRIBUTES.get(name, 'Any' if not name.startswith('is_') else '_bool')}")
        elif name in known.METHODS:
            lines += known.overloads(name, known.METHODS[name])
        elif inspect.isfunction(member):
            lines.append(f"def {name}({_of_function(member, True, False)}) -> Any: ...")
        elif callable(member):
            lines.append(f"def {name}(self, *args: Any, **kwargs: Any) -> Any: ...")
    return [*lines, *methods]


def core_stub() -> str:
    """Text of `_core.pyi`."""
    from taeda import _core
    from taeda.ops.table import ALIASES, TABLE

    _, methods = _operators(TABLE, ALIASES)
    lines = [_HEADER.format(what="The extension module.", imports="from typing_extensions import Self")]
    lines += [
        "Number = _int | _float | _bool",
        "",
        "class dtype:",
        "    is_floating_point: _bool",
        "    is_complex: _bool",
        "    is_signed: _bool",
        "    itemsize: _int",
        "    name: str",
        "    code: str",
        "    def to_complex(self) -> dtype: ...",
        "    def to_real(self) -> dtype: ...",
        "",
        "_dtype = dtype",
        "",
    ]
    lines += (
        known.CLASSES.splitlines() + ["", "class Tensor:"] + [f"    {m}" for m in _tensor_class(_core, methods)] + [""]
    )
    written = {"dtype", "Tensor"}
    for name, member in sorted(vars(_core).items()):
        if name.startswith("__") or name in written:
            continue
        if isinstance(member, _core.dtype):
            lines.append(f"{name}: _dtype")
        elif inspect.isclass(member):
            lines += [
                f"class {name}:",
                "    def __init__(self, *args: Any, **kwargs: Any) -> None: ...",
                "    def __getattr__(self, name: str) -> Any: ...",
            ]
            for special in ("__enter__", "__exit__", "__call__"):
                if hasattr(member, special):
                    lines.append(f"    def {special}(self, *args: Any, **kwargs: Any) -> Any: ...")
            lines += [f"    {n}: Any" for n in sorted(vars(member)) if n[0] != "_"]
        elif callable(member):
            lines.append(f"def {name}(*args: Any, **kwargs: Any) -> {known.RESULTS.get(name, 'Any')}: ...")
        else:
            lines.append(f"{name}: Any")
    return "\n".join(lines) + "\n"


def package_stub() -> str:
    """Text of `__init__.pyi`."""
    import taeda
    from taeda import _core
    from taeda.ops.table import ALIASES, TABLE

    functions, _ = _operators(TABLE, ALIASES)
    table_names = {f.split("(")[0].removeprefix("def ") for f in functions}
    lazy = sorted(vars(taeda)["_SUBMODULES"])
    imports = [
        "from . import "
        + ", ".join(
            f"{n} as {n}"
            for n in lazy
            if (Path(taeda.__file__).parent / n).exists() or (Path(taeda.__file__).parent / f"{n}.py").exists()
        )
    ]
    taken = sorted(
        n
        for n, v in vars(taeda).items()
        if n[0] != "_" and n not in table_names and getattr(_core, n, _core) is v and n not in ("bool", "float", "int")
    )
    imports.append("from ._core import " + ", ".join(f"{n} as {n}" for n in taken))
    imports.append("from ._core import Number, Size as Size, _dtype, _Ends, _Pair")
    imports.append(
        "from .autograd import enable_grad as enable_grad, inference_mode as inference_mode, no_grad as no_grad, "
        "set_grad_enabled as set_grad_enabled"
    )
    imports.append("from ._printing import set_printoptions as set_printoptions")
    tensor_names = [
        "contiguous_format",
        "finfo",
        "iinfo",
        "layout",
        "memory_format",
        "preserve_format",
        "strided",
    ]
    imports.append("from ._tensor import " + ", ".join(f"{n} as {n}" for n in tensor_names))
    lines = [_HEADER.format(what="The public functions.", imports="\n".join(imports))]
    lines += ["__version__: str"]
    lines += [f"{n}: _dtype" for n in ("bool", "float", "double", "half", "short", "int", "long", "cfloat", "cdouble")]
    lines += [
        f"def {name}({_of_function(fn, False, False)}) -> Any: ..."
        for name, fn in sorted(vars(taeda).items())
        if inspect.isfunction(fn)
        and fn.__module__ == "taeda"
        and name[0] != "_"
        and name.rstrip("_") not in table_names
    ]
    lines += [f"{n}: Any" for n in sorted(vars(taeda)["_LAZY"])]
    return "\n".join([*lines, *functions]) + "\n"


def functional_stub() -> str:
    """Text of `nn/functional.pyi`."""
    from taeda.nn import functional
    from taeda.ops.table import TABLE

    lines = [
        _HEADER.format(
            what="Functions of neural networks.", imports="from .._core import Number, Tensor, _dtype, _Ends, _Pair"
        )
    ]
    entries = TABLE | dict(functional._entries())
    for name in sorted(n for n, v in vars(functional).items() if n[0] != "_" and callable(v)):
        op = entries.get(name.rstrip("_"))
        if op is None:
            lines.append(f"def {name}(*args: Any, **kwargs: Any) -> Tensor: ...")
        else:
            extra = ", inplace: _bool = False" if op.kind == "map" and op.inplace and name[-1] != "_" else ""
            lines.append(
                f"def {name}({_signature(op, False).replace(', *, out: Tensor | None = None', '')}{extra}) -> "
                f"{_result(op)}: ..."
            )
    return "\n".join(lines) + "\n"


def special_stub() -> str:
    """Text of `special/__init__.pyi`."""
    from taeda import special
    from taeda.ops.table import TABLE

    operators = vars(special)["_OPERATORS"]
    imports = "from .._core import Number, Tensor, _dtype, _Ends, _Pair"
    lines = [_HEADER.format(what="Special functions.", imports=imports)]
    for name, operator in sorted(operators.items()):
        op = TABLE[operator]
        lines.append(f"def {name}({_signature(op, False)}) -> {_result(op)}: ...")
    return "\n".join(lines) + "\n"


#: Functions of linalg that give several results with names.
_NAMED_RESULTS = {
    "eig", "eigh", "qr", "svd", "slogdet", "lu", "lu_factor", "lu_factor_ex", "cholesky_ex", "inv_ex", "ldl_factor",
    "ldl_factor_ex", "lstsq", "solve_ex",
}  # fmt: skip


def namespace_stub(module: str, what: str) -> str:
    """Text of `<module>/__init__.pyi`: the operators called <module>_<name>."""
    from importlib import import_module

    from taeda.ops.table import TABLE

    imports = "from .._core import Number, Size, Tensor, _dtype, _Ends, _Pair"
    lines = [_HEADER.format(what=what, imports=imports)]
    if module == "linalg":
        lines.append("from .errors import LinAlgError as LinAlgError\n")
    for name in import_module(f"taeda.{module}").__all__:
        op = TABLE.get(f"{module}_{name}")
        if op is not None:
            result = "Any" if name in _NAMED_RESULTS else _result(op)
            lines.append(f"def {name}({_signature(op, False)}) -> {result}: ...")
    return "\n".join(lines) + "\n"


def main() -> int:
    import taeda

    home = Path(taeda.__file__).parent
    stale = False
    for name, text in (
        ("_core.pyi", core_stub()),
        ("__init__.pyi", package_stub()),
        ("nn/functional.pyi", functional_stub()),
        ("special/__init__.pyi", special_stub()),
        ("linalg/__init__.pyi", namespace_stub("linalg", "Linear algebra.")),
        ("fft/__init__.pyi", namespace_stub("fft", "Fourier transforms.")),
    ):
        path = home / name
        if path.exists() and path.read_text() == text:
            continue
        stale = True
        if "--check" not in sys.argv:
            path.write_text(text)
            print(f"wrote {path}")
    if "--check" in sys.argv and stale:
        print("stubs are stale: run python tools/make_stubs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
