// Kind host: operators whose values a library of the process computes (LAPACK, an FFT), reached through a Python
// function. Eager calls, what compiled programs call back, and the loop that calls a Fortran routine once a matrix.
#include <array>
#include <cstring>
#include <utility>

#include "op.h"

namespace taeda {

namespace {

constexpr size_t kMostArguments = 40; // of a Fortran routine, hidden lengths of strings included

Results call_function(PyObject *function, const char *name, const std::vector<Owned> &values) {
  std::vector<PyObject *> pointers;
  for (const Owned &v : values) pointers.push_back(v.get());
  GradMode off(false);
  Owned result(PyObject_Vectorcall(function, pointers.data(), pointers.size(), nullptr));
  return results_from(result.get(), name);
}

// ---- compiled programs --------------------------------------------------------------------------------------------
void no_release(void *) {}

TensorRef borrowed(const td_tensor &d) {
  StorageRef storage(new Storage);
  storage->data = d.data;
  storage->deleter = no_release;
  storage->resizable = false;
  TensorRef t(new Tensor);
  t->sizes = Dims(d.sizes, size_t(d.ndim));
  t->dtype = DType(d.dtype);
  int64_t last = 0;
  for (int i = 0; i < d.ndim; ++i) {
    t->strides.push_back(d.strides[i] / int64_t(itemsize(t->dtype)));
    last += (d.sizes[i] - 1) * t->strides[size_t(i)];
  }
  storage->nbytes = numel_of(t->sizes) ? size_t(last + 1) * itemsize(t->dtype) : 0;
  t->storage = storage;
  return t;
}

// A td_host_fn. `ctx` is a Python function (tensors, numbers) -> tensors; its exception stays set in this thread.
td_status run_callback(void *ctx, const td_tensor *inputs, int n_in, const td_tensor *outputs, int n_out,
                       const int64_t *numbers, int n_numbers) {
  PyGILState_STATE gil = PyGILState_Ensure();
  td_status status = TD_OK;
  try {
    std::vector<Owned> values;
    Owned tensors(PyList_New(n_in));
    for (int i = 0; i < n_in; ++i) { // a copy: the program uses the memory again, whatever the function keeps
      TensorRef t = borrowed(inputs[i]);
      PyList_SET_ITEM(tensors.get(), i, wrap(t->contiguous() ? raw_clone(*t) : raw_contiguous(t)));
    }
    values.push_back(std::move(tensors));
    values.emplace_back(int_tuple(Dims(numbers, size_t(n_numbers))));
    Results results = call_function(static_cast<PyObject *>(ctx), "host function", values);
    if (results.size() != size_t(n_out))
      throw RuntimeFault(format("a host function gave %zu results, its program expects %d", results.size(), n_out));
    for (int i = 0; i < n_out; ++i) {
      TensorRef to = borrowed(outputs[i]);
      const Tensor &from = *results[size_t(i)];
      if (from.sizes != to->sizes || from.dtype != to->dtype)
        throw RuntimeFault(format("a host function gave result %d of shape %s and dtype %s, its program expects %s, %s",
                                  i, shape_text(from.sizes).c_str(), info(from.dtype).code,
                                  shape_text(to->sizes).c_str(), info(to->dtype).code));
      copy_into(*to, from);
    }
  } catch (...) {
    raise_current_exception();
    status = TD_ERR_HOST;
  }
  PyGILState_Release(gil);
  return status;
}

// ---- routines -----------------------------------------------------------------------------------------------------
template <size_t... I> void invoke(void *routine, char *const *a, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(decltype((void)I, (char *)nullptr)...)>(routine)(a[I]...);
}
using Invoke = void (*)(void *, char *const *);
template <size_t... N> constexpr std::array<Invoke, sizeof...(N)> invokers(std::index_sequence<N...>) {
  return {[](void *routine, char *const *a) { invoke(routine, a, std::make_index_sequence<N>{}); }...};
}

// Calls `routine` `count` times. Arguments: a tensor holds one operand a call, one after the other; a tuple of one
// tensor is the same for all; ints are int32 and strings of one letter char, by reference, as Fortran takes them.
void call_each(uintptr_t routine, nb::tuple arguments, int64_t count) {
  static constexpr auto kInvokers = invokers(std::make_index_sequence<kMostArguments + 1>{});
  size_t n = arguments.size();
  if (!routine || n > kMostArguments / 2)
    throw ValueFault(
        format("call_each: a routine with at most %zu arguments is needed, got %zu", kMostArguments / 2, n));
  char *at[kMostArguments], letters[kMostArguments];
  int64_t step[kMostArguments] = {};
  int32_t numbers[kMostArguments];
  size_t strings = 0;
  auto tensor_of = [](PyObject *o) -> const Tensor & {
    if (!is_tensor(o)) throw TypeFault(format("call_each: expected Tensor, int or str, got %s", Py_TYPE(o)->tp_name));
    require_data(*tensor_ptr(o), "call_each");
    return *tensor_ptr(o);
  };
  for (size_t j = 0; j < n; ++j) {
    PyObject *o = PyTuple_GET_ITEM(arguments.ptr(), Py_ssize_t(j));
    if (PyLong_Check(o)) {
      int64_t value = int_from(o, "call_each: argument");
      numbers[j] = int32_t(value);
      if (numbers[j] != value) throw RuntimeFault(format("LAPACK counts up to 2147483647, got %lld", (long long)value));
      at[j] = reinterpret_cast<char *>(&numbers[j]);
    } else if (PyUnicode_Check(o)) {
      const char *text = PyUnicode_AsUTF8(o);
      if (!text) throw PythonError{};
      letters[j] = text[0];
      at[j] = &letters[j];
      ++strings;
    } else if (PyTuple_Check(o) && PyTuple_GET_SIZE(o) == 1)
      at[j] = tensor_of(PyTuple_GET_ITEM(o, 0)).data();
    else {
      const Tensor &t = tensor_of(o);
      at[j] = t.data();
      if (count > 0) step[j] = t.numel() / count * int64_t(itemsize(t.dtype));
    }
  }
  for (size_t k = 0; k < strings; ++k) at[n++] = reinterpret_cast<char *>(1); // hidden lengths of the strings
  nb::gil_scoped_release unlocked;
  for (int64_t i = 0; i < count; ++i) {
    kInvokers[n](reinterpret_cast<void *>(routine), at);
    for (size_t j = 0; j < n; ++j) at[j] += step[j];
  }
}

} // namespace

Results run_host(Op &op, Args &args) {
  std::vector<Owned> values;
  bool first = true;
  for (Arg &a : args) {
    if (a.is_tensor()) {
      if (std::exchange(first, false)) check_accepts(op, a.tensor()->dtype);
      values.emplace_back(wrap(raw_contiguous(a.tensor())));
    } else
      values.emplace_back(arg_object(a));
  }
  return call_function(op.host, op.title(), values);
}

void bind_host(nb::module_ &m) {
  m.def(
      "host_call",
      [](nb::object fn) {
        if (!PyCallable_Check(fn.ptr())) throw TypeFault("host_call: argument 'fn' must be callable");
        return reinterpret_cast<uintptr_t>(new td_host{run_callback, fn.release().ptr()}); // programs live forever
      },
      nb::arg("fn"),
      "The address of a td_host through which a compiled program calls fn(tensors, numbers) -> tensors.");
  m.def("call_each", &call_each, nb::arg("routine"), nb::arg("arguments"), nb::arg("count"),
        "Calls the Fortran routine at address `routine` `count` times without the interpreter's lock. Arguments: a "
        "contiguous tensor holds one operand a call, one after the other; a tuple of one tensor is the same for all; "
        "ints are int32, strings one letter.");
}

} // namespace taeda
