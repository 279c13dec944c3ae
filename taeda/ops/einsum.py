"""Einstein summation: the equation, the order of its contractions, and distances between all pairs."""

from __future__ import annotations

from .helpers import product, tensor_argument
from .namespace import F
from .table import composite


# -- the equation ------------------------------------------------------------------------------------------------------
def _parse(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Letters of each operand and of the result; an ellipsis becomes letters of its own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise RuntimeError(
            f"einsum(): more operands were provided than specified in the equation: {len(ranks)} for {equation!r}"
            if len(ranks) > len(terms)
            else f"einsum(): fewer operands were provided than specified in the equation: {len(ranks)} for {equation!r}"
        )
    free = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in text]
    hidden = 0
    for term, rank in zip(terms, ranks):
        names = term.replace("...", "", 1)
        bad = next((c for c in names if not (c.isascii() and c.isalpha())), None)
        if bad is not None:
            raise RuntimeError(
                f"einsum(): invalid subscript given in {equation!r}: {bad!r}; subscripts must be in [a-zA-Z]"
            )
        if "..." in term:
            if len(names) > rank:
                raise RuntimeError(
                    f"einsum(): the number of subscripts in {term!r} exceeds the number of dimensions ({rank}) of "
                    "the operand"
                )
            hidden = max(hidden, rank - len(names))
        elif len(names) != rank:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(names)}) does not match the number of "
                f"dimensions ({rank}) "
                f"for operand {term!r} and no ellipsis was given"
            )
    dots = "".join(free[:hidden])
    found = []
    for term, rank in zip(terms, ranks):
        n = rank - len(term.replace("...", ""))
        found.append(term.replace("...", dots[hidden - n :]) if "..." in term else term)
    if not arrow:
        names = "".join(found)
        return found, dots + "".join(sorted(c for c in set(names) if names.count(c) == 1 and c not in dots))
    right = right.replace("...", dots)
    for c in right:
        if right.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
        if not any(c in term for term in found):
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input operand")
    return found, right


def _from_lists(arguments):
    """The equation and operands of the form operand, subscripts, ..., [subscripts of the result]."""

    def letters(subscripts):
        for k in subscripts:
            if k is not ... and not 0 <= k < 52:
                raise ValueError(f"einsum(): subscripts in lists must be in [0, 52), got {k}")
        return "".join("..." if k is ... else chr(k + 65 if k < 26 else k + 71) for k in subscripts)

    operands, terms = list(arguments[0 : len(arguments) - 1 : 2]), arguments[1::2]
    equation = ",".join(letters(t) for t in terms[: len(operands)])
    return (f"{equation}->{letters(arguments[-1])}" if len(arguments) % 2 else equation), operands


def _simplify(x, term: str, keep: set[str]):
    """Diagonals of repeated letters, sums of letters that nobody else has."""
    place = 0
    while place < len(term):
        c = term[place]
        again = term.find(c, place + 1)
        if again >= 0:
            x = F.movedim(F.diagonal(x, 0, place, again), -1, place)
            term = term[:again] + term[again + 1 :]
        else:
            place += 1
    gone = [d for d, c in enumerate(term) if c not in keep]
    if gone:
        x = F.sum(x, gone, dtype=x.dtype)
        term = "".join(c for c in term if c in keep)
    return x, term


def _join(x, lx, y, ly, keep):
    """One pair contracted; letters in `keep` stay."""
    # A size of 1 against n broadcasts: the letter is dropped from the side that has 1.
    for c in [c for c in lx if c in ly]:
        nx, ny = x.shape[lx.index(c)], y.shape[ly.index(c)]
        if nx != ny:
            if nx == 1:
                x, lx = F.select(x, lx.index(c), 0), lx.replace(c, "")
            elif ny == 1:
                y, ly = F.select(y, ly.index(c), 0), ly.replace(c, "")
            else:
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {ny} for an operand which does not broadcast with previously "
                    f"seen size {nx}"
                )
    x, lx = _simplify(x, lx, keep | set(ly))
    y, ly = _simplify(y, ly, keep | set(lx))
    out = "".join(dict.fromkeys(c for c in lx + ly if c in keep))
    return F.contract(x, y, f"{lx},{ly}->{out}"), out


# -- the order ---------------------------------------------------------------------------------------------------------
#: Up to this many operands the best order is found by trying all; the number of orders grows as 3 ** n.
_ALL_ORDERS = 5
_ORDERS: dict = {}


def _order(shapes, terms, out):
    """The tree of pairs to contract, over operand numbers. In a capture the example's sizes decide, and guards keep it."""
    known = all(type(n) is int for shape in shapes for n in shape)
    key = (out, *terms, *map(tuple, shapes)) if known else None
    found = _ORDERS.get(key) if known else None
    if found is None:
        sizes: dict = {}
        for term, shape in zip(terms, shapes):
            for c, n in zip(term, shape):
                if c not in sizes or (isinstance(sizes[c], int) and sizes[c] == 1):
                    sizes[c] = n
        search = _best_order if len(terms) <= _ALL_ORDERS else _greedy_order
        found = search([frozenset(t) for t in terms], frozenset(out), sizes)
        if known:
            if len(_ORDERS) >= 512:
                _ORDERS.clear()
            _ORDERS[key] = found
    return found


def _volume(letters, sizes):
    return product(sizes[c] for c in sorted(letters))


def _best_order(terms, out, sizes):
    """The order with the fewest multiplications: the best of every subset of operands, from small subsets to all."""
    n = len(terms)
    everything = (1 << n) - 1
    letters, best = {}, {}
    for mask in range(1, everything + 1):
        inside = frozenset().union(*(terms[k] for k in range(n) if mask >> k & 1))
        outside = out.union(*(terms[k] for k in range(n) if not mask >> k & 1))
        letters[mask] = inside & outside if mask & (mask - 1) else inside
    for mask in sorted(letters, key=lambda m: (m.bit_count(), m)):
        if not mask & (mask - 1):
            best[mask] = (0, mask.bit_length() - 1)
            continue
        part = (mask - 1) & mask
        while part:
            rest = mask ^ part
            if part > rest:  # every split once
                cost = best[part][0] + best[rest][0] + _volume(letters[part] | letters[rest], sizes)
                if mask not in best or cost < best[mask][0]:
                    best[mask] = (cost, (best[rest][1], best[part][1]))
            part = (part - 1) & mask
    return best[everything][1]


def _greedy_order(terms, out, sizes):
    """Always the pair whose result adds the least to what is kept, operands with a common letter first (the order of
    Smith and Gray, opt_einsum, 2018).
    """
    live = [(t, k) for k, t in enumerate(terms)]
    while len(live) > 1:
        chosen = None
        for i in range(len(live)):
            for j in range(i + 1, len(live)):
                a, b = live[i][0], live[j][0]
                others = out.union(*(t for k, (t, _) in enumerate(live) if k not in (i, j)))
                kept = (a | b) & others
                growth = _volume(kept, sizes) - _volume(a, sizes) - _volume(b, sizes)
                apart = not a & b
                if chosen is None or (chosen[0] and not apart) or (chosen[0] == apart and growth < chosen[1]):
                    chosen = (apart, growth, i, j, kept)
        _, _, i, j, kept = chosen
        joined = (kept, (live[i][1], live[j][1]))
        live = [x for k, x in enumerate(live) if k not in (i, j)] + [joined]
    return live[0][1]


def _leaves(tree):
    return {tree} if isinstance(tree, int) else _leaves(tree[0]) | _leaves(tree[1])


def _contracted(tree, operands, terms, out, last):
    """The tensor of a tree and its letters; `last`: nothing comes after it."""
    if isinstance(tree, int):
        return operands[tree], terms[tree]
    x, lx = _contracted(tree[0], operands, terms, out, False)
    y, ly = _contracted(tree[1], operands, terms, out, False)
    if last and set(lx) | set(ly) >= set(out):
        return _join_into(x, lx, y, ly, out)
    own = _leaves(tree)
    return _join(x, lx, y, ly, set(out).union(*(t for k, t in enumerate(terms) if k not in own)))


def _join_into(x, lx, y, ly, out):
    """The last pair: the result's letters come in the order asked for, written in place by the kernel."""
    clash = any(x.shape[lx.index(c)] != y.shape[ly.index(c)] for c in lx if c in ly)
    if clash:
        return _join(x, lx, y, ly, set(out))
    x, lx = _simplify(x, lx, set(out) | set(ly))
    y, ly = _simplify(y, ly, set(out) | set(lx))
    return F.contract(x, y, f"{lx},{ly}->{out}"), out


@composite(
    samples=lambda t: [
        (("ij,jk->ik", t(2, 3), t(3, 4)), {}),
        (("bij,bjk->bik", t(2, 3, 4), t(2, 4, 3)), {}),
        (("ii->i", t(3, 3)), {}),
        (("ii", t(3, 3)), {}),
        (("ij,j->i", t(2, 3), t(3)), {}),
        (("ab,bc,cd->ad", t(2, 3), t(3, 4), t(4, 2)), {}),
        (("...ij,...jk->...ik", t(2, 3, 4), t(4, 2)), {}),
        (("ij->ji", t(2, 3)), {}),
        (("i,j->ij", t(2), t(3)), {}),
        (("ij->", t(2, 3)), {}),
        (("ijk,ijk->ij", t(2, 3, 4), t(2, 3, 4)), {}),
    ],
    oracle="numpy.einsum",
)
def einsum(equation, *operands):
    """Einstein summation: one letter a dimension, letters missing from the result are summed. Also as
    einsum(a, [0, 1], b, [1, 2], [0, 2]), with numbers below 52 for letters. Several operands are contracted in pairs,
    in the order that takes the fewest multiplications (more than five: in a good one).
    """
    if isinstance(equation, F.Tensor):
        equation, operands = _from_lists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = operands[0]
    operands = list(operands)
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    for k, x in enumerate(operands):
        tensor_argument("einsum", f"operands[{k}]", x)
    terms, out = _parse(equation, [x.dim() for x in operands])
    for k in range(len(operands)):
        others = set(out).union(*(set(s) for j, s in enumerate(terms) if j != k))
        operands[k], terms[k] = _simplify(operands[k], terms[k], others)
    n = len(operands)
    tree = 0 if n == 1 else (0, 1) if n == 2 else _order([x.shape for x in operands], terms, out)
    result, term = _contracted(tree, operands, terms, out, True)
    if term == out:
        return result
    return F.permute(result, [term.index(c) for c in out])


# -- distances ---------------------------------------------------------------------------------------------------------
_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def _euclidean(x1, x2):
    """Square roots of |a|^2 - 2 a b + |b|^2."""
    squares = F.unsqueeze(F._sum_squares(x1, (-1,)), -1) + F.unsqueeze(F._sum_squares(x2, (-1,)), -2)
    return F._norm_root(F.clamp_min(squares - F.matmul(x1, F.transpose(x2, -1, -2)) * 2, 0))


@composite(
    samples=lambda t: [((t(3, 4), t(5, 4)), {}), ((t(3, 4), t(5, 4), 1.0), {}), ((t(3, 2), t(27, 2)), {})],
    oracle="lambda a, b, p=2: scipy.spatial.distance.cdist(a, b, 'minkowski', p=p)",
)
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """p-norm distances between all pairs of rows; leading dimensions are batches and broadcast. compute_mode: whether
    Euclidean distances are computed from a matrix product; by default where one side has more than 25 rows.
    """
    tensor_argument("cdist", "x1", x1)
    tensor_argument("cdist", "x2", x2)
    for name, x in (("x1", x1), ("x2", x2)):
        if not x.is_floating_point():
            raise RuntimeError(f"cdist(): {name} must be floating point, got {x.dtype}")
        if x.dim() < 2:
            raise RuntimeError(f"cdist(): {name} must have at least 2 dimensions, got {x.dim()}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"cdist(): rows must be of one length, got {x1.shape[-1]} in x1 and {x2.shape[-1]} in x2")
    if compute_mode not in _MODES:
        raise ValueError(f"cdist(): {compute_mode!r} is not a valid value for compute_mode: {', '.join(_MODES)}")
    if p < 0:
        raise RuntimeError(f"cdist(): p must not be negative, got {p}")
    rows = x1.shape[-2] > 25 or x2.shape[-2] > 25 if compute_mode == _MODES[0] else compute_mode == _MODES[1]
    if p == 2 and rows:
        return _euclidean(x1, x2)
    return F.norm(F.unsqueeze(x1, -2) - F.unsqueeze(x2, -3), p, -1)
