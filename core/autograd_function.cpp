// Custom functions: a Python class with forward and backward as one node of the tape.
#include "autograd.h"
#include "py_common.h"

namespace taeda {

namespace {

// What a function's forward leaves for its backward. Python's FunctionCtx derives from it.
struct FunctionState {
  Node *node = nullptr; // the node that owns this object; it clears the pointer when it dies
  Owned needs_input_grad, to_save, dirty, non_differentiable;
  bool materialize = true;
  std::vector<SavedTensor> saved;
};

PyTypeObject *state_type = nullptr;

FunctionState &state_of(PyObject *ctx) { return *nb::inst_ptr<FunctionState>(ctx); }

int state_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(*reinterpret_cast<PyObject **>(reinterpret_cast<char *>(self) + state_type->tp_dictoffset));
  if (!nb::inst_ready(self)) return 0;
  const FunctionState &s = state_of(self);
  Py_VISIT(s.to_save.get());
  Py_VISIT(s.dirty.get());
  Py_VISIT(s.non_differentiable.get());
  for (const SavedTensor &t : s.saved)
    if (int r = t.traverse(visit, arg)) return r;
  return 0;
}

int state_clear(PyObject *self) {
  Py_CLEAR(*reinterpret_cast<PyObject **>(reinterpret_cast<char *>(self) + state_type->tp_dictoffset));
  if (!nb::inst_ready(self)) return 0;
  FunctionState &s = state_of(self);
  s.to_save = Owned();
  s.dirty = Owned();
  s.non_differentiable = Owned();
  for (SavedTensor &t : s.saved) t.clear();
  return 0;
}

class FunctionNode final : public Node {
public:
  FunctionNode(Owned ctx, Owned backward, std::string name, size_t args)
      : ctx_(std::move(ctx)), backward_(std::move(backward)), name_(std::move(name)) {
    edge_of_.assign(args, -1);
    state_of(ctx_.get()).node = this;
  }
  ~FunctionNode() override {
    if (ctx_) state_of(ctx_.get()).node = nullptr;
  }
  std::string name() const override { return name_; }
  PyObject *context() const override { return ctx_.get(); }
  bool runs_without_grads() const override { return ctx_ && state_of(ctx_.get()).materialize; }
  void release() override {
    if (ctx_)
      for (SavedTensor &t : state_of(ctx_.get()).saved) t.clear();
  }
  void drop_context() override {
    if (ctx_) state_of(ctx_.get()).node = nullptr;
    ctx_ = Owned();
  }
  int traverse(visitproc visit, void *arg) const override {
    Py_VISIT(ctx_.get());
    return Node::traverse(visit, arg);
  }

  void apply(std::span<TensorRef> grads, std::span<TensorRef> out, std::span<const uint8_t>) override {
    if (!ctx_) throw RuntimeFault(format("%s: its context is gone", name_.c_str()));
    std::vector<Owned> values;
    std::vector<PyObject *> argv = {ctx_.get()};
    bool materialize = state_of(ctx_.get()).materialize;
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!grads[i] && materialize && is_tensor_[i]) grads[i] = zeros(outputs[i]);
      values.emplace_back(wrap(grads[i]));
      argv.push_back(values.back().get());
    }
    Owned result(PyObject_Vectorcall(backward_.get(), argv.data(), argv.size(), nullptr));
    distribute(result.get(), out);
  }

  std::vector<int> edge_of_;       // per argument of forward; -1: not a tensor
  std::vector<uint8_t> is_tensor_; // per output

private:
  void distribute(PyObject *result, std::span<TensorRef> out) const {
    bool several = PyTuple_Check(result) || PyList_Check(result);
    size_t n = several ? size_t(PySequence_Fast_GET_SIZE(result)) : 1;
    auto at = [&](size_t i) { return several ? PySequence_Fast_GET_ITEM(result, Py_ssize_t(i)) : result; };
    size_t given = n;
    while (n > edge_of_.size() && at(n - 1) == Py_None) --n; // more than were asked for, but nothing in them
    if (n != edge_of_.size())
      throw RuntimeFault(format("function %s returned an incorrect number of gradients (expected %zu, got %zu)",
                                name_.c_str(), edge_of_.size(), given));
    for (size_t i = 0; i < n; ++i) {
      PyObject *g = at(i);
      if (g == Py_None) continue;
      if (edge_of_[i] < 0)
        throw RuntimeFault(format("function %s returned a gradient different from None at position %zu, but the "
                                  "corresponding forward input was not a Variable",
                                  name_.c_str(), i + 1));
      if (!is_tensor(g))
        throw TypeFault(format("function %s: expected a Tensor or None as gradient %zu, got %s", name_.c_str(), i + 1,
                               Py_TYPE(g)->tp_name));
      out[size_t(edge_of_[i])] = TensorRef(tensor_ptr(g));
    }
  }

  Owned ctx_, backward_;
  std::string name_;
};

bool contains(const Owned &tuple, PyObject *o) {
  for (Py_ssize_t i = 0; tuple && i < PyTuple_GET_SIZE(tuple.get()); ++i)
    if (PyTuple_GET_ITEM(tuple.get(), i) == o) return true;
  return false;
}

int64_t find(PyObject *tuple, PyObject *o) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
    if (PyTuple_GET_ITEM(tuple, i) == o) return i;
  return -1;
}

Owned run_forward(PyObject *cls, PyObject *ctx, PyObject *args) {
  GradMode off(false);
  Owned forward(PyObject_GetAttrString(cls, "forward")), separate(PyObject_GetAttrString(cls, "_has_setup_context"));
  if (separate.get() == Py_True) {
    Owned result(PyObject_Call(forward.get(), args, nullptr));
    Owned(PyObject_CallMethod(cls, "setup_context", "OOO", ctx, args, result.get()));
    return result;
  }
  Owned first(PyTuple_Pack(1, ctx)), all(PySequence_Concat(first.get(), args));
  return Owned(PyObject_Call(forward.get(), all.get(), nullptr));
}

// One output of the function on the tape; returns what the caller gets.
Owned attach_output(const Ref<FunctionNode> &node, const FunctionState &state, PyObject *args, PyObject *o, size_t slot,
                    size_t count) {
  TensorRef t(tensor_ptr(o));
  int64_t arg = find(args, o);
  bool dirty = contains(state.dirty, o);
  if (contains(state.non_differentiable, o) || !(is_float(t->dtype) || is_complex(t->dtype))) {
    if (arg >= 0 && !dirty) return Owned(wrap(detached(t)));
    if (arg < 0) drop_history(*t);
    return Owned::borrow(o);
  }
  if (dirty) {
    if (t->autograd && t->autograd->requires_grad && !t->autograd->grad_fn)
      throw RuntimeFault("a leaf Variable that requires grad is being used in an in-place operation.");
    if (t->autograd && t->autograd->base && count > 1)
      throw RuntimeFault("If your Function modifies inplace an input that is a view of another Tensor, your Function "
                         "cannot return more than one Tensor. "
                         "You should return a clone of the other outputs, or modify inplace a clone of the input.");
    rebase_history(*t, node, uint32_t(slot), size_t(node->edge_of_[size_t(arg)]));
    return Owned::borrow(o);
  }
  TensorRef base = arg >= 0 ? t : t->autograd ? t->autograd->base : TensorRef();
  if (arg >= 0) t = detached(t);
  drop_history(*t);
  AutogradMeta &m = meta(*t);
  m.grad_fn = node;
  m.output_nr = uint32_t(slot);
  m.base = base;
  m.origin = base ? AutogradMeta::InFunction : AutogradMeta::Tracked;
  return Owned(wrap(t));
}

void save(const Ref<FunctionNode> &node, FunctionState &state, PyObject *args, PyObject *outputs) {
  Owned tensors = std::move(state.to_save);
  if (!tensors) return;
  state.saved.resize(size_t(PyTuple_GET_SIZE(tensors.get())));
  for (size_t i = 0; i < state.saved.size(); ++i) {
    PyObject *o = PyTuple_GET_ITEM(tensors.get(), Py_ssize_t(i));
    if (o == Py_None) continue;
    TensorRef t(tensor_ptr(o));
    int64_t slot = find(outputs, o);
    bool own = slot >= 0 && t->autograd && t->autograd->grad_fn == NodeRef(node) &&
               (find(args, o) < 0 || contains(state.dirty, o));
    if (own)
      state.saved[i].save_output(t, uint32_t(slot));
    else
      state.saved[i].save_input(t);
  }
}

// The tensor arguments as edges; null where nothing needs a gradient. Sets ctx.needs_input_grad.
Ref<FunctionNode> begin(PyObject *cls, PyObject *ctx, PyObject *args) {
  size_t n = size_t(PyTuple_GET_SIZE(args)), edges = 0;
  Owned needs(PyTuple_New(Py_ssize_t(n)));
  bool any = false;
  for (size_t i = 0; i < n; ++i) {
    PyObject *a = PyTuple_GET_ITEM(args, Py_ssize_t(i));
    bool need = is_tensor(a) && needs_grad(*tensor_ptr(a));
    edges += is_tensor(a);
    any |= need;
    PyTuple_SET_ITEM(needs.get(), Py_ssize_t(i), Py_NewRef(need ? Py_True : Py_False));
  }
  state_of(ctx).needs_input_grad = std::move(needs);
  if (!any || !modes().grad) return {};
  Owned name(PyObject_GetAttrString(cls, "__name__")), backward(PyObject_GetAttrString(cls, "backward"));
  Ref<FunctionNode> node(new FunctionNode(Owned::borrow(ctx), std::move(backward),
                                          std::string(nb::str(nb::handle(name.get())).c_str()) + "Backward", n));
  Owned known(wrap_node(node)); // Python's collector then sees what the context refers to
  node->next.reset(edges);
  for (size_t i = 0, e = 0; i < n; ++i) {
    PyObject *a = PyTuple_GET_ITEM(args, Py_ssize_t(i));
    if (!is_tensor(a)) continue;
    node->edge_of_[i] = int(e);
    node->next[e++] = gradient_edge(*tensor_ptr(a));
  }
  if (modes().anomaly) note_anomaly(*node);
  return node;
}

nb::object apply_function(nb::handle cls, nb::handle ctx_cls, nb::tuple args) {
  Owned ctx(PyObject_CallNoArgs(ctx_cls.ptr()));
  if (!PyObject_TypeCheck(ctx.get(), state_type))
    throw TypeFault("apply_function: the context class must derive from FunctionState");
  FunctionState &state = state_of(ctx.get());
  Ref<FunctionNode> node = begin(cls.ptr(), ctx.get(), args.ptr());
  Owned result = run_forward(cls.ptr(), ctx.get(), args.ptr());
  bool several = PyTuple_Check(result.get()) || PyList_Check(result.get());
  Owned outputs(several ? PySequence_Tuple(result.get()) : PyTuple_Pack(1, result.get()));
  size_t n = size_t(PyTuple_GET_SIZE(outputs.get()));
  for (Py_ssize_t i = 0; state.dirty && i < PyTuple_GET_SIZE(state.dirty.get()); ++i) {
    PyObject *o = PyTuple_GET_ITEM(state.dirty.get(), i);
    if (find(args.ptr(), o) < 0 || find(outputs.get(), o) < 0)
      throw RuntimeFault("Some elements marked as dirty during the forward method were not returned as output. The "
                         "inputs that are modified inplace must all be "
                         "outputs of the Function.");
    bump_version(*tensor_ptr(o));
  }
  if (!node) return nb::steal(result.release());
  node->outputs.reset(n);
  node->is_tensor_.assign(n, 0);
  Owned attached(PyTuple_New(Py_ssize_t(n)));
  for (size_t i = 0; i < n; ++i)
    if (PyObject *o = PyTuple_GET_ITEM(outputs.get(), Py_ssize_t(i)); is_tensor(o)) {
      node->outputs[i].describe(*tensor_ptr(o));
      node->is_tensor_[i] = 1;
    }
  for (size_t i = 0; i < n; ++i) {
    PyObject *o = PyTuple_GET_ITEM(outputs.get(), Py_ssize_t(i));
    Owned given = is_tensor(o) ? attach_output(node, state, args.ptr(), o, i, n) : Owned::borrow(o);
    PyTuple_SET_ITEM(attached.get(), Py_ssize_t(i), given.release());
  }
  save(node, state, args.ptr(), outputs.get());
  return several ? nb::steal(attached.release()) : nb::borrow(PyTuple_GET_ITEM(attached.get(), 0));
}

Owned tensor_tuple(const char *method, nb::args tensors, bool allow_none) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    PyObject *o = tensors[i].ptr();
    if (!is_tensor(o) && !(allow_none && o == Py_None))
      throw TypeFault(
          format("%s can only take variables, but argument %zu is of type %s", method, i, Py_TYPE(o)->tp_name));
  }
  return Owned::borrow(tensors.ptr());
}

nb::object saved_tensors(FunctionState &s) {
  Owned t(PyTuple_New(Py_ssize_t(s.saved.size())));
  for (size_t i = 0; i < s.saved.size(); ++i) PyTuple_SET_ITEM(t.get(), Py_ssize_t(i), wrap(s.saved[i].unpack(s.node)));
  return nb::steal(t.release());
}

} // namespace

void bind_function(nb::module_ &m) {
  static PyType_Slot slots[] = {
      {Py_tp_traverse, (void *)state_traverse}, {Py_tp_clear, (void *)state_clear}, {0, nullptr}};
  nb::class_<FunctionState> cls(m, "FunctionState", nb::type_slots(slots), nb::dynamic_attr(),
                                nb::is_weak_referenceable(),
                                "What a custom function keeps between forward and backward.");
  state_type = (PyTypeObject *)cls.ptr();
  cls.def(nb::init<>())
      .def(
          "save_for_backward",
          [](FunctionState &s, nb::args tensors) { s.to_save = tensor_tuple("save_for_backward", tensors, true); },
          "Keeps tensors (or None) for backward, which finds them in saved_tensors; at most one call.")
      .def(
          "mark_dirty",
          [](FunctionState &s, nb::args tensors) { s.dirty = tensor_tuple("mark_dirty", tensors, false); },
          "Names the inputs that forward writes in place; it must return them.")
      .def(
          "mark_non_differentiable",
          [](FunctionState &s, nb::args tensors) {
            s.non_differentiable = tensor_tuple("mark_non_differentiable", tensors, false);
          },
          "Names outputs that have no gradient.")
      .def(
          "set_materialize_grads", [](FunctionState &s, bool value) { s.materialize = value; }, nb::arg("value"),
          "False: backward is given None instead of zeros where no gradient arrives.")
      .def_prop_ro("saved_tensors", &saved_tensors, "What save_for_backward was given.")
      .def_prop_ro(
          "needs_input_grad",
          [](FunctionState &s) { return nb::borrow(s.needs_input_grad ? s.needs_input_grad.get() : Py_None); },
          "One bool per argument of forward: whether its gradient is wanted.");
  m.def("apply_function", &apply_function, nb::arg("cls"), nb::arg("context_cls"), nb::arg("args"),
        "Runs a custom function and puts it on the tape.");
}

} // namespace taeda
