// Reading elements into Python: item, tolist, raw bytes, pickling, copying.
#include <cstring>

#include "autograd.h"
#include "op.h"
#include "py_tensor.h"

namespace taeda {

namespace {

PyObject *number_object(const Scalar &s) {
  switch (s.kind) {
  case Scalar::B:
    return PyBool_FromLong(s.v.b);
  case Scalar::I:
    return PyLong_FromLongLong(s.v.i);
  case Scalar::F:
    return PyFloat_FromDouble(s.v.f);
  case Scalar::C:
    break;
  }
  return PyComplex_FromDoubles(s.c.real(), s.c.imag());
}

PyObject *nested_list(const Tensor &t, size_t dim, const char *p) {
  if (dim == t.ndim()) return number_object(Scalar::load(t.dtype, p));
  Owned list(PyList_New(t.sizes[dim]));
  int64_t step = t.strides[dim] * int64_t(itemsize(t.dtype));
  for (int64_t i = 0; i < t.sizes[dim]; ++i)
    PyList_SET_ITEM(list.get(), i, Owned(nested_list(t, dim + 1, p + i * step)).release());
  return list.release();
}

PyObject *item_method(PyObject *self, PyObject *) {
  return guarded([&] {
    require_data(*tensor_ptr(self), "item");
    return item_of(*tensor_ptr(self));
  });
}

PyObject *tolist_method(PyObject *self, PyObject *) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    require_data(t, "tolist");
    return nested_list(t, 0, t.data());
  });
}

PyObject *complex_method(PyObject *self, PyObject *) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    require_data(t, "complex");
    if (t.numel() != 1) throw ValueFault("only one element tensors can be converted to Python scalars");
    Owned v(item_of(t));
    Py_complex c = PyComplex_AsCComplex(v.get());
    if (c.real == -1.0 && PyErr_Occurred()) throw PythonError{};
    return PyComplex_FromCComplex(c);
  });
}

PyObject *format_method(PyObject *self, PyObject *spec) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    if (t.ndim() > 0 || t.traced || (PyUnicode_Check(spec) && PyUnicode_GET_LENGTH(spec) == 0)) {
      Owned base(PyObject_GetAttrString((PyObject *)&PyBaseObject_Type, "__format__"));
      return Owned(PyObject_CallFunctionObjArgs(base.get(), self, spec, nullptr)).release();
    }
    if (!PyUnicode_Check(spec)) throw TypeFault(format("format(): expected str, got %s", Py_TYPE(spec)->tp_name));
    Owned v(item_of(t));
    return PyObject_Format(v.get(), spec);
  });
}

// The elements in row-major order.
void copy_out(const Tensor &t, char *dst) {
  size_t item = itemsize(t.dtype);
  if (t.numel() == 0) return;
  if (t.contiguous()) {
    std::memcpy(dst, t.data(), size_t(t.numel()) * item);
    return;
  }
  Dims from(t.ndim(), 0), to = contiguous_strides(t.sizes);
  byte_strides(t, t.sizes, from.data());
  for (auto &s : to) s *= int64_t(item);
  check_status(td_copy(dst, to.data(), t.data(), from.data(), int(t.ndim()), t.sizes.data(), item), "copy");
}

Owned raw_bytes(const Tensor &t) {
  require_data(t, "bytes");
  Owned bytes(PyBytes_FromStringAndSize(nullptr, Py_ssize_t(t.numel() * int64_t(itemsize(t.dtype)))));
  copy_out(t, PyBytes_AS_STRING(bytes.get()));
  return bytes;
}

TensorRef from_bytes(nb::object data, nb::object dtype, nb::object sizes) {
  DType d;
  if (!dtype_from(dtype.ptr(), &d)) throw TypeFault("from_bytes: argument 'dtype' must be a taeda.dtype");
  Py_buffer view;
  if (PyObject_GetBuffer(data.ptr(), &view, PyBUF_SIMPLE)) throw PythonError{};
  struct Release {
    Py_buffer *v;
    ~Release() { PyBuffer_Release(v); }
  } release{&view};
  TensorRef t = empty(dims_from(sizes.ptr(), "from_bytes: sizes"), d);
  if (size_t(view.len) != t->storage->nbytes)
    throw ValueFault(format("from_bytes: %zd bytes given, but a %s tensor of shape %s has %zu", view.len, info(d).name,
                            shape_text(t->sizes).c_str(), t->storage->nbytes));
  if (view.len) std::memcpy(t->data(), view.buf, size_t(view.len));
  return t;
}

Owned instance_dict(PyObject *self) { // null where the instance has no attributes of its own
  PyObject *dict = *reinterpret_cast<PyObject **>(reinterpret_cast<char *>(self) + tensor_type->tp_dictoffset);
  return dict && PyDict_GET_SIZE(dict) ? Owned::borrow(dict) : Owned();
}

// All bytes of a storage as a tensor: what copies and pickles keep, so that tensors that share memory still do.
TensorRef whole_memory(const StorageRef &storage) {
  TensorRef t(new Tensor);
  t->dtype = TD_U8;
  t->sizes = {int64_t(storage->nbytes)};
  t->strides = {1};
  t->storage = storage;
  return t;
}

// A tensor over memory that may be anybody's: checked.
TensorRef in_memory(const Tensor &memory, DType dtype, const Dims &sizes, const Dims &strides, int64_t offset) {
  TensorRef t = whole_memory(memory.storage);
  t->dtype = dtype;
  Geometry g = as_strided_geometry(*t, sizes, strides, offset);
  t->sizes = g.sizes;
  t->strides = g.strides;
  t->offset = g.offset;
  return t;
}

// The Python tensor that stands for a storage while something pickles it: always the same one, so that a pickle holds
// the storage once.
Owned memory_object(const Tensor &t, bool make) {
  static PyObject *known = nullptr; // weak values by the storage's address
  if (!known) {
    Owned module(PyImport_ImportModule("weakref"));
    known = Owned(PyObject_CallMethod(module.get(), "WeakValueDictionary", nullptr)).release();
  }
  Owned key(PyLong_FromVoidPtr(t.storage.get()));
  Owned found(PyObject_CallMethod(known, "get", "O", key.get()));
  if (found.get() != Py_None || !make) return found;
  Owned object(wrap(whole_memory(t.storage)));
  if (PyObject_SetItem(known, key.get(), object.get())) throw PythonError{};
  return object;
}

PyObject *rebuild_python; // _core._rebuild_tensor, for pickles

PyMethodDef rebuild_def;

// _rebuild_tensor(cls, data, dtype, sizes, requires_grad)
PyObject *rebuild(PyObject *, PyObject *args) {
  return guarded([&] {
    PyObject *cls, *data, *dtype, *sizes;
    int grad;
    if (!PyArg_ParseTuple(args, "OOOOp:_rebuild_tensor", &cls, &data, &dtype, &sizes, &grad)) throw PythonError{};
    if (!PyType_Check(cls) || !PyType_IsSubtype((PyTypeObject *)cls, tensor_type))
      throw TypeFault("_rebuild_tensor: expected a Tensor class");
    TensorRef t = from_bytes(nb::borrow(data), nb::borrow(dtype), nb::borrow(sizes));
    if (grad) require_grad(t);
    return wrap_as((PyTypeObject *)cls, t);
  });
}

PyObject *rebuild_view_python; // _core._rebuild_view

PyMethodDef rebuild_view_def;

// _rebuild_view(cls, memory, dtype, sizes, strides, offset, requires_grad)
PyObject *rebuild_view(PyObject *, PyObject *args) {
  return guarded([&] {
    PyObject *cls, *memory, *dtype, *sizes, *strides;
    long long offset;
    int grad;
    if (!PyArg_ParseTuple(args, "OOOOOLp:_rebuild_view", &cls, &memory, &dtype, &sizes, &strides, &offset, &grad))
      throw PythonError{};
    DType d;
    if (!PyType_Check(cls) || !PyType_IsSubtype((PyTypeObject *)cls, tensor_type) || !is_tensor(memory) ||
        !dtype_from(dtype, &d))
      throw TypeFault("_rebuild_view: expected a Tensor class, a tensor and a dtype");
    require_data(*tensor_ptr(memory), "_rebuild_view");
    TensorRef t = in_memory(*tensor_ptr(memory), d, dims_from(sizes, "_rebuild_view: sizes"),
                            dims_from(strides, "_rebuild_view: strides"), offset);
    if (grad) require_grad(t);
    return wrap_as((PyTypeObject *)cls, t);
  });
}

} // namespace

PyObject *item_of(const Tensor &t) {
  if (t.numel() != 1)
    throw RuntimeFault(format("a Tensor with %lld elements cannot be converted to Scalar", (long long)t.numel()));
  return number_object(Scalar::load(t.dtype, t.data()));
}

PyObject *tensor_reduce_ex(PyObject *self, PyObject *) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    require_data(t, "pickle");
    Owned sizes(int_tuple(t.sizes)), state = instance_dict(self);
    PyObject *attributes = state ? state.get() : Py_None, *dtype = dtype_object(t.dtype);
    if (memory_object(t, false).get() == self)
      return Py_BuildValue("O(OOOOO)O", rebuild_python, Py_TYPE(self), raw_bytes(t).get(), dtype, sizes.get(), Py_False,
                           attributes);
    Owned memory = memory_object(t, true), strides(int_tuple(t.strides));
    return Py_BuildValue("O(OOOOOLO)O", rebuild_view_python, Py_TYPE(self), memory.get(), dtype, sizes.get(),
                         strides.get(), (long long)t.offset, t.requires_grad() ? Py_True : Py_False, attributes);
  });
}

// The copy of a storage within one deepcopy.
Owned copied_memory(const Tensor &t, PyObject *memo) {
  Owned key(PyLong_FromVoidPtr(t.storage.get()));
  if (PyObject *known = PyDict_GetItemWithError(memo, key.get())) return Owned::borrow(known);
  if (PyErr_Occurred()) throw PythonError{};
  Owned copy(wrap(raw_clone(*whole_memory(t.storage))));
  if (PyDict_SetItem(memo, key.get(), copy.get())) throw PythonError{};
  return copy;
}

PyObject *tensor_deepcopy(PyObject *self, PyObject *memo) {
  return guarded([&] {
    Tensor &t = *tensor_ptr(self);
    if (!PyDict_Check(memo)) throw TypeFault("__deepcopy__: expected the memo dict of copy.deepcopy");
    Owned key(PyLong_FromVoidPtr(self));
    if (PyObject *known = PyDict_GetItemWithError(memo, key.get())) return Py_NewRef(known);
    if (PyErr_Occurred()) throw PythonError{};
    if (t.autograd && t.autograd->grad_fn)
      throw RuntimeFault(
          "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment");
    require_data(t, "deepcopy");
    Owned memory = copied_memory(t, memo);
    TensorRef copy = in_memory(*tensor_ptr(memory.get()), t.dtype, t.sizes, t.strides, t.offset);
    if (t.requires_grad()) require_grad(copy);
    if (t.autograd && t.autograd->grad) {
      const Tensor &g = *t.autograd->grad;
      if (!g.traced) meta(*copy).grad = raw_clone(g);
    }
    Owned result(wrap_as(Py_TYPE(self), copy));
    if (PyDict_SetItem(memo, key.get(), result.get())) throw PythonError{};
    if (Owned attributes = instance_dict(self)) {
      Owned module(PyImport_ImportModule("copy")), copier(PyObject_GetAttrString(module.get(), "deepcopy"));
      Owned copied(PyObject_CallFunctionObjArgs(copier.get(), attributes.get(), memo, nullptr));
      if (PyObject_SetAttrString(result.get(), "__dict__", copied.get())) throw PythonError{};
    }
    return result.release();
  });
}

PyMethodDef value_methods[] = {
    {"item", item_method, METH_NOARGS, "The value of a tensor of one element as a Python number."},
    {"tolist", tolist_method, METH_NOARGS, "The elements as nested lists of Python numbers."},
    {"__complex__", complex_method, METH_NOARGS, nullptr},
    {"__format__", format_method, METH_O, nullptr},
    {"__deepcopy__", tensor_deepcopy, METH_O, nullptr},
    {"__reduce_ex__", tensor_reduce_ex, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

void bind_values(nb::module_ &m) {
  rebuild_def = {"_rebuild_tensor", rebuild, METH_VARARGS, "Makes a tensor again from what pickling kept of it."};
  Owned name = Owned(PyUnicode_FromString("taeda._core"));
  rebuild_python = Owned(PyCFunction_NewEx(&rebuild_def, nullptr, name.get())).release();
  m.attr("_rebuild_tensor") = nb::handle(rebuild_python);
  rebuild_view_def = {"_rebuild_view", rebuild_view, METH_VARARGS,
                      "Makes a tensor again over memory that was pickled."};
  rebuild_view_python = Owned(PyCFunction_NewEx(&rebuild_view_def, nullptr, name.get())).release();
  m.attr("_rebuild_view") = nb::handle(rebuild_view_python);
  m.def(
      "to_bytes",
      [](nb::object t) {
        if (!is_tensor(t.ptr()))
          throw TypeFault(format("to_bytes: expected a Tensor, got %s", Py_TYPE(t.ptr())->tp_name));
        return nb::steal(raw_bytes(*tensor_ptr(t.ptr())).release());
      },
      nb::arg("tensor"), "The elements in row-major order as bytes.");
  m.def(
      "from_bytes",
      [](nb::object data, nb::object dtype, nb::object sizes) {
        return nb::steal(wrap(from_bytes(data, dtype, sizes)));
      },
      nb::arg("data"), nb::arg("dtype"), nb::arg("sizes"), "A new tensor from elements in row-major order.");
}

} // namespace taeda
