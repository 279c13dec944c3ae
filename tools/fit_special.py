"""Fits the polynomials of the special functions. Run: python tools/fit_special.py > taeda/ops/special_tables.py

Each entry approximates a smooth function by Chebyshev interpolation in 50-digit arithmetic (near-minimax), in a variable t of
[-1, 1]; the coefficients are rounded to float64, lowest power first. The error is relative to the largest value; the
condition (sum of the coefficients' sizes over the smallest value) says how much rounding can grow. The expansion for large
parameters of the incomplete gamma functions is a Taylor series, computed in fractions.
"""

from __future__ import annotations

import sys
from fractions import Fraction

import mpmath as mp

mp.mp.dps = 50
ONE = mp.mpf(1)


def stirling(w):  # Binet's function times x, in w = 1/x^2
    if w == 0:
        return ONE / 12
    x = 1 / mp.sqrt(w)
    return (mp.loggamma(x) - (x - ONE / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


def digamma_tail(w):  # (log x - 1/(2x) - digamma(x)) x^2
    if w < mp.mpf("1e-15"):
        return ONE / 12 - w / 120
    x = 1 / mp.sqrt(w)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x**2


def trigamma_tail(w):  # (trigamma(x) - 1/x - 1/(2 x^2)) x^3
    if w < mp.mpf("1e-15"):
        return ONE / 6 - w / 30
    x = 1 / mp.sqrt(w)
    return (mp.psi(1, x) - 1 / x - 1 / (2 * x**2)) * x**3


def erfinv_ratio(w):  # erfinv(x)/x, w = -log(1 - x^2)
    if w == 0:
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    return inverse_erfc(mp.exp(-w) / (1 + x)) / x


def inverse_erfc(c):  # y with erfc(y) = c, 0 < c < 1, by Newton's method
    y = mp.sqrt(max(-mp.log(c * mp.sqrt(mp.pi)), mp.mpf("0.01"))) if c < mp.mpf("0.1") else (1 - c) * mp.mpf("0.9")
    for _ in range(60):
        f = mp.erfc(y)
        step = (mp.log(f / c)) * f * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step
        if abs(step) < mp.mpf(10) ** (-40) * (1 + abs(y)):
            break
    return y


def ndtri_central(z):  # ndtri(p) / r, r = p - 1/2, z = r^2
    if z == 0:
        return mp.sqrt(2 * mp.pi)
    r = mp.sqrt(z)
    return mp.sqrt(2) * inverse_erfc(1 - 2 * r) / r


def ndtri_tail(s):  # -ndtri(exp(-s^2/2))
    return mp.sqrt(2) * inverse_erfc(2 * mp.exp(-s * s / 2))


def erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


def erfcx_far(x):
    if x < mp.mpf("1e4"):
        return erfcx(x) * (x + 4)
    series = mp.fsum((-1) ** k * mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(6))
    return series * (x + 4) / (x * mp.sqrt(mp.pi))


def k0_rest(z):  # K0(x) + log(x) I0(x), z = x^2
    if z < mp.mpf("1e-30"):
        return mp.log(2) - mp.euler
    x = mp.sqrt(z)
    return mp.besselk(0, x) + mp.log(x) * mp.besseli(0, x)


def k1_rest(z):  # x (K1(x) - log(x) I1(x)), z = x^2
    if z < mp.mpf("1e-30"):
        return ONE
    x = mp.sqrt(z)
    return x * (mp.besselk(1, x) - mp.log(x) * mp.besseli(1, x))


def scaled(kind, order):  # sqrt(x) exp(-+x) I or K, in 1/x
    def f(u):
        if u < mp.mpf("1e-30"):
            return mp.sqrt(mp.pi / 2) if kind == "k" else 1 / mp.sqrt(2 * mp.pi)
        x = 1 / u
        return mp.sqrt(x) * (mp.exp(x) * mp.besselk(order, x) if kind == "k" else mp.exp(-x) * mp.besseli(order, x))

    return f


def hankel(order, part):  # amplitude of J and Y for large x: p, or q times x, in w = 1/x^2
    def f(w):
        mu, x = 4 * order * order, 1 / mp.sqrt(w) if w > mp.mpf("1e-12") else None
        if x is None:  # the asymptotic series
            if part == "p":
                return 1 - mp.mpf((mu - 1) * (mu - 9)) / 128 * w
            return mp.mpf(mu - 1) / 8 - mp.mpf((mu - 1) * (mu - 9) * (mu - 25)) / (6 * 512) * w
        chi = x - (2 * order + 1) * mp.pi / 4
        j, y = mp.besselj(order, x), mp.bessely(order, x)
        c, s, scale = mp.cos(chi), mp.sin(chi), mp.sqrt(mp.pi * x / 2)
        return scale * (j * c + y * s) if part == "p" else scale * (y * c - j * s) * x

    return f


def zeros(order):
    return [mp.besseljzero(order, k) for k in (1, 2)]


def j0_rest(z):
    a, b = zeros(0)
    return mp.besselj(0, mp.sqrt(z)) / ((z - a * a) * (z - b * b))


def j1_rest(z):
    (a, b), x = zeros(1), mp.sqrt(z)
    over = mp.besselj(1, x) / x if z > mp.mpf("1e-30") else ONE / 2
    return over / ((z - a * a) * (z - b * b))


def y0_rest(z):  # Y0 - (2/pi) log(x) J0
    if z < mp.mpf("1e-30"):
        return 2 / mp.pi * (mp.euler - mp.log(2))
    x = mp.sqrt(z)
    return mp.bessely(0, x) - 2 / mp.pi * mp.log(x) * mp.besselj(0, x)


def y1_rest(z):  # (Y1 - (2/pi) (log(x) J1 - 1/x)) / x
    if z < mp.mpf("1e-20"):
        return (2 * mp.euler - 1 - 2 * mp.log(2)) / (2 * mp.pi)
    x = mp.sqrt(z)
    return (mp.bessely(1, x) - 2 / mp.pi * (mp.log(x) * mp.besselj(1, x) - 1 / x)) / x


def airy_decay(u):  # 2 sqrt(pi) x^(1/4) exp(zeta) Ai(x), u = 1/zeta
    if u < mp.mpf("1e-20"):
        return 1 - 5 * u / 72
    zeta = 1 / u
    x = (3 * zeta / 2) ** (ONE * 2 / 3)
    return 2 * mp.sqrt(mp.pi) * x ** (ONE / 4) * mp.exp(zeta) * mp.airyai(x)


def airy_wave(part):  # sqrt(pi) x^(1/4) Ai(-x) = p sin(zeta + pi/4) - q cos(zeta + pi/4), in w = 1/zeta^2; q times zeta
    def f(w):
        if w < mp.mpf("1e-14"):
            return 1 - mp.mpf(385) / 10368 * w if part == "p" else mp.mpf(5) / 72 - mp.mpf(85085) / 2239488 * w
        zeta = 1 / mp.sqrt(w)
        x = (3 * zeta / 2) ** (ONE * 2 / 3)
        scale, chi = mp.sqrt(mp.pi) * x ** (ONE / 4), zeta + mp.pi / 4
        a, b, s, c = mp.airyai(-x), mp.airybi(-x), mp.sin(chi), mp.cos(chi)
        return scale * (a * s + b * c) if part == "p" else scale * (b * s - a * c) * zeta

    return f


def log_gamma_rest(x):  # lgamma(x) / ((x - 1)(x - 2))
    if abs(x - 1) < mp.mpf("1e-20"):
        return mp.euler
    if abs(x - 2) < mp.mpf("1e-20"):
        return 1 - mp.euler
    return mp.loggamma(x) / ((x - 1) * (x - 2))


ROOT = mp.findroot(mp.digamma, mp.mpf("1.4616321449683623"))


def digamma_rest(x):
    return mp.digamma(x) / (x - ROOT) if abs(x - ROOT) > mp.mpf("1e-20") else mp.psi(1, ROOT)


def inverse(a):  # the end 1/a^2 of a range of 1/x^2
    return 1 / mp.mpf(a) ** 2


def shift(c):  # a range of x from the variable (x - c)/(x + c)
    def of(f):
        return lambda t: f(c * (1 + t) / (1 - t))

    return of


ENTRIES = [
    ("LOG_GAMMA_A", log_gamma_rest, "0.69", "1.5", 23, "lgamma(x)/((x-1)(x-2)) in x"),
    ("LOG_GAMMA_B", log_gamma_rest, "1.5", "3.01", 23, "the same"),
    ("STIRLING", stirling, 0, inverse(3), 17, "x (lgamma(x) - (x-1/2) log(x) + x - log(2 pi)/2) in 1/x^2, x >= 3"),
    ("DIGAMMA_NEAR", digamma_rest, "0.99", "2.41", 27, "digamma(x)/(x-root) in x"),
    ("DIGAMMA_FAR", digamma_tail, 0, inverse("2.4"), 19, "x^2 (log(x) - 1/(2x) - digamma(x)) in 1/x^2, x >= 2.4"),
    ("TRIGAMMA_NEAR", lambda x: mp.psi(1, x), "0.99", "2.41", 29, "digamma'(x) in x"),
    ("TRIGAMMA_FAR", trigamma_tail, 0, inverse("2.4"), 21, "x^3 (digamma'(x) - 1/x - 1/(2x^2)) in 1/x^2, x >= 2.4"),
    ("ERFINV_A", erfinv_ratio, 0, "6.25", 25, "erfinv(x)/x in w = -log(1-x^2)"),
    ("ERFINV_B", lambda s: erfinv_ratio(s * s), "2.5", "4", 22, "the same in sqrt(w)"),
    ("ERFINV_C", lambda s: erfinv_ratio(s * s), "4", "6.1", 21, "the same in sqrt(w)"),
    ("NDTRI_A", ndtri_central, 0, "0.1407", 24, "ndtri(p)/(p-1/2) in (p-1/2)^2"),
    ("NDTRI_B", ndtri_tail, "2.03", "5.01", 24, "-ndtri(p) in s = sqrt(-2 log(p))"),
    ("NDTRI_C", ndtri_tail, "5", "13", 24, "the same"),
    ("NDTRI_D", ndtri_tail, "13", "38.7", 25, "the same"),
    ("ERFCX_NEAR", erfcx, 0, 1, 19, "exp(x^2) erfc(x) in x"),
    ("ERFCX_FAR", shift(4)(lambda x: erfcx_far(x)), -ONE * 61 / 100, 1, 25, "exp(x^2) erfc(x) (x+4) in (x-4)/(x+4), x >= 1"),
    ("I0_NEAR", lambda z: mp.besseli(0, mp.sqrt(z)), 0, 64, 17, "I0(x) in x^2 (centre 0), x <= 8"),
    ("I1_NEAR", lambda z: mp.besseli(1, mp.sqrt(z)) / mp.sqrt(z) if z else ONE / 2, 0, 64, 17, "I1(x)/x in x^2 (centre 0), x <= 8"),
    ("I0_FAR", scaled("i", 0), 0, ONE / 8, 25, "sqrt(x) exp(-x) I0(x) in 1/x, x >= 8"),
    ("I1_FAR", scaled("i", 1), 0, ONE / 8, 25, "sqrt(x) exp(-x) I1(x) in 1/x, x >= 8"),
    ("K0_NEAR", k0_rest, 0, 1, 8, "K0(x) + log(x) I0(x) in x^2, x <= 1"),
    ("K1_NEAR", k1_rest, 0, 1, 9, "x (K1(x) - log(x) I1(x)) in x^2, x <= 1"),
    ("I0_SMALL", lambda z: mp.besseli(0, mp.sqrt(z)), 0, 1, 8, "I0(x) in x^2, x <= 1"),
    ("I1_SMALL", lambda z: mp.besseli(1, mp.sqrt(z)) / mp.sqrt(z) if z else ONE / 2, 0, 1, 8, "I1(x)/x in x^2, x <= 1"),
    ("K0_FAR", shift(2)(lambda x: scaled("k", 0)(1 / x)), -ONE / 3, 1, 29, "sqrt(x) exp(x) K0(x) in (x-2)/(x+2), x >= 1"),
    ("K1_FAR", shift(2)(lambda x: scaled("k", 1)(1 / x)), -ONE / 3, 1, 29, "sqrt(x) exp(x) K1(x) in (x-2)/(x+2), x >= 1"),
    ("J0_NEAR", j0_rest, 0, 25, 12, "J0(x)/((x^2-a^2)(x^2-b^2)) in x^2, x <= 5, with the first zeros a and b"),
    ("J1_NEAR", j1_rest, 0, 25, 12, "J1(x)/(x (x^2-a^2)(x^2-b^2)) in x^2, x <= 5"),
    ("Y0_NEAR", y0_rest, 0, 25, 14, "Y0(x) - 2/pi log(x) J0(x) in x^2, x <= 5"),
    ("Y1_NEAR", y1_rest, 0, 25, 14, "(Y1(x) - 2/pi (log(x) J1(x) - 1/x))/x in x^2, x <= 5"),
    ("P0", hankel(0, "p"), 0, inverse(5), 22, "sqrt(pi x/2) (J0 cos + Y0 sin)(x - pi/4) in 1/x^2, x >= 5"),
    ("Q0", hankel(0, "q"), 0, inverse(5), 22, "x sqrt(pi x/2) (Y0 cos - J0 sin)(x - pi/4) in 1/x^2, x >= 5"),
    ("P1", hankel(1, "p"), 0, inverse(5), 22, "the same of J1 and Y1, with x - 3 pi/4"),
    ("Q1", hankel(1, "q"), 0, inverse(5), 22, "the same of J1 and Y1, with x - 3 pi/4"),
    ("AIRY_A", mp.airyai, "-4.4", "-2", 22, "Ai(x) in x"),
    ("AIRY_B", mp.airyai, "-2", "0.4", 22, "the same"),
    ("AIRY_C", mp.airyai, "0.4", "2.2", 19, "the same"),
    ("AIRY_DECAY", airy_decay, 0, "0.4600", 25, "2 sqrt(pi) x^(1/4) exp(zeta) Ai(x) in 1/zeta, zeta = 2/3 x^(3/2), x >= 2.2"),
    ("AIRY_P", airy_wave("p"), 0, "0.0265", 19, "sqrt(pi) x^(1/4) (Ai(-x) sin + Bi(-x) cos)(zeta + pi/4) in 1/zeta^2"),
    ("AIRY_Q", airy_wave("q"), 0, "0.0265", 19, "zeta sqrt(pi) x^(1/4) (Bi(-x) sin - Ai(-x) cos)(zeta + pi/4) in 1/zeta^2"),
]  # fmt: skip


def fit(f, a, b, n, note):
    """Coefficients in t, the relative error, the condition, and what makes t: the centre and half width."""
    a, b = mp.mpf(a), mp.mpf(b)
    c, h = (a + b) / 2, (b - a) / 2
    nodes = [mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    values = [f(c + h * t) for t in nodes]
    chebyshev = [
        2 * mp.fsum(v * mp.cos(mp.pi * j * (2 * k + 1) / (2 * n)) for k, v in enumerate(values)) / n for j in range(n)
    ]
    chebyshev[0] /= 2
    previous, current = [ONE], [mp.mpf(0), ONE]
    total = [mp.mpf(0)] * n
    for j, weight in enumerate(chebyshev):
        term = previous if j == 0 else current
        for k, v in enumerate(term):
            total[k] += weight * v
        if j:
            following = [mp.mpf(0), *(2 * v for v in current)]
            for k, v in enumerate(previous):
                following[k] -= v
            previous, current = current, following
    if "centre 0" in note:  # all coefficients of the series are positive: re-expanded, they keep relative precision
        total = [
            mp.fsum(v * mp.binomial(j, k) * (-1) ** (j - k) for j, v in enumerate(total) if j >= k) / h**k
            for k in range(n)
        ]
        c, h = mp.mpf(0), ONE
    tests = [mp.mpf(2 * k + 1) / 23 - 1 for k in range(23)] + [-ONE, ONE]
    points = [(a + b) / 2 + (b - a) / 2 * min(t, 1 - mp.mpf("1e-35")) for t in tests]
    exact = [f(x) for x in points]
    error = max(abs(mp.polyval(total[::-1], (x - c) / h) - v) for x, v in zip(points, exact)) / max(map(abs, exact))
    condition = mp.fsum(map(abs, total)) / min(map(abs, exact))
    return total, error, condition, c, h


TERMS, ORDERS = 17, 10


def large_parameter() -> list[list[Fraction]]:
    """C_k(eta) of Temme's expansion (DLMF 8.12.10): C_0 = 1/mu - 1/eta, C_k = (1/eta) dC_{k-1}/deta + g_k/mu."""
    n = TERMS + 2 * ORDERS + 4
    # mu as a series in eta: eta^2/2 = mu - log(1 + mu), so mu mu' = eta (1 + mu)
    mu = [Fraction(0), Fraction(1)]
    for k in range(2, n + 1):  # coefficient of eta^k in mu mu' - eta mu: (k+1) mu_k + ... = mu_{k-1}
        known = sum(Fraction(j) * mu[j] * mu[k + 1 - j] for j in range(2, k))
        mu.append((mu[k - 1] - known) / (k + 1))
    # 1/mu = (1/eta) r(eta)
    r = [Fraction(1)]
    for k in range(1, n):
        r.append(-sum(mu[j + 1] * r[k - j] for j in range(1, k + 1)))
    # g_k of 1/Gamma*(a), from C_{k-1} having no pole: the 1/eta terms cancel
    found = [[r[k + 1] for k in range(n - 1)]]
    for _ in range(1, ORDERS):
        last = found[-1]
        g = -last[1]
        found.append([(k + 2) * last[k + 2] + g * r[k + 1] for k in range(len(last) - 2)])
    return [c[: TERMS - k - k // 2] for k, c in enumerate(found)]  # what a^-k, a > 50, leaves of a row


def main() -> None:
    print(
        '"""Coefficients of the special functions, lowest power first. Made by tools/fit_special.py; do not edit."""\n'
    )
    wanted = sys.argv[1:]
    for name, f, a, b, n, note in ENTRIES:
        if wanted and name not in wanted:
            continue
        total, error, condition, c, h = fit(f, a, b, n, note)
        print(f"{name}: {mp.nstr(error, 2)} {mp.nstr(condition, 3)}", file=sys.stderr, flush=True)
        print(f"#: {note}; fit error {mp.nstr(error, 2)}, condition {mp.nstr(condition, 2)}; centre, 1/half width:")
        print(f"{name} = (\n    ({float(c)!r}, {float(1 / h)!r}),")
        print("    (\n" + "".join(f"        {float(v)!r},\n" for v in total) + "    ),\n)")
    if not wanted:
        print(
            f"#: digamma's positive root in two parts\nDIGAMMA_ROOT = ({float(ROOT)!r}, {float(ROOT - float(ROOT))!r})"
        )
        for order in (0, 1):
            squares = [z * z for z in zeros(order)]
            parts = [(float(s), float(s - float(s))) for s in squares]
            print(f"#: squares of the first zeros of J{order}, each in two parts\nJ{order}_ZEROS = {tuple(parts)!r}")
        print("#: C_k(eta) of the incomplete gamma functions for large parameters (Temme 1979)\nTEMME = (")
        for row in large_parameter():
            print("    (\n" + "".join(f"        {float(v)!r},\n" for v in row) + "    ),")
        print(")")


if __name__ == "__main__":
    main()
