// Python's view of the tape: the class of grad_fn.
#include <nanobind/stl/string.h>

#include "autograd.h"
#include "py_common.h"

namespace taeda {

namespace {

PyTypeObject *node_type = nullptr;

Node *node_ptr(PyObject *o) { return nb::inst_ptr<Node>(o); }

int node_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? node_ptr(self)->traverse(visit, arg) : 0;
}

int node_clear(PyObject *self) {
  if (!nb::inst_ready(self)) return 0;
  Node &n = *node_ptr(self);
  n.release();
  n.drop_context();
  n.extras_.reset();
  return 0;
}

nb::object next_functions(const Node &n) {
  Owned t(PyTuple_New(Py_ssize_t(n.next.size())));
  for (size_t i = 0; i < n.next.size(); ++i) {
    Owned node(wrap_node(n.next[i].node)), slot(PyLong_FromUnsignedLong(n.next[i].slot));
    PyTuple_SET_ITEM(t.get(), Py_ssize_t(i), Owned(PyTuple_Pack(2, node.get(), slot.get())).release());
  }
  return nb::steal(t.release());
}

nb::object dict_at(PyObject *&place) {
  if (!place) place = Owned(PyDict_New()).release();
  return nb::borrow(place);
}

std::string text_of(nb::handle self) {
  return format("<%s object at %p>", node_ptr(self.ptr())->name().c_str(), (void *)self.ptr());
}

// grad_fn(*grads): the gradients this node passes on.
nb::object call_node(Node &n, nb::args given) {
  if (given.size() != n.outputs.size())
    throw TypeFault(format("%s expected %zu arguments, got %zu", n.name().c_str(), n.outputs.size(), given.size()));
  std::vector<TensorRef> grads, out(n.next.size());
  for (size_t i = 0; i < given.size(); ++i) {
    PyObject *g = given[i].ptr();
    if (g != Py_None && !is_tensor(g))
      throw TypeFault(format("%s expected Tensors, got %s", n.name().c_str(), Py_TYPE(g)->tp_name));
    grads.push_back(g == Py_None ? TensorRef() : TensorRef(tensor_ptr(g)));
  }
  std::vector<uint8_t> wanted;
  for (const Edge &e : n.next) wanted.push_back(bool(e.node));
  n.apply(grads, out, wanted);
  if (out.size() == 1) return nb::steal(wrap(out[0]));
  Owned t(PyTuple_New(Py_ssize_t(out.size())));
  for (size_t i = 0; i < out.size(); ++i) PyTuple_SET_ITEM(t.get(), Py_ssize_t(i), wrap(out[i]));
  return nb::steal(t.release());
}

} // namespace

PyObject *wrap_node(const NodeRef &n) {
  if (!n) return Py_NewRef(Py_None);
  if (PyObject *o = n->self_py()) return Py_NewRef(o);
  PyObject *o = nb::inst_take_ownership(nb::handle((PyObject *)node_type), n.get()).release().ptr();
  n->set_self_py(o);
  return o;
}

void bind_node(nb::module_ &m) {
  static PyType_Slot slots[] = {
      {Py_tp_traverse, (void *)node_traverse}, {Py_tp_clear, (void *)node_clear}, {0, nullptr}};
  nb::class_<Node> cls(m, "Node", nb::intrusive_ptr<Node>([](Node *n, PyObject *o) noexcept { n->set_self_py(o); }),
                       nb::type_slots(slots), nb::is_weak_referenceable(),
                       "One operation on the tape: what a tensor's grad_fn is.");
  node_type = (PyTypeObject *)cls.ptr();
  cls.attr("__module__") = "taeda.autograd";
  cls.def("name", &Node::name, "The operation's name, such as 'MulBackward0'.")
      .def("__repr__", [](nb::handle self) { return text_of(self); })
      .def("__call__", &call_node)
      .def_prop_ro("next_functions", &next_functions,
                   "Where the gradients go: a pair (node or None, output number) per tensor argument.")
      .def_prop_ro(
          "metadata", [](Node &n) { return dict_at(n.extras().metadata); }, "A dict for notes.")
      .def_prop_ro("_pre_hooks", [](Node &n) { return dict_at(n.extras().pre_hooks); })
      .def_prop_ro("_post_hooks", [](Node &n) { return dict_at(n.extras().post_hooks); })
      .def(
          "_sequence_nr", [](const Node &n) { return n.sequence; }, "When the node was made: later ones run first.")
      .def("__getattr__", [](Node &n, const char *name) -> nb::object { // only for names that are not found otherwise
        if (std::string_view(name) == "variable" && n.leaf()) return nb::steal(wrap(TensorRef(n.leaf())));
        if (PyObject *context = n.context()) return nb::steal(Owned(PyObject_GetAttrString(context, name)).release());
        PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute '%s'", n.name().c_str(), name);
        throw PythonError{};
      });
}

} // namespace taeda
