// taeda.dtype, taeda.device and Python numbers.
#include <cstring>

#include "py_common.h"

namespace taeda {

namespace {

// ---- taeda.dtype
// -----------------------------------------------------------------------------------------------------
struct DTypeObject {
  PyObject_HEAD DType value;
};

PyTypeObject *dtype_type = nullptr;
PyObject *singletons[TD_NUM_DTYPES];

DType dtype_of(PyObject *self) { return reinterpret_cast<DTypeObject *>(self)->value; }
PyObject *dtype_repr(PyObject *self) { return PyUnicode_FromFormat("taeda.%s", info(dtype_of(self)).name); }
PyObject *dtype_reduce(PyObject *self, PyObject *) {
  return PyUnicode_FromString(info(dtype_of(self)).name);
} // a name in taeda
PyObject *dtype_copy(PyObject *self, PyObject *) { return Py_NewRef(self); }
PyObject *dtype_to_complex(PyObject *self, PyObject *) {
  DType d = dtype_of(self);
  return Py_NewRef(dtype_object(is_complex(d) ? d : d == TD_F64 ? TD_C128 : TD_C64));
}
PyObject *dtype_to_real(PyObject *self, PyObject *) {
  DType d = dtype_of(self);
  return Py_NewRef(dtype_object(d == TD_C64 ? TD_F32 : d == TD_C128 ? TD_F64 : d));
}

PyMethodDef dtype_methods[] = {
    {"__reduce__", dtype_reduce, METH_NOARGS, nullptr},
    {"__copy__", dtype_copy, METH_NOARGS, nullptr},
    {"__deepcopy__", dtype_copy, METH_O, nullptr},
    {"to_complex", dtype_to_complex, METH_NOARGS, "The complex dtype that holds this one."},
    {"to_real", dtype_to_real, METH_NOARGS, "The dtype of the real part."},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef dtype_getset[] = {
    {"is_floating_point", [](PyObject *s, void *) { return PyBool_FromLong(is_float(dtype_of(s))); }, nullptr, nullptr,
     nullptr},
    {"is_complex", [](PyObject *s, void *) { return PyBool_FromLong(is_complex(dtype_of(s))); }, nullptr, nullptr,
     nullptr},
    {"is_signed", [](PyObject *s, void *) { return PyBool_FromLong(info(dtype_of(s)).is_signed); }, nullptr, nullptr,
     nullptr},
    {"itemsize", [](PyObject *s, void *) { return PyLong_FromSize_t(itemsize(dtype_of(s))); }, nullptr,
     "Bytes of one element.", nullptr},
    {"name", [](PyObject *s, void *) { return PyUnicode_FromString(info(dtype_of(s)).name); }, nullptr, nullptr,
     nullptr},
    {"code", [](PyObject *s, void *) { return PyUnicode_FromString(info(dtype_of(s)).code); }, nullptr,
     "Short name used in kernel keys.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot dtype_slots[] = {
    {Py_tp_repr, (void *)dtype_repr},
    {Py_tp_methods, dtype_methods},
    {Py_tp_getset, dtype_getset},
    {Py_tp_doc, (void *)"The data type of a tensor's elements."},
    {0, nullptr},
};
PyType_Spec dtype_spec = {"taeda.dtype", sizeof(DTypeObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                          dtype_slots};

// ---- taeda.device
// ----------------------------------------------------------------------------------------------------
struct DeviceObject {      // the only device type of this build is "cpu"
  PyObject_HEAD int index; // -1: not given
};

PyTypeObject *device_type = nullptr;

[[noreturn]] void unknown_device(const std::string &text) {
  if (text.rfind("cuda", 0) == 0)
    throw RuntimeFault(format("device '%s' was asked for, but this build of Taeda has no CUDA", text.c_str()));
  throw RuntimeFault(format("Expected one of cpu, cuda device type at start of device string: %s", text.c_str()));
}

int parse_device(const std::string &text) {
  if (text == "cpu") return -1;
  if (text.rfind("cpu:", 0) != 0) unknown_device(text);
  std::string digits = text.substr(4);
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
    throw RuntimeFault(format("Invalid device string: '%s'", text.c_str()));
  return std::stoi(digits);
}

std::string utf8(PyObject *o) {
  const char *s = PyUnicode_AsUTF8(o);
  if (!s) throw PythonError{};
  return s;
}

PyObject *device_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    static const char *names[] = {"type", "index", nullptr};
    PyObject *kind = nullptr, *index = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:device", const_cast<char **>(names), &kind, &index))
      throw PythonError{};
    int n = -1;
    if (Py_TYPE(kind) == device_type) return Py_NewRef(kind);
    if (PyLong_Check(kind))
      unknown_device("cuda:" + std::to_string(int_from(kind, "device"))); // a bare index names an accelerator
    if (!PyUnicode_Check(kind))
      throw TypeFault(format("device(): argument 'type' must be str, not %s", Py_TYPE(kind)->tp_name));
    n = parse_device(utf8(kind));
    if (index != Py_None) {
      if (n >= 0)
        throw RuntimeFault("type (string) must not include an index because index was passed explicitly: " +
                           utf8(kind));
      int64_t i = int_from(index, "device(): index");
      if (i < 0 || i > 9999)
        throw RuntimeFault(format("Device index must be between 0 and 9999, got %lld", (long long)i));
      n = int(i);
    }
    Owned self(type->tp_alloc(type, 0));
    reinterpret_cast<DeviceObject *>(self.get())->index = n;
    return self.release();
  });
}

int device_index(PyObject *self) { return reinterpret_cast<DeviceObject *>(self)->index; }
PyObject *device_str(PyObject *self) {
  int i = device_index(self);
  return i < 0 ? PyUnicode_FromString("cpu") : PyUnicode_FromFormat("cpu:%d", i);
}
PyObject *device_repr(PyObject *self) {
  int i = device_index(self);
  return i < 0 ? PyUnicode_FromString("device(type='cpu')") : PyUnicode_FromFormat("device(type='cpu', index=%d)", i);
}
Py_hash_t device_hash(PyObject *self) { return 7919 + device_index(self); }
PyObject *device_compare(PyObject *a, PyObject *b, int op) {
  if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != device_type || Py_TYPE(b) != device_type) Py_RETURN_NOTIMPLEMENTED;
  return PyBool_FromLong((device_index(a) == device_index(b)) == (op == Py_EQ));
}
PyObject *device_reduce(PyObject *self, PyObject *) { return Py_BuildValue("O(N)", device_type, device_str(self)); }

PyMethodDef device_methods[] = {
    {"__reduce__", device_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef device_getset[] = {
    {"type", [](PyObject *, void *) { return PyUnicode_FromString("cpu"); }, nullptr, nullptr, nullptr},
    {"index",
     [](PyObject *s, void *) { return device_index(s) < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(device_index(s)); },
     nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot device_slots[] = {
    {Py_tp_new, (void *)device_new},
    {Py_tp_repr, (void *)device_repr},
    {Py_tp_str, (void *)device_str},
    {Py_tp_hash, (void *)device_hash},
    {Py_tp_richcompare, (void *)device_compare},
    {Py_tp_methods, device_methods},
    {Py_tp_getset, device_getset},
    {Py_tp_doc, (void *)"device(type, index=None): where a tensor lives. This build knows the CPU."},
    {0, nullptr},
};
PyType_Spec device_spec = {"taeda.device", sizeof(DeviceObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                           device_slots};

} // namespace

PyObject *dtype_object(DType d) { return singletons[d]; }

bool dtype_from(PyObject *o, DType *out) {
  if (Py_TYPE(o) == dtype_type)
    *out = dtype_of(o);
  else if (o == (PyObject *)&PyFloat_Type)
    *out = TD_F64;
  else if (o == (PyObject *)&PyLong_Type)
    *out = TD_I64;
  else if (o == (PyObject *)&PyBool_Type)
    *out = TD_BOOL;
  else if (o == (PyObject *)&PyComplex_Type)
    *out = TD_C128;
  else
    return false;
  return true;
}

void check_device(PyObject *device) {
  if (device == Py_None || Py_TYPE(device) == device_type) return;
  if (PyUnicode_Check(device))
    parse_device(utf8(device));
  else if (PyLong_Check(device))
    unknown_device("cuda:" + std::to_string(int_from(device, "device")));
  else
    throw TypeFault(format("argument 'device' must be taeda.device or str, not %s", Py_TYPE(device)->tp_name));
}

bool scalar_from(PyObject *o, Scalar *out) {
  if (PyFloat_Check(o)) {
    *out = Scalar::of(PyFloat_AS_DOUBLE(o));
    return true;
  }
  if (PyBool_Check(o)) {
    *out = Scalar::of(o == Py_True);
    return true;
  }
  auto from_long = [out](PyObject *i) {
    int overflow = 0;
    long long v = PyLong_AsLongLongAndOverflow(i, &overflow);
    if (overflow) {
      PyErr_SetString(PyExc_RuntimeError, "Overflow when unpacking long: Python int too large for int64");
      throw PythonError{};
    }
    *out = Scalar::of(int64_t(v));
    return true;
  };
  if (PyLong_Check(o)) return from_long(o);
  if (PyComplex_Check(o)) {
    Py_complex c = PyComplex_AsCComplex(o);
    *out = Scalar::of(std::complex<double>(c.real, c.imag));
    return true;
  }
  const char *name = Py_TYPE(o)->tp_name; // NumPy's scalars are told by name, so that NumPy is never imported for this
  if (std::strncmp(name, "numpy.", 6) != 0) return false;
  name += 6;
  auto starts = [name](const char *prefix) { return std::strncmp(name, prefix, std::strlen(prefix)) == 0; };
  if (starts("bool")) {
    int v = PyObject_IsTrue(o);
    if (v < 0) throw PythonError{};
    *out = Scalar::of(v != 0);
    return true;
  }
  if (starts("int") || starts("uint")) return from_long(Owned(PyNumber_Index(o)).get());
  if (starts("float") || starts("half") || starts("longdouble")) {
    double v = PyFloat_AsDouble(o);
    if (v == -1.0 && PyErr_Occurred()) throw PythonError{};
    *out = Scalar::of(v);
    return true;
  }
  if (starts("complex") || starts("clongdouble")) {
    Py_complex c = PyComplex_AsCComplex(o);
    if (PyErr_Occurred()) throw PythonError{};
    *out = Scalar::of(std::complex<double>(c.real, c.imag));
    return true;
  }
  return false;
}

void bind_dtype(nb::module_ &m) {
  dtype_type = (PyTypeObject *)Owned(PyType_FromSpec(&dtype_spec)).release();
  device_type = (PyTypeObject *)Owned(PyType_FromSpec(&device_spec)).release();
  m.attr("dtype") = nb::handle((PyObject *)dtype_type);
  m.attr("device") = nb::handle((PyObject *)device_type);
  nb::dict all;
  for (int d = 0; d < TD_NUM_DTYPES; ++d) {
    Owned o((PyObject *)PyObject_New(DTypeObject, dtype_type));
    reinterpret_cast<DTypeObject *>(o.get())->value = DType(d);
    singletons[d] = o.release();
    m.attr(info(DType(d)).name) = nb::handle(singletons[d]);
    all[info(DType(d)).code] = nb::handle(singletons[d]);
  }
  m.attr("dtypes") = all; // code -> dtype
  auto parse = [](nb::handle o, const char *what) {
    DType d;
    if (!dtype_from(o.ptr(), &d))
      throw TypeFault(format("%s: expected a taeda.dtype, got %s", what, Py_TYPE(o.ptr())->tp_name));
    return d;
  };
  m.def(
      "get_default_dtype", [] { return nb::borrow(dtype_object(default_dtype())); },
      "The dtype of new floating-point tensors.");
  m.def("set_default_dtype", [parse](nb::object d) { set_default_dtype(parse(d, "set_default_dtype")); }, nb::arg("d"));
  m.def(
      "promote_types",
      [parse](nb::object a, nb::object b) {
        return nb::borrow(dtype_object(promote(parse(a, "promote_types"), parse(b, "promote_types"))));
      },
      nb::arg("type1"), nb::arg("type2"), "The smallest dtype both can be promoted to.");
  m.def(
      "result_type",
      [](nb::args operands) {
        Promoter p;
        for (nb::handle o : operands) {
          Scalar s;
          DType d;
          if (is_tensor(o.ptr()))
            p.add(tensor_ptr(o.ptr())->dtype, tensor_ptr(o.ptr())->ndim() == 0);
          else if (dtype_from(o.ptr(), &d))
            p.add(d, false);
          else if (is_symbolic(o.ptr()))
            p.add(Scalar::of(int64_t(0))); // a size
          else if (scalar_from(o.ptr(), &s))
            p.add(s);
          else
            throw TypeFault(format("result_type: expected tensors and numbers, got %s", Py_TYPE(o.ptr())->tp_name));
        }
        return nb::borrow(dtype_object(p.result()));
      },
      "The dtype that an operation on these tensors and numbers has.");
}

} // namespace taeda
