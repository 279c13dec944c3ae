// What the binding files share: registration, hooks, owned references, conversions between Python and core values.
#pragma once
#include <nanobind/nanobind.h>

#include "tensor.h"

namespace taeda {

void bind_dtype(nb::module_ &m);
void bind_tensor(nb::module_ &m);
void bind_create(nb::module_ &m);
void bind_interop(nb::module_ &m);
void bind_random(nb::module_ &m);
void bind_ops(nb::module_ &m);
void bind_functions(nb::module_ &m);
void bind_autograd(nb::module_ &m);
void bind_program(nb::module_ &m);
void bind_host(nb::module_ &m);
nb::class_<Tensor> &tensor_class(); // for files that add methods to Tensor

// Python callables given by _core.set_hook(name, fn). The slot's address never changes (keep it in a static); null
// until set.
PyObject *&hook(const char *name);

// A strong reference to a Python object. Made from a new reference; throws PythonError for null.
class Owned {
public:
  Owned() = default;
  explicit Owned(PyObject *o) : o_(o) {
    if (!o) throw PythonError{};
  }
  static Owned borrow(PyObject *o) {
    Py_XINCREF(o);
    Owned r;
    r.o_ = o;
    return r;
  }
  Owned(Owned &&other) noexcept : o_(std::exchange(other.o_, nullptr)) {}
  Owned &operator=(Owned &&other) noexcept {
    std::swap(o_, other.o_);
    return *this;
  }
  ~Owned() { Py_XDECREF(o_); }
  PyObject *get() const { return o_; }
  PyObject *release() { return std::exchange(o_, nullptr); }
  explicit operator bool() const { return o_ != nullptr; }

private:
  PyObject *o_ = nullptr;
};

// Runs the body of a raw CPython slot; a C++ exception becomes a Python one and `failed` is returned.
template <class F, class R> R guarded(R failed, F &&body) noexcept {
  try {
    return body();
  } catch (...) {
    raise_current_exception();
    return failed;
  }
}
template <class F> PyObject *guarded(F &&body) noexcept {
  return guarded((PyObject *)nullptr, static_cast<F &&>(body));
}

PyObject *int_tuple(const Dims &v);      // new reference: plain tuple of ints
PyObject *shape_object(const Tensor &t); // new reference: taeda.Size, or what the capture gives for a traced tensor
Dims dims_from(PyObject *o, const char *what);   // a sequence of ints or one int; TypeFault naming `what` otherwise
int64_t int_from(PyObject *o, const char *what); // an int or an object with __index__ (no floats)
bool is_symbolic(PyObject *o);                   // a value that stands for a number during a capture (hook "symbolic")
PyObject *wrap_as(PyTypeObject *cls, const TensorRef &t); // new reference; t must not be known to Python yet
void check_device(PyObject *device); // None, "cpu" or taeda.device; RuntimeFault for any other device
// Reading values of a traced tensor cannot work: calls hook traced_read, which raises at the user's line.
void require_data(const Tensor &t, const char *what);
void require_grad(const TensorRef &t); // marks a new leaf; RuntimeFault for dtypes without gradients

// random.cpp: the default generator, for compiled programs
td_rng rng_state();
void set_rng_state(td_rng state);

// create.cpp
Owned array_of(PyObject *o); // the NumPy array of numbers that `__array__` of a foreign object gives, else null
TensorRef tensor_from(PyObject *data, const DType *dtype); // a copy of numbers, nested sequences, buffers or a tensor
TensorRef tensor_from_buffer(PyObject *o,
                             bool share); // share: same memory (the buffer is held); else a contiguous copy
// py_index.cpp
PyObject *get_item(PyObject *self, PyObject *index); // new reference
void set_item(PyObject *self, PyObject *index, PyObject *value);

} // namespace taeda
