// Python's Function class: a Python function as PyTorch's users call it. It takes NumPy's names of arguments (`axis` for
// `dim`) and, where the function computes a result only, `out=`; everything else is passed on unchanged.
#include <cstddef>
#include <vector>

#include <Python.h>
#include <structmember.h>

#include "op.h"
#include "py_common.h"

namespace taeda {

namespace {

struct FunctionObject {
  PyObject_HEAD vectorcallfunc call;
  PyObject *fn, *name, *renames; // renames: dict of other names of parameters
  PyObject *doc;
  bool takes_out;
};

FunctionObject &function_of(PyObject *self) { return *reinterpret_cast<FunctionObject *>(self); }

// The call again with keywords renamed, and without `out`, which is then written.
PyObject *call_translated(FunctionObject &f, PyObject *const *args, size_t nargs, PyObject *kwnames) {
  size_t count = size_t(PyTuple_GET_SIZE(kwnames));
  std::vector<PyObject *> values(args, args + nargs), names;
  PyObject *out = nullptr;
  for (size_t k = 0; k < count; ++k) {
    PyObject *key = PyTuple_GET_ITEM(kwnames, Py_ssize_t(k));
    if (f.takes_out && PyUnicode_CompareWithASCIIString(key, "out") == 0) {
      out = args[nargs + k];
      continue;
    }
    PyObject *other = PyDict_GetItemWithError(f.renames, key);
    if (!other && PyErr_Occurred()) throw PythonError{};
    names.push_back(other ? other : key);
    values.push_back(args[nargs + k]);
  }
  Owned keywords(PyTuple_New(Py_ssize_t(names.size())));
  for (size_t k = 0; k < names.size(); ++k) PyTuple_SET_ITEM(keywords.get(), Py_ssize_t(k), Py_NewRef(names[k]));
  Owned result(PyObject_Vectorcall(f.fn, values.data(), nargs, names.empty() ? nullptr : keywords.get()));
  if (!out || out == Py_None) return result.release();
  static PyObject *&write = hook("write_out");
  if (!write) throw RuntimeFault("hook 'write_out' is not set");
  return Owned(PyObject_CallFunctionObjArgs(write, f.name, result.get(), out, nullptr)).release();
}

PyObject *function_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
  FunctionObject &f = function_of(self);
  bool translate = false;
  for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); ++k) {
    PyObject *key = PyTuple_GET_ITEM(kwnames, k);
    int known = PyDict_Contains(f.renames, key);
    if (known < 0) return nullptr;
    translate = translate || known || (f.takes_out && PyUnicode_CompareWithASCIIString(key, "out") == 0);
  }
  if (!translate) return PyObject_Vectorcall(f.fn, args, nargsf, kwnames);
  return guarded([&] { return call_translated(f, args, size_t(PyVectorcall_NARGS(nargsf)), kwnames); });
}

PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *) {
  return guarded([&]() -> PyObject * {
    PyObject *fn, *name, *renames;
    int takes_out;
    if (!PyArg_ParseTuple(args, "OUO!p:Function", &fn, &name, &PyDict_Type, &renames, &takes_out)) throw PythonError{};
    if (!PyCallable_Check(fn)) throw TypeFault("Function: the first argument must be callable");
    Owned self(type->tp_alloc(type, 0));
    FunctionObject &f = function_of(self.get());
    f.call = function_vectorcall;
    f.fn = Py_NewRef(fn), f.name = Py_NewRef(name), f.renames = Py_NewRef(renames);
    f.doc = Owned(PyObject_GetAttrString(fn, "__doc__")).release();
    f.takes_out = takes_out;
    return self.release();
  });
}

int function_traverse(PyObject *self, visitproc visit, void *arg) {
  FunctionObject &f = function_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(f.fn);
  Py_VISIT(f.renames);
  return 0;
}

int function_clear(PyObject *self) {
  FunctionObject &f = function_of(self);
  Py_CLEAR(f.fn);
  Py_CLEAR(f.name);
  Py_CLEAR(f.renames);
  Py_CLEAR(f.doc);
  return 0;
}

void function_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  function_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject *function_descr_get(PyObject *self, PyObject *instance, PyObject *) {
  return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

PyObject *function_repr(PyObject *self) { return PyUnicode_FromFormat("<taeda function %U>", function_of(self).name); }
PyObject *get_name(PyObject *self, void *) { return Py_NewRef(function_of(self).name); }
PyObject *get_wrapped(PyObject *self, void *) { return Py_NewRef(function_of(self).fn); }
PyObject *get_doc(PyObject *self, void *) { return Py_NewRef(function_of(self).doc); }
// Pickled as a global of the package, and copied as what it is.
PyObject *function_reduce(PyObject *self, PyObject *) { return Py_NewRef(function_of(self).name); }

PyGetSetDef function_attributes[] = {
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_name, nullptr, nullptr, nullptr},
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {"__wrapped__", get_wrapped, nullptr, "The Python function.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef function_methods[] = {{"__reduce__", function_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FunctionObject, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};
PyType_Slot function_slots[] = {{Py_tp_new, (void *)function_new},
                                {Py_tp_dealloc, (void *)function_dealloc},
                                {Py_tp_traverse, (void *)function_traverse},
                                {Py_tp_clear, (void *)function_clear},
                                {Py_tp_call, (void *)PyVectorcall_Call},
                                {Py_tp_descr_get, (void *)function_descr_get},
                                {Py_tp_repr, (void *)function_repr},
                                {Py_tp_getset, function_attributes},
                                {Py_tp_methods, function_methods},
                                {Py_tp_members, function_members},
                                {0, nullptr}};
PyType_Spec function_type_spec = {"taeda.Function", sizeof(FunctionObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
                                      Py_TPFLAGS_HAVE_GC,
                                  function_slots};

} // namespace

void bind_functions(nb::module_ &m) {
  m.attr("Function") = nb::steal(Owned(PyType_FromSpec(&function_type_spec)).release());
}

} // namespace taeda
