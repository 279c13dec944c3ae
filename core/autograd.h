// The define-by-run tape.
#pragma once
#include <memory>
#include <vector>

#include "tensor.h"

namespace taeda {

struct Op;
struct Arg;
struct Node;
using NodeRef = Ref<Node>;

struct Edge { NodeRef node; uint32_t slot = 0; };

// A tensor kept for the backward pass. Holds the version at save time; an output of the node itself is kept without a cycle.
struct SavedTensor {
  TensorRef tensor;       // detached alias when it is the node's own output
  uint32_t version = 0;
  bool is_output = false;
  bool set = false;
  TensorRef unpack(const Node &owner) const; // throws RuntimeFault naming the op when the version moved or the graph was freed
};

// Base of everything on the tape. Python sees it as grad_fn.
struct Node {
  Counter counter_;
  uint64_t sequence = 0;              // higher runs first
  std::vector<Edge> next;             // one per differentiable input, in parameter order
  struct Output { Dims sizes; DType dtype; PyObject *symbolic_shape; }; // meta of each forward output (gradient shapes)
  std::vector<Output> outputs;
  std::vector<PyObject *> hooks, pre_hooks; // owned
  virtual ~Node();
  virtual std::string name() const = 0;                              // "MulBackward0"
  virtual std::vector<TensorRef> apply(std::vector<TensorRef> grads) = 0; // one per next edge; null = no gradient
  virtual void release() {}                                          // frees saved tensors
  void set_self_py(PyObject *o) noexcept { counter_.set_self_py(o); }
  PyObject *self_py() const noexcept { return counter_.self_py(); }
  void inc_ref() noexcept { counter_.inc_ref(); }
  void dec_ref() noexcept { if (counter_.dec_ref()) delete this; }
};

struct AutogradMeta {
  bool requires_grad = false;         // leaf flag
  bool retains_grad = false;
  NodeRef grad_fn;                    // null for leaves
  uint32_t output_nr = 0;
  TensorRef grad;
  NodeRef accumulator;          // the leaf's AccumulateGrad while it is on a tape (owning side documented in autograd.cpp)
  std::vector<PyObject *> hooks;      // owned
  TensorRef base;                     // for a differentiable view: its base, so that in-place writes rebase history
  ~AutogradMeta();
};

// Thread-local modes.
struct Modes { bool grad = true; bool inference = false; bool anomaly = false; };
Modes &modes();

AutogradMeta &meta(Tensor &t);        // makes one
Edge gradient_edge(Tensor &t);        // grad_fn edge, or the leaf's accumulator; null node if it needs no gradient

// Called by op.cpp after running `op` on `args`: attaches a node when grad mode is on and an input requires a gradient. For an in-place
// op it checks leaves, bumps the version and rebases views; for a view op it records the base.
void attach(Op &op, std::vector<Arg> &args, std::vector<TensorRef> &results);
void check_inplace(Op &op, Tensor &t); // leaf requiring grad, inference tensors, expanded memory overlap

// Runs the tape. inputs empty: accumulates into leaves. Returns the gradient per input (null where unused).
std::vector<TensorRef> run_backward(const std::vector<TensorRef> &roots, const std::vector<TensorRef> &root_grads, bool retain_graph,
                                    bool create_graph, const std::vector<TensorRef> &inputs, bool accumulate);

} // namespace taeda
