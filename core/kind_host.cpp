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

struct Calls { // what the threads share
  void *routine;
  Invoke invoke;
  size_t n;
  int64_t count, blocks;
  char *at[kMostArguments];
  int64_t step[kMostArguments], block_step[kMostArguments]; // bytes from call to call, from block to block
};

void call_blocks(void *ctx, int64_t begin, int64_t end) {
  const Calls &c = *static_cast<const Calls *>(ctx);
  for (int64_t b = begin; b < end; ++b) {
    int64_t first = c.count * b / c.blocks, last = c.count * (b + 1) / c.blocks;
    char *at[kMostArguments];
    for (size_t j = 0; j < c.n; ++j) at[j] = c.at[j] + first * c.step[j] + b * c.block_step[j];
    for (int64_t i = first; i < last; ++i) {
      c.invoke(c.routine, at);
      for (size_t j = 0; j < c.n; ++j) at[j] += c.step[j];
    }
  }
}

// Calls `routine` `count` times, in `blocks` parts that may run side by side. Arguments: a tensor holds one operand a
// call, one after the other; a list of one tensor is workspace, a piece for each block; a tuple of one tensor is the
// same for all; ints are int32 and strings of one letter char, by reference, as Fortran takes them.
void call_each(uintptr_t routine, nb::tuple arguments, int64_t count, int64_t blocks) {
  static constexpr auto kInvokers = invokers(std::make_index_sequence<kMostArguments + 1>{});
  size_t n = arguments.size(), strings = 0;
  if (!routine || n > kMostArguments / 2)
    throw ValueFault(
        format("call_each: a routine with at most %zu arguments is needed, got %zu", kMostArguments / 2, n));
  if (blocks < 1)
    throw ValueFault(format("call_each: argument 'blocks' must be positive, got %lld", (long long)blocks));
  Calls c{};
  char letters[kMostArguments];
  int32_t numbers[kMostArguments];
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
      c.at[j] = reinterpret_cast<char *>(&numbers[j]);
    } else if (PyUnicode_Check(o)) {
      const char *text = PyUnicode_AsUTF8(o);
      if (!text) throw PythonError{};
      letters[j] = text[0];
      c.at[j] = &letters[j];
      ++strings;
    } else if (PyTuple_Check(o) && PyTuple_GET_SIZE(o) == 1)
      c.at[j] = tensor_of(PyTuple_GET_ITEM(o, 0)).data();
    else if (PyList_Check(o) && PyList_GET_SIZE(o) == 1) {
      const Tensor &t = tensor_of(PyList_GET_ITEM(o, 0));
      c.at[j] = t.data();
      c.block_step[j] = t.numel() / blocks * int64_t(itemsize(t.dtype));
    } else {
      const Tensor &t = tensor_of(o);
      c.at[j] = t.data();
      if (count > 0) c.step[j] = t.numel() / count * int64_t(itemsize(t.dtype));
    }
  }
  for (size_t k = 0; k < strings; ++k) c.at[n++] = reinterpret_cast<char *>(1); // hidden lengths of the strings
  c.routine = reinterpret_cast<void *>(routine);
  c.invoke = kInvokers[n];
  c.n = n;
  c.count = count;
  c.blocks = blocks;
  nb::gil_scoped_release unlocked;
  if (blocks == 1)
    call_blocks(&c, 0, 1);
  else
    td_parallel_for(blocks, call_blocks, &c);
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
  m.def(
      "call_each", &call_each, nb::arg("routine"), nb::arg("arguments"), nb::arg("count"), nb::arg("blocks") = 1,
      "Calls the Fortran routine at address `routine` `count` times without the interpreter's lock, in `blocks` parts "
      "that may run side by side. Arguments: a contiguous tensor holds one operand a call, one after the other; a list "
      "of one tensor is workspace, a piece for each block; a tuple of one tensor is the same for all; ints are int32, "
      "strings one letter.");
}

} // namespace taeda
