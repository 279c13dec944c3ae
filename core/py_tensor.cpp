// Python's Tensor class: its identity with the core's tensor, construction, garbage collection and the attributes of
// its geometry.
#include "py_tensor.h"
#include "autograd.h"

namespace taeda {

PyTypeObject *tensor_type = nullptr;

namespace {

nb::class_<Tensor> *class_object = nullptr;

PyObject *&dict_of(PyObject *self) { // subclasses share the base's place for the dict
  return *reinterpret_cast<PyObject **>(reinterpret_cast<char *>(self) + tensor_type->tp_dictoffset);
}

// ---- garbage collection: what one tensor owns alone
// ------------------------------------------------------------------ A reference held in C++ to a tensor known to
// Python is one reference of its Python object, so it can be reported to the collector.
int tensor_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(dict_of(self));
  if (!nb::inst_ready(self)) return 0;
  const Tensor &t = *tensor_ptr(self);
  Py_VISIT(t.traced);
  if (const AutogradMeta *m = t.autograd) {
    for (PyObject *h : m->hooks) Py_VISIT(h);
    if (m->grad) Py_VISIT(m->grad->self_py());
    if (m->base) Py_VISIT(m->base->self_py());
    if (m->grad_fn) Py_VISIT(m->grad_fn->self_py());
    if (m->base_fn) Py_VISIT(m->base_fn->self_py());
  }
  return 0;
}

int tensor_clear(PyObject *self) {
  Py_CLEAR(dict_of(self));
  if (!nb::inst_ready(self)) return 0;
  Tensor &t = *tensor_ptr(self);
  if (AutogradMeta *m = t.autograd) {
    std::vector<PyObject *> hooks;
    hooks.swap(m->hooks);
    for (PyObject *h : hooks) Py_XDECREF(h);
    m->grad.reset();
  }
  return 0;
}

// ---- construction: the legacy constructor Tensor(sizes...) or Tensor(data), always of the default dtype
// ----------------
TensorRef construct(PyObject *args) {
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  if (n == 0) return empty({0}, default_dtype());
  PyObject *first = PyTuple_GET_ITEM(args, 0);
  if (n == 1 && is_tensor(first)) {
    TensorRef t(tensor_ptr(first));
    require_data(*t, "Tensor()");
    return view_of(t, t->sizes, t->strides, t->offset);
  }
  bool is_shape = hook("size_type") && PyObject_TypeCheck(first, (PyTypeObject *)hook("size_type"));
  if (n > 1 || PyLong_Check(first) || is_shape)
    return empty(dims_from(n == 1 ? first : args, "Tensor(): sizes"), default_dtype());
  DType d = default_dtype();
  return tensor_from(first, &d);
}

PyObject *tensor_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
      PyObject *device = PyDict_GetItemString(kwargs, "device");
      if (!device || PyDict_GET_SIZE(kwargs) > 1)
        throw TypeFault("Tensor() takes sizes or data, and of keywords only 'device'");
      check_device(device);
    }
    return wrap_as(cls, construct(args));
  });
}

int tensor_init(PyObject *, PyObject *, PyObject *) { return 0; } // made whole in tensor_new

// ---- shapes
// ------------------------------------------------------------------------------------------------------------
Owned traced_shape(const Tensor &t) {
  static PyObject *&of_capture = hook("traced_shape"), *&of_wrapped = hook("wrapped_shape");
  PyObject *callback = t.wrapped ? of_wrapped : of_capture;
  if (!callback) throw RuntimeFault("hook 'traced_shape' is not set");
  Owned self(wrap(TensorRef(const_cast<Tensor *>(&t))));
  Owned shape(PyObject_CallOneArg(callback, self.get()));
  if (!PyTuple_Check(shape.get()) || size_t(PyTuple_GET_SIZE(shape.get())) != t.ndim())
    throw RuntimeFault("hook 'traced_shape' must return one size per dimension");
  return shape;
}

// What the capture says of a traced tensor's memory: `what` is the method that asks.
Owned traced_layout(PyObject *self, const char *what) {
  static PyObject *&of_capture = hook("traced_layout"), *&of_wrapped = hook("wrapped_layout");
  PyObject *callback = tensor_ptr(self)->wrapped ? of_wrapped : of_capture;
  if (!callback) throw RuntimeFault("hook 'traced_layout' is not set");
  return Owned(PyObject_CallFunction(callback, "Os", self, what));
}

PyObject *get_shape(PyObject *self, void *) {
  return guarded([&] { return shape_object(*tensor_ptr(self)); });
}

PyObject *numel_object(const Tensor &t) {
  if (!t.symbolic()) return PyLong_FromLongLong(t.numel());
  Owned shape = traced_shape(t), n(PyLong_FromLong(1));
  for (size_t i = 0; i < t.ndim(); ++i)
    n = Owned(PyNumber_Multiply(n.get(), PyTuple_GET_ITEM(shape.get(), Py_ssize_t(i))));
  return n.release();
}

// One optional argument `dim`, by position or name.
PyObject *dim_argument(const char *method, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
  Py_ssize_t nkw = names ? PyTuple_GET_SIZE(names) : 0;
  if (nargs + nkw > 1) throw TypeFault(format("%s() takes at most one argument (%zd given)", method, nargs + nkw));
  if (nkw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "dim") != 0)
    throw TypeFault(format("%s() got an unexpected keyword argument; it takes 'dim'", method));
  return nargs + nkw == 0 || args[0] == Py_None ? nullptr : args[0];
}

PyObject *size_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
  return guarded([&]() -> PyObject * {
    const Tensor &t = *tensor_ptr(self);
    PyObject *dim = dim_argument("size", args, nargs, names);
    if (!dim) return shape_object(t);
    int64_t d = wrap_dim("size", int_from(dim, "size(): argument 'dim'"), int64_t(t.ndim()));
    if (t.ndim() == 0)
      throw IndexFault("Dimension specified as " + std::to_string(d) + " but tensor has no dimensions");
    if (t.symbolic()) return Py_NewRef(PyTuple_GET_ITEM(traced_shape(t).get(), d));
    return PyLong_FromLongLong(t.sizes[size_t(d)]);
  });
}

PyObject *stride_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
  return guarded([&]() -> PyObject * {
    const Tensor &t = *tensor_ptr(self);
    PyObject *dim = dim_argument("stride", args, nargs, names);
    Owned traced = t.symbolic() ? traced_layout(self, "stride") : Owned();
    if (!dim) return t.symbolic() ? traced.release() : int_tuple(t.strides);
    int64_t d = wrap_dim("stride", int_from(dim, "stride(): argument 'dim'"), int64_t(t.ndim()));
    if (t.ndim() == 0)
      throw IndexFault("Dimension specified as " + std::to_string(d) + " but tensor has no dimensions");
    if (t.symbolic()) return Py_NewRef(PyTuple_GET_ITEM(traced.get(), d));
    return PyLong_FromLongLong(t.strides[size_t(d)]);
  });
}

PyObject *is_contiguous_method(PyObject *self, PyObject *, PyObject *) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    return t.symbolic() ? traced_layout(self, "is_contiguous").release() : PyBool_FromLong(t.contiguous());
  });
}
PyObject *dim_method(PyObject *self, PyObject *) { return PyLong_FromSize_t(tensor_ptr(self)->ndim()); }
PyObject *numel_method(PyObject *self, PyObject *) {
  return guarded([&] { return numel_object(*tensor_ptr(self)); });
}
PyObject *element_size_method(PyObject *self, PyObject *) {
  return PyLong_FromSize_t(itemsize(tensor_ptr(self)->dtype));
}
PyObject *storage_offset_method(PyObject *self, PyObject *) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    return t.symbolic() ? traced_layout(self, "storage_offset").release() : PyLong_FromLongLong(t.offset);
  });
}
PyObject *data_ptr_method(PyObject *self, PyObject *) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    require_data(t, "data_ptr");
    return PyLong_FromVoidPtr(t.numel() ? t.data() : nullptr);
  });
}
PyObject *is_floating_point_method(PyObject *self, PyObject *) {
  return PyBool_FromLong(is_float(tensor_ptr(self)->dtype));
}
PyObject *is_complex_method(PyObject *self, PyObject *) { return PyBool_FromLong(is_complex(tensor_ptr(self)->dtype)); }
PyObject *is_signed_method(PyObject *self, PyObject *) {
  return PyBool_FromLong(info(tensor_ptr(self)->dtype).is_signed);
}
PyObject *get_device_method(PyObject *, PyObject *) { return PyLong_FromLong(-1); }
PyObject *is_inference_method(PyObject *self, PyObject *) { return PyBool_FromLong(tensor_ptr(self)->inference); }

// resize_(*sizes): other sizes over the same storage, which grows where it is too small. For `out=` arguments.
PyObject *resize_method(PyObject *self, PyObject *args) {
  return guarded([&] {
    Tensor &t = *tensor_ptr(self);
    require_data(t, "resize_");
    if (t.requires_grad()) throw RuntimeFault("cannot resize variables that require grad");
    bool nested = PyTuple_GET_SIZE(args) == 1;
    Dims sizes = dims_from(nested ? PyTuple_GET_ITEM(args, 0) : args, "resize_(): argument 'size'");
    size_t item = itemsize(t.dtype), bytes;
    if (__builtin_mul_overflow(size_t(numel_of(sizes) + t.offset), item, &bytes))
      throw RuntimeFault("Storage size calculation overflowed with sizes=" + shape_text(sizes));
    grow_storage(*t.storage, bytes);
    t.strides = contiguous_strides(sizes);
    t.sizes = sizes;
    ++t.storage->version;
    return Py_NewRef(self);
  });
}

PyObject *cpu_device; // taeda.device("cpu")

PyObject *get_dtype(PyObject *self, void *) { return Py_NewRef(dtype_object(tensor_ptr(self)->dtype)); }
PyObject *get_device(PyObject *, void *) { return Py_NewRef(cpu_device); }
PyObject *get_ndim(PyObject *self, void *) { return PyLong_FromSize_t(tensor_ptr(self)->ndim()); }
PyObject *get_itemsize(PyObject *self, void *) { return element_size_method(self, nullptr); }
PyObject *get_nbytes(PyObject *self, void *) {
  return guarded([&] {
    Owned n(numel_object(*tensor_ptr(self))), item(PyLong_FromSize_t(itemsize(tensor_ptr(self)->dtype)));
    return PyNumber_Multiply(n.get(), item.get());
  });
}
PyObject *get_version(PyObject *self, void *) {
  const Tensor &t = *tensor_ptr(self);
  return PyLong_FromUnsignedLong(t.storage ? t.storage->version : 0);
}
PyObject *get_true(PyObject *, void *) { Py_RETURN_TRUE; }
PyObject *get_false(PyObject *, void *) { Py_RETURN_FALSE; }

PyMethodDef geometry_methods[] = {
    {"size", (PyCFunction)(void (*)())size_method, METH_FASTCALL | METH_KEYWORDS,
     "size(dim=None): the shape, or the size of one dimension."},
    {"stride", (PyCFunction)(void (*)())stride_method, METH_FASTCALL | METH_KEYWORDS,
     "stride(dim=None): strides in elements."},
    {"is_contiguous", (PyCFunction)(void (*)())is_contiguous_method, METH_VARARGS | METH_KEYWORDS,
     "True where elements lie in row-major order without gaps."},
    {"dim", dim_method, METH_NOARGS, "The number of dimensions."},
    {"ndimension", dim_method, METH_NOARGS, "The number of dimensions."},
    {"numel", numel_method, METH_NOARGS, "The number of elements."},
    {"nelement", numel_method, METH_NOARGS, "The number of elements."},
    {"element_size", element_size_method, METH_NOARGS, "Bytes of one element."},
    {"storage_offset", storage_offset_method, METH_NOARGS, "Where the first element lies in the storage, in elements."},
    {"data_ptr", data_ptr_method, METH_NOARGS, "The address of the first element."},
    {"is_floating_point", is_floating_point_method, METH_NOARGS, nullptr},
    {"is_complex", is_complex_method, METH_NOARGS, nullptr},
    {"is_signed", is_signed_method, METH_NOARGS, nullptr},
    {"resize_", resize_method, METH_VARARGS, "resize_(*sizes): other sizes in place; new elements are uninitialised."},
    {"get_device", get_device_method, METH_NOARGS, "-1: the CPU."},
    {"is_inference", is_inference_method, METH_NOARGS, "True for a tensor made under inference_mode."},
};

PyGetSetDef getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {"shape", get_shape, nullptr, "The sizes of all dimensions.", nullptr},
    {"dtype", get_dtype, nullptr, "The data type of the elements.", nullptr},
    {"device", get_device, nullptr, "Where the tensor lives.", nullptr},
    {"ndim", get_ndim, nullptr, "The number of dimensions.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes of all elements.", nullptr},
    {"_version", get_version, nullptr, "How often the storage was written in place.", nullptr},
    {"is_cpu", get_true, nullptr, nullptr, nullptr},
    {"is_cuda", get_false, nullptr, nullptr, nullptr},
    {"is_mps", get_false, nullptr, nullptr, nullptr},
    {"is_meta", get_false, nullptr, nullptr, nullptr},
    {"is_sparse", get_false, nullptr, nullptr, nullptr},
    {"is_quantized", get_false, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// ---- sequence and mapping protocol
// ---------------------------------------------------------------------------------------
Py_ssize_t length_slot(PyObject *self) {
  return guarded(Py_ssize_t(-1), [&] {
    const Tensor &t = *tensor_ptr(self);
    if (t.ndim() == 0) throw TypeFault("len() of a 0-d tensor");
    if (!t.symbolic()) return Py_ssize_t(t.sizes[0]);
    Py_ssize_t n = PyNumber_AsSsize_t(PyTuple_GET_ITEM(traced_shape(t).get(), 0), PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) throw PythonError{};
    return n;
  });
}

PyObject *iter_slot(PyObject *self) {
  return guarded([&] {
    if (tensor_ptr(self)->ndim() == 0) throw TypeFault("iteration over a 0-d tensor");
    Py_ssize_t n = length_slot(self);
    if (n < 0) throw PythonError{};
    Owned rows(PyList_New(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      Owned index(PyLong_FromSsize_t(i));
      PyList_SET_ITEM(rows.get(), i, Owned(get_item(self, index.get())).release());
    }
    return PyObject_GetIter(rows.get());
  });
}

PyObject *subscript_slot(PyObject *self, PyObject *index) {
  return guarded([&] { return get_item(self, index); });
}

int assign_slot(PyObject *self, PyObject *index, PyObject *value) {
  return guarded(-1, [&] {
    if (!value) throw TypeFault("Tensor does not support deleting items");
    set_item(self, index, value);
    return 0;
  });
}

PyObject *repr_slot(PyObject *self) {
  return guarded([&] {
    static PyObject *&callback = hook("repr");
    if (callback) return PyObject_CallOneArg(callback, self);
    const Tensor &t = *tensor_ptr(self);
    return PyUnicode_FromFormat("tensor(shape=%s, dtype=taeda.%s)", shape_text(t.sizes).c_str(), info(t.dtype).name);
  });
}

TensorRef alias_of(const TensorRef &t) {
  TensorRef a = view_of(t, t->sizes, t->strides, t->offset);
  a->stand_for_what(*t);
  return a;
}

} // namespace

Tensor *tensor_ptr(PyObject *o) { return nb::inst_ptr<Tensor>(o); }

PyObject *wrap_as(PyTypeObject *cls, const TensorRef &t) {
  PyObject *o = nb::inst_take_ownership(nb::handle((PyObject *)cls), t.get()).release().ptr();
  t->set_self_py(o);
  return o;
}

PyObject *wrap(const TensorRef &t) {
  if (!t) return Py_NewRef(Py_None);
  if (PyObject *o = t->self_py()) return Py_NewRef(o);
  return wrap_as(tensor_type, t);
}

PyObject *shape_object(const Tensor &t) {
  if (t.symbolic()) return traced_shape(t).release();
  static PyObject *&cls = hook("size_type");
  size_t n = t.ndim();
  PyTypeObject *type = cls ? (PyTypeObject *)cls : &PyTuple_Type;
  Owned shape(cls ? type->tp_alloc(type, Py_ssize_t(n)) : PyTuple_New(Py_ssize_t(n)));
  for (size_t i = 0; i < n; ++i) PyTuple_SET_ITEM(shape.get(), i, Owned(PyLong_FromLongLong(t.sizes[i])).release());
  return shape.release();
}

nb::class_<Tensor> &tensor_class() { return *class_object; }

void bind_tensor(nb::module_ &m) {
  static std::vector<PyMethodDef> methods(std::begin(geometry_methods), std::end(geometry_methods));
  static std::vector<PyType_Slot> slots = {
      {Py_tp_traverse, (void *)tensor_traverse},
      {Py_tp_clear, (void *)tensor_clear},
      {Py_tp_new, (void *)tensor_new},
      {Py_tp_init, (void *)tensor_init},
      {Py_tp_getset, getset},
      {Py_tp_repr, (void *)repr_slot},
      {Py_tp_iter, (void *)iter_slot},
      {Py_mp_length, (void *)length_slot},
      {Py_sq_length, (void *)length_slot},
      {Py_mp_subscript, (void *)subscript_slot},
      {Py_mp_ass_subscript, (void *)assign_slot},
  };
  for (PyType_Slot *s = number_slots; s->slot; ++s) slots.push_back(*s);
  for (PyMethodDef *d = value_methods; d->ml_name; ++d) methods.push_back(*d);
  for (PyType_Slot *b = buffer_slots; b->slot; ++b) slots.push_back(*b);
  for (PyMethodDef *d = interop_methods; d->ml_name; ++d) methods.push_back(*d);
  methods.push_back({nullptr, nullptr, 0, nullptr});
  slots.push_back({Py_tp_methods, methods.data()});
  slots.push_back({0, nullptr});

  class_object = new nb::class_<Tensor>(
      m, "Tensor", nb::intrusive_ptr<Tensor>([](Tensor *t, PyObject *o) noexcept { t->set_self_py(o); }),
      nb::type_slots(slots.data()), nb::dynamic_attr(), nb::is_weak_referenceable(),
      "A multi-dimensional array of elements of one data type.");
  tensor_type = (PyTypeObject *)class_object->ptr();
  class_object->attr("__module__") = "taeda";
  class_object->attr("__array_priority__") = 1000; // NumPy leaves mixed operators to the tensor
  cpu_device = nb::object(m.attr("device")("cpu")).release().ptr();

  m.def(
      "alias_as",
      [](nb::object cls, nb::object tensor, bool requires_grad) {
        auto *type = (PyTypeObject *)cls.ptr();
        if (!PyType_Check(cls.ptr()) || !PyType_IsSubtype(type, tensor_type))
          throw TypeFault("alias_as: 'cls' must be a subclass of Tensor");
        if (!is_tensor(tensor.ptr()))
          throw TypeFault(format("alias_as: expected a Tensor, got %s", Py_TYPE(tensor.ptr())->tp_name));
        TensorRef alias = alias_of(TensorRef(tensor_ptr(tensor.ptr())));
        if (requires_grad) require_grad(alias);
        return nb::steal(wrap_as(type, alias));
      },
      nb::arg("cls"), nb::arg("tensor"), nb::arg("requires_grad") = false,
      "A new leaf of class `cls` that shares the tensor's memory and is not connected to its history.");
  bind_slots(m);
  bind_values(m);
}

} // namespace taeda
