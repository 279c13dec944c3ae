// Data types, their promotion and Python-scalar values.
#pragma once
#include <complex>
#include <cstdint>
#include <string>

#include "taeda_rt.h"

namespace taeda {

using DType = td_dtype;

enum class Category : uint8_t { Bool, Int, Float, Complex };

struct DTypeInfo {
  const char *name; // "float32"
  const char *code; // "f32": used in kernel keys and IR text
  uint8_t size;
  Category category;
  bool is_signed;
};
const DTypeInfo &info(DType d);
inline size_t itemsize(DType d) { return info(d).size; }
inline bool is_float(DType d) { return info(d).category == Category::Float; }
inline bool is_complex(DType d) { return info(d).category == Category::Complex; }
DType complex_of(DType d); // the complex dtype whose parts are d's
DType real_of(DType d);    // of the parts of a complex number; else d
inline bool is_integral(DType d, bool with_bool) {
  return info(d).category == Category::Int || (with_bool && d == TD_BOOL);
}

DType default_dtype();           // float32 unless set_default_dtype
void set_default_dtype(DType d); // floating only
DType promote(DType a, DType b); // the table of array promotion (both tensors with dims)

// A Python number. Never carries a tensor.
struct Scalar {
  enum Kind : uint8_t { B, I, F, C } kind = I;
  union {
    bool b;
    int64_t i;
    double f;
  } v{};
  std::complex<double> c{};
  static Scalar of(bool x) {
    Scalar s;
    s.kind = B;
    s.v.b = x;
    return s;
  }
  static Scalar of(int64_t x) {
    Scalar s;
    s.kind = I;
    s.v.i = x;
    return s;
  }
  static Scalar of(double x) {
    Scalar s;
    s.kind = F;
    s.v.f = x;
    return s;
  }
  static Scalar of(std::complex<double> x) {
    Scalar s;
    s.kind = C;
    s.c = x;
    return s;
  }
  Category category() const {
    return kind == B ? Category::Bool : kind == I ? Category::Int : kind == F ? Category::Float : Category::Complex;
  }
  double to_double() const { return kind == B ? v.b : kind == I ? double(v.i) : kind == F ? v.f : c.real(); }
  int64_t to_int() const; // truncates; out of range gives the nearest int64, NaN gives 0
  // Writes the value as `d` at `out` (16 bytes suffice).
  void store(DType d, void *out) const;
  static Scalar load(DType d, const void *src);
  bool fits(DType d) const; // false: the value lies outside the range of an integer or half type
};

// Result type over operands in PyTorch's three categories: tensors with dims, 0-d tensors, Python scalars.
struct Promoter {
  void add(DType d, bool zero_dim);
  void add(const Scalar &s);
  DType result() const;

private:
  int dim_ = -1, zero_ = -1, wrapped_ = -1; // DType or -1; wrapped_ is a category
};

} // namespace taeda
