// What the files that put operators on the tape tell each other.
#pragma once
#include <variant>

#include "op.h"
#include "py_common.h"

namespace taeda {

// One thing a node keeps of a call: nothing, a tensor, a number, a Python object or a list of tensors.
using Kept = std::variant<std::monostate, SavedTensor, Scalar, Owned, std::vector<SavedTensor>>;

// The node of an operator's call.
struct OpNode : Node {
  Op &op; // the functional form of an in-place operator
  const GradRule &rule;
  Few<Kept, 3> kept;
  OpNode(Op &op, const GradRule &rule) : op(op), rule(rule) {}
  std::string name() const override;
  void release() override;
  int traverse(visitproc visit, void *arg) const override;
  // `original`: the value that argument `replaced` had before it was written, or null.
  virtual void keep_inputs(const Args &args, size_t results, const TensorRef &original, int replaced) = 0;
  virtual void keep_outputs(const Results &results) = 0;

protected:
  TensorRef gradient(std::span<TensorRef> grads, size_t i) const; // zeros where none arrived
};

bool any_needs_grad(const Args &args);
bool reads_input(Op &op, const Args &args, size_t index); // the gradients that are needed read that argument
// The node without its saved outputs; null where no result can have a gradient.
Ref<OpNode> make_node(Op &op, const Args &args, const Results &results, const TensorRef &original);

// autograd_inplace.cpp
void attach_inplace(Op &op, Args &args, Results &results);
bool is_view_of(Op &op, const Args &args, const Tensor &result);
void record_view(Op &op, Args &args, Tensor &result); // takes the arguments

} // namespace taeda
