"""Makes the operators of the table callable: `_core.Op` objects, functions, methods, type slots and the hooks of the
core.

Nothing is traced, differentiated or compiled here; that happens on first use. Runs once, at import.
"""

from __future__ import annotations

import copyreg
from importlib import import_module

from . import _core, ops, return_types
from .ops.namespace import F
from .ops.table import FAMILIES, TABLE, OpDef, lookup

Tensor = _core.Tensor
_BOUND: dict[str, object] = {}


# -- one entry to one Op -----------------------------------------------------------------------------------------------
def _spec(op: OpDef) -> dict:
    kind, spec = op.kind, {}
    if kind in ("map", "rows", "generate"):
        spec = {
            "writes": (op.traits or {}).get("writes"),
            "divisor": (op.traits or {}).get("divisor"),
            "in_types": op.in_types,
            "out_types": op.out_types,
            "accepts": tuple(op.accepts),
            "to_float": bool(op.to_float),
        }
    elif kind == "reduce":
        how = op.traits["kind"]
        spec = {
            "out_type": op.out_types,
            "accepts": tuple(op.accepts),
            "to_float": bool(op.to_float),
            "accumulates": how in ("sum", "prod"),
            "index": bool(op.traits["single"]),
        }
    elif kind == "scan":
        spec = {"accepts": tuple(op.accepts)}
    elif kind == "composite":
        spec = {"fn": op.fn}
    elif kind == "host":
        spec = {"fn": host_function(op), **({"accepts": tuple(op.accepts)} if op.accepts else {})}
    else:
        spec = {k: v for k, v in (op.traits or {}).items() if v is not None and k != "nn"}
        if op.accepts:
            spec["accepts"] = tuple(op.accepts)
    if op.out and kind != "composite":
        spec["out"] = True
    return spec


def host_function(op: OpDef):
    """The function of a host operator: its module is imported by the first call."""
    module, _, name = op.fn.partition(":")
    found = None

    def call(*args):
        nonlocal found
        if found is None:
            found = getattr(import_module(f"{__package__}.{module}"), name)
        return found(*args)

    call.__name__ = call.__qualname__ = op.name
    return call


def _bind(op: OpDef):
    """The callable of an entry: a composite without a rule of its own is its Python function."""
    found = _BOUND.get(op.name)
    if found is None:
        if op.kind == "composite" and op.grad is None:
            found = op.fn
        else:
            found = _core.Op(op.name, op.kind, op.schema, **_spec(op))
            found.__doc__ = op.doc
            if op.front is not None:
                op.front.__name__ = op.front.__qualname__ = op.name
                found.front = op.front
        _BOUND[op.name] = found
    return found


def bound(name: str):
    """The callable of any operator, those made on demand included (`mul.grad0`, `_pick_max.9`)."""
    found = _BOUND.get(name)
    return found if found is not None else _bind(lookup(name))


# Operators are copied and pickled by name.
copyreg.pickle(_core.Op, lambda op: (bound, (op.name,)))


def _twin(op: OpDef):
    """The in-place form `name_`."""
    name = op.name + "_"
    if op.kind == "composite" or op.inplace == "copy":
        make = exported(op, _bind(op)) if op.kind == "composite" else _bind(op)

        def found(self, *args, **kwargs):
            read = _readable(self)
            result = make(read, *args, **kwargs)
            return self if result is read else write_back(name, self, result)

        found.__module__, found.__name__, found.__qualname__ = "taeda", name, name
        found.__doc__ = f"In-place {op.name}()."
    else:
        found = _core.Op(name, op.kind, op.schema, inplace_of=_bind(op), **_spec(op))
        found.__doc__ = f"In-place {op.name}()."
        if op.front is not None:
            found.front = _in_place_front(op)
    _BOUND[name] = found
    return found


def _in_place_front(op: OpDef):
    front = op.front

    def call(self, *args, **kwargs):
        return write_back(op.name + "_", self, front(_readable(self), *args, **kwargs))

    return call


def _readable(self):
    """`self`, or a copy that gradients may keep while `self` is written."""
    return F.clone(self) if F.is_grad_enabled() and isinstance(self, Tensor) and self.requires_grad else self


def write_back(op: str, self, result):
    if not isinstance(self, Tensor):
        raise TypeError(f"{op}(): argument 'self' must be Tensor, not {type(self).__name__}")
    if result.dtype is not self.dtype and category(result.dtype) > category(self.dtype):
        raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {self.dtype}")
    if tuple(result.shape) != tuple(self.shape):
        raise RuntimeError(
            f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    return self.copy_(result)


# -- results -----------------------------------------------------------------------------------------------------------
def write_out(op: str, result, out, exact=False):
    """What `out=` means: the result goes into `out`, which takes the result's shape. exact: and has its dtype."""
    if out is None:
        return result
    if not isinstance(out, Tensor):
        raise TypeError(f"{op}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if (out.requires_grad or result.requires_grad) and F.is_grad_enabled():
        raise RuntimeError(
            f"{op}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )
    a, b = result.dtype, out.dtype
    if exact and a is not b:
        raise RuntimeError(f"{op}(): Expected out tensor to have dtype {a}, but got {b} instead")
    if category(a) > category(b):
        raise RuntimeError(f"result type {a} can't be cast to the desired output type {b}")
    if tuple(out.shape) != tuple(result.shape):
        out.resize_(result.shape)
    return out.copy_(result)


def category(d) -> int:
    """bool, integer, floating point, complex as 0 to 3."""
    return 3 if d.is_complex else 2 if d.is_floating_point else 0 if d is _core.bool else 1


def result_pair(op: str, first, second):
    """(values, indices) of `op`."""
    return return_types.make(op, (first, second))


def write_tuple(op: str, results, out):
    """`out=` of an operator with several results: a tuple of as many tensors."""
    if not isinstance(out, (tuple, list)) or len(out) != len(results):
        raise TypeError(f"{op}(): argument 'out' must be tuple of {len(results)} Tensors, not {type(out).__name__}")
    written = tuple(write_out(op, r, o, True) for r, o in zip(results, out))
    return written if type(results) is tuple else type(results)(written)


#: NumPy's names of parameters, which PyTorch's functions take too.
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


#: Parameters of composites that are tensors wherever they have no default (an annotation says what else may come).
_TENSORS = frozenset(
    ("input", "mat", "mat1", "mat2", "vec", "vec1", "vec2", "batch1", "batch2", "x1", "x2", "mask",
     "sorted_sequence", "self", "w_ih", "w_hh")
)  # fmt: skip


#: And those that are ints.
_INTS = frozenset(
    ("diagonal", "offset", "dim0", "dim1", "dim2", "chunks", "start_dim", "end_dim", "minlength", "num_samples", "k")
)


#: The same for functions of nn.functional, and those that are tensors or None where that is their default.
_NN_TENSORS = frozenset(
    ("anchor", "grid", "input1", "input2", "key", "linear_weight", "log_probs", "logits", "mat_a", "mat_b", "negative",
     "positive", "query", "target", "targets", "tensor", "theta", "value", "weight", *_TENSORS)
)  # fmt: skip
_NN_OPTIONAL = frozenset(
    ("attn_mask", "bias", "key_padding_mask", "linear_bias", "offs", "offsets", "per_sample_weights", "pos_weight",
     "running_mean", "running_var", "weight")
)  # fmt: skip

#: Annotations that say what a parameter takes.
_SAID = {"Tensor": "T", "Tensor | None": "O", "bool": "b", "int": "i", "float": "f"}


def _types(fn, names: tuple[str, ...], nn: bool) -> str:
    """What `_core.Function` checks of each parameter, as far as name, default and annotation tell. nn: the function is
    one of nn.functional, where flags are what Python takes for true."""
    code, codes = fn.__code__, ""
    defaults = dict(zip(reversed(names[: code.co_argcount]), reversed(fn.__defaults__ or ())))
    defaults |= fn.__kwdefaults__ or {}
    for name in names:
        said = fn.__annotations__.get(name)
        if said is not None:
            codes += _SAID.get(said, "?")
        elif name in _INTS or name == "generator":
            codes += "i" if name in _INTS else "g"
        elif nn and name in defaults:
            default = defaults[name]
            codes += "O" if default is None and name in _NN_OPTIONAL else "f" if isinstance(default, float) else "?"
        elif name in defaults:
            several = {"unbiased", "other"} & set(names)  # var(x, unbiased), max(x, other)
            bools = isinstance(defaults[name], bool)
            codes += "b" if bools else "d" if name == "dim" and not several else "?"
        elif name in (_NN_TENSORS if nn else _TENSORS):
            codes += "T"
        else:
            codes += "O" if nn and name in _NN_OPTIONAL else "S" if name == "tensors" else "d" if name == "dim" else "?"
    if code.co_flags & 4 and code.co_varnames[len(names)] in ("tensors", "matrices"):
        codes = codes[: code.co_argcount] + "*"  # keywords of these are checked by the function
    return codes.rstrip("?")


_EXPORTED: dict[str, object] = {}


def function_of(module: str, name: str):
    """What pickle asks for in place of a function of that module."""
    import importlib

    return getattr(importlib.import_module(module), name)


def exported(op: OpDef, fn):
    """`fn` as users find it, in the package or in `nn.functional` only."""
    found = _EXPORTED.get(op.name)
    if found is None:
        nn = (op.traits or {}).get("nn")
        here = not nn or (op.function and op.name[0] != "_")
        name = nn if isinstance(nn, str) else op.name
        found = _EXPORTED[op.name] = _exported(op, fn, name, () if here else ("taeda.nn.functional",))
    return found


def _exported(op: OpDef, fn, name: str, module: tuple):
    """A composite as users call it: with `out=` where it has one, with NumPy's names, and checked types. Operators take
    all that themselves."""
    if op.kind != "composite" or op.grad is not None:
        return fn
    names = op.fn.__code__.co_varnames[: op.fn.__code__.co_argcount + op.fn.__code__.co_kwonlyargcount]
    renames = {other: own for other, own in _NUMPY_NAMES.items() if own in names and other not in names}
    takes_out = bool(op.out) and "out" not in names
    codes = _types(op.fn, names, bool(op.traits.get("nn")))
    if not (renames or takes_out or codes):
        return fn
    return _core.Function(fn, name, renames, names, codes, op.fn.__code__.co_argcount, takes_out, *module)


#: Kinds whose results go into an `out` of their own dtype only: elements are moved, contracted or picked.
_EXACT = ("gather", "scatter", "contract", "sort", "view")


def _write_result(op: str, result, out):
    if isinstance(result, tuple):
        return write_tuple(op, result, out)
    entry = TABLE.get(op)
    exact = entry is not None and (
        entry.kind in _EXACT or (entry.kind == "reduce" and entry.traits["kind"] in ("max", "min", "argmax", "argmin"))
    )
    if entry is not None and isinstance(out, Tensor):
        if entry.kind == "cat" and category(result.dtype) > category(out.dtype):
            raise TypeError(f"{op}(): input types can't be cast to the desired output type {out.dtype}")
        if entry.kind == "reduce" and entry.out_types == "b" and out.dtype not in (_core.bool, _core.uint8):
            raise RuntimeError(f"{op}() only supports bool tensor for result, got: {out.dtype}")
    return write_out(op, result, out, exact)


def public_names(prefix: str) -> dict:
    """The functions of a namespace whose operators are called <prefix><name>, by name."""
    found = {}
    for op in list(TABLE.values()):
        if op.name.startswith(prefix):
            fn = _bind(op)
            found[op.name[len(prefix) :]] = exported(op, fn) if op.kind == "composite" else fn
    return found


# -- hooks -------------------------------------------------------------------------------------------------------------
def _kernel_hook(key: str) -> int:
    from .execute.resolve import resolve

    _core.set_hook("kernel", resolve)  # the next miss goes there directly
    return resolve(key)


_GRAD, _INPUT, _OUTPUT, _ATTRIBUTE, _SHAPE, _DTYPE, _WANTED = range(7)


def _needs(op: OpDef) -> tuple[tuple[int, int], ...]:
    """What a Python rule asks for by its parameter names."""
    names = {name: j for j, (_, name, _) in enumerate(op.parameters())}
    kinds = [kind for kind, _, _ in op.parameters()]
    code = op.grad.__code__
    found = []
    for name in code.co_varnames[: code.co_argcount]:
        base, _, last = name.rpartition("_")
        if name == "g" or (name[0] == "g" and name[1:].isdigit()):
            found.append((_GRAD, int(name[1:] or 0)))
        elif name in names:
            found.append((_INPUT if "Tensor" in kinds[names[name]] else _ATTRIBUTE, names[name]))
        elif name == "out" or (name.startswith("out") and name[3:].isdigit()):
            found.append((_OUTPUT, int(name[3:] or 0)))
        elif name == "wanted":
            found.append((_WANTED, 0))
        elif last == "shape" and base in names:
            found.append((_SHAPE, names[base]))
        elif last == "dtype" and base in names:
            found.append((_DTYPE, names[base]))
        else:
            raise TypeError(
                f"gradient rule of {op.name}: parameter {name!r} is neither an argument of the operator nor g, out, "
                "wanted, "
                "<tensor>_shape or <tensor>_dtype"
            )
    return tuple(found)


def _gradient_hook(bound_op):
    """The gradient of an operator, derived or looked up on first use."""
    op = lookup(bound_op.name)
    if op.kind == "map":
        answers = []
        for j, t in enumerate(op.in_types):
            rule = op.gradient(j) if t in ("T", "r") else None
            answers.append(None if rule is None else (None if rule.op is None else _bind(rule.op), rule.needs))
        return tuple(answers)
    return (op.grad, _needs(op)) if op.grad else None


# -- installing --------------------------------------------------------------------------------------------------------
def _install_entry(op: OpDef, public: dict) -> None:
    fn = _bind(op)
    names = (op.name, *(op.aliases or ()))
    space = F.__dict__
    for name in names:
        space[name] = fn
    public_form = exported(op, fn)
    if op.function and op.name[0] != "_":
        for name in names:
            public[name] = public_form
    if op.method is True:
        for name in names:
            setattr(Tensor, name, public_form)
    elif op.method:
        setattr(Tensor, op.method, public_form)
    if op.inplace:
        twin = _twin(op)
        for name in names:
            space[name + "_"] = twin
            if op.method is True:
                setattr(Tensor, name + "_", twin)
            if op.function and op.name[0] != "_" and (op.kind == "map" or op.inplace == "function"):
                public[name + "_"] = twin
    for slot in op.slots or ():
        _core.set_slot(slot, fn)
        twin = slot.replace("nb_", "nb_inplace_")
        if op.inplace and twin != slot and twin in _core.slots:
            _core.set_slot(twin, _BOUND[op.name + "_"])
    if op.role:
        _core.set_role(op.role, fn)
        if op.inplace and op.kind != "composite":
            _core.set_role(op.role + "_", _BOUND[op.name + "_"])


def family(name: str, n: int):
    """The operator of a family for n operands."""
    return bound(f"{name}.{n}")


def install(public: dict) -> None:
    """Binds the whole table; functions go into `public` (the namespace of `taeda`)."""
    from . import _tensor, autograd

    space = F.__dict__
    for name, dtype in ((str(d).rpartition(".")[2], d) for d in _core.dtypes.values()):
        space[name] = dtype
    space.update(
        Tensor=Tensor,
        Size=_tensor.Size,
        dtype=_core.dtype,
        strided=_tensor.strided,
        finfo=_tensor.finfo,
        iinfo=_tensor.iinfo,
        tensor=_core.tensor,
        result_type=_core.result_type,
        promote_types=_core.promote_types,
        get_default_dtype=_core.get_default_dtype,
        _empty=_core.empty,
        write_out=write_out,
        write_pair=write_tuple,
        result_pair=result_pair,
        result_tuple=return_types.make,
        family=family,
        exported=exported,
        check_device=ops.creation.check_device,
        rng_reserve=_core.rng_reserve,
        randomized=lambda fill, size: fill(size),  # taeda.func puts its own here
        spread=lambda made, like: made,
        transforming=lambda: False,
        differentiated=lambda t: _core.is_grad_enabled() and t.requires_grad,
        values_known=lambda: not _core.is_tracing(),
        become_view=_core.become_view,
        is_grad_enabled=_core.is_grad_enabled,
        is_tracing=_core.is_tracing,
        no_grad=autograd.no_grad,
        enable_grad=autograd.enable_grad,
        autograd_grad=autograd.grad,
    )
    _core.set_hook("kernel", _kernel_hook)
    _core.set_hook("gradient", _gradient_hook)
    _core.set_hook("write_out", _write_result)
    _core.set_hook("complex", ops.complex_tensor.on_complex)
    for op in list(TABLE.values()):
        _install_entry(op, public)
    _tensor.install()


__all__ = ["FAMILIES", "bound", "family", "install"]
