// The define-by-run tape: nodes, what they keep for the backward pass, views, and the engine that runs them.
//
// Ownership. A tensor owns the node that made it (AutogradMeta::grad_fn); a node owns the nodes its gradients go to
// (Node::next) and the tensors it saved. An output that a node keeps is kept as an alias without history, so nodes
// never own their own outputs. A leaf's AccumulateGrad owns the leaf; the leaf only points back
// (AutogradMeta::accumulator) and the node clears that pointer when it dies.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor.h"

namespace taeda {

struct Op;
struct Arg;
struct GradRule;
struct Node;
using NodeRef = Ref<Node>;

// A fixed number of values, the first N without a heap block.
template <class T, size_t N> class Few {
public:
  Few() = default;
  explicit Few(size_t n) { reset(n); }
  Few(const Few &) = delete;
  Few &operator=(const Few &) = delete;
  ~Few() { reset(0); }
  void reset(size_t n) { // n fresh values
    std::destroy_n(data_, n_);
    if (data_ != local()) ::operator delete(data_);
    data_ = n <= N ? local() : static_cast<T *>(::operator new(n * sizeof(T)));
    n_ = uint32_t(n);
    std::uninitialized_value_construct_n(data_, n_);
  }
  size_t size() const { return n_; }
  T &operator[](size_t i) { return data_[i]; }
  const T &operator[](size_t i) const { return data_[i]; }
  T *begin() { return data_; }
  T *end() { return data_ + n_; }
  const T *begin() const { return data_; }
  const T *end() const { return data_ + n_; }

private:
  T *local() { return reinterpret_cast<T *>(local_); }
  alignas(T) char local_[N * sizeof(T)];
  T *data_ = reinterpret_cast<T *>(local_);
  uint32_t n_ = 0;
};

struct Edge {
  NodeRef node;
  uint32_t slot = 0;
};

// A tensor kept for the backward pass, with the version it had.
class SavedTensor {
public:
  SavedTensor() = default;
  SavedTensor(const SavedTensor &) = delete;
  SavedTensor &operator=(const SavedTensor &) = delete;
  SavedTensor(SavedTensor &&o) noexcept { *this = std::move(o); }
  SavedTensor &operator=(SavedTensor &&o) noexcept;
  ~SavedTensor() { clear(); }
  void save_input(const TensorRef &t);
  void save_output(const TensorRef &t, uint32_t output_nr); // of the node that keeps it: without its history
  // The tensor, its history included. Throws RuntimeFault naming `owner` when it was written since, or was freed.
  TensorRef unpack(Node *owner) const;
  bool holds() const { return tensor_ || packed_; }
  void clear(); // after this unpack() says that it was freed
  int traverse(visitproc visit, void *arg) const;

private:
  struct Packed; // what a saved-tensor hook made of it
  bool pack(const TensorRef &t);
  TensorRef tensor_;
  Packed *packed_ = nullptr;
  NodeRef fn_; // an input's history when it was saved, output fn_nr_
  uint32_t version_ = 0, fn_nr_ = 0;
  int32_t output_nr_ = -1; // >= 0: an output of the owner
  bool freed_ = false;
};

// Hooks (pack, unpack) of this thread for tensors saved from now on; None: none. Returns those before as a tuple (new
// reference).
PyObject *set_saved_tensor_hooks(PyObject *pack, PyObject *unpack);

// What few nodes have: hooks, gradients to keep, notes.
struct NodeExtras {
  struct Retained {
    uint32_t slot;
    Tensor *tensor;
  }; // not owned: the tensor takes itself off
  struct SlotHooks {
    uint32_t slot;
    PyObject *hooks;
  }; // owned dict: id -> callable
  std::vector<SlotHooks> tensor_hooks;
  std::vector<Retained> retained;
  PyObject *pre_hooks = nullptr, *post_hooks = nullptr, *metadata = nullptr; // owned dicts
  ~NodeExtras();
};

// Base of everything on the tape. Python sees it as grad_fn.
struct Node {
  struct Output { // of the forward op: what a gradient must look like
    Dims sizes;
    DType dtype = TD_F32;
    PyObject *shape = nullptr; // owned; the symbolic shape of a traced tensor
    ~Output() { Py_XDECREF(shape); }
    void describe(const Tensor &t);
  };
  Counter counter_;
  uint64_t sequence;       // higher runs first
  uint64_t task = 0;       // the run of the engine that numbers this node ...
  uint32_t task_index = 0; // ... and the number
  Few<Edge, 2> next;       // one per tensor argument, in parameter order; no node: no gradient goes there
  Few<Output, 1> outputs;
  std::unique_ptr<NodeExtras> extras_;

  Node();
  virtual ~Node();
  Node(const Node &) = delete;
  virtual std::string name() const = 0; // "MulBackward0"
  // grads: one per output, null where there is none, may be moved from. out: one per edge, null on entry. wanted: one
  // per edge.
  virtual void apply(std::span<TensorRef> grads, std::span<TensorRef> out, std::span<const uint8_t> wanted) = 0;
  virtual void release() {}                                 // frees saved tensors
  virtual bool runs_without_grads() const { return false; } // called even where no gradient arrived
  virtual Tensor *leaf() const { return nullptr; }          // whose gradient it accumulates
  virtual PyObject *context() const { return nullptr; }     // borrowed: the object a custom function works with
  virtual void drop_context() {}                            // breaks reference cycles through it
  virtual int traverse(visitproc visit, void *arg) const;
  NodeExtras &extras() { return *(extras_ ? extras_ : (extras_ = std::make_unique<NodeExtras>())); }
  void set_self_py(PyObject *o) noexcept { counter_.set_self_py(o); }
  PyObject *self_py() const noexcept { return counter_.self_py(); }
  void inc_ref() noexcept { counter_.inc_ref(); }
  void dec_ref() noexcept {
    if (counter_.dec_ref()) delete this;
  }
  static void *operator new(size_t size);
  static void operator delete(void *p, size_t size);
};

// Adds what arrives to a leaf's .grad.
struct AccumulateGrad final : Node {
  TensorRef variable;
  explicit AccumulateGrad(const TensorRef &leaf);
  ~AccumulateGrad() override;
  std::string name() const override { return "AccumulateGrad"; }
  Tensor *leaf() const override { return variable.get(); }
  void apply(std::span<TensorRef> grads, std::span<TensorRef> out, std::span<const uint8_t> wanted) override;
  int traverse(visitproc visit, void *arg) const override;
};

// One step from a base to a view: the operator and its arguments without the tensor. Steps are replayed on the base (to
// find the history of a view whose base was written) and on the base's gradient.
struct ViewStep {
  uint32_t refs = 0;
  Ref<ViewStep> parent;
  Op *op;
  std::vector<Arg> args;
  ViewStep(Ref<ViewStep> parent, Op &op, std::vector<Arg> &&args);
  ~ViewStep();
  void inc_ref() noexcept { ++refs; }
  void dec_ref() noexcept {
    if (--refs == 0) delete this;
  }
};

struct AutogradMeta {
  enum Origin : uint8_t { Tracked, NoGrad, InFunction };
  bool requires_grad = false; // leaf flag
  bool retains_grad = false;
  Origin origin = Tracked; // how a view was made
  uint32_t output_nr = 0;
  NodeRef grad_fn; // null for leaves; may be stale for a view: read it through grad_fn_of
  TensorRef grad;
  Node *accumulator = nullptr; // a leaf's AccumulateGrad while it is on a tape; not owned
  std::vector<PyObject *>
      hooks;          // owned dicts of a leaf: [0] hooks on the gradient, [1] after accumulation; may be null
  TensorRef base;     // of a view: what it shows, never itself a view
  NodeRef base_fn;    // the base's grad_fn when grad_fn was last right
  Ref<ViewStep> step; // from the base to this view
  ~AutogradMeta();
  static void *operator new(size_t size);
  static void operator delete(void *p, size_t size);
};

// Thread-local modes.
struct Modes {
  bool grad = true;
  bool inference = false;
  bool anomaly = false;
  bool check_nan = true;
};
Modes &modes();
struct GradMode { // for a scope
  explicit GradMode(bool on) : before(modes().grad) { modes().grad = on; }
  ~GradMode() { modes().grad = before; }
  bool before;
};

AutogradMeta &meta(Tensor &t);          // makes one
bool needs_grad(const Tensor &t);       // a leaf that wants a gradient, or computed from one
const NodeRef &grad_fn_of(Tensor &t);   // current for views too; null for leaves
Edge gradient_edge(Tensor &t);          // grad_fn edge, or the leaf's accumulator; null node if it needs no gradient
TensorRef detached(const TensorRef &t); // an alias without history that shares memory and version
void drop_history(Tensor &t);           // makes it a leaf that needs no gradient; `retains` and view relation go too
void retain_grad(Tensor &t);
PyObject *hooks_of(Tensor &t);         // borrowed dict of the hooks on the gradient of t as it is now
PyObject *wrap_node(const NodeRef &n); // new reference; None for null
TensorRef filled(const Node::Output &like, double value);
inline TensorRef zeros(const Node::Output &like) { return filled(like, 0); }

// Called by op.cpp after running `op` on `args`: attaches a node when grad mode is on and an input requires a gradient.
// For an in-place op it bumps the version and rebases the history; for a view op it records the base. It may take
// `args` apart.
void attach(Op &op, std::vector<Arg> &args, std::vector<TensorRef> &results);
// Before an in-place op runs: leaves and inference tensors, elements that share memory; keeps the old value where the
// gradient reads it.
void check_inplace(Op &op, std::vector<Arg> &args);
void check_inplace(const char *op, Tensor &t); // the checks alone
void check_leaf(Tensor &t);                    // that it is no leaf whose gradient is wanted, nor a view of one
void bump_version(Tensor &t);
// `t` takes the geometry and the history of `v`, a view of it: the in-place forms of view operators.
void become_view(Tensor &t, Tensor &v);
// Gives `t` the history of `fn`'s output `slot`, which was written into it in place; edge `self` of fn leads to the old
// history.
void rebase_history(Tensor &t, const NodeRef &fn, uint32_t slot, size_t self);

// Gradient rules (autograd_rules.cpp)
GradRule &resolve_gradient(Op &op); // asks hook "gradient" once; an in-place op has the rule of its functional form

// Runs the tape. inputs empty: accumulates into leaves. Returns the gradient per input (null where unused); with
// `accumulate` the gradients of the inputs go into their .grad instead.
std::vector<TensorRef> run_backward(const std::vector<TensorRef> &roots, const std::vector<TensorRef> &root_grads,
                                    bool retain_graph, bool create_graph, const std::vector<TensorRef> &inputs,
                                    bool accumulate);
// Fits the gradient for edge i of `node` to what its target expects: undoes broadcasting, casts; RuntimeFault where
// that cannot be.
void fit_gradient(const Node &node, size_t i, const Node::Output &expected, TensorRef &grad);
void note_anomaly(Node &node); // keeps the Python stack with the node
uint64_t current_engine_run(); // number of the run under way on this thread; 0: none

// Custom functions (autograd_function.cpp), Python's Node class (py_node.cpp)
void bind_function(nb::module_ &m);
void bind_node(nb::module_ &m);

} // namespace taeda
