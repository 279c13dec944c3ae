"""The C++17 wrapper of an export."""

from __future__ import annotations

from ..ir.types import DTYPES
from .interface import C_TYPE, Interface

_COMMON = r"""
#if __has_include(<version>)
#include <version>
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif
#include <array>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace NAME {

#if defined(__cpp_lib_span)
template <class T> using span = std::span<T>;
#else
/// What C++17 lacks of std::span.
template <class T> class span {
 public:
  span() = default;
  span(T *data, std::size_t size) : data_(data), size_(size) {}
  T *data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T *begin() const { return data_; }
  T *end() const { return data_ + size_; }
  T &operator[](std::size_t i) const { return data_[i]; }
  span subspan(std::size_t at, std::size_t n) const { return span(data_ + at, n); }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};
#endif

/// A failure of the program; what() is its text, code() its td_status.
class Error : public std::runtime_error {
 public:
  Error(int code, const char *text) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

namespace detail {
template <class T> td_tensor describe(const T *data, const std::vector<std::int64_t> &sizes, int dtype) {
  if (sizes.size() > TD_MAX_DIMS) throw Error(TD_ERR_SHAPE, "too many dimensions");
  td_tensor t{};
  t.data = const_cast<char *>(reinterpret_cast<const char *>(data));
  t.dtype = dtype;
  t.ndim = static_cast<int>(sizes.size());
  std::int64_t stride = sizeof(T);
  for (std::size_t d = sizes.size(); d-- > 0;) {
    t.sizes[d] = sizes[d];
    t.strides[d] = stride;
    stride *= sizes[d];
  }
  return t;
}
inline std::size_t count(const std::vector<std::int64_t> &sizes) {
  std::size_t n = 1;
  for (auto s : sizes) n *= static_cast<std::size_t>(s);
  return n;
}
} // namespace detail

/// Row-major elements of the caller's with their sizes.
template <class T> struct View {
  const T *data;
  std::vector<std::int64_t> sizes;
  View(const T *d, std::vector<std::int64_t> s) : data(d), sizes(std::move(s)) {}
  View(span<const T> elements, std::vector<std::int64_t> s) : data(elements.data()), sizes(std::move(s)) {
    if (elements.size() != detail::count(sizes))
      throw Error(TD_ERR_SHAPE, "View: the number of elements does not fit the sizes");
  }
};

/// A result: owns its memory.
template <class T> class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const td_tensor &t) : t_(t) {}
  Tensor(Tensor &&o) noexcept : t_(std::exchange(o.t_, td_tensor{})) {}
  Tensor &operator=(Tensor &&o) noexcept {
    std::swap(t_, o.t_);
    return *this;
  }
  Tensor(const Tensor &) = delete;
  Tensor &operator=(const Tensor &) = delete;
  ~Tensor() { NAME_free(&t_); }
  int dim() const { return t_.ndim; }
  std::int64_t size(int d) const { return t_.sizes[d < 0 ? d + t_.ndim : d]; }
  std::vector<std::int64_t> sizes() const { return {t_.sizes, t_.sizes + t_.ndim}; }
  span<T> elements() const { return span<T>(reinterpret_cast<T *>(t_.data), detail::count(sizes())); }
  T *data() const { return reinterpret_cast<T *>(t_.data); }

 private:
  td_tensor t_{};
};
"""


def wrapper(i: Interface) -> str:
    """The C++ header: a model class whose run() is typed."""
    n = i.name
    params = ", ".join(f"const View<{C_TYPE[s.dtype]}> &{s.name}" for s in i.inputs)
    described = ", ".join(f"detail::describe({s.name}.data, {s.name}.sizes, {DTYPES.index(s.dtype)})" for s in i.inputs)
    results = [f"Tensor<{C_TYPE[s.dtype]}>" for s in i.outputs]
    result = results[0] if len(results) == 1 else f"std::tuple<{', '.join(results)}>" if results else "void"
    wrap = [f"{t}(out[{k}])" for k, t in enumerate(results)]
    give = f"return {wrap[0]};" if len(wrap) == 1 else f"return {result}({', '.join(wrap)});" if wrap else ""
    comment = (
        "\n".join(f"  ///   {s.comment()}" for s in i.inputs)
        + "\n  /// gives\n"
        + "\n".join(f"  ///   {s.comment()}" for s in i.outputs)
    )
    return f"""// {n}: C++17 wrapper of a program exported by Taeda. Include it and link with lib{n}.so.
#pragma once
#include "{n}.h"
{_COMMON.replace("NAME", n)}
/// The program and its weights. Not for several threads at once; make one a thread.
class Model {{
 public:
  explicit Model(const char *weights_path = nullptr) : model_({n}_create(weights_path)) {{
    if (!model_) throw Error(TD_ERR_IO, {n}_error());
  }}
  explicit Model(const std::string &weights_path) : Model(weights_path.c_str()) {{}}
  Model(Model &&o) noexcept : model_(std::exchange(o.model_, nullptr)) {{}}
  Model &operator=(Model &&o) noexcept {{
    std::swap(model_, o.model_);
    return *this;
  }}
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;
  ~Model() {{ {n}_destroy(model_); }}

  /// Runs the program. Sizes given as names are free; one name is one size everywhere. Throws Error.
{comment}
  {result} run({params}) {{
    std::array<td_tensor, {max(len(i.inputs), 1)}> in{{{described}}};
    std::array<td_tensor, {max(len(i.outputs), 1)}> out{{}};
    if (td_status status = {n}_run(model_, in.data(), out.data())) throw Error(status, {n}_error());
    {give}
  }}
  void seed(std::uint64_t value) {{ {n}_seed(model_, value); }}

 private:
  {n}_model *model_;
}};

inline void set_threads(int count) {{ {n}_set_threads(count); }}

}} // namespace {n}
"""
