// Kinds cat and copy: elements moved, cast, not computed.
#include "op.h"

namespace taeda {

Results run_cat(Op &op, Args &args) {
  const std::vector<TensorRef> &list = args[0].tensors();
  const char *name = op.title();
  if (list.empty()) throw ValueFault(format("%s(): expected a non-empty list of Tensors", name));
  Promoter promoter;
  const Tensor *like = nullptr; // old-style empty vectors [0] fit everything
  for (size_t i = 0; i < list.size(); ++i) {
    const TensorRef &t = list[i];
    if (!t) throw TypeFault(format("%s(): expected Tensor as element %zu in argument 0, but got NoneType", name, i));
    if (!t->ndim()) throw RuntimeFault(format("zero-dimensional tensor (at position %zu) cannot be concatenated", i));
    promoter.add(t->dtype, false);
    if (!like && !(t->ndim() == 1 && t->sizes[0] == 0)) like = t.get();
  }
  if (!like) return {empty({0}, promoter.result())};
  size_t d = size_t(wrap_dim(name, args[1].integer(), int64_t(like->ndim())));
  Dims sizes = like->sizes;
  sizes[d] = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const Tensor &t = *list[i];
    if (t.ndim() == 1 && t.sizes[0] == 0) continue;
    if (t.ndim() != like->ndim())
      throw RuntimeFault(
          format("Tensors must have same number of dimensions: got %zu and %zu", like->ndim(), t.ndim()));
    for (size_t j = 0; j < sizes.size(); ++j)
      if (j != d && t.sizes[j] != sizes[j])
        throw RuntimeFault(format("Sizes of tensors must match except in dimension %zu. Expected size %lld but got "
                                  "size %lld for tensor number %zu in the list.",
                                  d, (long long)sizes[j], (long long)t.sizes[j], i));
    sizes[d] += t.sizes[d];
  }
  TensorRef out = empty(sizes, promoter.result());
  int64_t at = 0;
  for (const TensorRef &t : list) {
    if (t->ndim() == 1 && t->sizes[0] == 0) continue;
    TensorRef place = view_of(out, t->sizes, out->strides, out->offset + at * out->strides[d]);
    copy_into(*place, *t);
    at += t->sizes[d];
  }
  return {out};
}

namespace {

// A copy that walks some dimensions backwards.
TensorRef reversed(const Tensor &t, const Dims &dims, const char *name) {
  TensorRef out = empty_strided(t.sizes, permuted_strides(t.sizes, {&t}), t.dtype);
  if (!out->numel()) return out;
  int64_t to[TD_MAX_DIMS], from[TD_MAX_DIMS];
  byte_strides(*out, t.sizes, to);
  byte_strides(t, t.sizes, from);
  const char *first = static_cast<const char *>(t.data());
  for (int64_t dim : dims) {
    size_t d = size_t(wrap_dim(name, dim, int64_t(t.ndim())));
    first += (t.sizes[d] - 1) * from[d];
    from[d] = -from[d];
  }
  check_status(td_copy(out->data(), to, first, from, int(t.ndim()), t.sizes.data(), itemsize(t.dtype)), name);
  return out;
}

} // namespace

Results run_copy(Op &op, Args &args) {
  const TensorRef &t = args[0].tensor();
  if (op.form == "clone") return {raw_clone(*t)};
  if (op.form == "contiguous") return {raw_contiguous(t)};
  if (op.form == "to") {
    DType d = std::get<DType>(args[1].v);
    return {raw_cast(t, d)};
  }
  if (op.form == "flip") return {reversed(*t, args[1].dims(), op.title())};
  const TensorRef &src = args[1].tensor(); // copy_: into t
  if (broadcast_shapes(op.title(), src->sizes, t->sizes) != t->sizes)
    throw RuntimeFault(format("output with shape %s doesn't match the broadcast shape %s", shape_text(t->sizes).c_str(),
                              shape_text(broadcast_shapes(op.title(), src->sizes, t->sizes)).c_str()));
  copy_into(*t, *src);
  return {t};
}

} // namespace taeda
