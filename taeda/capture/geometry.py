"""View operators on symbolic sizes and strides. Strides and offsets are in elements of the row-major base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..ir import sym as S
from ..ir.sym import Relation, Sym
from .symint import ShapeEnv


@dataclass(frozen=True)
class Geometry:
    """Which elements of a base a tensor is."""

    sizes: tuple[Sym, ...]
    strides: tuple[Sym, ...]
    offset: Sym

    @property
    def ndim(self) -> int:
        return len(self.sizes)

    def numel(self) -> Sym:
        return S.product(self.sizes)


def contiguous(sizes: Sequence[Sym]) -> Geometry:
    sizes = tuple(sizes)
    return Geometry(sizes, S.contiguous_strides(sizes), S.ZERO)


def shape_text(sizes: Sequence) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def wrap_dim(dim: int, ndim: int) -> int:
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim % limit


def is_contiguous(g: Geometry, env: ShapeEnv) -> bool:
    want = S.contiguous_strides(tuple(env.resolve(s) for s in g.sizes))
    return all(env.same(s, 1) or env.same(a, b) for s, a, b in zip(g.sizes, g.strides, want))


def infer_sizes(op: str, sizes: Sequence[Sym], numel: Sym, env: ShapeEnv) -> tuple[Sym, ...]:
    """Resolves one -1 and checks the number of elements."""
    found = list(sizes)
    holes = [k for k, s in enumerate(found) if s == -1]
    if len(holes) > 1:
        raise RuntimeError("only one dimension can be inferred")
    shown = shape_text(sizes)
    if holes:
        rest = env.resolve(S.product(s for s in found if s != -1))
        if rest == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {shown} because the unspecified dimension "
                f"size -1 can be any value "
                "and is ambiguous"
            )
        numel = env.resolve(numel)
        quotient = S.floordiv(numel, rest)
        if not env.same(quotient * rest, numel):
            if env.hint(numel) % max(env.hint(rest), 1):
                raise RuntimeError(f"shape '{shown}' is invalid for input of size {numel}")
            env.decide(Relation("==", S.mod(numel, rest), 0))
        found[holes[0]] = quotient
    elif not env.equal(S.product(found), numel):
        raise RuntimeError(f"{op}(): shape '{shown}' is invalid for input of size {numel}")
    return tuple(found)


def reshape(g: Geometry, sizes: tuple[Sym, ...], env: ShapeEnv) -> Geometry | None:
    """The same elements in another shape, or None where strides cannot express it."""
    sizes = tuple(env.resolve(s) for s in sizes)
    if is_contiguous(g, env):
        return Geometry(sizes, S.contiguous_strides(sizes), g.offset)
    # Runs of dimensions that lie as one in memory, slowest first: (number of elements, stride of the fastest).
    runs: list[tuple[Sym, Sym]] = []
    dims = [(env.resolve(s), env.resolve(t)) for s, t in zip(g.sizes, g.strides) if not env.same(s, 1)]
    for size, stride in reversed(dims):
        if runs and env.same(stride, runs[-1][0] * runs[-1][1]):
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, stride))
    strides: list[Sym] = [S.ZERO] * len(sizes)
    at = len(sizes)
    for count, stride in runs:
        taken = S.ONE
        while at and not (env.same(taken, count) and not env.same(sizes[at - 1], 1)):
            at -= 1
            strides[at] = taken * stride
            taken = taken * sizes[at]
        if not env.same(taken, count):
            return None
    while at:
        at -= 1
        if not env.same(sizes[at], 1):
            return None
        strides[at] = S.ONE
    return Geometry(sizes, tuple(strides), g.offset)


def permute(g: Geometry, dims: Sequence[int]) -> Geometry:
    if len(dims) != g.ndim:
        raise RuntimeError(
            f"permute(): number of dimensions in the tensor input does not match the length of the desired ordering of "
            f"dimensions i.e. input.dim() = {g.ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = [wrap_dim(d, g.ndim) for d in dims]
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Geometry(tuple(g.sizes[d] for d in order), tuple(g.strides[d] for d in order), g.offset)


def transpose(g: Geometry, a: int, b: int) -> Geometry:
    order = list(range(g.ndim))
    if order:
        a, b = wrap_dim(a, g.ndim), wrap_dim(b, g.ndim)
        order[a], order[b] = order[b], order[a]
    return permute(g, order)


def expand(g: Geometry, sizes: Sequence[Sym], env: ShapeEnv) -> Geometry:
    extra = len(sizes) - g.ndim
    if extra < 0:
        raise RuntimeError(
            f"expand(): the number of sizes provided ({len(sizes)}) must be greater or equal to the number of "
            f"dimensions in the tensor "
            f"({g.ndim})"
        )
    out, strides = [], []
    for k, want in enumerate(sizes):
        if k < extra:
            if want == -1:
                raise RuntimeError(
                    "expand(): the expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension"
                )
            out.append(env.resolve(want))
            strides.append(S.ZERO)
            continue
        have, stride = env.resolve(g.sizes[k - extra]), g.strides[k - extra]
        if want == -1 or env.same(want, have):
            out.append(have)
            strides.append(stride)
        elif have == 1 or (env.hint(have) == 1 and env.hint(want) != 1 and env.equal(have, 1)):
            out.append(env.resolve(want))
            strides.append(S.ZERO)
        elif env.equal(have, want):
            out.append(env.resolve(have))
            strides.append(stride)
        else:
            raise RuntimeError(
                f"The expanded size of the tensor ({want}) must match the existing size ({have}) at "
                f"non-singleton dimension {k}.  "
                f"Target sizes: {shape_text(sizes)}.  Tensor sizes: {shape_text(g.sizes)}"
            )
    return Geometry(tuple(out), tuple(strides), g.offset)


def is_one(s: Sym, env: ShapeEnv) -> bool:
    """Whether the size is 1; for a size that the capture does not know, the example decides and a guard keeps it."""
    return env.decide(Relation("==", s, 1))


def squeeze(g: Geometry, dims: Sequence[int] | None, env: ShapeEnv) -> Geometry:
    chosen = set(range(g.ndim)) if dims is None else {wrap_dim(d, g.ndim) for d in dims} if g.ndim else set()
    kept = [d for d in range(g.ndim) if d not in chosen or not is_one(g.sizes[d], env)]
    return Geometry(tuple(g.sizes[d] for d in kept), tuple(g.strides[d] for d in kept), g.offset)


def unsqueeze(g: Geometry, dim: int) -> Geometry:
    d = wrap_dim(dim, g.ndim + 1)
    stride = g.sizes[d] * g.strides[d] if d < g.ndim else S.ONE
    return Geometry((*g.sizes[:d], S.ONE, *g.sizes[d:]), (*g.strides[:d], stride, *g.strides[d:]), g.offset)


def select(g: Geometry, dim: int, index: Sym, env: ShapeEnv) -> Geometry:
    if not g.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, g.ndim)
    size = env.resolve(g.sizes[d])
    negative = env.decide(Relation("<", index, 0))
    at = index + size if negative else index
    if not (env.decide(Relation("<=", 0, at)) and env.decide(Relation("<", at, size))):
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {shape_text(g.sizes)} at dimension {d}"
        )
    return Geometry(g.sizes[:d] + g.sizes[d + 1 :], g.strides[:d] + g.strides[d + 1 :], g.offset + at * g.strides[d])


_UNBOUNDED = 2**62


def slice_(g: Geometry, dim: int, start: Sym | None, end: Sym | None, step: Sym, env: ShapeEnv) -> Geometry:
    if not g.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, g.ndim)
    size = env.resolve(g.sizes[d])
    if env.decide(Relation("<=", step, 0)):
        raise ValueError("slice step must be positive")

    def bound(b: Sym | None, default: Sym) -> Sym:
        if b is None:
            return default
        if b.value is not None and b.value >= _UNBOUNDED:
            return size
        if b.value is not None and b.value <= -_UNBOUNDED:
            return S.ZERO
        if env.decide(Relation("<", b, 0)):
            b = b + size
            if env.decide(Relation("<", b, 0)):
                return S.ZERO
        return size if env.decide(Relation("<=", size, b)) else env.resolve(b)

    first, last = bound(start, S.ZERO), bound(end, size)
    if env.decide(Relation("<", last, first)):
        last = first
    count = env.resolve(last - first)
    if step != 1:
        count = S.floordiv(count + step - 1, step)
    sizes, strides = list(g.sizes), list(g.strides)
    sizes[d], strides[d] = count, g.strides[d] * step
    return Geometry(tuple(sizes), tuple(strides), g.offset + first * g.strides[d])


def diagonal(g: Geometry, offset: int, dim1: int, dim2: int, env: ShapeEnv) -> Geometry:
    a, b = wrap_dim(dim1, g.ndim), wrap_dim(dim2, g.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, columns = g.sizes[a], g.sizes[b]
    start = g.offset
    if offset >= 0:
        columns, start = columns - offset, start + g.strides[b] * offset
    else:
        rows, start = rows + offset, start - g.strides[a] * offset
    shorter = rows if env.decide(Relation("<=", rows, columns)) else columns
    if env.decide(Relation("<", shorter, 0)):
        shorter, start = S.ZERO, g.offset
    kept = [d for d in range(g.ndim) if d not in (a, b)]
    return Geometry(
        (*(g.sizes[d] for d in kept), env.resolve(shorter)),
        (*(g.strides[d] for d in kept), g.strides[a] + g.strides[b]),
        start,
    )


def unfold(g: Geometry, dim: int, size: Sym, step: Sym, env: ShapeEnv) -> Geometry:
    if not g.ndim:
        return Geometry((size,), (S.ONE,), g.offset)
    d = wrap_dim(dim, g.ndim)
    have = env.resolve(g.sizes[d])
    if not env.decide(Relation("<=", size, have)):
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {have} but size is {size}")
    if not env.decide(Relation("<", 0, step)):
        raise RuntimeError(f"step is {step} but must be > 0")
    count = S.floordiv(have - size, step) + 1
    return Geometry(
        (*g.sizes[:d], count, *g.sizes[d + 1 :], size),
        (*g.strides[:d], g.strides[d] * step, *g.strides[d + 1 :], g.strides[d]),
        g.offset,
    )


def memory_order(sizes: Sequence[Sym], inputs: Sequence[Geometry], env: ShapeEnv) -> list[int]:
    """Dimensions of an elementwise result, outermost in memory first: as the inputs' lie, ties going to the next
    input. The same choice as the core's for real tensors, made on the example's sizes."""
    n = len(sizes)
    order = list(range(n))
    if n < 2 or all(g.ndim == 0 or is_contiguous(g, env) for g in inputs):
        return order
    size = [env.hint(s) for s in sizes]
    known = [([env.hint(s) for s in g.sizes], [env.hint(s) for s in g.strides]) for g in inputs]

    def stride(g: tuple[list[int], list[int]], d: int) -> int:
        at = d - (n - len(g[0]))
        return 0 if at < 0 or (g[0][at] == 1 and size[d] != 1) else g[1][at]

    def inside(a: int, b: int) -> int:
        """> 0: dimension a belongs inside b."""
        for g in known:
            sa, sb = stride(g, a), stride(g, b)
            if not sa or not sb:
                continue
            if sa != sb:
                return 1 if sa < sb else -1
            if size[a] != size[b]:
                return 1 if size[a] < size[b] else -1
        return 0

    for i in range(1, n):  # insertion sort: pairs that no input orders keep their places
        at = i
        for j in range(i - 1, -1, -1):
            c = inside(order[j], order[at])
            if c > 0:
                order[j], order[at] = order[at], order[j]
                at = j
            elif c < 0:
                break
    return order
