// Python's Function class: a Python function as PyTorch's users call it. Arguments of the wrong type are refused as
// PyTorch refuses them. It takes NumPy's names of arguments (`axis` for `dim`) and, where the function computes a
// result only, `out=`; everything else is passed on unchanged.
#include <cstddef>
#include <cstring>
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
  PyObject *module;     // where it is found by its name; null: the package itself
  PyObject *parameters; // tuple of their names
  // What each parameter must be: T a tensor, O a tensor or None, S a sequence of tensors, b a bool, i an int, f a
  // number, g a generator, d a dimension or several, ? anything.
  // A last * says that all further arguments are tensors or sequences of them.
  char *codes;
  size_t count, positional; // of the codes; of the parameters that need no keyword
  bool takes_out;
};

FunctionObject &function_of(PyObject *self) { return *reinterpret_cast<FunctionObject *>(self); }

bool is_sequence_of_tensors(PyObject *o) {
  if (!PyList_Check(o) && !PyTuple_Check(o)) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
    if (!is_tensor(PySequence_Fast_GET_ITEM(o, i))) return false;
  return true;
}

// What is accepted beyond the plain types stands for them during a capture.
const char *expected(char code, PyObject *o) {
  switch (code) {
  case 'T':
    return is_tensor(o) ? nullptr : "Tensor";
  case 'O':
    return is_tensor(o) || o == Py_None ? nullptr : "Tensor";
  case 'f':
    return PyUnicode_Check(o) || PyList_Check(o) || PyTuple_Check(o) || o == Py_None ? "float" : nullptr;
  case 'S':
    return is_sequence_of_tensors(o) ? nullptr : "tuple of Tensors";
  case '*':
    return is_tensor(o) || is_sequence_of_tensors(o) ? nullptr : "Tensor";
  case 'b':
    return PyBool_Check(o) || !(PyLong_Check(o) || PyFloat_Check(o) || PyUnicode_Check(o) || PyList_Check(o) ||
                                PyTuple_Check(o) || o == Py_None || is_tensor(o))
               ? nullptr
               : "bool";
  case 'i':
    return PyBool_Check(o) || PyFloat_Check(o) || PyUnicode_Check(o) || PyList_Check(o) || PyTuple_Check(o) ||
                   o == Py_None
               ? "int"
               : nullptr;
  case 'g':
    return PyLong_Check(o) || PyFloat_Check(o) || PyUnicode_Check(o) || PyList_Check(o) || PyTuple_Check(o) ||
                   is_tensor(o)
               ? "Generator"
               : nullptr;
  case 'd':
    return PyBool_Check(o) || PyFloat_Check(o) ? "int" : nullptr;
  default:
    return nullptr;
  }
}

bool refuse(FunctionObject &f, size_t position, bool keyword, const char *wanted, PyObject *o) {
  PyObject *parameter = keyword || position < f.positional ? PyTuple_GET_ITEM(f.parameters, position) : nullptr;
  if (!parameter)
    PyErr_Format(PyExc_TypeError, "%U(): argument %zu must be %s, not %s", f.name, position + 1, wanted,
                 Py_TYPE(o)->tp_name);
  else if (keyword)
    PyErr_Format(PyExc_TypeError, "%U(): argument '%U' must be %s, not %s", f.name, parameter, wanted,
                 Py_TYPE(o)->tp_name);
  else
    PyErr_Format(PyExc_TypeError, "%U(): argument '%U' (position %zu) must be %s, not %s", f.name, parameter,
                 position + 1, wanted, Py_TYPE(o)->tp_name);
  return false;
}

// False with an exception set where an argument is of the wrong type.
bool check(FunctionObject &f, PyObject *const *args, size_t nargs, PyObject *kwnames) {
  if (!f.count) return true;
  char rest = f.codes[f.count - 1] == '*' ? '*' : '?';
  for (size_t i = 0; i < nargs; ++i) {
    char code = i >= f.positional ? rest : i < f.count ? f.codes[i] : '?';
    if (const char *wanted = expected(code, args[i])) return refuse(f, i, false, wanted, args[i]);
  }
  for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); ++k) {
    PyObject *key = PyTuple_GET_ITEM(kwnames, k);
    if (PyObject *other = PyDict_GetItemWithError(f.renames, key)) key = other;
    for (size_t i = 0; i < f.count && Py_ssize_t(i) < PyTuple_GET_SIZE(f.parameters); ++i) {
      if (f.codes[i] == '?' || f.codes[i] == '*' ||
          PyUnicode_Compare(PyTuple_GET_ITEM(f.parameters, Py_ssize_t(i)), key) != 0)
        continue;
      PyObject *value = args[nargs + size_t(k)];
      if (const char *wanted = expected(f.codes[i], value)) return refuse(f, i, true, wanted, value);
      break;
    }
  }
  return !PyErr_Occurred();
}

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
  if (!check(f, args, size_t(PyVectorcall_NARGS(nargsf)), kwnames)) return nullptr;
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
    PyObject *fn, *name, *renames, *parameters, *module = nullptr;
    const char *codes;
    Py_ssize_t positional;
    int takes_out;
    if (!PyArg_ParseTuple(args, "OUO!O!snp|U:Function", &fn, &name, &PyDict_Type, &renames, &PyTuple_Type, &parameters,
                          &codes, &positional, &takes_out, &module))
      throw PythonError{};
    if (!PyCallable_Check(fn)) throw TypeFault("Function: the first argument must be callable");
    Owned self(type->tp_alloc(type, 0));
    FunctionObject &f = function_of(self.get());
    f.call = function_vectorcall;
    f.fn = Py_NewRef(fn), f.name = Py_NewRef(name), f.renames = Py_NewRef(renames);
    f.parameters = Py_NewRef(parameters), f.module = Py_XNewRef(module);
    f.count = strlen(codes), f.positional = size_t(positional);
    f.codes = static_cast<char *>(PyMem_Malloc(f.count + 1));
    if (!f.codes) throw std::bad_alloc();
    memcpy(f.codes, codes, f.count + 1);
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
  Py_CLEAR(f.parameters);
  Py_CLEAR(f.module);
  return 0;
}

void function_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  function_clear(self);
  PyMem_Free(function_of(self).codes);
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
// Pickled as a global of the package (or of its module), and copied as what it is.
PyObject *function_reduce(PyObject *self, PyObject *) {
  FunctionObject &f = function_of(self);
  if (!f.module) return Py_NewRef(f.name);
  PyObject *bind = PyImport_ImportModule("taeda._bind");
  PyObject *find = bind ? PyObject_GetAttrString(bind, "function_of") : nullptr;
  Py_XDECREF(bind);
  return find ? Py_BuildValue("N(OO)", find, f.module, f.name) : nullptr;
}

PyGetSetDef function_attributes[] = {{"__name__", get_name, nullptr, nullptr, nullptr},
                                     {"__qualname__", get_name, nullptr, nullptr, nullptr},
                                     {"__doc__", get_doc, nullptr, nullptr, nullptr},
                                     {"__wrapped__", get_wrapped, nullptr, "The Python function.", nullptr},
                                     {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef function_methods[] = {{"__reduce__", function_reduce, METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
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
