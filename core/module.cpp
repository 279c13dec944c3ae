// The extension module: registration in order, hooks, and facts about the process.
#include <cstring>
#include <map>

#include "autograd.h"
#include "op.h"
#include "py_common.h"

namespace taeda {

PyObject *&hook(const char *name) {
  static auto *hooks =
      new std::map<std::string, PyObject *>; // nodes never move; never destroyed, as Python outlives it
  return (*hooks)[name];
}

PyObject *int_tuple(const Dims &v) {
  Owned t(PyTuple_New(Py_ssize_t(v.size())));
  for (size_t i = 0; i < v.size(); ++i)
    PyTuple_SET_ITEM(t.get(), Py_ssize_t(i), Owned(PyLong_FromLongLong(v[i])).release());
  return t.release();
}

int64_t int_from(PyObject *o, const char *what) {
  if (!PyIndex_Check(o)) throw TypeFault(format("%s must be int, not %s", what, Py_TYPE(o)->tp_name));
  Owned i(PyNumber_Index(o));
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(i.get(), &overflow);
  if (overflow) throw RuntimeFault(format("%s: Overflow when unpacking long", what));
  if (v == -1 && PyErr_Occurred()) throw PythonError{};
  return v;
}

Dims dims_from(PyObject *o, const char *what) {
  if (PyLong_Check(o)) return {int_from(o, what)};
  if (!PySequence_Check(o) || PyUnicode_Check(o))
    throw TypeFault(format("%s must be a tuple of ints, not %s", what, Py_TYPE(o)->tp_name));
  Owned items(PySequence_Fast(o, what));
  Dims v;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i)
    v.push_back(int_from(PySequence_Fast_GET_ITEM(items.get(), i), what));
  return v;
}

bool is_symbolic(PyObject *o) {
  static PyObject *&types = hook("symbolic");
  if (!types || is_tensor(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o)) return false;
  int r = PyObject_IsInstance(o, types);
  if (r < 0) throw PythonError{};
  return r != 0;
}

void require_data(const Tensor &t, const char *what) {
  if (!t.traced || (t.wrapped && t.storage)) return;
  static PyObject *&of_capture = hook("traced_read"), *&of_wrapped = hook("wrapped_read");
  PyObject *callback = t.wrapped ? of_wrapped : of_capture;
  if (callback) {
    Owned self(wrap(TensorRef(const_cast<Tensor *>(&t))));
    Owned(PyObject_CallFunction(callback, "Os", self.get(), what));
  }
  throw RuntimeFault(format("%s: the values of a traced tensor are not known while a program is captured", what));
}

void require_grad(const TensorRef &t) {
  if (!is_float(t->dtype) && !is_complex(t->dtype))
    throw RuntimeFault("only Tensors of floating point and complex dtype can require gradients");
  meta(*t).requires_grad = true;
}

namespace {

void translate(const std::exception_ptr &p,
               void *) { // for functions bound by nanobind; raw slots call raise_current_exception
  try {
    std::rethrow_exception(p);
  } catch (const RuntimeFault &) {
    raise_current_exception();
  } catch (const TypeFault &) {
    raise_current_exception();
  } catch (const ValueFault &) {
    raise_current_exception();
  } catch (const IndexFault &) {
    raise_current_exception();
  } catch (const MemoryFault &) {
    raise_current_exception();
  } catch (const PythonError &) {
    raise_current_exception();
  }
}

void bind_process(nb::module_ &m) {
  m.def(
      "set_hook",
      [](const char *name, nb::object value) {
        bool size = std::strcmp(name, "size_type") == 0, types = std::strcmp(name, "symbolic") == 0;
        if (!value.is_none() && size &&
            !(PyType_Check(value.ptr()) && PyType_IsSubtype((PyTypeObject *)value.ptr(), &PyTuple_Type)))
          throw TypeFault("set_hook: 'size_type' must be a subclass of tuple");
        if (!value.is_none() && !size && !types && !PyCallable_Check(value.ptr()))
          throw TypeFault(format("set_hook: '%s' must be callable", name));
        PyObject *old = std::exchange(hook(name), value.is_none() ? nullptr : value.release().ptr());
        Py_XDECREF(old);
      },
      nb::arg("name"), nb::arg("value").none(),
      "Gives the core a Python callable (or type) it needs; None takes it away.");
  m.def(
      "set_num_threads",
      [](nb::object n) {
        int64_t count = int_from(n.ptr(), "set_num_threads(): argument 'int'");
        if (count < 1 || count > 4096)
          throw RuntimeFault(format("set_num_threads expects a positive integer, got %lld", (long long)count));
        td_set_num_threads(int(count));
      },
      nb::arg("int"), "How many threads kernels run on. Results do not depend on it.");
  m.def("get_num_threads", &td_get_num_threads, "How many threads kernels run on.");
  m.def("cpu_level", &cpu_level, "The instruction set level of this processor: 'x86-64-v4', ..., 'aarch64'.");
  m.def(
      "memory_stats",
      [] {
        td_mem_stats s;
        td_mem_get_stats(&s);
        nb::dict d;
        d["in_use"] = s.in_use;
        d["cached"] = s.cached;
        d["peak_in_use"] = s.peak_in_use;
        d["alloc_calls"] = s.alloc_calls;
        d["system_calls"] = s.system_calls;
        return d;
      },
      "What the allocator holds, in bytes, and how often it was called.");
  m.def("reset_peak_memory_stats", &td_mem_reset_peak, "Starts the peak of memory_stats() anew.");
  m.def("trim_memory", &td_mem_trim, "Gives cached blocks back to the system.");
}

} // namespace

} // namespace taeda

NB_MODULE(_core, m) {
  using namespace taeda;
  nb::set_leak_warnings(false); // operators and hooks live as long as the process
  nb::register_exception_translator(translate);
  bind_process(m);
  bind_dtype(m);
  bind_tensor(m);
  bind_create(m);
  bind_interop(m);
  bind_random(m);
  bind_autograd(m);
  bind_ops(m);
  bind_functions(m);
  bind_program(m);
  bind_host(m);
}
