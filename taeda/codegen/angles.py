"""Node `mod_pio2`: the exact remainder of a huge angle modulo pi/2, for sin, cos and tan.

Angles below the node's limit pass unchanged, at the cost of one compare and a branch that is never taken. For others
(Payne and Hanek): an angle is m * 2**e with whole m, so of 2/pi only the bits that give x * (2/pi) modulo 4 to 137 places
matter; a window of 192 bits of it, times m, is a quadrant and a fraction. The answer is two doubles: hi + lo in
[-pi/4, pi/4], with the quadrant in the last two bits of lo.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

from .llvm import Function, Module, literal, splat, vector

_LIMBS = 6  # of 32 bits: the window
_WORDS = 38  # what the largest double's window reaches
_MASK = "4294967295"
_PIO2 = (1.5707963267948966, 6.123233995736766e-17)


@functools.cache
def _two_over_pi() -> tuple[int, ...]:
    """32 zero bits and then the binary places of 2/pi, in words of 32 bits."""
    bits = 32 * _WORDS + 64

    def arccot(n: int) -> int:
        term = total = (1 << bits) // n
        sign, k = -1, 3
        while term:
            term //= n * n
            total += sign * (term // k)
            sign, k = -sign, k + 2
        return total

    pi = 4 * (4 * arccot(5) - arccot(239))
    places = 32 * (_WORDS - 1)
    value = (1 << (bits + places + 1)) // pi
    return tuple((value >> (32 * (_WORDS - 1 - k))) & 0xFFFFFFFF for k in range(_WORDS))


def _real(value: float) -> str:
    return literal(value, "f64")


def _window(f: Function, module: Module, start: str) -> list[str]:
    """192 bits of 2/pi from place `start` of the table on, as i64 that hold 32 each, lowest first."""
    words = ", ".join(f"i32 {w if w < 1 << 31 else w - (1 << 32)}" for w in _two_over_pi())
    table = module.helper(
        "td_two_over_pi",
        lambda m: m.add(f"@td_two_over_pi = internal constant [{_WORDS} x i32] [{words}], align 64"),
    )
    first, shift = f.v(f"lshr i64 {start}, 5"), f.v(f"and i64 {start}, 31")
    loaded = []
    for k in range(_LIMBS + 1):
        word = f.v(f"load i32, ptr {f.v(f'getelementptr i32, ptr {table}, i64 {f.add(first, str(k))}')}")
        loaded.append(f.v(f"zext i32 {word} to i64"))
    limbs = []
    for high, low in itertools.pairwise(loaded):
        pair = f.v(f"or i64 {f.v(f'shl i64 {high}, 32')}, {low}")
        limbs.append(f.v(f"lshr i64 {f.v(f'shl i64 {pair}, {shift}')}, 32"))
    return limbs[::-1]


def _product(f: Function, m: str, window: list[str]) -> list[str]:
    """m (53 bits) times the window, modulo 2**192."""
    halves = f.v(f"and i64 {m}, {_MASK}"), f.v(f"lshr i64 {m}, 32")
    parts: list[list[str]] = [[] for _ in range(_LIMBS + 2)]
    for h, half in enumerate(halves):
        for j, limb in enumerate(window):
            p = f.mul(half, limb)
            parts[j + h].append(f.v(f"and i64 {p}, {_MASK}"))
            if j + h + 1 < _LIMBS:
                parts[j + h + 1].append(f.v(f"lshr i64 {p}, 32"))
    result, carry = [], "0"
    for j in range(_LIMBS):
        total = carry
        for p in parts[j]:
            total = f.add(total, p)
        result.append(f.v(f"and i64 {total}, {_MASK}"))
        carry = f.v(f"lshr i64 {total}, 32")
    return result


def _define_scalar(name: str, limit: float, low: bool) -> Callable[[Module], None]:
    def define(module: Module) -> None:
        f = Function(module, name, [("double", "x")], "double", internal=True)
        size = f.overloaded("fabs", "double", "%x")
        huge, rest, finite, special = f.label("huge"), f.label("rest"), f.label("finite"), f.label("special")
        f.branch(f.v(f"fcmp ult double {size}, {_real(limit)}"), rest, huge)
        f.at(rest)
        f.ret(f"double {_real(-0.0) if low else '%x'}")
        f.at(huge)
        f.branch(f.v(f"fcmp olt double {size}, {_real(math.inf)}"), finite, special)
        f.at(special)
        f.ret(f"double {_real(math.nan)}")
        f.at(finite)
        bits = f.v(f"bitcast double {size} to i64")
        m = f.v(f"or i64 {f.v(f'and i64 {bits}, {(1 << 52) - 1}')}, {1 << 52}")
        exponent = f.v(f"lshr i64 {bits}, 52")
        limbs = _product(f, m, _window(f, module, f.sub(exponent, "1045")))
        # The last limb holds two bits of quadrant and 30 of fraction; a fraction from 1/2 on belongs to the next quadrant.
        top = limbs[-1]
        quadrant = f.v(f"lshr i64 {f.add(f.v(f'lshr i64 {top}, 29'), '1')}, 1")
        above = f.v(f"icmp ne i64 {f.v(f'and i64 {top}, {1 << 29}')}, 0")
        flip = f.v(f"select i1 {above}, i64 {_MASK}, i64 0")
        high, low_part = _real(0.0), _real(0.0)
        for k in reversed(range(_LIMBS)):
            whole = f.v(f"xor i64 {limbs[k]}, {flip}")
            if k == _LIMBS - 1:
                whole = f.v(f"and i64 {whole}, {(1 << 30) - 1}")
            part = f.v(f"fmul double {f.v(f'sitofp i64 {whole} to double')}, {_real(2.0 ** (32 * k - 190))}")
            both = f.v(f"fadd double {high}, {part}")
            lost = f.v(f"fsub double {part}, {f.v(f'fsub double {both}, {high}')}")
            high, low_part = both, f.v(f"fadd double {low_part}, {lost}")
        p = f.v(f"fmul double {high}, {_real(_PIO2[0])}")
        error = f.overloaded("fma", "double", high, _real(_PIO2[0]), f.v(f"fneg double {p}"))
        inner = f.overloaded("fma", "double", low_part, _real(_PIO2[0]), error)
        error = f.overloaded("fma", "double", high, _real(_PIO2[1]), inner)
        hi = f.v(f"fadd double {p}, {error}")
        lo = f.v(f"fsub double {error}, {f.v(f'fsub double {hi}, {p}')}")
        below = f.v(f"fcmp olt double %x, {_real(0.0)}")
        turned = f.v(f"xor i1 {below}, {above}")
        value = lo if low else hi
        value = f.v(f"select i1 {turned}, double {f.v(f'fneg double {value}')}, double {value}")
        if low:
            quadrant = f.v(f"select i1 {below}, i64 {f.sub('0', quadrant)}, i64 {quadrant}")
            cleared = f.v(f"and i64 {f.v(f'bitcast double {value} to i64')}, -4")
            marked = f.v(f"or i64 {cleared}, {f.v(f'and i64 {quadrant}, 3')}")
            value = f.v(f"bitcast i64 {marked} to double")
        f.ret(f"double {value}")
        f.finish()

    return define


def _define_lanes(name: str, scalar: str, limit: float, low: bool, width: int) -> Callable[[Module], None]:
    def define(module: Module) -> None:
        one = module.helper(scalar, _define_scalar(scalar, limit, low))
        type_ = vector("double", width)
        f = Function(module, name, [(type_, "x")], type_, internal=True)
        lanes = f.alloca(type_)
        f.emit(f"store {type_} %x, ptr {lanes}")
        with f.loop("0", str(width)) as i:
            at = f.v(f"getelementptr double, ptr {lanes}, i64 {i}")
            f.emit(f"store double {f.call('double', one, 'double ' + f.v(f'load double, ptr {at}'))}, ptr {at}")
        f.ret(f"{type_} {f.v(f'load {type_}, ptr {lanes}')}")
        f.finish()

    return define


def mod_pio2(f: Function, x: str, part: str, width: int) -> str:
    """Node `mod_pio2` of f64. part: "hi" or "lo" and the power of two from which on an angle is huge, as in "hi40"."""
    low, exponent = part[:2] == "lo", int(part[2:])
    limit, type_ = 2.0**exponent, vector("double", width)
    scalar = f"td_mod_pio2_{part}"
    helper = f.module.helper(scalar, _define_scalar(scalar, limit, low))
    if width > 1:
        name = f"{scalar}_{width}"
        helper = f.module.helper(name, _define_lanes(name, scalar, limit, low, width))
    size = f.overloaded("fabs", type_, x)
    huge = f.v(f"fcmp oge {type_} {size}, {splat(_real(limit), 'double', width)}")
    if width > 1:
        mask = f.v(f"bitcast {vector('i1', width)} {huge} to i{width}")
        huge = f.v(f"icmp ne i{width} {mask}, 0")
    result = f.var(type_, splat(_real(-0.0), "double", width) if low else x)
    with f.when(huge):
        result.set(f.call(type_, helper, f"{type_} {x}"))
    return result.get()
