// Autograd as attributes of Tensor and functions of _core: gradients, history, modes, running the tape.
#include "op.h"

namespace taeda {

namespace {

using Getter = PyObject *(*)(PyObject *, void *);

Tensor &self_of(PyObject *o) { return *tensor_ptr(o); }

// ---- attributes
// ------------------------------------------------------------------------------------------------------
// An attribute of the tensor that a function transform's tensor stands for, else null.
PyObject *of_wrapped(PyObject *self, const char *name) {
  const Tensor &t = self_of(self);
  return t.wrapped ? PyObject_GetAttrString(t.traced, name) : nullptr;
}

PyObject *get_requires_grad(PyObject *self, void *) {
  if (self_of(self).wrapped) return of_wrapped(self, "requires_grad");
  return PyBool_FromLong(needs_grad(self_of(self)));
}

void change_requires_grad(PyObject *self, bool on) {
  Tensor &t = self_of(self);
  if (t.wrapped)
    throw RuntimeFault(
        "requires_grad_(): cannot be changed inside of a function that is being transformed (vmap, jvp). "
        "Use taeda.func.grad or vjp to differentiate there");
  if (t.inference && on && !modes().inference)
    throw RuntimeFault("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
  if (grad_fn_of(t)) {
    if (!on)
      throw RuntimeFault("you can only change requires_grad flags of leaf variables. If you want to use a computed "
                         "variable in a subgraph that doesn't require "
                         "differentiation use var_no_grad = var.detach().");
    return;
  }
  if (on)
    require_grad(TensorRef(&t));
  else if (t.autograd)
    t.autograd->requires_grad = false;
}

int set_requires_grad(PyObject *self, PyObject *value, void *) {
  return guarded(-1, [&] {
    if (!value || !PyBool_Check(value)) throw RuntimeFault("requires_grad must be a bool");
    change_requires_grad(self, value == Py_True);
    return 0;
  });
}

PyObject *get_grad(PyObject *self, void *) {
  return guarded([&]() -> PyObject * {
    Tensor &t = self_of(self);
    if (!t.autograd) Py_RETURN_NONE;
    if (!t.autograd->grad && !t.autograd->retains_grad && t.autograd->grad_fn &&
        PyErr_WarnEx(PyExc_UserWarning,
                     "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute "
                     "won't be populated during "
                     "autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, "
                     "use .retain_grad() on the non-leaf Tensor.",
                     1))
      throw PythonError{};
    return wrap(t.autograd->grad);
  });
}

int set_grad(PyObject *self, PyObject *value, void *) {
  return guarded(-1, [&] {
    Tensor &t = self_of(self);
    if (!value || value == Py_None) {
      if (t.autograd) t.autograd->grad.reset();
      return 0;
    }
    if (!is_tensor(value))
      throw TypeFault(
          format("assigned grad expected to be a Tensor or None but got grad of type %s", Py_TYPE(value)->tp_name));
    if (value == self) throw RuntimeFault("can't assign Variable as its own grad");
    Tensor &g = self_of(value);
    if (g.sizes != t.sizes)
      throw RuntimeFault(format("attempting to assign a gradient of size '%s' to a tensor of size '%s'. Please ensure "
                                "that the gradient and the tensor are the same size",
                                shape_text(g.sizes).c_str(), shape_text(t.sizes).c_str()));
    if (g.dtype != t.dtype)
      throw RuntimeFault(format("attempting to assign a gradient with dtype '%s' to a tensor with dtype '%s'. Please "
                                "ensure that the gradient and the tensor have the "
                                "same dtype",
                                info(g.dtype).name, info(t.dtype).name));
    meta(t).grad = TensorRef(&g);
    return 0;
  });
}

PyObject *get_grad_fn(PyObject *self, void *) {
  if (self_of(self).wrapped) return of_wrapped(self, "grad_fn");
  return guarded([&] { return wrap_node(grad_fn_of(self_of(self))); });
}
PyObject *get_is_leaf(PyObject *self, void *) {
  return guarded([&] { return PyBool_FromLong(!grad_fn_of(self_of(self))); });
}
PyObject *get_output_nr(PyObject *self, void *) {
  const AutogradMeta *m = self_of(self).autograd;
  return PyLong_FromUnsignedLong(m ? m->output_nr : 0);
}
PyObject *get_retains_grad(PyObject *self, void *) {
  const AutogradMeta *m = self_of(self).autograd;
  return PyBool_FromLong(m && m->retains_grad);
}
PyObject *get_base(PyObject *self, void *) {
  const AutogradMeta *m = self_of(self).autograd;
  return guarded([&] { return wrap(m ? m->base : TensorRef()); });
}

PyObject *get_data(PyObject *self, void *) {
  return guarded([&] { return wrap(detached(TensorRef(tensor_ptr(self)))); });
}

// The tensor becomes another view of memory: its identity, gradient and hooks stay.
int set_data(PyObject *self, PyObject *value, void *) {
  return guarded(-1, [&] {
    if (!value || !is_tensor(value))
      throw TypeFault(
          format("Variable data has to be a tensor, but got %s", value ? Py_TYPE(value)->tp_name : "nothing"));
    Tensor &t = self_of(self), &from = self_of(value);
    if (needs_grad(t) && !is_float(from.dtype) && !is_complex(from.dtype))
      throw RuntimeFault("data set to a tensor that requires gradients must be floating point or complex dtype");
    if (t.traced || from.traced) { // a capture knows writes, not other memory
      static Op *copy = role("copy_");
      GradMode off(false);
      call_values(*copy, {TensorRef(&t), TensorRef(&from)});
      return 0;
    }
    if (t.autograd && (t.sizes != from.sizes || t.dtype != from.dtype)) t.autograd->accumulator = nullptr;
    t.sizes = from.sizes;
    t.strides = from.strides;
    t.offset = from.offset;
    t.dtype = from.dtype;
    t.storage = from.storage;
    t.forward.reset();
    return 0;
  });
}

// ---- methods
// -----------------------------------------------------------------------------------------------------------
PyObject *requires_grad_method(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    static const char *names[] = {"requires_grad", nullptr};
    int on = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:requires_grad_", const_cast<char **>(names), &on))
      throw PythonError{};
    change_requires_grad(self, on);
    return Py_NewRef(self);
  });
}

PyObject *detach_method(PyObject *self, PyObject *) {
  if (self_of(self).wrapped) return PyObject_CallMethod(self_of(self).traced, "detach", nullptr);
  return guarded([&] { return wrap(detached(TensorRef(tensor_ptr(self)))); });
}

PyObject *detach_in_place_method(PyObject *self, PyObject *) {
  return guarded([&] {
    Tensor &t = self_of(self);
    if (t.autograd && t.autograd->base) throw RuntimeFault("Can't detach views in-place. Use detach() instead.");
    drop_history(t);
    return Py_NewRef(self);
  });
}

PyObject *retain_grad_method(PyObject *self, PyObject *) {
  return guarded([&] {
    retain_grad(self_of(self));
    return Py_NewRef(Py_None);
  });
}

PyObject *is_view_method(PyObject *self, PyObject *) {
  const AutogradMeta *m = self_of(self).autograd;
  return PyBool_FromLong(m && m->base);
}

PyGetSetDef attributes[] = {
    {"requires_grad", get_requires_grad, set_requires_grad,
     "Whether operations on the tensor are recorded for a backward pass.", nullptr},
    {"grad", get_grad, set_grad, "The gradient that backward() accumulated, or None.", nullptr},
    {"grad_fn", get_grad_fn, nullptr, "The node of the tape that made the tensor; None for a leaf.", nullptr},
    {"is_leaf", get_is_leaf, nullptr, "True where the tensor was not computed by a recorded operation.", nullptr},
    {"output_nr", get_output_nr, nullptr, "Which output of grad_fn the tensor is.", nullptr},
    {"retains_grad", get_retains_grad, nullptr, "True for a computed tensor whose gradient is kept.", nullptr},
    {"data", get_data, set_data, "The same memory without history.", nullptr},
    {"_base", get_base, nullptr, "The tensor that a view shows, or None.", nullptr},
};

PyMethodDef methods[] = {
    {"requires_grad_", (PyCFunction)(void (*)())requires_grad_method, METH_VARARGS | METH_KEYWORDS,
     "requires_grad_(requires_grad=True): sets the flag; returns the tensor."},
    {"detach", detach_method, METH_NOARGS, "The same memory without history."},
    {"detach_", detach_in_place_method, METH_NOARGS, "Forgets the history; returns the tensor."},
    {"retain_grad", retain_grad_method, METH_NOARGS,
     "Makes backward() keep the gradient of this computed tensor in .grad."},
    {"_is_view", is_view_method, METH_NOARGS, nullptr},
};

void add_to_tensor() {
  auto add = [](const char *name, PyObject *descriptor) {
    Owned d(descriptor);
    if (PyObject_SetAttrString((PyObject *)tensor_type, name, d.get())) throw nb::python_error();
  };
  for (PyGetSetDef &g : attributes) add(g.name, PyDescr_NewGetSet(tensor_type, &g));
  for (PyMethodDef &d : methods) add(d.ml_name, PyDescr_NewMethod(tensor_type, &d));
}

// ---- running the tape
// ----------------------------------------------------------------------------------------------------
std::vector<TensorRef> tensors_from(nb::handle o, const char *what, bool allow_none) {
  Owned items(PySequence_Fast(o.ptr(), what));
  std::vector<TensorRef> v;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject *item = PySequence_Fast_GET_ITEM(items.get(), i);
    if (!is_tensor(item) && !(allow_none && item == Py_None))
      throw TypeFault(
          format("%s %zd must be a Tensor%s, not %s", what, i, allow_none ? " or None" : "", Py_TYPE(item)->tp_name));
    v.push_back(item == Py_None ? TensorRef() : TensorRef(tensor_ptr(item)));
  }
  return v;
}

std::string size_text(const Dims &d) { return "taeda.Size(" + shape_text(d) + ")"; }

// The gradient a root starts with: what was given, checked, or one for a scalar.
TensorRef root_gradient(const TensorRef &root, TensorRef given, size_t i) {
  if (!needs_grad(*root))
    throw RuntimeFault(format("element %zu of tensors does not require grad and does not have a grad_fn", i));
  if (!given) {
    if (root->numel() != 1) throw RuntimeFault("grad can be implicitly created only for scalar outputs");
    Node::Output like;
    like.describe(*root);
    return filled(like, 1);
  }
  if (given->sizes != root->sizes)
    throw RuntimeFault(
        format("Mismatch in shape: grad_output[%zu] has a shape of %s and output[%zu] has a shape of %s.", i,
               size_text(given->sizes).c_str(), i, size_text(root->sizes).c_str()));
  return cast(given, root->dtype);
}

nb::object backward(nb::handle roots, nb::handle grads, bool retain_graph, bool create_graph, nb::handle inputs,
                    bool accumulate) {
  std::vector<TensorRef> from = tensors_from(roots, "output", false), given = tensors_from(grads, "grad_output", true),
                         to = tensors_from(inputs, "input", false);
  if (from.size() != given.size())
    throw RuntimeFault(format("got %zu tensors and %zu gradients", from.size(), given.size()));
  {
    GradMode mode(create_graph);
    for (size_t i = 0; i < from.size(); ++i) given[i] = root_gradient(from[i], std::move(given[i]), i);
  }
  if (accumulate)
    for (const TensorRef &t : to)
      if (needs_grad(*t)) retain_grad(*t);
  std::vector<TensorRef> found = run_backward(from, given, retain_graph, create_graph, to, accumulate);
  Owned result(PyTuple_New(Py_ssize_t(found.size())));
  for (size_t i = 0; i < found.size(); ++i) PyTuple_SET_ITEM(result.get(), Py_ssize_t(i), wrap(found[i]));
  return nb::steal(result.release());
}

TensorRef tensor_argument(nb::handle o, const char *function) {
  if (!is_tensor(o.ptr()))
    throw TypeFault(format("%s: expected a Tensor, got %s", function, Py_TYPE(o.ptr())->tp_name));
  return TensorRef(tensor_ptr(o.ptr()));
}

void bind_modes(nb::module_ &m) {
  m.def("is_grad_enabled", [] { return modes().grad; }, "Whether operations are recorded on this thread.");
  m.def(
      "_set_grad_enabled", [](bool on) { return std::exchange(modes().grad, on); }, nb::arg("mode"),
      "Sets whether operations are recorded; returns what was set before.");
  m.def("is_inference_mode_enabled", [] { return modes().inference; }, "Whether inference mode is on, on this thread.");
  m.def(
      "_set_inference_mode",
      [](bool on) {
        Modes before = modes();
        modes().inference = on;
        if (on) modes().grad = false;
        return nb::make_tuple(before.grad, before.inference);
      },
      nb::arg("mode"),
      "Sets inference mode, which also stops recording; returns what was set before as (grad, inference).");
  m.def("is_anomaly_enabled", [] { return modes().anomaly; }, "Whether anomaly detection is on.");
  m.def("is_anomaly_check_nan_enabled", [] { return modes().check_nan; }, "Whether anomaly detection looks for NaN.");
  m.def(
      "_set_anomaly",
      [](bool on, bool check_nan) {
        modes().anomaly = on;
        modes().check_nan = check_nan;
      },
      nb::arg("mode"), nb::arg("check_nan"), "Sets anomaly detection.");
}

} // namespace

void bind_autograd(nb::module_ &m) {
  add_to_tensor();
  bind_node(m);
  bind_function(m);
  bind_modes(m);
  m.def("run_backward", &backward, nb::arg("roots"), nb::arg("grads"), nb::arg("retain_graph"), nb::arg("create_graph"),
        nb::arg("inputs"), nb::arg("accumulate"),
        "Runs the tape from `roots`. The gradients of `inputs`; or, where there are none or with `accumulate`, adds to "
        ".grad.");
  m.def(
      "tensor_hooks", [](nb::handle t) { return nb::borrow(hooks_of(*tensor_argument(t, "tensor_hooks"))); },
      nb::arg("tensor"), "The dict of hooks on the tensor's gradient.");
  m.def(
      "post_accumulate_hooks",
      [](nb::handle o) {
        TensorRef t = tensor_argument(o, "post_accumulate_hooks");
        if (!needs_grad(*t)) throw RuntimeFault("cannot register a hook on a tensor that doesn't require gradient");
        if (grad_fn_of(*t)) throw RuntimeFault("post accumulate grad hooks cannot be registered on non-leaf tensors");
        std::vector<PyObject *> &hooks = meta(*t).hooks;
        hooks.resize(2);
        if (!hooks[1]) hooks[1] = Owned(PyDict_New()).release();
        return nb::borrow(hooks[1]);
      },
      nb::arg("tensor"), "The dict of hooks called after the leaf's .grad was accumulated.");
  m.def(
      "gradient_edge",
      [](nb::handle t) {
        Edge e = gradient_edge(*tensor_argument(t, "gradient_edge"));
        return nb::make_tuple(nb::steal(wrap_node(e.node)), e.slot);
      },
      nb::arg("tensor"), "(node, output number) where the tensor's gradient goes.");
  m.def(
      "become_view",
      [](nb::handle t, nb::handle v) {
        if (!is_tensor(t.ptr()) || !is_tensor(v.ptr())) throw TypeFault("become_view: takes two tensors");
        Tensor &tensor = *tensor_ptr(t.ptr()), &view = *tensor_ptr(v.ptr());
        if (tensor.storage != view.storage || tensor.dtype != view.dtype)
          throw RuntimeFault("become_view: the second tensor is no view of the first");
        become_view(tensor, view);
        return nb::borrow(t);
      },
      nb::arg("tensor"), nb::arg("view"), "Gives a tensor the geometry and the history of a view of it; returns it.");
  m.def("current_engine_run", &current_engine_run,
        "The number of the backward pass under way on this thread; 0: none.");
  m.def(
      "set_saved_tensor_hooks",
      [](nb::handle pack, nb::handle unpack) { return nb::steal(set_saved_tensor_hooks(pack.ptr(), unpack.ptr())); },
      nb::arg("pack").none(), nb::arg("unpack").none(),
      "Hooks for tensors that are saved from now on, on this thread; returns those before.");
}

} // namespace taeda
