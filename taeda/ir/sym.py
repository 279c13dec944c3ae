"""Symbolic integers: what the size of a dimension is while a program is captured and compiled.

A `Sym` is a polynomial with integer coefficients over *atoms*: named sizes, and floordiv, mod, max and min of other
expressions. It is kept in one canonical form, so equal expressions are equal objects in the sense of `==`, and a
constant prints and compares as a number. Named sizes are sizes of dimensions: never negative.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Union

Number = Union[int, "Sym"]


class Atom:
    """What a polynomial is over: a name, or an operation (`floordiv`, `mod`, `max`, `min`) of two expressions."""

    __slots__ = ("args", "key", "op")

    def __init__(self, op: str, args: tuple):
        self.op, self.args = op, args
        self.key = op if not args else f"{op}({', '.join(map(str, args))})"

    def __eq__(self, other) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Atom) -> bool:
        # Names s2 before s10; operations after names.
        return (bool(self.args), len(self.key), self.key) < (bool(other.args), len(other.key), other.key)


Monomial = tuple[Atom, ...]  # sorted, with repetition


class Sym:
    """A canonical symbolic integer. Make one with `symbol`, `as_sym` or arithmetic."""

    __slots__ = ("_hash", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: Iterable[tuple[Monomial, int]]):
        self.terms = tuple(
            sorted(((m, c) for m, c in terms if c), key=lambda t: (-len(t[0]), [(len(a.key), a.key) for a in t[0]]))
        )
        self._hash = hash(self.terms) if self.terms and self.terms[0][0] else hash(self.value or 0)

    # -- queries ---------------------------------------------------------------------------------------------------
    @property
    def value(self) -> int | None:
        """The number this is, or None."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    def atoms(self) -> set[Atom]:
        return {a for m, _ in self.terms for a in m}

    def symbols(self) -> set[str]:
        """Every name below this expression."""
        found: set[str] = set()
        for a in self.atoms():
            if a.args:
                for x in a.args:
                    found |= x.symbols()
            else:
                found.add(a.op)
        return found

    def nonnegative(self) -> bool:
        """True if this is certainly >= 0."""
        return all(c > 0 and all(_nonnegative_atom(a) for a in m) for m, c in self.terms)

    def __eq__(self, other) -> bool:
        if isinstance(other, Sym):
            return self.terms == other.terms
        return self.value == other if isinstance(other, int) else NotImplemented

    def __hash__(self) -> int:
        return self._hash

    # -- arithmetic ------------------------------------------------------------------------------------------------
    def __add__(self, other: Number) -> Sym:
        total = dict(self.terms)
        for m, c in as_sym(other).terms:
            total[m] = total.get(m, 0) + c
        return Sym(total.items())

    __radd__ = __add__

    def __neg__(self) -> Sym:
        return Sym((m, -c) for m, c in self.terms)

    def __sub__(self, other: Number) -> Sym:
        return self + -as_sym(other)

    def __rsub__(self, other: Number) -> Sym:
        return as_sym(other) - self

    def __mul__(self, other: Number) -> Sym:
        total: dict[Monomial, int] = {}
        for m, c in self.terms:
            for n, d in as_sym(other).terms:
                both = tuple(sorted(m + n))
                total[both] = total.get(both, 0) + c * d
        return Sym(total.items())

    __rmul__ = __mul__

    def __floordiv__(self, other: Number) -> Sym:
        return floordiv(self, as_sym(other))

    def __rfloordiv__(self, other: Number) -> Sym:
        return floordiv(as_sym(other), self)

    def __mod__(self, other: Number) -> Sym:
        return mod(self, as_sym(other))

    def __rmod__(self, other: Number) -> Sym:
        return mod(as_sym(other), self)

    # -- evaluation ------------------------------------------------------------------------------------------------
    def evaluate(self, sizes: Mapping[str, int]) -> int:
        total = 0
        for m, c in self.terms:
            for a in m:
                if a.args:
                    c *= _NUMERIC[a.op](*(x.evaluate(sizes) for x in a.args))
                else:
                    c *= sizes[a.op]
            total += c
        return total

    def substitute(self, mapping: Mapping[str, Sym]) -> Sym:
        """Names replaced by expressions."""
        if not mapping or not (self.symbols() & mapping.keys()):
            return self
        total = ZERO
        for m, c in self.terms:
            product = as_sym(c)
            for a in m:
                if a.args:
                    product = product * _SYMBOLIC[a.op](*(x.substitute(mapping) for x in a.args))
                else:
                    product = product * mapping.get(a.op, Sym((((a,), 1),)))
            total = total + product
        return total

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        text = ""
        for m, c in self.terms:
            body = "*".join(a.key for a in m)
            sign = " - " if c < 0 else " + "
            size = abs(c)
            piece = body if body and size == 1 else f"{size}*{body}" if body else str(size)
            text += (("-" if c < 0 else "") if not text else sign) + piece
        return text

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise TypeError(f"a symbolic size has no truth value: {self}")


def _nonnegative_atom(a: Atom) -> bool:
    if not a.args:
        return True
    if a.op == "max":
        return any(x.nonnegative() for x in a.args)
    if a.op == "min":
        return all(x.nonnegative() for x in a.args)
    if a.op == "mod":
        return a.args[1].nonnegative()
    return all(x.nonnegative() for x in a.args)


def symbol(name: str) -> Sym:
    """A named size."""
    return Sym((((Atom(name, ()),), 1),))


def as_sym(value: Number) -> Sym:
    """`value` itself, or an int as a constant."""
    if isinstance(value, Sym):
        return value
    return Sym((((), int(value)),))


ZERO = Sym(())
ONE = as_sym(1)


def _atom(op: str, *args: Sym) -> Sym:
    return Sym((((Atom(op, args),), 1),))


def _remove(m: Monomial, part: Monomial) -> Monomial | None:
    """m / part, or None where that is no monomial."""
    left = list(m)
    for a in part:
        if a not in left:
            return None
        left.remove(a)
    return tuple(left)


def _divide(a: Sym, b: Sym) -> tuple[Sym, Sym]:
    """a = quotient * b + rest, the quotient taking in as many terms as divide exactly."""
    lead, factor = b.terms[0]
    quotient, rest, todo = ZERO, ZERO, a
    for _ in range(64):
        if not todo.terms:
            break
        m, c = todo.terms[0]
        left = _remove(m, lead)
        if left is None or (c % factor and lead):
            piece = Sym(((m, c),))
            todo, rest = todo - piece, rest + piece
            continue
        count = c // factor
        if not count:
            piece = Sym(((m, c),))
            todo, rest = todo - piece, rest + piece
            continue
        step = Sym(((left, count),))
        todo, quotient = todo - step * b, quotient + step
    return quotient, rest + todo


def floordiv(a: Sym, b: Sym) -> Sym:
    """Quotient rounded toward minus infinity; exact divisions of polynomials are carried out."""
    a, b = as_sym(a), as_sym(b)
    if b.value == 0:
        raise ZeroDivisionError(f"division of size {a} by zero")
    if a.value is not None and b.value is not None:
        return as_sym(a.value // b.value)
    quotient, rest = _divide(a, b)
    if rest == 0:
        return quotient
    if len(b.terms) > 1:  # several terms: the quotient is only of use where nothing is left
        quotient, rest = ZERO, a
    if rest.nonnegative() and (b - rest - 1).nonnegative():
        return quotient
    return quotient + _atom("floordiv", rest, b)


def mod(a: Sym, b: Sym) -> Sym:
    """Remainder of `floordiv`."""
    a, b = as_sym(a), as_sym(b)
    if b.value == 0:
        raise ZeroDivisionError(f"remainder of size {a} by zero")
    if a.value is not None and b.value is not None:
        return as_sym(a.value % b.value)
    _, rest = _divide(a, b)
    if rest == 0:
        return ZERO
    if len(b.terms) > 1:
        rest = a
    if rest.nonnegative() and (b - rest - 1).nonnegative():
        return rest
    return _atom("mod", rest, b)


def maximum(a: Number, b: Number) -> Sym:
    a, b = as_sym(a), as_sym(b)
    if (a - b).nonnegative():
        return a
    if (b - a).nonnegative():
        return b
    return _atom("max", *sorted((a, b), key=str))


def minimum(a: Number, b: Number) -> Sym:
    a, b = as_sym(a), as_sym(b)
    if (a - b).nonnegative():
        return b
    if (b - a).nonnegative():
        return a
    return _atom("min", *sorted((a, b), key=str))


def product(sizes: Iterable[Number]) -> Sym:
    total = ONE
    for s in sizes:
        total = total * s
    return total


def contiguous_strides(sizes: Iterable[Number]) -> tuple[Sym, ...]:
    """Strides in elements of a row-major tensor."""
    strides: list[Sym] = []
    step = ONE
    for s in reversed(tuple(sizes)):
        strides.insert(0, step)
        step = step * s
    return tuple(strides)


_NUMERIC: dict[str, Callable[[int, int], int]] = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "max": max,
    "min": min,
}
_SYMBOLIC: dict[str, Callable[[Sym, Sym], Sym]] = {"floordiv": floordiv, "mod": mod, "max": maximum, "min": minimum}


def parse(text: str) -> Sym:
    """The expression that `str` printed."""

    def build(node: ast.expr) -> Sym:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return as_sym(node.value)
        if isinstance(node, ast.Name):
            return symbol(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -build(node.operand)
        if isinstance(node, ast.BinOp):
            a, b = build(node.left), build(node.right)
            if isinstance(node.op, ast.Add):
                return a + b
            if isinstance(node.op, ast.Sub):
                return a - b
            if isinstance(node.op, ast.Mult):
                return a * b
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in _SYMBOLIC
            and len(node.args) == 2
        ):
            return _SYMBOLIC[node.func.id](*map(build, node.args))
        raise ValueError(f"not a symbolic size: {text!r}")

    try:
        return build(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        raise ValueError(f"not a symbolic size: {text!r}") from None


class Relation:
    """A condition on sizes: `a == b`, `a != b`, `a < b` or `a <= b`."""

    __slots__ = ("a", "b", "op")
    NEGATED: ClassVar[dict[str, str]] = {"==": "!=", "!=": "=="}

    def __init__(self, op: str, a: Number, b: Number):
        if op in (">", ">="):
            op, a, b = ("<" if op == ">" else "<="), b, a
        if op not in ("==", "!=", "<", "<="):
            raise ValueError(f"unknown relation {op!r}")
        self.op, self.a, self.b = op, as_sym(a), as_sym(b)

    def decide(self) -> bool | None:
        """True or False where that is certain for every size, else None."""
        gap = self.b - self.a
        if self.op in ("==", "!="):
            if gap == 0:
                return self.op == "=="
            if gap.value is not None or (gap - 1).nonnegative() or (-gap - 1).nonnegative():
                return self.op != "=="
            return None
        slack = 1 if self.op == "<" else 0
        if (gap - slack).nonnegative():
            return True
        return False if (-gap + slack - 1).nonnegative() else None

    def holds(self, sizes: Mapping[str, int]) -> bool:
        a, b = self.a.evaluate(sizes), self.b.evaluate(sizes)
        return {"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b}[self.op]

    def negated(self) -> Relation:
        if self.op in self.NEGATED:
            return Relation(self.NEGATED[self.op], self.a, self.b)
        return Relation("<=" if self.op == "<" else "<", self.b, self.a)

    def substitute(self, mapping: Mapping[str, Sym]) -> Relation:
        return Relation(self.op, self.a.substitute(mapping), self.b.substitute(mapping))

    def __eq__(self, other) -> bool:
        return isinstance(other, Relation) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"{self.a} {self.op} {self.b}"

    __repr__ = __str__


def parse_relation(text: str) -> Relation:
    for op in ("==", "!=", "<=", ">=", "<", ">"):
        a, found, b = text.partition(op)
        if found:
            return Relation(op, parse(a), parse(b))
    raise ValueError(f"not a condition on sizes: {text!r}")
