// What the files that make up Python's Tensor class tell each other.
#pragma once
#include "py_common.h"

namespace taeda {

// Slots of the number protocol, comparison and truth; ended by {0, nullptr}. py_number.cpp
extern PyType_Slot number_slots[];
void bind_slots(nb::module_ &m); // _core.set_slot

// py_values.cpp: methods that read elements
extern PyMethodDef value_methods[];
PyObject *item_of(const Tensor &t); // the one element as a Python number
PyObject *tensor_deepcopy(PyObject *self, PyObject *memo);
PyObject *tensor_reduce_ex(PyObject *self, PyObject *protocol);
void bind_values(nb::module_ &m);

// py_interop.cpp: the buffer protocol, DLPack and NumPy
extern PyType_Slot buffer_slots[];
extern PyMethodDef interop_methods[];

} // namespace taeda
