// Forward mode. A tensor carries a tangent for every level (a `jvp` or dual_level under way) at which it is a dual
// number; operators on such tensors go to hook `forward`, which runs them with the levels from there on closed, so that
// the tape records what it always does, and gives the results their tangents.
#pragma once
#include <utility>
#include <vector>

#include "tensor.h"

namespace taeda {

struct Arg;

// The levels that take part in operators on this thread, for a scope.
struct ForwardLevels {
  explicit ForwardLevels(uint32_t open);
  ~ForwardLevels();
  ForwardLevels(const ForwardLevels &) = delete;
  ForwardLevels &operator=(const ForwardLevels &) = delete;
  uint32_t before;
};

// The highest open level at which a tensor, or the one it is a view of, has a tangent; -1: none.
int forward_level(const Tensor &t);
int forward_level(const std::vector<Arg> &args);

} // namespace taeda
