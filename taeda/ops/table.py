"""The operator table: what an `OpDef` is, and the functions that register one.

An entry states an operator once. The function, method, in-place and `out=` forms, the kernels, the gradient, the stub
and the generated tests all come from it. This module imports nothing of the core, so that the table can be walked while
building a wheel or cross-compiling.
"""

from __future__ import annotations

from . import expr as E

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# -- dtype groups: codes, in the order of td_dtype ---------------------------------------------------------------------
CODES = ("b1", "u8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64", "c64", "c128")
floating = ("f16", "bf16", "f32", "f64")
integral = ("u8", "i8", "i16", "i32", "i64")
numeric = integral + floating
anything = ("b1", *numeric)
discrete = ("b1", *integral)
complexes = ("c64", "c128")
#: What arithmetic, and what everything is defined on, complex numbers included.
field = floating + complexes
numbers = numeric + complexes
everything = anything + complexes

#: The dtype of the two parts of a complex number.
PART = {"c64": "f32", "c128": "f64"}

TABLE: dict[str, OpDef] = {}
#: As the gradient rule of an operand: PyTorch has none there, and a backward pass that asks for it is refused.
NO_DERIVATIVE = object()
#: (alias, operator) pairs: further public names of one operator.
ALIASES: dict[str, str] = {}
#: Role -> operator: how the other rooms and the core find the operators that they need themselves.
ROLES: dict[str, str] = {}


class OpDef:
    """One operator.

    accepts: dtype codes of T after promotion. to_float: integer T computes in the default float dtype. method, function,
    out: is a method of Tensor (a string: under that name), a function of `taeda`, takes `out=`. slots: Python's
    operators that it is; role: what the core and other rooms find it by. front: a Python function with PyTorch's full
    signature that takes over when the arguments do not fit the schema. oracle: NumPy expression text for the tests;
    samples: their arguments; domain: (low, high) of the samples, or one pair an operand. The rest is documented at the
    registering function of each kind.
    """

    __slots__ = (
        "accepts",
        "aliases",
        "doc",
        "domain",
        "fn",
        "front",
        "function",
        "grad",
        "in_types",
        "inplace",
        "kind",
        "method",
        "name",
        "opcheck",
        "oracle",
        "out",
        "out_types",
        "params",
        "parent",
        "role",
        "samples",
        "slots",
        "to_float",
        "traits",
    )

    name: str
    kind: str
    params: str
    doc: str
    fn: Any
    front: Any
    grad: Any
    traits: Any
    accepts: Any
    aliases: Any
    slots: Any
    method: Any
    inplace: Any
    samples: Any
    domain: Any
    function: bool
    to_float: bool
    out: bool
    opcheck: bool | None
    oracle: str | None
    role: str | None
    parent: tuple[str, int] | None
    in_types: str
    out_types: str

    def __init__(self, name: str, kind: str, params: str, **attributes):
        self.name, self.kind, self.params = name, kind, params
        for slot in self.__slots__[:]:
            if slot not in ("name", "kind", "params"):
                setattr(self, slot, attributes.pop(slot, "" if slot == "doc" else None))
        if attributes:
            raise TypeError(f"operator {name}: unknown attributes {sorted(attributes)}")
        if name in TABLE:
            raise ValueError(f"operator {name} is defined twice")
        TABLE[name] = self
        for alias in self.aliases or ():
            ALIASES[alias] = name
        if self.role and ROLES.setdefault(self.role, name) != name:
            raise ValueError(f"operators {ROLES[self.role]} and {name} have one role, {self.role}")

    def __repr__(self):
        return f"<op {self.name}: {self.kind}>"

    @property
    def schema(self) -> str:
        return f"({self.params})"

    def parameters(self) -> list[tuple[str, str, str | None]]:
        """(type, name, default text) of every parameter; the keyword-only marker is left out."""
        found = []
        for part in self.params.split(","):
            text, _, default = part.strip().partition("=")
            if text and text != "*":
                kind, _, name = text.strip().rpartition(" ")
                found.append((kind, name, default.strip() or None))
        return found

    # -- map and generate ------------------------------------------------------------------------------------------
    def map_outputs(self, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...]) -> tuple[tuple[str, E.Expr], ...]:
        """The formula of every output over `load(slot)` of the operands, for concrete storage dtypes. A complex operand
        takes two slots, a complex output two formulas: of the real and the imaginary part."""
        if any(d in PART for d in out_dtypes):  # it makes the complex dtypes known to expressions
            from . import complex_number  # noqa: F401
        loads = _loads(in_dtypes)
        compute = self._common(in_dtypes, out_dtypes)
        loads = [E.cast(x, compute) if t == "p" else x for x, t in zip(loads, self.in_types)]
        if self.kind == "generate":
            compute = E.COMPUTE_OF[out_dtypes[0]]
            results = self.fn(E.index(), *(E.cast(x, compute) if t == "T" else x for x, t in zip(loads, self.in_types)))
        else:
            results = self.fn(*loads)
        if not isinstance(results, tuple):
            results = (results,)
        found: list[tuple[str, E.Expr]] = []
        for d, e in zip(out_dtypes, results, strict=True):
            e = E.cast(E.as_expr(e, compute), d)
            found += [(PART[d], p) for p in e.parts] if d in PART else [(d, e)]
        return tuple(found)

    def _common(self, in_dtypes, out_dtypes) -> str:
        for d, t in (*zip(in_dtypes, self.in_types), *zip(out_dtypes, self.out_types or "")):
            if t == "T":
                return E.COMPUTE_OF[d]
        return E.COMPUTE_OF[out_dtypes[0]]

    def map_spec(self, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...]):
        """The kernel of a map, generate or rows operator for concrete storage dtypes."""
        per_row = self.traits["per_row"] if self.kind == "rows" else frozenset()
        slots = [part for d in in_dtypes for part in ((PART[d],) * 2 if d in PART else (d,))]
        return _spec(slots, self.map_outputs(in_dtypes, out_dtypes), "row", per_row)

    def reduce_spec(self, in_dtype: str, out_dtype: str, form: str = "row", stage: str = "first"):
        """The kernel of one run of a reduction; form "row" or "col"."""
        return _spec((in_dtype,), self.reduce_outputs(in_dtype, out_dtype, stage), form)

    def scan_spec(self, in_dtype: str, out_dtype: str):
        """The kernel of a running reduction."""
        return _spec((in_dtype,), self.reduce_outputs(in_dtype, out_dtype), "scan")

    # -- reductions and scans --------------------------------------------------------------------------------------
    def reduce_outputs(self, in_dtype: str, out_dtype: str, stage: str = "first") -> tuple[tuple[str, E.Expr], ...]:
        """The reduction of one run. `stage` "next" folds the accumulators that an earlier run left."""
        x = E.load(0, in_dtype)
        kind = self.traits["kind"]
        if stage == "first":
            if kind in ("sum", "prod"):
                wide = E.COMPUTE_OF[out_dtype]
                if wide in E.FLOATS and x.dtype != "f64":
                    x = E.cast(x, wide)
            if self.fn is not None:
                x = self.fn(x)
        return ((out_dtype, E.cast(E.reduce(kind, x), out_dtype)),)

    def accumulator(self, in_dtype: str, out_dtype: str) -> str:
        """Storage dtype of the accumulators between the runs of one reduction."""
        ((_, e),) = self.reduce_outputs(in_dtype, out_dtype)
        while e.op in ("cast", "round_to"):
            e = e.args[0]
        return e.dtype

    # -- gradients of map operators ----------------------------------------------------------------------------------
    def gradient(self, operand: int) -> Gradient | None:
        """The gradient wrt `operand` as a map operator of its own, or None where there is none. Map operators only."""
        outs = self.out_types
        if self.kind != "map":
            return None
        if self.grad is False or self.in_types[operand] not in ("T", "r") or not set(outs) & set("Tr"):
            return None
        if outs not in ("T", "r") and self.grad is None:
            return None
        rule = self.grad[operand] if isinstance(self.grad, tuple) else self.grad
        if rule is None and isinstance(self.grad, tuple):
            return None
        if rule is NO_DERIVATIVE:
            return Gradient(self._refusal(operand), ((0, 0),))
        holomorphic = outs[0] == "T" and (self.traits or {}).get("holomorphic", True)
        fn, count = self.fn, rule.__code__.co_argcount - 1 if callable(rule) else 0

        def formula(g, ins, outs):
            values = (*ins, *outs)
            compound = any(isinstance(v, E.Compound) for v in (g, *values))
            if callable(rule) and not compound:
                return rule(g, *values[:count])
            if callable(rule) and holomorphic:  # the rule is linear in g; a gradient carries the conjugate derivative
                return _conj(rule(_conj(g), *values[:count]))
            if compound:
                from .complex_number import gradient as of_parts

                found = of_parts(fn(*ins), g, ins[operand])
            else:
                from .scalar import gradient

                (found,) = gradient(fn(*ins), g, (ins[operand],))
            return E.const(0, ins[operand].dtype) if found is None else found

        n_in = len(self.in_types)
        letters = ("T" if outs[0] == "b" else outs[0]) + self.in_types + outs

        def trace(compute, xs):
            return E.as_expr(formula(xs[0], xs[1 : n_in + 1], xs[n_in + 1 :]), compute)

        found: list[E.Expr] = []  # what the formula is for real, and for complex numbers
        handed_on = True  # the gradient is the incoming one
        for usual in ("f32", "c64"):
            if self.accepts and usual not in self.accepts:
                continue
            sample = [_load(_WIDE * j, letter_dtype(t, usual)) for j, t in enumerate(letters)]
            e = trace(usual, sample)
            parts = _parts(e)
            handed_on = handed_on and parts == _parts(sample[0])
            if not all(p.op == "const" and p.attr == 0 for p in parts):
                found += parts
        if not found:
            return None
        read = sorted({j // _WIDE for j in E.loads(*found)})
        needs = tuple((0, 0) if j == 0 else (1, j - 1) if j <= n_in else (2, j - 1 - n_in) for j in read)
        if handed_on:
            return Gradient(None, needs)
        name = f"{self.name}.grad{operand}"
        if name in TABLE:
            return Gradient(TABLE[name], needs)

        # Operands that the formula does not read are stood in for by loads that must not survive; an order of
        # differentiation
        # has numbers of its own, since the formula of a gradient of a gradient runs that of the gradient.
        unread = 1000 * (1 + name.count(".grad"))

        def grad_fn(*operands):
            compute = next(x.dtype for x, j in zip(operands, read) if letters[j] == "T")
            xs = [_load(unread + _WIDE * j, letter_dtype(t, compute)) for j, t in enumerate(letters)]
            for x, j in zip(operands, read):
                xs[j] = x
            result = trace(compute, xs)
            parts = _parts(result)
            if any(unread <= j < unread + 1000 for j in E.loads(*parts)):
                raise AssertionError(f"{name}: the formula reads other operands for {compute} than for f32")
            return result

        types = "".join(letters[j] for j in read)
        # A parameter computed by Python (letter p) stays one in the gradient; everything else may be a tensor or a
        # number.
        params = ", ".join(f"{'Number' if letters[j] == 'p' else 'Tensor|Number'} x{k}" for k, j in enumerate(read))
        grad_op = OpDef(
            name,
            "map",
            params,
            fn=grad_fn,
            in_types=types,
            out_types="T",
            accepts=tuple(d for d in field if d in (self.accepts or floating)),
            traits={"holomorphic": False},
            to_float=False,
            parent=(self.name, operand),
        )
        return Gradient(grad_op, needs)

    def _refusal(self, operand: int) -> OpDef:
        """The gradient operator that only says that there is none."""
        name, parameter = f"{self.name}.grad{operand}", self.parameters()[operand][1]

        def refuse(g):
            raise NotImplementedError(f"the derivative for '{self.name}: {parameter}' is not implemented.")

        return TABLE.get(name) or OpDef(
            name, "composite", "Tensor x0", fn=refuse, grad=refuse, parent=(self.name, operand)
        )


class Abstract:
    """What is known of a tensor before a program runs: sizes (symbolic ones too) and dtype code."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple, dtype: str):
        self.shape, self.dtype = shape, dtype


class Gradient:
    """A gradient map operator (`op` None: the incoming gradient itself) and what it reads: (code, index) pairs with
    code 0 the gradient, 1 an input, 2 an output."""

    __slots__ = ("needs", "op")

    def __init__(self, op: OpDef | None, needs: tuple[tuple[int, int], ...]):
        self.op, self.needs = op, needs


#: Dtype of an operand by its letter, where that is fixed.
_LETTER_DTYPE = {"b": "b1", "i": "i64"}
#: Slots that the sample of an operand has to itself.
_WIDE = 2


def letter_dtype(letter: str, common: str) -> str:
    """The dtype of an operand or output marked `letter` when the common dtype T is `common`."""
    if letter == "r":
        return PART.get(common, common)
    if letter == "c":
        return {"f32": "c64", "f64": "c128"}.get(common, common)
    return _LETTER_DTYPE.get(letter, common)


def _load(slot: int, dtype: str):
    if dtype not in PART:
        return E.load(slot, dtype)
    from .complex_number import load

    return load(slot, dtype)


def _loads(dtypes) -> list:
    slot, found = 0, []
    for d in dtypes:
        found.append(_load(slot, d))
        slot += 2 if d in PART else 1
    return found


def _parts(e) -> tuple:
    return e.parts if isinstance(e, E.Compound) else (e,)


def _conj(x):
    return x.conj() if isinstance(x, E.Compound) else x


def _spec(inputs, outputs, form, per_row=frozenset()):
    # The one import against the direction of the layers: a spec is plain data, and only executors ask for one.
    from ..codegen.spec import KernelSpec
    from .scalar import lower

    roots = lower(*(e for _, e in outputs))
    return KernelSpec(tuple(inputs), tuple((d, e) for (d, _), e in zip(outputs, roots)), form, per_row)


def lookup(name: str) -> OpDef:
    """The operator called `name`; gradient operators (`mul.grad0.grad1`) and families (`_pick_max.9`) are made on
    demand.
    """
    op = TABLE.get(name)
    if op is not None:
        return op
    base, _, last = name.rpartition(".")
    if base in FAMILIES and last.isdigit():
        return FAMILIES[base](int(last))
    if last.startswith("grad") and last[4:].isdigit() and base:
        found = lookup(base).gradient(int(last[4:]))
        if found is not None and found.op is not None:
            return found.op
    raise KeyError(f"no operator is called {name!r}")


#: Operators with a variable number of operands: name -> maker of the entry for n operands.
FAMILIES: dict[str, Any] = {}
_PUBLIC = {"method": True, "function": True}
_INTERNAL = {"method": False, "function": False}


# -- registering -------------------------------------------------------------------------------------------------------
def pointwise(
    name,
    fn,
    *,
    types=None,
    params=None,
    grad=None,
    inplace=None,
    **attributes,
):
    """A map operator: `fn` over the elements of its operands. Also a method, a function and `out=` unless told.

    inplace: the twin `name_` (left out: where the result can be of self's dtype; "copy": the result is cast into self).
    types: one letter an operand, then the outputs: `T` common promoted dtype, `b` bool, `i` int64, `p` a Python number
    held in the compute dtype of T, `r` the real and `c` (outputs only) the complex dtype that belongs to T.
    grad: left out, the gradient is derived; False, there is none; a callable `(g, *inputs, *outputs)`, linear in g, or
    a tuple with one per operand (None: not differentiable). On complex numbers it is read as that of a holomorphic
    function; where traits say holomorphic=False, it is derived instead.
    """
    count = (
        len(types.partition("->")[0]) if types else fn.__code__.co_argcount or 1
    )  # primitives take *args: one operand
    if types is None:
        types = "T" * count + "->T"
    ins, _, outs = types.partition("->")
    if params is None:
        params = "Tensor input" if count == 1 else "Tensor|Number input, Tensor|Number other"
    if inplace is None:
        usual = attributes.get("method", True) and ins[0] == "T" and not name.startswith("_")
        inplace = usual and (True if outs == "T" else "copy" if outs == "b" else False)
    given = {**_PUBLIC, "accepts": anything, "to_float": False, "out": True, **attributes}
    grad = grad if "T" in outs or "r" in outs else False
    return OpDef(name, "map", params, fn=fn, in_types=ins, out_types=outs, grad=grad, inplace=inplace, **given)


def generate(name, fn, params, *, types="", **attributes):
    """A generate operator: each element is a formula of its logical linear index and numbers (letters `T` in the
    output's compute dtype, `i` int64, `d` float64). Always internal: the public creation functions are fronts over
    these."""
    given = {**_INTERNAL, "accepts": anything, **attributes}
    return OpDef(name, "generate", params, fn=fn, in_types=types, out_types="T", grad=False, **given)


def reduce_op(name, kind, *, pre=None, out="T", single=False, **attributes):
    """A reduction of `kind` (of `expr.REDUCE_KINDS`) over `pre(x)`. out: result dtype: `T` the input's, `acc` the
    input's but int64 for integers and bool, `i` int64, `b` bool. single: at most one dimension (argmax). grad: a Python
    rule (see `structured`)."""
    if single:
        params = "Tensor input, int? dim=None, bool keepdim=False"
    elif out in ("b", "i") or kind in ("max", "min"):
        params = "Tensor input, int[]? dim=None, bool keepdim=False"
    else:
        params = "Tensor input, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None"
    given = {**_PUBLIC, "accepts": anything, "to_float": False, **attributes}
    given["out"] = given["function"]
    traits = {"kind": kind, "single": single}
    return OpDef(name, "reduce", params, fn=pre, in_types="T", out_types=out, traits=traits, **given)


def scan_op(name, kind, *, public=True, **attributes):
    """A running reduction (`sum`, `prod`, `max` or `min`) along one dimension. Integers give int64 unless `dtype` says
    otherwise. public: also a function and a method."""
    base = {**_PUBLIC, "inplace": "copy", "out": True} if public else _INTERNAL
    given = {**base, "accepts": anything, **attributes}
    params, traits = "Tensor input, int dim, *, dtype? dtype=None", {"kind": kind}
    return OpDef(name, "scan", params, in_types="T", out_types="acc", traits=traits, **given)


def rows_op(name, fn, params, *, types, per_row=(), **attributes):
    """A row program: like a map, but `fn` may reduce along the last dimension (`expr.reduce`); an output marked `R` has
    one element a row.
    per_row: operands that callers always give with size 1 in the last dimension; numbers (letter p) are too.
    Internal: composites call it where the reduced dimension is the last."""
    ins, _, outs = types.partition("->")
    traits = {"per_row": frozenset(per_row) | {j for j, t in enumerate(ins) if t == "p"}}
    given = {**_INTERNAL, "accepts": floating, "to_float": False, **attributes}
    return OpDef(name, "rows", params, fn=fn, in_types=ins, out_types=outs, traits=traits, **given)


def structured(name, kind, params, *, form=None, types="", **attributes):
    """An operator that moves or combines elements: view, contract, gather, scatter, sort, nonzero, cat, copy.

    grad is a Python rule, called with what its parameter names ask for: `g` (`g1`, ... further outputs), a schema
    parameter's name, `out`, `<tensor>_shape`, `<tensor>_dtype`. It returns one gradient (or None) a tensor parameter,
    through operators only. fn and types: the element's formula, where the operator runs a map kernel (cast). Keywords
    that are no attribute of an `OpDef` are traits of the kind.

    kind "host": the values come from a library of the process. fn is "module:function" of this package (loaded on first
    use), called with the arguments in schema order, tensors contiguous, and returns new tensors; numbers may only be
    bool, int or str. results: the same arguments, each tensor as an `Abstract`, to a tuple of (sizes, dtype code), so
    that a capture knows them. core_dims: how many trailing dimensions of each tensor argument one problem takes; those
    in front are batch dimensions, equal in all arguments and handed on to all results, and dimensions given as
    arguments are counted from the end. accepts: dtype codes of the first tensor.
    """
    ins, _, outs = types.partition("->")
    traits = {k: attributes.pop(k) for k in [*attributes] if k not in OpDef.__slots__}
    given = {**_PUBLIC, "inplace": False, "out": False, **attributes}
    if form:
        traits = {"form": form, **traits}
    return OpDef(name, kind, params, in_types=ins, out_types=outs, traits=traits, **given)


def composite(
    *names,
    nn=False,
    aliases=(),
    params=None,
    batch=None,
    **attributes,
):
    """Marks a Python function as an operator that is a formula over others. Its signature is PyTorch's and is what
    users see.

    method: also a method of Tensor (the first parameter is self). nn: found in `taeda.nn.functional`, under this
    name where it is one (the function of that name in `taeda` takes other arguments).
    inplace: has a twin `name_` that writes the result into the first argument; "function": the twin is a function too.
    grad (with params, the schema): the tape records the whole function as one node with this rule instead of its parts.
    batch (with grad): how vmap runs it when a gradient is wanted: "parts" (they have the same gradient), "map" (element by
    element), "fold" (the batch joins the first dimension of the first tensor); left out, once for every element.
    """

    given = {**_PUBLIC, "method": False, "out": False, "inplace": False, "opcheck": True, **attributes}

    def register(fn):
        name, others, traits = names[0] if names else fn.__name__, (*names[1:], *aliases), {"nn": nn, "batch": batch}
        OpDef(name, "composite", params or "", fn=fn, doc=fn.__doc__, aliases=others, traits=traits, **given)
        return fn

    return register
