"""Fits the polynomials that `taeda/ops/scalar_tables.py` holds. Run: python tools/fit_primitives.py > taeda/ops/scalar_tables.py

Each entry approximates a smooth function on an interval by Chebyshev interpolation in 60-digit arithmetic (near-minimax); the
coefficients are then rounded to the precision they are used in, lowest power first.
"""

import struct
import sys

import mpmath as mp

mp.mp.dps = 60


def f32(x):
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def fit(f, a, b, n):
    """n coefficients, lowest first, of a polynomial close to f on [a, b]."""
    coefficients, error = mp.chebyfit(f, [mp.mpf(a), mp.mpf(b)], n, error=True)
    return list(reversed(coefficients)), error


def around_zero(f, series_terms):
    """f with its removable singularity at 0 filled by a Taylor polynomial."""

    def g(x):
        x = mp.mpf(x)
        return f(x) if abs(x) > mp.mpf("1e-12") else series_terms(x)

    return g


L2 = mp.log(2)
H = L2 / 2 * mp.mpf("1.01")
S = mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(mp.mpf(2)) - 1
Q = (mp.pi / 4 * mp.mpf("1.01")) ** 2


def exp_q(x):  # (e^x - 1 - x) / x^2
    return (mp.expm1(x) - x) / x**2 if abs(x) > mp.mpf("1e-15") else mp.mpf(1) / 2 + x / 6 + x**2 / 24


def log_p(f):  # (log1p(f) - f + f^2/2) / f^3
    return (mp.log1p(f) - f + f * f / 2) / f**3 if abs(f) > mp.mpf("1e-12") else mp.mpf(1) / 3 - f / 4 + f * f / 5


def atanh_p(z):  # with s^2 = z: (log((1+s)/(1-s)) - 2s) / s^3
    if z < mp.mpf("1e-25"):
        return mp.mpf(2) / 3 + z * 2 / 5
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def sin_p(z):  # (sin x - x) / x^3, z = x^2
    if z < mp.mpf("1e-25"):
        return -mp.mpf(1) / 6 + z / 120
    x = mp.sqrt(z)
    return (mp.sin(x) - x) / x**3


def cos_p(z):  # (cos x - 1 + x^2/2) / x^4
    if z < mp.mpf("1e-12"):
        return mp.mpf(1) / 24 - z / 720 + z * z / 40320
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def tan_p(z):  # (tan x - x) / x^3
    if z < mp.mpf("1e-25"):
        return mp.mpf(1) / 3 + z * 2 / 15
    x = mp.sqrt(z)
    return (mp.tan(x) - x) / x**3


def tanh_p(z):
    if z < mp.mpf("1e-25"):
        return -mp.mpf(1) / 3 + z * 2 / 15
    x = mp.sqrt(z)
    return (mp.tanh(x) - x) / x**3


def asin_p(z):
    if z < mp.mpf("1e-25"):
        return mp.mpf(1) / 6 + z * 3 / 40
    x = mp.sqrt(z)
    return (mp.asin(x) - x) / x**3


def atan_p(z):
    if z < mp.mpf("1e-25"):
        return -mp.mpf(1) / 3 + z / 5
    x = mp.sqrt(z)
    return (mp.atan(x) - x) / x**3


def erf_p(z):  # erf(x)/x - 1 in z = x^2
    if z < mp.mpf("1e-40"):
        return 2 / mp.sqrt(mp.pi) - 1
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1


def erfc_e(a):  # -log(erfc(a)) / a
    return -mp.log(mp.erfc(a)) / a


def erfcx(t, c):  # exp(x^2) erfc(x) (x + c)... as a function of t = (x - c)/(x + c)
    x = c * (1 + t) / (1 - t)
    return mp.exp(x * x) * mp.erfc(x) * (x + c)


ENTRIES = [
    ("EXP_F32", 32, exp_q, -H, H, 6, "(exp(x)-1-x)/x^2 on |x| <= ln(2)/2"),
    ("EXP_F64", 64, exp_q, -H, H, 11, "the same"),
    ("LOG_F32", 32, log_p, *S, 9, "(log1p(f)-f+f^2/2)/f^3 on [sqrt(1/2)-1, sqrt(2)-1]"),
    ("ATANH_F64", 64, atanh_p, 0, mp.mpf("0.0295"), 9, "(log((1+s)/(1-s))-2s)/s^3 in s^2, |s| <= 0.1717"),
    ("SIN_F32", 32, sin_p, 0, Q, 4, "(sin(x)-x)/x^3 in x^2, |x| <= pi/4"),
    ("COS_F32", 32, cos_p, 0, Q, 3, "(cos(x)-1+x^2/2)/x^4 in x^2"),
    ("SIN_F64", 64, sin_p, 0, Q, 7, "(sin(x)-x)/x^3 in x^2"),
    ("COS_F64", 64, cos_p, 0, Q, 7, "(cos(x)-1+x^2/2)/x^4 in x^2"),
    ("TAN_F64", 64, tan_p, 0, Q, 18, "(tan(x)-x)/x^3 in x^2"),
    ("TANH_F32", 32, tanh_p, 0, mp.mpf("0.7226"), 8, "(tanh(x)-x)/x^3 in x^2, |x| <= 0.85"),
    ("TANH_F64", 64, tanh_p, 0, mp.mpf("0.7226"), 19, "the same"),
    ("ASIN_F64", 64, asin_p, 0, mp.mpf("0.251"), 17, "(asin(x)-x)/x^3 in x^2, |x| <= 1/2"),
    ("ATAN_F64", 64, atan_p, 0, mp.mpf("0.1716"), 14, "(atan(x)-x)/x^3 in x^2, |x| <= tan(pi/8)"),
    ("ERF_F32", 32, erf_p, 0, mp.mpf("0.86"), 8, "erf(x)/x - 1 in x^2, |x| <= 0.925"),
    ("ERFC_LOG_F32", 32, erfc_e, mp.mpf("0.92"), mp.mpf("4.0"), 10, "-log(erfc(a))/a on [0.92, 4]"),
    ("ERF_F64", 64, erf_p, 0, mp.mpf("1.0"), 15, "erf(x)/x - 1 in x^2, |x| <= 1"),
    ("ERFCX_F64", 64, lambda t: erfcx(t, mp.mpf(4)), mp.mpf("-0.61"), mp.mpf("0.75"), 26,
     "exp(x^2) erfc(x) (x+4) in t = (x-4)/(x+4), x in [0.97, 28]"),
]  # fmt: skip


def main():
    print('"""Polynomial coefficients, lowest power first. Made by tools/fit_primitives.py; do not edit."""\n')
    for name, bits, f, a, b, n, note in ENTRIES:
        coefficients, error = fit(f, a, b, n)
        values = [f32(c) if bits == 32 else float(c) for c in coefficients]
        print(f"{name}: {error}", file=sys.stderr)
        print(f"#: {note}; fit error {mp.nstr(error, 2)}")
        print(f"{name} = (\n" + "".join(f"    {v!r},\n" for v in values) + ")")


main()
