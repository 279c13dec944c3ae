// Writes in place on the tape: checks, the relation of views to their base, and histories that change.
#include <cstring>

#include "autograd_rules.h"

namespace taeda {

namespace {

// The value that an argument had before an in-place operator writes it; from check_inplace to attach.
struct Original {
  const Tensor *of = nullptr;
  TensorRef value;
};
thread_local Original original;

bool overlaps_itself(const Tensor &t) {
  for (size_t i = 0; i < t.ndim(); ++i)
    if (t.strides[i] == 0 && t.sizes[i] > 1) return true;
  return false;
}

Arg copy_of(const Arg &a) {
  Arg c;
  c.v = a.v;
  c.object = Owned::borrow(a.object.get());
  return c;
}

// The view that the chain of steps makes of `base`.
TensorRef replay(const Ref<ViewStep> &last, TensorRef base) {
  std::vector<ViewStep *> steps;
  for (ViewStep *s = last.get(); s; s = s->parent.get()) steps.push_back(s);
  TensorRef t = std::move(base);
  while (!steps.empty()) {
    ViewStep &s = *steps.back();
    steps.pop_back();
    Args args;
    for (size_t i = 0; i < s.args.size(); ++i)
      args.push_back(int(i) == s.op->view_of ? tensor_arg(t) : copy_of(s.args[i]));
    t = call(*s.op, args)[0];
  }
  return t;
}

// The history of a base after one of its views was written: outside the view the gradient goes to what the base was
// before, inside it goes through the operator that wrote.
class CopySlices final : public Node {
public:
  CopySlices(Tensor &base, const Tensor &view, Ref<ViewStep> step, NodeRef fn, uint32_t slot, size_t self)
      : strides_(base.strides), step_(std::move(step)), fn_(std::move(fn)), slot_(slot), self_(self) {
    outputs.reset(1);
    outputs[0].describe(base);
    view_.describe(view);
    next.reset(fn_->next.size());
    for (size_t i = 0; i < next.size(); ++i) next[i] = i == self_ ? gradient_edge(base) : fn_->next[i];
  }

  std::string name() const override { return "CopySlices"; }
  void release() override { fn_->release(); }
  int traverse(visitproc visit, void *arg) const override {
    Py_VISIT(fn_->self_py());
    return Node::traverse(visit, arg);
  }

  void apply(std::span<TensorRef> grads, std::span<TensorRef> out, std::span<const uint8_t> wanted) override {
    static Op *copy = role("copy_"), *clone = role("clone");
    if (!grads[0]) return;
    // A copy of the gradient laid out as the base was, so that the steps fit.
    TensorRef whole;
    if (grads[0]->traced || tracing_active())
      whole = call_values(*clone, {grads[0]})[0];
    else {
      whole = empty_strided(outputs[0].sizes, strides_, outputs[0].dtype);
      call_values(*copy, {whole, grads[0]});
    }
    TensorRef part = replay(step_, whole);
    std::vector<TensorRef> given(fn_->outputs.size());
    given[slot_] = call_values(*clone, {part})[0];
    std::vector<uint8_t> wants(wanted.begin(), wanted.end());
    fn_->apply(given, out, wants);
    if (wanted[self_]) {
      TensorRef &inner = out[self_];
      if (inner)
        fit_gradient(*fn_, self_, view_, inner);
      else
        inner = zero();
      call_values(*copy, {part, inner});
      inner = std::move(whole);
    }
  }

private:
  TensorRef zero() const { // of no dimensions: the copy broadcasts it
    Output like;
    like.dtype = outputs[0].dtype;
    if (outputs[0].shape) like.shape = Owned(PyTuple_New(0)).release();
    return zeros(like);
  }

  Dims strides_;
  Output view_;
  Ref<ViewStep> step_;
  NodeRef fn_;
  uint32_t slot_;
  size_t self_;
};

[[noreturn]] void refuse_view(const Tensor &t) {
  if (t.autograd->origin == AutogradMeta::NoGrad)
    throw RuntimeFault(
        "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use "
        "case is ambiguous and "
        "error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both "
        "inside the no_grad "
        "block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked).");
  std::string made_by = t.autograd->grad_fn ? t.autograd->grad_fn->name() : "a custom Function";
  throw RuntimeFault(format("Output %u of %s is a view and is being modified inplace. This view was created inside a "
                            "custom Function (or because an input was "
                            "returned as-is) and the autograd logic to handle view+inplace would override the custom "
                            "backward associated with the custom "
                            "Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by "
                            "cloning the output of the custom "
                            "Function.",
                            t.autograd->output_nr, made_by.c_str()));
}

void move_retained(Tensor &t, const NodeRef &from, const NodeRef &to, uint32_t slot) {
  if (!t.autograd->retains_grad || !from || !from->extras_) return;
  std::erase_if(from->extras_->retained, [&t](const NodeExtras::Retained &r) { return r.tensor == &t; });
  to->extras().retained.push_back({slot, &t});
}

} // namespace

// ---- views
// -----------------------------------------------------------------------------------------------------------
ViewStep::ViewStep(Ref<ViewStep> parent, Op &op, Args &&args)
    : parent(std::move(parent)), op(&op), args(std::move(args)) {}

ViewStep::~ViewStep() { // a long chain must not recurse
  Ref<ViewStep> up = std::move(parent);
  while (up && up->refs == 1) up = Ref<ViewStep>(std::move(up->parent));
}

bool is_view_of(Op &op, const Args &args, const Tensor &result) {
  const TensorRef &t = args[size_t(op.view_of)].tensor();
  if (t.get() == &result || !(is_float(t->dtype) || is_complex(t->dtype)) || modes().inference) return false;
  if (!t->traced) return t->storage == result.storage;
  Geometry g; // a reshape of a traced tensor copies where the example would
  return op.form != "reshape" || view_geometry(*t, result.sizes, &g);
}

void record_view(Op &op, Args &args, Tensor &result) {
  TensorRef t = args[size_t(op.view_of)].tensor();
  AutogradMeta &m = meta(result);
  const AutogradMeta *from = t->autograd;
  Ref<ViewStep> parent;
  bool tracked = modes().grad;
  if (from && from->base && from->origin != AutogradMeta::InFunction) {
    m.base = from->base;
    parent = from->step;
    tracked = tracked && from->origin == AutogradMeta::Tracked;
  } else {
    m.base = t;
  }
  m.origin = tracked ? AutogradMeta::Tracked : AutogradMeta::NoGrad;
  if (m.base->autograd) m.base_fn = m.base->autograd->grad_fn;
  args[size_t(op.view_of)] = Arg();
  m.step = Ref<ViewStep>(new ViewStep(std::move(parent), op, std::move(args)));
}

const NodeRef &grad_fn_of(Tensor &t) {
  static const NodeRef none;
  AutogradMeta *m = t.autograd;
  if (!m) return none;
  if (!m->base || m->origin != AutogradMeta::Tracked) return m->grad_fn;
  AutogradMeta *base = m->base->autograd;
  if (!base || base->grad_fn == m->base_fn) return m->grad_fn;
  GradMode on(true); // the base was written since: the history now starts there
  TensorRef again = replay(m->step, m->base);
  if (!again->autograd) return m->grad_fn;
  NodeRef before = m->grad_fn;
  m->grad_fn = again->autograd->grad_fn;
  m->output_nr = again->autograd->output_nr;
  m->base_fn = base->grad_fn;
  m->requires_grad = false;
  if (m->grad_fn) move_retained(t, before, m->grad_fn, m->output_nr);
  return m->grad_fn;
}

// ---- checks
// ------------------------------------------------------------------------------------------------------------
void bump_version(Tensor &t) {
  if (!t.traced && !tracing_active()) {
    if (t.storage) ++t.storage->version;
    return;
  }
  static PyObject *&written = hook("traced_write");
  if (!written) return;
  Owned self(wrap(TensorRef(&t)));
  Owned(PyObject_CallOneArg(written, self.get()));
}

void check_inplace(const char *op, Tensor &t) {
  if (t.inference && !modes().inference)
    throw RuntimeFault(format("Inplace update to inference tensor outside InferenceMode is not allowed (%s). You can "
                              "make a clone to get a normal tensor before "
                              "doing inplace update.",
                              op));
  if (overlaps_itself(t))
    throw RuntimeFault(format("%s: unsupported operation: more than one element of the written-to tensor refers to a "
                              "single memory location. Please clone() the "
                              "tensor before performing the operation.",
                              op));
  check_leaf(t);
}

void check_leaf(Tensor &t) {
  if (!modes().grad || !t.autograd) return;
  if (t.autograd->requires_grad && !grad_fn_of(t))
    throw RuntimeFault("a leaf Variable that requires grad is being used in an in-place operation.");
  if (const TensorRef &base = t.autograd->base; base && t.autograd->origin == AutogradMeta::Tracked && base->autograd &&
                                                base->autograd->requires_grad && !base->autograd->grad_fn)
    throw RuntimeFault("a view of a leaf Variable that requires grad is being used in an in-place operation.");
}

void check_inplace(Op &op, Args &args) {
  const TensorRef &t = args[size_t(op.inplace_arg)].tensor();
  check_inplace(op.name.c_str(), *t);
  original = {};
  if (!modes().grad) return;
  bool needed = any_needs_grad(args);
  if (t->autograd && t->autograd->base && t->autograd->origin != AutogradMeta::Tracked &&
      (needed || needs_grad(*t->autograd->base)))
    refuse_view(*t);
  if (!needed) return;
  if (!is_float(t->dtype) && !is_complex(t->dtype)) return;
  GradRule &rule = resolve_gradient(op);
  if (op.kind != "map" && !rule.differentiable)
    throw RuntimeFault(format("the derivative for '%s' is not implemented", op.name.c_str()));
  if (!reads_input(op, args, size_t(op.inplace_arg))) return;
  static Op *clone = role("clone");
  TensorRef value;
  {
    GradMode off(false);
    value = call_values(*clone, {t})[0];
  }
  Edge history = gradient_edge(*t);
  if (history.node) {
    AutogradMeta &m = meta(*value);
    m.grad_fn = history.node;
    m.output_nr = history.slot;
  }
  original = {t.get(), std::move(value)};
}

// ---- after the write
// -----------------------------------------------------------------------------------------------------
void rebase_history(Tensor &t, const NodeRef &fn, uint32_t slot, size_t self) {
  AutogradMeta &m = meta(t);
  if (!m.base) {
    move_retained(t, m.grad_fn, fn, slot);
    m.requires_grad = false;
    m.grad_fn = fn;
    m.output_nr = slot;
    return;
  }
  if (m.origin != AutogradMeta::Tracked) refuse_view(t);
  Tensor &base = *m.base;
  NodeRef node(new CopySlices(base, t, m.step, fn, slot, self));
  AutogradMeta &b = meta(base);
  move_retained(base, b.grad_fn, node, 0);
  b.requires_grad = false;
  b.grad_fn = std::move(node);
  b.output_nr = 0; // this view's own history is found again when it is asked for, as is that of the others
}

void attach_inplace(Op &op, Args &args, Results &) {
  TensorRef self = args[size_t(op.inplace_arg)].tensor();
  TensorRef before = original.of == self.get() ? std::move(original.value) : TensorRef();
  original = {};
  bool tracked = modes().grad && (is_float(self->dtype) || is_complex(self->dtype)) && any_needs_grad(args);
  Results written = {self};
  Ref<OpNode> node = tracked ? make_node(op, args, written, before) : Ref<OpNode>();
  bump_version(*self); // between what was read and what was written
  if (!node) return;
  node->keep_outputs(written);
  size_t edge = 0; // of the written argument: everything before it is one edge each
  for (int i = 0; i < op.inplace_arg; ++i) edge += args[size_t(i)].is_tensor() || op.kind == "map";
  rebase_history(*self, node, 0, edge);
}

void become_view(Tensor &t, Tensor &v) {
  if (&t == &v) return;
  if (v.traced && !t.traced)
    throw RuntimeFault("the shape of a tensor from outside cannot be changed in place while a program is captured");
  check_leaf(t);
  t.sizes = v.sizes;
  t.strides = v.strides;
  t.offset = v.offset;
  if (v.traced) Py_XSETREF(t.traced, Py_NewRef(v.traced));
  t.forward = v.forward;
  if (v.autograd) {
    AutogradMeta &m = meta(t);
    if (m.base) { // a view stays one, by one more step
      m.step = v.autograd->step;
      m.base_fn = v.autograd->base_fn;
      m.origin = v.autograd->origin;
    }
    if (NodeRef fn = grad_fn_of(v)) {
      move_retained(t, m.grad_fn, fn, v.autograd->output_nr);
      m.grad_fn = std::move(fn);
      m.output_nr = v.autograd->output_nr;
    }
  }
  bump_version(t);
}

} // namespace taeda
