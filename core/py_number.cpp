// Python's operators on tensors. Each slot forwards to the callable that _core.set_slot gave it, or lets the other
// operand try.
#include <cstring>

#include "py_tensor.h"

namespace taeda {

namespace {

enum Slot {
  Add,
  Subtract,
  Multiply,
  Remainder,
  Power,
  LeftShift,
  RightShift,
  And,
  Xor,
  Or,
  FloorDivide,
  TrueDivide,
  MatrixMultiply,
  FirstInplace, // the in-place twins follow in the same order
  Negative = 2 * FirstInplace,
  Absolute,
  Invert,
  Less,
  LessEqual,
  Equal,
  NotEqual,
  Greater,
  GreaterEqual, // in the order of Py_LT ... Py_GE
  Count
};
const char *const kNames[Count] = {"nb_add",
                                   "nb_subtract",
                                   "nb_multiply",
                                   "nb_remainder",
                                   "nb_power",
                                   "nb_lshift",
                                   "nb_rshift",
                                   "nb_and",
                                   "nb_xor",
                                   "nb_or",
                                   "nb_floor_divide",
                                   "nb_true_divide",
                                   "nb_matrix_multiply",
                                   "nb_inplace_add",
                                   "nb_inplace_subtract",
                                   "nb_inplace_multiply",
                                   "nb_inplace_remainder",
                                   "nb_inplace_power",
                                   "nb_inplace_lshift",
                                   "nb_inplace_rshift",
                                   "nb_inplace_and",
                                   "nb_inplace_xor",
                                   "nb_inplace_or",
                                   "nb_inplace_floor_divide",
                                   "nb_inplace_true_divide",
                                   "nb_inplace_matrix_multiply",
                                   "nb_negative",
                                   "nb_absolute",
                                   "nb_invert",
                                   "<",
                                   "<=",
                                   "==",
                                   "!=",
                                   ">",
                                   ">="};
PyObject *callables[Count];

// The operand as the operator may take it: itself, or an array as a tensor. Null (no error): not for us.
Owned operand(PyObject *o) {
  if (is_tensor(o) || PyFloat_CheckExact(o) || PyLong_CheckExact(o) || PyBool_Check(o)) return Owned::borrow(o);
  if (std::strcmp(Py_TYPE(o)->tp_name, "numpy.ndarray") == 0) return Owned(wrap(tensor_from_buffer(o, false)));
  Scalar s;
  if (is_symbolic(o) || scalar_from(o, &s)) return Owned::borrow(o);
  return {};
}

PyObject *call_slot(Slot slot, PyObject *const *args, size_t n) {
  PyObject *f = callables[slot];
  if (!f) Py_RETURN_NOTIMPLEMENTED;
  return PyObject_Vectorcall(f, args, n, nullptr);
}

PyObject *binary(Slot slot, PyObject *a, PyObject *b) {
  if (is_tensor(a) &&
      (is_tensor(b) || PyFloat_CheckExact(b) || PyLong_CheckExact(b))) { // the common case, no conversions
    PyObject *args[] = {a, b};
    return call_slot(slot, args, 2);
  }
  return guarded([&]() -> PyObject * {
    Owned x = operand(a), y = operand(b);
    if (!x || !y) Py_RETURN_NOTIMPLEMENTED;
    PyObject *args[] = {x.get(), y.get()};
    return call_slot(slot, args, 2);
  });
}

template <Slot S> PyObject *binary_slot(PyObject *a, PyObject *b) { return binary(S, a, b); }

PyObject *power_slot(PyObject *a, PyObject *b, PyObject *mod) {
  if (mod != Py_None) {
    PyErr_SetString(PyExc_TypeError, "pow() of a tensor takes no modulus");
    return nullptr;
  }
  return binary(Power, a, b);
}

PyObject *inplace(Slot slot, PyObject *a, PyObject *b) {
  if (!callables[slot + FirstInplace]) Py_RETURN_NOTIMPLEMENTED; // Python then computes a new tensor
  return binary(Slot(slot + FirstInplace), a, b);
}
template <Slot S> PyObject *inplace_slot(PyObject *a, PyObject *b) { return inplace(S, a, b); }
PyObject *inplace_power_slot(PyObject *a, PyObject *b, PyObject *) { return inplace(Power, a, b); }

template <Slot S> PyObject *unary_slot(PyObject *a) {
  if (!callables[S]) {
    PyErr_Format(PyExc_TypeError, "no operator is registered for %s", kNames[S]);
    return nullptr;
  }
  return call_slot(S, &a, 1);
}
PyObject *positive_slot(PyObject *a) { return Py_NewRef(a); }

PyObject *compare_slot(PyObject *a, PyObject *b, int op) { return binary(Slot(Less + op), a, b); }

int bool_slot(PyObject *self) {
  return guarded(-1, [&] {
    const Tensor &t = *tensor_ptr(self);
    require_data(t, "bool");
    if (t.numel() == 0) throw RuntimeFault("Boolean value of Tensor with no values is ambiguous");
    if (t.numel() != 1) throw RuntimeFault("Boolean value of Tensor with more than one value is ambiguous");
    Owned v(item_of(t));
    return PyObject_IsTrue(v.get());
  });
}

PyObject *number_of(PyObject *self, const char *what) {
  const Tensor &t = *tensor_ptr(self);
  require_data(t, what);
  if (t.numel() != 1) throw ValueFault("only one element tensors can be converted to Python scalars");
  return item_of(t);
}

// A complex number stands for a real one only if it is one.
Owned real_number(PyObject *self, const char *what, const char *type) {
  Owned v(number_of(self, what));
  if (!PyComplex_Check(v.get())) return v;
  Py_complex c = PyComplex_AsCComplex(v.get());
  if (c.imag != 0) throw RuntimeFault(format("value cannot be converted to type %s without overflow", type));
  return Owned(PyFloat_FromDouble(c.real));
}

PyObject *int_slot(PyObject *self) {
  return guarded([&] {
    Owned v(real_number(self, "int", "int64_t"));
    return PyNumber_Long(v.get());
  });
}
PyObject *float_slot(PyObject *self) {
  return guarded([&] {
    Owned v(real_number(self, "float", "double"));
    return PyNumber_Float(v.get());
  });
}
PyObject *index_slot(PyObject *self) {
  return guarded([&] {
    const Tensor &t = *tensor_ptr(self);
    if (!is_integral(t.dtype, true) || (!t.traced && t.numel() != 1))
      throw TypeFault("only integer tensors of a single element can be converted to an index");
    Owned v(number_of(self, "index"));
    return PyNumber_Long(v.get());
  });
}

Py_hash_t hash_slot(PyObject *self) { // by identity
  uintptr_t h = reinterpret_cast<uintptr_t>(self);
  return Py_hash_t((h >> 4) | (h << (8 * sizeof h - 4)));
}

} // namespace

#define TAEDA_BINARY(py, slot)                                                                                         \
  {Py_nb_##py, (void *)binary_slot<slot>}, { Py_nb_inplace_##py, (void *)inplace_slot<slot> }
PyType_Slot number_slots[] = {
    TAEDA_BINARY(add, Add),
    TAEDA_BINARY(subtract, Subtract),
    TAEDA_BINARY(multiply, Multiply),
    TAEDA_BINARY(remainder, Remainder),
    TAEDA_BINARY(lshift, LeftShift),
    TAEDA_BINARY(rshift, RightShift),
    TAEDA_BINARY(and, And),
    TAEDA_BINARY(xor, Xor),
    TAEDA_BINARY(or, Or),
    TAEDA_BINARY(floor_divide, FloorDivide),
    TAEDA_BINARY(true_divide, TrueDivide),
    TAEDA_BINARY(matrix_multiply, MatrixMultiply),
    {Py_nb_power, (void *)power_slot},
    {Py_nb_inplace_power, (void *)inplace_power_slot},
    {Py_nb_negative, (void *)unary_slot<Negative>},
    {Py_nb_positive, (void *)positive_slot},
    {Py_nb_absolute, (void *)unary_slot<Absolute>},
    {Py_nb_invert, (void *)unary_slot<Invert>},
    {Py_nb_bool, (void *)bool_slot},
    {Py_nb_int, (void *)int_slot},
    {Py_nb_float, (void *)float_slot},
    {Py_nb_index, (void *)index_slot},
    {Py_tp_richcompare, (void *)compare_slot},
    {Py_tp_hash, (void *)hash_slot},
    {0, nullptr},
};
#undef TAEDA_BINARY

void bind_slots(nb::module_ &m) {
  m.def(
      "set_slot",
      [](const char *name, nb::object callable) {
        if (!PyCallable_Check(callable.ptr())) throw TypeFault(format("set_slot: %s must be given a callable", name));
        for (int i = 0; i < Count; ++i)
          if (std::strcmp(kNames[i], name) == 0) {
            PyObject *old = std::exchange(callables[i], callable.release().ptr());
            Py_XDECREF(old);
            return;
          }
        throw ValueFault(format("set_slot: no slot of Tensor is named '%s'", name));
      },
      nb::arg("name"), nb::arg("callable"),
      "Makes a callable the meaning of a Python operator on tensors: 'nb_add', 'nb_inplace_add', ..., '<', '==', ...");
  nb::list names;
  for (const char *name : kNames) names.append(name);
  m.attr("slots") = nb::tuple(names); // what set_slot takes
}

} // namespace taeda
