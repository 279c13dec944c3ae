// The table of data types, promotion, and Python numbers as elements.
#include "dtype.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor.h"

namespace taeda {

namespace {

constexpr DTypeInfo kInfo[TD_NUM_DTYPES] = {
    {"bool", "b1", 1, Category::Bool, false},         {"uint8", "u8", 1, Category::Int, false},
    {"int8", "i8", 1, Category::Int, true},           {"int16", "i16", 2, Category::Int, true},
    {"int32", "i32", 4, Category::Int, true},         {"int64", "i64", 8, Category::Int, true},
    {"float16", "f16", 2, Category::Float, true},     {"bfloat16", "bf16", 2, Category::Float, true},
    {"float32", "f32", 4, Category::Float, true},     {"float64", "f64", 8, Category::Float, true},
    {"complex64", "c64", 8, Category::Complex, true}, {"complex128", "c128", 16, Category::Complex, true},
};

DType g_default = TD_F32;

// float32 -> the 16 high bits of a format with `mantissa` stored bits, rounding to nearest even.
uint16_t to_bfloat16(float f) {
  uint32_t u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return uint16_t((u >> 16) | 0x40); // NaN stays NaN
  return uint16_t((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

uint16_t to_float16(float f) {
  uint32_t u = std::bit_cast<uint32_t>(f);
  uint16_t sign = uint16_t((u >> 16) & 0x8000);
  u &= 0x7fffffffu;
  if (u > 0x7f800000u) return sign | 0x7e00 | uint16_t((u >> 13) & 0x3ff);
  if (u >= 0x47800000u) return sign | 0x7c00; // 65536 and above, infinity
  if (u < 0x38800000u) {                      // subnormal result: let the adder round at the right bit
    float shifted = std::bit_cast<float>(u) + 0.5f;
    return sign | uint16_t(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  u += 0xfff + ((u >> 13) & 1);
  return sign | uint16_t((u - 0x38000000u) >> 13); // a carry into the exponent may give infinity, as it should
}

float from_float16(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    float v = std::ldexp(float(mantissa), -24);
    return sign ? -v : v;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

template <class T> void put(void *out, T v) { std::memcpy(out, &v, sizeof v); }
template <class T> T get(const void *src) {
  T v;
  std::memcpy(&v, src, sizeof v);
  return v;
}

// As the generated kernels convert: truncated, out-of-range values to the nearest end of the range, NaN to 0.
template <class T> T saturate(double f) {
  using L = std::numeric_limits<T>;
  if (f != f) return 0;
  double end = std::ldexp(1.0, L::digits); // one past the largest value, exact
  return f >= end ? L::max() : f < double(L::min()) ? L::min() : T(f);
}

// PyTorch's combination of the categories: `higher` decides unless `lower` is of a higher kind of number.
int combine(int higher, int lower) {
  if (higher < 0) return lower;
  if (lower < 0) return higher;
  DType h = DType(higher), l = DType(lower);
  if (is_complex(h)) return h;
  if (is_float(h)) return is_complex(l) ? complex_of(h) : h;
  if (h == TD_BOOL || is_float(l) || is_complex(l)) return promote(h, l);
  return h;
}

} // namespace

const DTypeInfo &info(DType d) { return kInfo[d]; }
DType default_dtype() { return g_default; }
void set_default_dtype(DType d) {
  if (!is_float(d))
    throw TypeFault(
        format("only floating-point types are supported as the default type, but got taeda.%s", info(d).name));
  g_default = d;
}

DType complex_of(DType d) { return d == TD_F64 || d == TD_C128 ? TD_C128 : TD_C64; }
DType real_of(DType d) { return d == TD_C64 ? TD_F32 : d == TD_C128 ? TD_F64 : d; }

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (info(a).category > info(b).category) std::swap(a, b);
  Category ca = info(a).category, cb = info(b).category;
  if (ca == Category::Bool) return b;
  if (cb == Category::Complex)
    return ca == Category::Complex || a == TD_F64 ? (a == TD_F64 || a == TD_C128 ? TD_C128 : b) : b;
  if (ca == Category::Int && cb == Category::Float) return b;
  if (cb == Category::Float) { // both are floats
    if ((a == TD_F16 && b == TD_BF16) || (a == TD_BF16 && b == TD_F16)) return TD_F32;
    return itemsize(a) > itemsize(b) ? a : b;
  }
  if (a == TD_U8) return b == TD_I8 ? TD_I16 : b;
  if (b == TD_U8) return a == TD_I8 ? TD_I16 : a;
  return itemsize(a) > itemsize(b) ? a : b;
}

void Scalar::store(DType d, void *out) const {
  bool whole = kind == B || kind == I;
  switch (d) {
  case TD_BOOL:
    return put<uint8_t>(out, kind == B   ? v.b
                             : kind == I ? v.i != 0
                             : kind == F ? v.f != 0
                                         : c != std::complex<double>());
  case TD_U8:
    return put<uint8_t>(out, whole ? uint8_t(to_int()) : saturate<uint8_t>(to_double()));
  case TD_I8:
    return put<int8_t>(out, whole ? int8_t(to_int()) : saturate<int8_t>(to_double()));
  case TD_I16:
    return put<int16_t>(out, whole ? int16_t(to_int()) : saturate<int16_t>(to_double()));
  case TD_I32:
    return put<int32_t>(out, whole ? int32_t(to_int()) : saturate<int32_t>(to_double()));
  case TD_I64:
    return put<int64_t>(out, to_int());
  case TD_F16:
    return put<uint16_t>(out, to_float16(float(to_double())));
  case TD_BF16:
    return put<uint16_t>(out, to_bfloat16(float(to_double())));
  case TD_F32:
    return put<float>(out, kind == I ? float(v.i) : float(to_double())); // one rounding for big integers
  case TD_F64:
    return put<double>(out, to_double());
  case TD_C64:
    return put(out, kind == C ? std::complex<float>(float(c.real()), float(c.imag()))
                              : std::complex<float>(float(to_double())));
  case TD_C128:
    return put(out, kind == C ? c : std::complex<double>(to_double()));
  case TD_NUM_DTYPES:
    break;
  }
}

Scalar Scalar::load(DType d, const void *src) {
  switch (d) {
  case TD_BOOL:
    return of(get<uint8_t>(src) != 0);
  case TD_U8:
    return of(int64_t(get<uint8_t>(src)));
  case TD_I8:
    return of(int64_t(get<int8_t>(src)));
  case TD_I16:
    return of(int64_t(get<int16_t>(src)));
  case TD_I32:
    return of(int64_t(get<int32_t>(src)));
  case TD_I64:
    return of(get<int64_t>(src));
  case TD_F16:
    return of(double(from_float16(get<uint16_t>(src))));
  case TD_BF16:
    return of(double(std::bit_cast<float>(uint32_t(get<uint16_t>(src)) << 16)));
  case TD_F32:
    return of(double(get<float>(src)));
  case TD_F64:
    return of(get<double>(src));
  case TD_C64:
    return of(std::complex<double>(get<std::complex<float>>(src)));
  case TD_C128:
    return of(get<std::complex<double>>(src));
  case TD_NUM_DTYPES:
    break;
  }
  return {};
}

int64_t Scalar::to_int() const {
  return kind == B ? v.b : kind == I ? v.i : saturate<int64_t>(kind == F ? v.f : c.real());
}

bool Scalar::fits(DType d) const {
  if (kind == C && !taeda::is_complex(d) && c.imag() != 0) return false;
  double x = to_double();
  auto within = [&](double lo, double hi) {
    return kind == I ? v.i >= int64_t(lo) && v.i <= int64_t(hi) : x >= lo && x <= hi;
  };
  switch (d) {
  case TD_U8:
    return within(0, 255) || (kind == I && v.i < 0 && v.i >= -255); // negative numbers wrap, as PyTorch allows
  case TD_I8:
    return within(-128, 127);
  case TD_I16:
    return within(-32768, 32767);
  case TD_I32:
    return within(-2147483648.0, 2147483647.0);
  case TD_I64:
    return kind != F && kind != C ? true : x >= -9223372036854775808.0 && x < 9223372036854775808.0;
  case TD_F16:
    return !std::isfinite(x) || std::fabs(x) <= 65504.0;
  case TD_BF16:
    return !std::isfinite(x) || std::fabs(x) <= 3.3895313892515355e38;
  case TD_F32:
    return !std::isfinite(x) || std::fabs(x) <= std::numeric_limits<float>::max();
  default:
    return true;
  }
}

void Promoter::add(DType d, bool zero_dim) {
  int &slot = zero_dim ? zero_ : dim_;
  slot = slot < 0 ? d : promote(DType(slot), d);
}

void Promoter::add(const Scalar &s) { wrapped_ = std::max(wrapped_, int(s.category())); }

DType Promoter::result() const {
  if (dim_ >= 0 && zero_ < 0 && wrapped_ < 0) return DType(dim_);
  int wrapped = -1;
  if (wrapped_ >= 0) {
    constexpr DType kFixed[2] = {TD_BOOL, TD_I64};
    wrapped = wrapped_ < int(Category::Float)    ? kFixed[wrapped_]
              : wrapped_ == int(Category::Float) ? g_default
                                                 : complex_of(g_default);
  }
  int r = combine(dim_, combine(zero_, wrapped));
  return r < 0 ? g_default : DType(r);
}

} // namespace taeda
