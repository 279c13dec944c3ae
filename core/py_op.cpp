// Python's Op class: operators as callables that are also methods.
//
// Op(name, kind, schema, *, in_types, out_types, accepts, to_float, inplace_of, out_type, accumulates, index, fn, out,
// form, mode, writes): docs/architecture.md, section 2, says which kind reads which. Further keywords are kept in
// `spec` for Python to read.
#include <cstddef>
#include <cstring>

#include <Python.h>
#include <structmember.h>

#include "op.h"

namespace taeda {

void set_role(const std::string &name, Op *op);

namespace {

struct OpObject {
  PyObject_HEAD vectorcallfunc call;
  Op *op;
  PyObject *spec; // dict
};

PyTypeObject *op_type = nullptr;

Op &op_of(PyObject *self) { return *reinterpret_cast<OpObject *>(self)->op; }

PyObject *op_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
  return guarded([&] { return call_python(op_of(self), args, size_t(PyVectorcall_NARGS(nargsf)), kwnames); });
}

std::string text(PyObject *o, const char *what) {
  const char *s = PyUnicode_Check(o) ? PyUnicode_AsUTF8(o) : nullptr;
  if (!s) throw TypeFault(format("Op: '%s' must be str, not %s", what, Py_TYPE(o)->tp_name));
  return s;
}

DType dtype_from_code(const std::string &code) {
  for (int d = 0; d < TD_NUM_DTYPES; ++d)
    if (code == info(DType(d)).code) return DType(d);
  throw ValueFault(format("Op: unknown dtype code '%s'", code.c_str()));
}

void read_spec(Op &op, PyObject *spec) {
  auto get = [&](const char *key) { return PyDict_GetItemString(spec, key); };
  auto get_text = [&](const char *key, std::string &to) {
    if (PyObject *o = get(key); o && o != Py_None) to = text(o, key);
  };
  auto get_bool = [&](const char *key) {
    PyObject *o = get(key);
    return o && PyObject_IsTrue(o) == 1;
  };
  get_text("in_types", op.in_types);
  get_text("out_types", op.out_types);
  get_text("out_type", op.out_type);
  get_text("form", op.form);
  if (PyObject *accepts = get("accepts"); accepts && accepts != Py_None) {
    Owned items(PySequence_Fast(accepts, "Op: 'accepts' must be a sequence of dtype codes"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i)
      op.accepts |= 1u << dtype_from_code(text(PySequence_Fast_GET_ITEM(items.get(), i), "accepts"));
  }
  if (PyObject *writes = get("writes"); writes && writes != Py_None)
    for (int64_t w : dims_from(writes, "Op: 'writes'")) op.writes.push_back(int(w));
  op.to_float = get_bool("to_float");
  op.accumulates = get_bool("accumulates");
  op.index = get_bool("index");
  op.takes_out = get_bool("out");
  std::string mode;
  get_text("mode", mode);
  static const char *const kModes[] = {"set", "add", "mul", "max", "min"}; // in the order of TD_SCATTER_...
  for (int m = 0; m < 5; ++m)
    if (mode == kModes[m]) op.mode = m;
  op.index_error = get_bool("index_error");
  if (PyObject *divisor = get("divisor"); divisor && divisor != Py_None)
    op.divisor = int(int_from(divisor, "Op: 'divisor'"));
  if (PyObject *base = get("inplace_of"); base && base != Py_None) {
    op.functional = op_from(base);
    if (!op.functional) throw TypeFault("Op: 'inplace_of' must be an Op");
    op.inplace_arg = 0;
  }
  if (op.kind == "copy" && op.form == "copy_") op.inplace_arg = 0;
  if (op.kind == "view") op.view_of = 0;
  if (op.kind == "composite") {
    op.composite = get("fn");
    if (!op.composite || !PyCallable_Check(op.composite)) throw TypeFault("Op: a composite needs a callable 'fn'");
    Py_INCREF(op.composite);
  }
  if (op.kind == "host") {
    op.host = get("fn");
    if (!op.host || !PyCallable_Check(op.host)) throw TypeFault("Op: a host operator needs a callable 'fn'");
    Py_INCREF(op.host);
  }
  if ((op.kind == "map" || op.kind == "rows") && op.in_types.size() != op.schema.params.size())
    throw ValueFault(format("Op %s: %zu operand letters for %zu parameters", op.name.c_str(), op.in_types.size(),
                            op.schema.params.size()));
  if (op.in_types.size() + op.out_types.size() > TD_MAX_OPERANDS)
    throw ValueFault(format("Op %s: too many operands", op.name.c_str()));
}

PyObject *op_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  return guarded([&]() -> PyObject * {
    PyObject *name, *kind, *schema;
    if (!PyArg_ParseTuple(args, "OOO:Op", &name, &kind, &schema)) throw PythonError{};
    auto op = std::make_unique<Op>();
    op->name = text(name, "name");
    op->kind = text(kind, "kind");
    op->schema = parse_schema(text(schema, "schema"));
    op->run = kind_executor(op->kind);
    Owned spec(kwargs ? PyDict_Copy(kwargs) : PyDict_New());
    read_spec(*op, spec.get());
    Owned self(type->tp_alloc(type, 0));
    auto *o = reinterpret_cast<OpObject *>(self.get());
    o->call = op_vectorcall;
    op->self_py = self.get();
    o->op = op.release();
    o->spec = spec.release();
    Py_INCREF(self.get()); // operators live as long as the process: the core keeps plain pointers to them
    return self.release();
  });
}

void op_dealloc(PyObject *self) { // only reached when construction failed
  PyTypeObject *type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject *op_descr_get(PyObject *self, PyObject *instance, PyObject *) {
  return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

PyObject *op_repr(PyObject *self) {
  return PyUnicode_FromFormat("<taeda op %s (%s)>", op_of(self).name.c_str(), op_of(self).kind.c_str());
}

PyObject *get_name(PyObject *self, void *) { return PyUnicode_FromString(op_of(self).name.c_str()); }
PyObject *get_kind(PyObject *self, void *) { return PyUnicode_FromString(op_of(self).kind.c_str()); }
PyObject *get_form(PyObject *self, void *) { return PyUnicode_FromString(op_of(self).form.c_str()); }
PyObject *get_spec(PyObject *self, void *) { return Py_NewRef(reinterpret_cast<OpObject *>(self)->spec); }
PyObject *get_functional(PyObject *self, void *) {
  Op *f = op_of(self).functional;
  return Py_NewRef(f ? f->self_py : Py_None);
}
PyObject *get_inplace_arg(PyObject *self, void *) { return PyLong_FromLong(op_of(self).inplace_arg); }
PyObject *get_front(PyObject *self, void *) { return Py_NewRef(op_of(self).front ? op_of(self).front : Py_None); }
PyObject *get_doc(PyObject *self, void *) { return Py_NewRef(op_of(self).doc ? op_of(self).doc : Py_None); }
int set_doc(PyObject *self, PyObject *value, void *) {
  Py_XSETREF(op_of(self).doc, Py_XNewRef(value));
  return 0;
}
PyObject *get_parameters(PyObject *self, void *) {
  return guarded([&] {
    const auto &params = op_of(self).schema.params;
    Owned names(PyTuple_New(Py_ssize_t(params.size())));
    for (size_t i = 0; i < params.size(); ++i)
      PyTuple_SET_ITEM(names.get(), Py_ssize_t(i), Py_NewRef(params[i].interned));
    return names.release();
  });
}
int set_front(PyObject *self, PyObject *value, void *) {
  if (value && value != Py_None && !PyCallable_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "Op.front must be callable or None");
    return -1;
  }
  Py_XSETREF(op_of(self).front, value == Py_None ? nullptr : Py_XNewRef(value));
  return 0;
}

PyGetSetDef op_attributes[] = {
    {"name", get_name, nullptr, "The operator's name.", nullptr},
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_name, nullptr, nullptr, nullptr},
    {"__doc__", get_doc, set_doc, nullptr, nullptr},
    {"kind", get_kind, nullptr, "Its kind: map, reduce, view, ...", nullptr},
    {"form", get_form, nullptr, "Which of its kind's forms it takes.", nullptr},
    {"spec", get_spec, nullptr, "What it was registered with.", nullptr},
    {"parameters", get_parameters, nullptr, "Names of its parameters, in order.", nullptr},
    {"functional", get_functional, nullptr, "The out-of-place operator of an in-place one, else None.", nullptr},
    {"inplace_arg", get_inplace_arg, nullptr, "Which argument it writes into; -1 for none.", nullptr},
    {"front", get_front, set_front, "A Python function that takes over when the arguments do not fit.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMemberDef op_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, call), READONLY, nullptr},
                            {nullptr, 0, 0, 0, nullptr}};
PyType_Slot op_slots[] = {{Py_tp_new, (void *)op_new},
                          {Py_tp_dealloc, (void *)op_dealloc},
                          {Py_tp_call, (void *)PyVectorcall_Call},
                          {Py_tp_descr_get, (void *)op_descr_get},
                          {Py_tp_repr, (void *)op_repr},
                          {Py_tp_getset, op_attributes},
                          {Py_tp_members, op_members},
                          {0, nullptr}};
PyType_Spec op_type_spec = {"taeda._core.Op", sizeof(OpObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, op_slots};

Op &require_op(nb::handle h, const char *what) {
  Op *op = op_from(h.ptr());
  if (!op) throw TypeFault(format("%s: expected an Op, got %s", what, Py_TYPE(h.ptr())->tp_name));
  return *op;
}

} // namespace

Op *op_from(PyObject *o) { return op_type && Py_TYPE(o) == op_type ? reinterpret_cast<OpObject *>(o)->op : nullptr; }

void bind_ops(nb::module_ &m) {
  op_type = reinterpret_cast<PyTypeObject *>(Owned(PyType_FromSpec(&op_type_spec)).release());
  m.attr("Op") = nb::borrow(reinterpret_cast<PyObject *>(op_type));
  m.def(
      "set_role",
      [](const char *name, nb::object op) {
        if (Op *o = op_from(op.ptr())) set_role(name, o);
      },
      nb::arg("name"), nb::arg("op"),
      "Gives the core an operator it needs itself. Callables that are not operators are ignored.");
  m.def(
      "foreach_",
      [](nb::object op, nb::sequence lists, nb::sequence numbers) {
        std::vector<std::vector<TensorRef>> tensors;
        for (nb::handle list : lists) {
          tensors.emplace_back();
          for (nb::handle t : nb::borrow<nb::sequence>(list)) {
            if (!is_tensor(t.ptr()))
              throw TypeFault(format("foreach_: expected Tensor, got %s", Py_TYPE(t.ptr())->tp_name));
            tensors.back().emplace_back(tensor_ptr(t.ptr()));
          }
        }
        std::vector<Scalar> values;
        for (nb::handle n : numbers) {
          Scalar s;
          if (!scalar_from(n.ptr(), &s))
            throw TypeFault(format("foreach_: expected a number, got %s", Py_TYPE(n.ptr())->tp_name));
          values.push_back(s);
        }
        foreach_map(require_op(op, "foreach_"), tensors, values);
      },
      nb::arg("op"), nb::arg("lists"), nb::arg("numbers"),
      "Runs a map operator over lists of tensors in one parallel region, writing each output into the operand that the "
      "operator names.");
  m.def("begin_trace", [] { ++tracing_depth; }, "A capture starts on this thread: operators go to hook 'trace'.");
  m.def(
      "end_trace",
      [] {
        if (tracing_depth > 0) --tracing_depth;
      },
      "The capture ends.");
  m.def(
      "make_traced",
      [](nb::object value, nb::object sizes, nb::object strides, nb::object dtype) {
        DType d;
        if (!dtype_from(dtype.ptr(), &d)) throw TypeFault("make_traced: argument 'dtype' must be a taeda.dtype");
        TensorRef t(new Tensor);
        t->sizes = dims_from(sizes.ptr(), "make_traced: sizes");
        t->strides =
            strides.is_none() ? contiguous_strides(t->sizes) : dims_from(strides.ptr(), "make_traced: strides");
        if (t->strides.size() != t->sizes.size()) throw ValueFault("make_traced: sizes and strides differ in length");
        t->dtype = d;
        t->stand_for(value.release().ptr(), false);
        return nb::steal(wrap(t));
      },
      nb::arg("value"), nb::arg("sizes"), nb::arg("strides").none(), nb::arg("dtype"),
      "A tensor without data that stands for `value` in a capture; the sizes are those of the example.");
  m.def(
      "make_wrapped",
      [](nb::object value, nb::object like, size_t drop, bool keep_data) {
        if (!is_tensor(like.ptr())) throw TypeFault("make_wrapped: argument 'like' must be a Tensor");
        const Tensor &inner = *tensor_ptr(like.ptr());
        if (drop > inner.ndim()) throw ValueFault("make_wrapped: more dimensions to drop than there are");
        TensorRef t(new Tensor);
        for (size_t i = drop; i < inner.ndim(); ++i) {
          t->sizes.push_back(inner.sizes[i]);
          t->strides.push_back(inner.strides[i]);
        }
        t->dtype = inner.dtype;
        if (keep_data) {
          t->storage = inner.storage;
          t->offset = inner.offset;
        }
        t->stand_for(value.release().ptr(), true);
        return nb::steal(wrap(t));
      },
      nb::arg("value"), nb::arg("like"), nb::arg("drop"), nb::arg("keep_data"),
      "A tensor that stands for `value` of a function transform: of the sizes of `like` without the first `drop`; its "
      "values can be read if `keep_data`.");
  m.def(
      "wrapped_value",
      [](nb::object t) {
        bool found = is_tensor(t.ptr()) && tensor_ptr(t.ptr())->wrapped;
        return nb::borrow(found ? tensor_ptr(t.ptr())->traced : Py_None);
      },
      nb::arg("tensor"), "What a tensor of a function transform stands for; None for other tensors.");
  m.def(
      "traced_value",
      [](nb::object t) {
        const Tensor *x = is_tensor(t.ptr()) ? tensor_ptr(t.ptr()) : nullptr;
        return nb::borrow(x && x->traced && !x->wrapped ? x->traced : Py_None);
      },
      nb::arg("tensor"), "What a traced tensor stands for; None for ordinary tensors.");
  m.def(
      "set_traced_value",
      [](nb::object t, nb::object value) {
        if (!is_tensor(t.ptr()) || !tensor_ptr(t.ptr())->traced)
          throw TypeFault("set_traced_value: not a traced tensor");
        Tensor &x = *tensor_ptr(t.ptr());
        x.stand_for(value.release().ptr(), x.wrapped);
      },
      nb::arg("tensor"), nb::arg("value"), "Lets a traced tensor stand for another value, after a write into it.");
  m.def("is_tracing", [] { return tracing_depth > 0; }, "Whether a capture runs on this thread.");
}

} // namespace taeda
