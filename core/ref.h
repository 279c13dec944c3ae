// Reference counting of the core's objects. Every reference is taken and dropped with the GIL held, so counts are plain
// integers.
#pragma once
#include <Python.h>
#include <nanobind/nanobind.h>

#include <cstdint>
#include <utility>

namespace taeda {

namespace nb = nanobind;

// Counts C++ owners until a Python object takes the value over; from then on every reference is one of that Python
// object's.
class Counter {
public:
  void inc_ref() noexcept {
    if (state_ & 1)
      state_ += 2;
    else
      Py_INCREF(reinterpret_cast<PyObject *>(state_));
  }
  bool dec_ref() noexcept { // true: the last C++ owner is gone, delete the value
    if (state_ & 1) return (state_ -= 2) == 1;
    Py_DECREF(reinterpret_cast<PyObject *>(state_));
    return false;
  }
  bool unique() const noexcept {
    return state_ & 1 ? state_ == 3 : Py_REFCNT(reinterpret_cast<PyObject *>(state_)) == 1;
  } // one reference
  PyObject *self_py() const noexcept { return state_ & 1 ? nullptr : reinterpret_cast<PyObject *>(state_); }
  void set_self_py(PyObject *o) noexcept {
    for (uintptr_t n = state_ >> 1; n > 0; --n) Py_INCREF(o);
    state_ = reinterpret_cast<uintptr_t>(o);
  }

private:
  uintptr_t state_ = 1; // odd: 2 * owners + 1; even: the Python object
};

// Owning pointer to an object with inc_ref() and dec_ref().
template <class T> class Ref {
public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  Ref(T *p) : p_(p) {
    if (p_) p_->inc_ref();
  }
  Ref(const Ref &o) : Ref(o.p_) {}
  Ref(Ref &&o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U *, T *>
  Ref(const Ref<U> &o) : Ref(static_cast<T *>(o.get())) {}
  ~Ref() {
    if (p_) p_->dec_ref();
  }
  Ref &operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  void reset() { *this = Ref(); }
  T *get() const { return p_; }
  T *operator->() const { return p_; }
  T &operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  bool operator==(const Ref &o) const { return p_ == o.p_; }
  bool operator==(std::nullptr_t) const { return p_ == nullptr; }

private:
  T *p_ = nullptr;
};

} // namespace taeda

namespace nanobind::detail {
// A Ref crosses into Python as the wrapped object itself; None is the null reference.
template <class T> struct type_caster<taeda::Ref<T>> {
  using Caster = make_caster<T>;
  static constexpr bool IsClass = true;
  NB_TYPE_CASTER(taeda::Ref<T>, Caster::Name)

  bool from_python(handle src, uint32_t flags, cleanup_list *cleanup) noexcept {
    Caster caster;
    if (!caster.from_python(src, flags, cleanup)) return false;
    value = Value(caster.operator T *());
    return true;
  }
  static handle from_cpp(const taeda::Ref<T> &value, rv_policy policy, cleanup_list *cleanup) noexcept {
    if (value)
      if (PyObject *o = value->self_py()) return handle(o).inc_ref();
    return Caster::from_cpp(value.get(), policy, cleanup);
  }
};
} // namespace nanobind::detail
