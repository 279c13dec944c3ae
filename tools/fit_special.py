"""Fits the Chebyshev series of the special functions and writes taeda/ops/special_tables.py.

Run by hand when a fit changes (needs mpmath): python tools/fit_special.py
"""

from __future__ import annotations

from pathlib import Path

import mpmath as mp

mp.mp.dps = 60
TARGET = Path(__file__).resolve().parent.parent / "taeda" / "ops" / "special_tables.py"


def chebyshev(fn, nodes=80, tolerance=2e-18):
    """Coefficients of fn(t) for t in [-1, 1], as far as they matter in float64."""
    values = [fn(mp.cos(mp.pi * (2 * k + 1) / (2 * nodes))) for k in range(nodes)]
    found = []
    for j in range(nodes):
        total = mp.fsum(v * mp.cos(mp.pi * j * (2 * k + 1) / (2 * nodes)) for k, v in enumerate(values))
        found.append(2 * total / nodes)
    found[0] /= 2
    size = max(abs(c) for c in found)
    while len(found) > 1 and abs(found[-1]) < tolerance * size:
        found.pop()
    return [float(c) for c in found]


def on(low, high, fn):
    """`fn` of x in [low, high] as a function of t in [-1, 1]."""
    low, high = mp.mpf(low), mp.mpf(high)
    return lambda t: fn((low + high) / 2 + (high - low) / 2 * t)


def away_from(fn, points, at):
    """`fn` at x, or its limit next to a removable singularity."""
    for p in points:
        if abs(at - p) < mp.mpf(10) ** -25:
            return fn(at + mp.mpf(10) ** -20)
    return fn(at)


def lgamma_quotient(x):
    return away_from(lambda y: mp.loggamma(y) / ((y - 1) * (y - 2)), (1, 2), x)


def half(fn):
    """`fn` of 8 / x for x from 8 on: t in [-1, 1] is 16 / x - 1."""
    return lambda t: fn(16 / (t + 1)) if t > -1 else fn(mp.mpf(10) ** 30)


def modulus_phase(order, part):
    """P and Q of the Bessel functions' Hankel form, in (8 / x)^2."""

    def fn(t):
        x = 8 / mp.sqrt((t + 1) / 2)
        scale = mp.sqrt(mp.pi * x / 2)
        angle = x - (2 * order + 1) * mp.pi / 4
        j, y = mp.besselj(order, x) * scale, mp.bessely(order, x) * scale
        if part == "p":
            return j * mp.cos(angle) + y * mp.sin(angle)
        return (y * mp.cos(angle) - j * mp.sin(angle)) * x

    return fn


def airy_parts(part):
    """P and Q of Ai(-x) = (P sin + Q cos)(zeta + pi/4) / (sqrt(pi) x^(1/4)), in (zeta0 / zeta)^2 for x from 4 on."""

    def fn(t):
        zeta0 = mp.mpf(16) / 3
        zeta = zeta0 / mp.sqrt((t + 1) / 2)
        x = (zeta * 3 / 2) ** (mp.mpf(2) / 3)
        scale = mp.sqrt(mp.pi) * x ** mp.mpf("0.25")
        a, b, angle = mp.airyai(-x) * scale, mp.airybi(-x) * scale, zeta + mp.pi / 4
        if part == "p":
            return a * mp.sin(angle) + b * mp.cos(angle)
        return (a * mp.cos(angle) - b * mp.sin(angle)) * zeta

    return fn


def airy_far(t):
    """Ai(x) 2 sqrt(pi) x^(1/4) exp(zeta), in zeta0 / zeta for x from 2 on."""
    zeta0 = 2 * mp.mpf(2) ** mp.mpf("1.5") / 3
    zeta = zeta0 / ((t + 1) / 2) if t > -1 else mp.mpf(10) ** 30
    x = (zeta * 3 / 2) ** (mp.mpf(2) / 3)
    return mp.airyai(x) * 2 * mp.sqrt(mp.pi) * x ** mp.mpf("0.25") * mp.exp(zeta)


def erfcx_scaled(t):
    """(1 + 2 x) erfcx(x) for x from 0 on, in t = (x - 3.75) / (x + 3.75) (Shepherd and Laframboise, 1981)."""
    x = mp.mpf("3.75") * (1 + t) / (1 - t)
    if x > 10**4:
        series = (1 - 1 / (2 * x**2) + 3 / (4 * x**4) - 15 / (8 * x**6)) / (x * mp.sqrt(mp.pi))
        return (1 + 2 * x) * series
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def square_root_form(fn, order):
    """fn(order, x) exp(+-x) sqrt(x) for x from 8 on."""
    return half(lambda x: fn(order, x))


FITS = {
    "LGAMMA": lambda: chebyshev(on(0.5, 2.5, lgamma_quotient)),
    "ERFCX": lambda: chebyshev(erfcx_scaled),
    "I0E_NEAR": lambda: chebyshev(on(0, 8, lambda x: mp.besseli(0, x) * mp.exp(-x))),
    "I1E_NEAR": lambda: chebyshev(
        on(0, 8, lambda x: mp.besseli(1, x) * mp.exp(-x) / x if x > 1e-20 else mp.mpf("0.5"))
    ),
    "I0E_FAR": lambda: chebyshev(half(lambda x: _scaled_i(0, x))),
    "I1E_FAR": lambda: chebyshev(half(lambda x: _scaled_i(1, x))),
    "K0_NEAR": lambda: chebyshev(
        on(0, 4, lambda s: _k0_rest(mp.sqrt(s)))
    ),
    "K1_NEAR": lambda: chebyshev(on(0, 4, lambda s: _k1_rest(mp.sqrt(s)))),
    "K0E_FAR": lambda: chebyshev(lambda t: _scaled_k(0, 4 / (t + 1) if t > -1 else mp.mpf(10) ** 30)),
    "K1E_FAR": lambda: chebyshev(lambda t: _scaled_k(1, 4 / (t + 1) if t > -1 else mp.mpf(10) ** 30)),
    "J0_NEAR": lambda: chebyshev(on(0, 64, lambda s: mp.besselj(0, mp.sqrt(s)))),
    "J1_NEAR": lambda: chebyshev(
        on(0, 64, lambda s: mp.besselj(1, mp.sqrt(s)) / mp.sqrt(s) if s > 1e-30 else mp.mpf("0.5"))
    ),
    "Y0_NEAR": lambda: chebyshev(on(0, 64, lambda s: _y0_rest(mp.sqrt(s)))),
    "Y1_NEAR": lambda: chebyshev(on(0, 64, lambda s: _y1_rest(mp.sqrt(s)))),
    "P0": lambda: chebyshev(modulus_phase(0, "p")),
    "Q0": lambda: chebyshev(modulus_phase(0, "q")),
    "P1": lambda: chebyshev(modulus_phase(1, "p")),
    "Q1": lambda: chebyshev(modulus_phase(1, "q")),
    "AIRY_NEAR": lambda: chebyshev(on(-4, 2, mp.airyai)),
    "AIRY_FAR": lambda: chebyshev(airy_far),
    "AIRY_P": lambda: chebyshev(airy_parts("p")),
    "AIRY_Q": lambda: chebyshev(airy_parts("q")),
}  # fmt: skip


def _scaled_i(n, x):
    if x > 10**4:
        m = 4 * n * n
        terms, total = mp.mpf(1), mp.mpf(1)
        for k in range(1, 12):
            terms *= -(m - (2 * k - 1) ** 2) / (k * 8 * x)
            total += terms
        return total / mp.sqrt(2 * mp.pi)
    return mp.besseli(n, x) * mp.exp(-x) * mp.sqrt(x)


def _scaled_k(n, x):
    if x > 10**4:
        m = 4 * n * n
        terms, total = mp.mpf(1), mp.mpf(1)
        for k in range(1, 12):
            terms *= (m - (2 * k - 1) ** 2) / (k * 8 * x)
            total += terms
        return total * mp.sqrt(mp.pi / 2)
    return mp.besselk(n, x) * mp.exp(x) * mp.sqrt(x)


def _k0_rest(x):
    """K0(x) + log(x/2) I0(x), entire in x^2."""
    if x < mp.mpf(10) ** -15:
        return -mp.euler
    return mp.besselk(0, x) + mp.log(x / 2) * mp.besseli(0, x)


def _k1_rest(x):
    """(K1(x) - log(x/2) I1(x)) x, entire in x^2."""
    if x < mp.mpf(10) ** -15:
        return mp.mpf(1)
    return (mp.besselk(1, x) - mp.log(x / 2) * mp.besseli(1, x)) * x


def _y0_rest(x):
    """Y0(x) - 2/pi log(x) J0(x), entire in x^2."""
    if x < mp.mpf(10) ** -15:
        return 2 / mp.pi * (mp.euler - mp.log(2))
    return mp.bessely(0, x) - 2 / mp.pi * mp.log(x) * mp.besselj(0, x)


def _y1_rest(x):
    """(Y1(x) - 2/pi (log(x) J1(x) - 1/x)) / x, entire in x^2."""
    if x < mp.mpf(10) ** -8:
        x = mp.mpf(10) ** -8
    return (mp.bessely(1, x) - 2 / mp.pi * (mp.log(x) * mp.besselj(1, x) - 1 / x)) / x


def main() -> None:
    lines = [
        '"""Chebyshev coefficients of the special functions: written by tools/fit_special.py, which says what each is."""',
        "",
    ]
    for name, fit in FITS.items():
        coefficients = fit()
        print(name, len(coefficients), flush=True)
        lines.append(f"{name} = (")
        lines += [f"    {c!r}," for c in coefficients]
        lines.append(")")
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
