"""Numbers that stand for something while a program is captured: sizes (`SymInt`), and numbers known at run time
(`SymNumber`).

A `SymInt` is deliberately no `int`: arithmetic keeps it symbolic, a comparison that Python branches on becomes a guard
of the captured program, and handing it to code that insists on an int pins it to the example's value, which is a guard
too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ir import sym as S
from ..ir.sym import Relation, Sym
from ..ir.types import FLOAT

if TYPE_CHECKING:
    from ..ir.graph import Value


class ShapeEnv:
    """The named sizes of one capture, what is known about them, and the guards taken so far."""

    def __init__(self) -> None:
        self.hints: dict[str, int] = {}
        self.guards: list[Relation] = []
        self.known: dict[str, Sym] = {}  # names that a guard has made equal to an expression
        self._facts: set[Relation] = set()

    def symbol(self, hint: int) -> Sym:
        """A new size whose value in the example is `hint`."""
        name = f"s{len(self.hints)}"
        self.hints[name] = hint
        return S.symbol(name)

    def resolve(self, s: S.Number) -> Sym:
        """`s` with everything known put in."""
        return S.as_sym(s).substitute(self.known)

    def hint(self, s: S.Number) -> int:
        return S.as_sym(s).evaluate(self.hints)

    def certain(self, r: Relation) -> bool | None:
        """True or False where known without another guard."""
        r = Relation(r.op, self.resolve(r.a), self.resolve(r.b))
        if r in self._facts:
            return True
        if r.negated() in self._facts:
            return False
        return r.decide()

    def decide(self, r: Relation) -> bool:
        """What the example says; where that is not certain, it becomes a guard."""
        found = self.certain(r)
        if found is not None:
            return found
        r = Relation(r.op, self.resolve(r.a), self.resolve(r.b))
        value = r.holds(self.hints)
        self._learn(self._divided(r) if value and r.op == "==" else r if value else r.negated())
        return value

    def _divided(self, r: Relation) -> Relation:
        """An equality without the factors that both sides share: stronger, true in the example, and it names a size."""
        terms = r.a.terms + r.b.terms
        if not r.a.terms or not r.b.terms:
            return r
        common = [a for a in set(terms[0][0]) if all(a in m for m, _ in terms) and not a.args and self.hints[a.op]]
        for a in common:
            x = S.symbol(a.op)
            r = Relation("==", S.floordiv(r.a, x), S.floordiv(r.b, x))
        return self._divided(r) if common else r

    def same(self, a: S.Number, b: S.Number) -> bool:
        """Certainly equal."""
        return self.resolve(a) == self.resolve(b)

    def equal(self, a: S.Number, b: S.Number) -> bool:
        """Equal in the example, with a guard where needed."""
        return self.decide(Relation("==", a, b))

    def pin(self, s: S.Number) -> int:
        """The example's value, guarded."""
        s = self.resolve(s)
        if s.value is not None:
            return s.value
        value = self.hint(s)
        self.equal(s, value)
        return value

    def _learn(self, r: Relation) -> None:
        self.guards.append(r)
        self._facts.add(r)
        if r.op != "==":
            return
        for a, b in ((r.a, r.b), (r.b, r.a)):
            names = [m[0].op for m, c in a.terms if len(m) == 1 and not m[0].args and c in (1, -1)]
            # Prefer to express the later size by the earlier one.
            for name in sorted(names, key=lambda n: -int(n[1:]) if n[1:].isdigit() else 0):
                x = S.symbol(name)
                coefficient = next(c for m, c in a.terms if len(m) == 1 and m[0].op == name and not m[0].args)
                rest = (b - (a - x * coefficient)) * coefficient
                if (
                    name not in rest.symbols()
                    and name not in b.symbols()
                    and name not in (a - x * coefficient).symbols()
                ):
                    # Only plain replacements: a sum would hide the size that other guards speak of.
                    if rest.value is None and len(rest.terms) > 1 and rest.symbols() and len(a.terms) > 1:
                        continue
                    self.known = {n: e.substitute({name: rest}) for n, e in self.known.items()}
                    self.known[name] = rest
                    self._facts = {
                        Relation(f.op, f.a.substitute({name: rest}), f.b.substitute({name: rest})) for f in self._facts
                    }
                    return


class SymInt:
    """An integer that the sizes of the inputs determine."""

    __slots__ = ("env", "expr")

    def __init__(self, expr: Sym, env: ShapeEnv):
        self.expr, self.env = expr, env

    @staticmethod
    def _of(other: Any) -> Sym | None:
        if isinstance(other, SymInt):
            return other.expr
        if isinstance(other, int):
            return S.as_sym(int(other))
        if isinstance(other, SymNumber):
            return None
        index = getattr(other, "__index__", None)
        return S.as_sym(index()) if index is not None and not hasattr(other, "dtype") else None

    def _number(self, op: str, a: Any, b: Any) -> Any:
        """Arithmetic that leaves the integers."""
        other = b if a is self else a
        if not isinstance(other, (int, float, SymInt, SymNumber)):
            return NotImplemented
        from .tracer import current

        return current().number(op, a, b)

    def _make(self, expr: Sym) -> SymInt | int:
        expr = self.env.resolve(expr)
        return expr.value if expr.value is not None else SymInt(expr, self.env)

    def __add__(self, other):
        o = self._of(other)
        return self._number("add", self, other) if o is None else self._make(self.expr + o)

    __radd__ = __add__

    def __sub__(self, other):
        o = self._of(other)
        return self._number("sub", self, other) if o is None else self._make(self.expr - o)

    def __rsub__(self, other):
        o = self._of(other)
        return self._number("sub", other, self) if o is None else self._make(o - self.expr)

    def __mul__(self, other):
        o = self._of(other)
        return self._number("mul", self, other) if o is None else self._make(self.expr * o)

    __rmul__ = __mul__

    def __floordiv__(self, other):
        o = self._of(other)
        return NotImplemented if o is None else self._divided(self.expr, o, S.floordiv)

    def __rfloordiv__(self, other):
        o = self._of(other)
        return NotImplemented if o is None else self._divided(o, self.expr, S.floordiv)

    def __mod__(self, other):
        o = self._of(other)
        return NotImplemented if o is None else self._divided(self.expr, o, S.mod)

    def __rmod__(self, other):
        o = self._of(other)
        return NotImplemented if o is None else self._divided(o, self.expr, S.mod)

    def _divided(self, a: Sym, b: Sym, op):
        if self.env.decide(Relation("==", b, 0)):
            raise ZeroDivisionError("integer division or modulo by zero")
        # The quotient of sizes is symbolic where it is exact; a divisibility that the example shows becomes a guard.
        if op is S.floordiv and self.env.hint(b) > 0 and self.env.hint(a) % self.env.hint(b) == 0:
            quotient = S.floordiv(self.env.resolve(a), self.env.resolve(b))
            if any(x.args for x in quotient.atoms()) and self.env.certain(Relation("==", S.mod(a, b), 0)) is None:
                self.env.decide(Relation("==", S.mod(self.env.resolve(a), self.env.resolve(b)), 0))
        return self._make(op(self.env.resolve(a), self.env.resolve(b)))

    def __divmod__(self, other):
        return self // other, self % other

    def __truediv__(self, other):
        return self._number("div", self, other)

    def __rtruediv__(self, other):
        return self._number("div", other, self)

    def __pow__(self, n):
        if type(n) is int and n >= 0:
            total: Any = 1
            for _ in range(n):
                total = total * self
            return total
        return self._number("pow", self, n)

    def __rpow__(self, base):
        return base ** int(self)

    def __neg__(self):
        return self._make(-self.expr)

    def __pos__(self):
        return self

    def __abs__(self):
        return self if self >= 0 else -self

    def __sym_max__(self, other):
        return self._make(S.maximum(self.env.resolve(self.expr), self.env.resolve(self._of(other))))

    def __sym_min__(self, other):
        return self._make(S.minimum(self.env.resolve(self.expr), self.env.resolve(self._of(other))))

    def _compare(self, op: str, other):
        o = self._of(other)
        if o is not None:
            return SymBool(Relation(op, self.expr, o), self.env)
        if isinstance(other, float):
            value, found = float(self.env.pin(self.expr)), other
            return {
                "==": value == found,
                "!=": value != found,
                "<": value < found,
                "<=": value <= found,
                ">": value > found,
                ">=": value >= found,
            }[op]
        return NotImplemented

    def __eq__(self, other):
        return self._compare("==", other)

    def __ne__(self, other):
        return self._compare("!=", other)

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def __bool__(self) -> bool:
        return self.env.decide(Relation("!=", self.expr, 0))

    def __index__(self) -> int:
        return self.env.pin(self.expr)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.env.pin(self.expr))

    def bit_length(self) -> int:
        return self.env.pin(self.expr).bit_length()

    def __hash__(self) -> int:
        return hash(self.env.pin(self.expr))

    def __repr__(self) -> str:
        return str(self.env.resolve(self.expr))

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec) if not spec or spec.endswith("s") else format(int(self), spec)


class SymBool:
    """A comparison of sizes. Asking for its truth makes it a guard of the captured program."""

    __slots__ = ("env", "relation")

    def __init__(self, relation: Relation, env: ShapeEnv):
        self.relation, self.env = relation, env

    def __bool__(self) -> bool:
        return self.env.decide(self.relation)

    def __and__(self, other):
        return bool(self) and bool(other)

    def __or__(self, other):
        return bool(self) or bool(other)

    __rand__, __ror__ = __and__, __or__

    def __invert__(self):
        return SymBool(self.relation.negated(), self.env)

    def __eq__(self, other):
        return bool(self) == bool(other)

    def __hash__(self) -> int:
        return hash(bool(self))

    def __index__(self) -> int:
        return int(bool(self))

    def __repr__(self) -> str:
        return str(self.relation)


class SymNumber:
    """A number that is known only when the program runs: what the caller computes per call (`host_numbers`), a counter
        of the random generator, what sizes and fractions make, and what is computed from such.

    Python cannot branch on it, except where sizes alone determine it: then it is `known()` for the example's sizes,
    which become guards."""

    __slots__ = ("known", "value")

    def __init__(self, value: Value, known: Callable[[], float] | None = None):
        self.value, self.known = value, known

    def _op(self, op: str, a, b=None):
        from .tracer import current

        return current().number(op, a, b)

    def __add__(self, other):
        return self._op("add", self, other)

    def __radd__(self, other):
        return self._op("add", other, self)

    def __sub__(self, other):
        return self._op("sub", self, other)

    def __rsub__(self, other):
        return self._op("sub", other, self)

    def __mul__(self, other):
        return self._op("mul", self, other)

    def __rmul__(self, other):
        return self._op("mul", other, self)

    def __truediv__(self, other):
        return self._op("div", self, other)

    def __rtruediv__(self, other):
        return self._op("div", other, self)

    def __pow__(self, other):
        return self._op("pow", self, other)

    def __rpow__(self, other):
        return self._op("pow", other, self)

    def __neg__(self):
        return self._op("neg", self)

    def read(self, what: str) -> float:
        """What it is for the example, where sizes alone determine it; an error elsewhere."""
        from .errors import CaptureError, user_location

        if self.known is not None:
            return self.known()
        raise CaptureError(
            f"{user_location().text()}: {what} a number that is known only when the compiled program runs (a "
            f"hyperparameter of an optimizer, "
            "or a random counter). Compute with tensors, or move this line out of the compiled function."
        )

    def __bool__(self):
        return bool(self.read("branching on"))

    def __float__(self):
        return float(self.read("converting to float"))

    def __int__(self):
        return int(self.read("converting to int"))

    def __index__(self):
        value = self.read("using as an integer")
        if self.value.type == FLOAT:
            raise TypeError("'float' object cannot be interpreted as an integer")
        return int(value)

    def __round__(self, digits=None):
        return round(self.read("rounding"), digits)

    def __eq__(self, other):
        return self is other or (self.known is not None and self.known() == other)

    def __lt__(self, other):
        return self.read("comparing") < other

    def __le__(self, other):
        return self.read("comparing") <= other

    def __gt__(self, other):
        return self.read("comparing") > other

    def __ge__(self, other):
        return self.read("comparing") >= other

    def __hash__(self):
        return id(self)

    def __repr__(self):
        return f"<{self.value.type} of a captured program>"


SYMBOLIC = (SymInt, SymBool, SymNumber)
