// Nodes of the tape, what they save, and the autograd state of a tensor.
#include <cstring>

#include "op.h"
#include "py_common.h"

namespace taeda {

namespace {

// Blocks of nodes and tensor states, kept for the next ones. Every block is one of operator new, so that any path may
// free it.
class Pool {
public:
  void *take(size_t size) {
    List *l = list(size);
    if (!l || !l->first) return ::operator new(rounded(size));
    --l->count;
    return std::exchange(l->first, *static_cast<void **>(l->first));
  }
  void give(void *p, size_t size) {
    List *l = list(size);
    if (!l || l->count >= kKept) return ::operator delete(p);
    *static_cast<void **>(p) = std::exchange(l->first, p);
    ++l->count;
  }

private:
  struct List {
    void *first = nullptr;
    uint32_t count = 0;
  };
  static constexpr size_t kStep = 64, kClasses = 16;
  static constexpr uint32_t kKept = 4096; // blocks of one size
  static size_t rounded(size_t size) { return (size + kStep - 1) / kStep * kStep; }
  List *list(size_t size) { return size <= kStep * kClasses ? &lists_[(size - 1) / kStep] : nullptr; }
  List lists_[kClasses];
};
Pool pool;

bool burying = false;
auto *buried = new std::vector<NodeRef>; // never destroyed: nodes may outlive static objects

// Lets go of a node. Deep graphs must not recurse: whatever dies meanwhile only queues the nodes that it owned.
void bury_now(NodeRef &&node) {
  if (burying) return buried->push_back(std::move(node));
  burying = true;
  node.reset();
  while (!buried->empty()) {
    NodeRef last = std::move(buried->back());
    buried->pop_back();
    last.reset();
  }
  burying = false;
}
inline void bury(NodeRef &&node) {
  if (node) bury_now(std::move(node));
}

TensorRef alias_of(const TensorRef &t) {
  TensorRef a = view_of(t, t->sizes, t->strides, t->offset);
  a->stand_for_what(*t);
  return a;
}

const char *type_name(DType d) {
  static const char *const names[TD_NUM_DTYPES] = {"Bool",  "Byte",   "Char",         "Short",
                                                   "Int",   "Long",   "Half",         "BFloat16",
                                                   "Float", "Double", "ComplexFloat", "ComplexDouble"};
  return names[d];
}

// How often the tensor's memory was written; while a capture runs, it counts.
uint32_t version_of(const TensorRef &t) {
  if (t->storage && !tracing_active()) return t->storage->version;
  static PyObject *&count = hook("traced_version");
  if (!count) return 0;
  Owned self(wrap(t)), n(PyObject_CallOneArg(count, self.get()));
  return uint32_t(int_from(n.get(), "hook 'traced_version'"));
}

thread_local PyObject *pack_hook = nullptr, *unpack_hook = nullptr;

} // namespace

Modes &modes() {
  thread_local Modes m;
  return m;
}

// ---- saved tensors
// -----------------------------------------------------------------------------------------------------
struct SavedTensor::Packed {
  Owned object, unpack;
  Edge edge; // where the gradient of the tensor goes
};

SavedTensor &SavedTensor::operator=(SavedTensor &&o) noexcept {
  if (this == &o) return *this;
  clear();
  tensor_ = std::move(o.tensor_);
  packed_ = std::exchange(o.packed_, nullptr);
  fn_ = std::move(o.fn_);
  fn_nr_ = o.fn_nr_;
  version_ = o.version_;
  output_nr_ = o.output_nr_;
  freed_ = o.freed_;
  return *this;
}

bool SavedTensor::pack(const TensorRef &t) {
  if (!pack_hook) return false;
  Owned self(wrap(t)), unpack = Owned::borrow(unpack_hook);
  Owned object(PyObject_CallOneArg(pack_hook, self.get()));
  packed_ = new Packed{std::move(object), std::move(unpack), {}};
  return true;
}

void SavedTensor::save_input(const TensorRef &t) {
  if (t->inference)
    throw RuntimeFault("Inference tensors cannot be saved for backward. Please do not use Tensors created in inference "
                       "mode in computation "
                       "tracked by autograd. To work around this, you can make a clone to get a normal tensor and use "
                       "it in autograd, or use "
                       "`taeda.no_grad()` instead of `taeda.inference_mode()`.");
  version_ = version_of(t);
  if (t->autograd) {
    fn_ = grad_fn_of(*t);
    fn_nr_ = t->autograd->output_nr;
  }
  if (pack(t)) {
    packed_->edge = gradient_edge(*t);
    return;
  }
  tensor_ = t;
}

void SavedTensor::save_output(const TensorRef &t, uint32_t output_nr) {
  TensorRef alias = alias_of(t);
  output_nr_ = int32_t(output_nr);
  version_ = version_of(t);
  if (pack(alias)) return;
  tensor_ = std::move(alias);
}

TensorRef SavedTensor::unpack(Node *owner) const {
  if (freed_)
    throw RuntimeFault("Trying to backward through the graph a second time (or directly access saved tensors after "
                       "they have already been freed). "
                       "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
                       "Specify retain_graph=True "
                       "if you need to backward through the graph a second time or if you need to access saved tensors "
                       "after calling backward.");
  auto with_history = [](const TensorRef &t, const NodeRef &fn, uint32_t nr) {
    TensorRef a = alias_of(t);
    if (!is_float(a->dtype) && !is_complex(a->dtype)) return a; // indices and counts have none
    AutogradMeta &m = meta(*a);
    m.grad_fn = fn;
    m.output_nr = nr;
    return a;
  };
  if (packed_) {
    Owned t(PyObject_CallOneArg(packed_->unpack.get(), packed_->object.get()));
    if (!is_tensor(t.get()))
      throw TypeFault(format("Output of saved tensor unpack_hook expected to be a Tensor but got result of type %s",
                             Py_TYPE(t.get())->tp_name));
    TensorRef tensor(tensor_ptr(t.get()));
    if (output_nr_ >= 0) return owner ? with_history(tensor, NodeRef(owner), uint32_t(output_nr_)) : tensor;
    if (!packed_->edge.node || gradient_edge(*tensor).node == packed_->edge.node) return tensor;
    return with_history(tensor, packed_->edge.node, packed_->edge.slot);
  }
  if (!tensor_) return {};
  uint32_t version = version_of(tensor_);
  if (version != version_) {
    std::string from;
    if (output_nr_ >= 0 && owner)
      from = format(", which is output %d of %s,", output_nr_, owner->name().c_str());
    else if (fn_)
      from = format(", which is output %u of %s,", fn_nr_, fn_->name().c_str());
    std::string at = format(" is at version %u; expected version %u instead", version, version_);
    throw RuntimeFault(format(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        "[taeda.%sTensor %s]%s%s. "
        "%s",
        type_name(tensor_->dtype), shape_text(tensor_->sizes).c_str(), from.c_str(), at.c_str(),
        modes().anomaly
            ? "Hint: the backtrace further above shows the operation that failed to compute its gradient. The variable "
              "in question was changed in there or anywhere later. Good luck!"
            : "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
              "taeda.autograd.set_detect_anomaly(True)."));
  }
  if (output_nr_ >= 0)
    return owner && modes().grad ? with_history(tensor_, NodeRef(owner), uint32_t(output_nr_)) : tensor_;
  // The tensor may have been detached in place since it was saved.
  if (fn_ && tensor_->autograd->grad_fn != fn_) return with_history(tensor_, fn_, fn_nr_);
  return tensor_;
}

void SavedTensor::clear() {
  if (!holds()) return;
  freed_ = true;
  tensor_.reset();
  if (packed_) {
    std::unique_ptr<Packed> packed(std::exchange(packed_, nullptr));
    bury(std::move(packed->edge.node));
  }
  bury(std::move(fn_));
}

int SavedTensor::traverse(visitproc visit, void *arg) const {
  if (tensor_) Py_VISIT(tensor_->self_py());
  if (packed_) {
    Py_VISIT(packed_->object.get());
    Py_VISIT(packed_->unpack.get());
    if (packed_->edge.node) Py_VISIT(packed_->edge.node->self_py());
  }
  if (fn_) Py_VISIT(fn_->self_py());
  return 0;
}

PyObject *set_saved_tensor_hooks(PyObject *pack, PyObject *unpack) {
  auto object = [](PyObject *o) { return o ? o : Py_None; };
  PyObject *before = PyTuple_Pack(2, object(pack_hook), object(unpack_hook));
  if (!before) throw PythonError{};
  Py_XSETREF(pack_hook, pack == Py_None ? nullptr : Py_NewRef(pack));
  Py_XSETREF(unpack_hook, unpack == Py_None ? nullptr : Py_NewRef(unpack));
  return before;
}

// ---- nodes
// ---------------------------------------------------------------------------------------------------------------
NodeExtras::~NodeExtras() {
  for (SlotHooks &h : tensor_hooks) Py_XDECREF(h.hooks);
  Py_XDECREF(pre_hooks);
  Py_XDECREF(post_hooks);
  Py_XDECREF(metadata);
}

void Node::Output::describe(const Tensor &t) {
  sizes = t.sizes;
  dtype = t.dtype;
  if (t.traced) shape = shape_object(t);
}

Node::Node() {
  static uint64_t made = 0;
  sequence = made++;
}

Node::~Node() {
  for (Edge &e : next) bury(std::move(e.node));
}

void *Node::operator new(size_t size) { return pool.take(size); }
void Node::operator delete(void *p, size_t size) { pool.give(p, size); }

int Node::traverse(visitproc visit, void *arg) const {
  for (const Edge &e : next)
    if (e.node) Py_VISIT(e.node->self_py());
  for (const Output &o : outputs) Py_VISIT(o.shape);
  if (extras_) {
    for (const NodeExtras::SlotHooks &h : extras_->tensor_hooks) Py_VISIT(h.hooks);
    Py_VISIT(extras_->pre_hooks);
    Py_VISIT(extras_->post_hooks);
    Py_VISIT(extras_->metadata);
  }
  return 0;
}

// ---- leaves
// --------------------------------------------------------------------------------------------------------------
AccumulateGrad::AccumulateGrad(const TensorRef &leaf) : variable(leaf) {
  sequence = UINT64_MAX; // as soon as its gradient is complete
  outputs.reset(1);
  outputs[0].describe(*leaf);
  meta(*leaf).accumulator = this;
}

AccumulateGrad::~AccumulateGrad() {
  if (variable->autograd && variable->autograd->accumulator == this) variable->autograd->accumulator = nullptr;
}

int AccumulateGrad::traverse(visitproc visit, void *arg) const {
  Py_VISIT(variable->self_py());
  return Node::traverse(visit, arg);
}

static bool can_steal(const TensorRef &g) {
  return g->counter_.unique() && g->storage && g->storage->refs == 1 && g->contiguous() && !needs_grad(*g);
}

void AccumulateGrad::apply(std::span<TensorRef> grads, std::span<TensorRef>, std::span<const uint8_t>) {
  TensorRef g = std::move(grads[0]);
  if (!g) return;
  static Op *clone = role("clone"), *add = role("add"), *add_in_place = role("add_");
  AutogradMeta &m = meta(*variable);
  if (m.grad && modes().grad)
    m.grad = call_values(*add, {m.grad, g})[0];
  else if (m.grad)
    call_values(*add_in_place, {m.grad, g});
  else if (can_steal(g))
    m.grad = std::move(g);
  else
    m.grad = call_values(*clone, {g})[0];
  if (m.hooks.size() < 2 || !m.hooks[1]) return;
  Owned hooks(PyDict_Values(m.hooks[1])), self(wrap(variable));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hooks.get()); ++i) {
    Owned result(PyObject_CallOneArg(PyList_GET_ITEM(hooks.get(), i), self.get()));
    if (result.get() != Py_None) throw RuntimeFault("Tensor post accumulate grad hooks should return None.");
  }
}

// ---- the state of a tensor
// -------------------------------------------------------------------------------------------------
AutogradMeta::~AutogradMeta() {
  if (retains_grad && grad_fn && grad_fn->extras_)
    std::erase_if(grad_fn->extras_->retained,
                  [this](const NodeExtras::Retained &r) { return r.tensor->autograd == this; });
  for (PyObject *h : hooks) Py_XDECREF(h);
  bury(std::move(grad_fn));
  bury(std::move(base_fn));
}

void *AutogradMeta::operator new(size_t size) { return pool.take(size); }
void AutogradMeta::operator delete(void *p, size_t size) { pool.give(p, size); }

AutogradMeta &meta(Tensor &t) {
  if (!t.autograd) t.autograd = new AutogradMeta;
  return *t.autograd;
}

bool needs_grad(const Tensor &t) {
  const AutogradMeta *m = t.autograd;
  if (!m) return false;
  return m->requires_grad || m->grad_fn || (m->base && m->origin == AutogradMeta::Tracked && needs_grad(*m->base));
}

Edge gradient_edge(Tensor &t) {
  AutogradMeta *m = t.autograd;
  if (!m) return {};
  if (const NodeRef &fn = grad_fn_of(t)) return {fn, m->output_nr};
  if (!m->requires_grad) return {};
  if (m->accumulator) return {NodeRef(m->accumulator), 0};
  return {NodeRef(new AccumulateGrad(TensorRef(&t))), 0};
}

TensorRef detached(const TensorRef &t) {
  if (!t->traced && !tracing_active()) return alias_of(t);
  GradMode off(false);
  static Op *alias = role("alias");
  TensorRef a = call_values(*alias, {t})[0];
  drop_history(*a);
  return a;
}

void drop_history(Tensor &t) {
  AutogradMeta *m = t.autograd;
  if (!m) return;
  if (m->retains_grad && m->grad_fn && m->grad_fn->extras_)
    std::erase_if(m->grad_fn->extras_->retained, [&t](const NodeExtras::Retained &r) { return r.tensor == &t; });
  m->requires_grad = m->retains_grad = false;
  m->output_nr = 0;
  m->base.reset();
  m->step.reset();
  bury(std::move(m->grad_fn));
  bury(std::move(m->base_fn));
}

void retain_grad(Tensor &t) {
  if (!needs_grad(t)) throw RuntimeFault("can't retain_grad on Tensor that has requires_grad=False");
  const NodeRef &fn = grad_fn_of(t);
  if (!fn || t.autograd->retains_grad) return;
  t.autograd->retains_grad = true;
  fn->extras().retained.push_back({t.autograd->output_nr, &t});
}

PyObject *hooks_of(Tensor &t) {
  if (!needs_grad(t)) throw RuntimeFault("cannot register a hook on a tensor that doesn't require gradient");
  AutogradMeta &m = *t.autograd;
  if (const NodeRef &fn = grad_fn_of(t)) {
    Owned known(wrap_node(fn)); // Python's collector then sees what the hooks refer to
    for (NodeExtras::SlotHooks &h : fn->extras().tensor_hooks)
      if (h.slot == m.output_nr) return h.hooks;
    Owned hooks(PyDict_New());
    fn->extras().tensor_hooks.push_back({m.output_nr, hooks.get()});
    return hooks.release();
  }
  if (m.hooks.empty()) m.hooks.push_back(nullptr);
  if (!m.hooks[0]) m.hooks[0] = Owned(PyDict_New()).release();
  return m.hooks[0];
}

TensorRef filled(const Node::Output &like, double value) {
  if (!like.shape) {
    TensorRef t = empty(like.sizes, like.dtype);
    std::memset(t->data(), 0, t->storage->nbytes);
    if (value != 0)
      for (int64_t i = 0, n = t->numel(); i < n; ++i)
        Scalar::of(value).store(t->dtype, t->data() + i * int64_t(itemsize(t->dtype)));
    return t;
  }
  static PyObject *&make = hook("full");
  if (!make) throw RuntimeFault("hook 'full' is not set");
  Owned number(PyFloat_FromDouble(value));
  Owned t(PyObject_CallFunctionObjArgs(make, like.shape, number.get(), dtype_object(like.dtype), nullptr));
  if (!is_tensor(t.get())) throw TypeFault("hook 'full' must return a Tensor");
  return TensorRef(tensor_ptr(t.get()));
}

} // namespace taeda
