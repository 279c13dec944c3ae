// Kinds gather, scatter, sort and nonzero: elements found through index tensors. Three forms say how indices address
// the tensor: index (one tensor per dim, broadcast together), along (one index per element of one dim) and select
// (whole slices of one dim).
#include "op.h"

namespace taeda {

namespace {

// How an iteration space walks over the indexed tensor and its indices.
struct Walk {
  Dims sizes; // iteration space = shape of the values
  int64_t target[TD_MAX_DIMS] =
      {}; // byte strides of the indexed tensor per iteration dim; 0 where an index addresses it
  std::vector<TensorRef> kept;
  std::vector<std::vector<int64_t>> strides;
  std::vector<td_index> indices;

  // wraps: negative indices count from the end
  void add_index(const TensorRef &index, std::vector<int64_t> per_dim, int64_t size, int64_t stride, size_t dim,
                 bool wraps) {
    kept.push_back(index);
    strides.push_back(std::move(per_dim));
    auto at = int32_t(dim);
    indices.push_back({index->data(), nullptr, size, stride, wraps ? at : -1 - at, int32_t(index->dtype)});
  }
  const td_index *list() {
    for (size_t i = 0; i < indices.size(); ++i) indices[i].strides = strides[i].data();
    return indices.data();
  }
};

int64_t bytes(const Tensor &t, size_t dim) { return t.strides[dim] * int64_t(itemsize(t.dtype)); }

TensorRef usable_index(const Op &op, const TensorRef &t) {
  if (t->dtype == TD_I64 || t->dtype == TD_I32) return t;
  if (t->dtype == TD_U8 || t->dtype == TD_I8 || t->dtype == TD_I16) return raw_cast(t, TD_I64);
  throw IndexFault(format("%s(): tensors used as indices must be long, int, byte or bool tensors, got %s", op.title(),
                          info(t->dtype).name));
}

// A bool mask stands for one index vector per dim of its own.
std::vector<TensorRef> expand_masks(const Op &op, const Tensor &t, const std::vector<TensorRef> &given) {
  std::vector<TensorRef> out;
  for (const TensorRef &i : given) {
    if (!i || i->dtype != TD_BOOL) {
      out.push_back(i ? usable_index(op, i) : i);
      continue;
    }
    for (size_t d = 0; d < i->ndim(); ++d) {
      size_t at = out.size() + d;
      if (at >= t.ndim() || t.sizes[at] != i->sizes[d])
        throw IndexFault(format(
            "The shape of the mask %s at index %zu does not match the shape of the indexed tensor %s at index %zu",
            shape_text(i->sizes).c_str(), d, shape_text(t.sizes).c_str(), at));
    }
    int64_t strides[TD_MAX_DIMS];
    byte_strides(*i, i->sizes, strides);
    int64_t count = td_nonzero_count(i->data(), strides, int(i->ndim()), i->sizes.data());
    auto rank = int64_t(i->ndim());
    TensorRef found = empty({count, rank}, TD_I64);
    if (found->numel() > 0)
      td_nonzero_fill(i->data(), strides, int(rank), i->sizes.data(), reinterpret_cast<int64_t *>(found->data()));
    for (int64_t d = 0; d < rank; ++d) out.push_back(view_of(found, {count}, {rank}, found->offset + d));
  }
  if (out.size() > t.ndim()) throw IndexFault(format("too many indices for tensor of dimension %zu", t.ndim()));
  out.resize(t.ndim());
  return out;
}

Walk walk_index(const Op &op, const Tensor &t, const std::vector<TensorRef> &given) {
  std::vector<TensorRef> index = expand_masks(op, t, given);
  Dims shape;
  bool any = false, adjacent = true;
  size_t first = 0, last = 0;
  for (size_t d = 0; d < index.size(); ++d) {
    if (!index[d]) continue;
    if (!any)
      first = d, shape = index[d]->sizes;
    else {
      adjacent = adjacent && last + 1 == d;
      try {
        shape = broadcast_shapes(op.title(), shape, index[d]->sizes);
      } catch (const RuntimeFault &) {
        std::string all;
        for (const TensorRef &i : index)
          if (i) all += (all.empty() ? "" : ", ") + shape_text(i->sizes);
        throw IndexFault(
            format("shape mismatch: indexing tensors could not be broadcast together with shapes %s", all.c_str()));
      }
    }
    any = true;
    last = d;
  }
  Walk w;
  size_t at = adjacent ? first : 0, rank = shape.size(); // where the index dims stand in the result
  size_t it = 0;
  for (size_t d = 0; d < t.ndim(); ++d) {
    if (it == at && any)
      for (; it < at + rank; ++it) w.sizes.push_back(shape[it - at]);
    if (index[d]) continue;
    w.target[w.sizes.size()] = bytes(t, d);
    w.sizes.push_back(t.sizes[d]);
    ++it;
  }
  if (any && w.sizes.size() < at + rank)
    for (size_t i = 0; i < rank; ++i) w.sizes.push_back(shape[i]);
  for (size_t d = 0; d < index.size(); ++d) {
    if (!index[d]) continue;
    std::vector<int64_t> per_dim(w.sizes.size() + 1, 0);
    int64_t strides[TD_MAX_DIMS];
    byte_strides(*index[d], shape, strides);
    for (size_t i = 0; i < rank; ++i) per_dim[at + i] = strides[i];
    w.add_index(index[d], std::move(per_dim), t.sizes[d], bytes(t, d), d, true);
  }
  return w;
}

Walk walk_along(const Op &op, const Tensor &t, int64_t dim, const TensorRef &given, const Tensor *src) {
  const char *name = op.title();
  size_t rank = std::max<size_t>(t.ndim(), 1);
  size_t d = size_t(wrap_dim(name, dim, int64_t(rank)));
  if (given->dtype != TD_I64 && given->dtype != TD_I32)
    throw RuntimeFault(format("%s(): Expected dtype int32/int64 for index", name));
  if (given->numel() && std::max<size_t>(given->ndim(), 1) != rank)
    throw RuntimeFault(
        format("Index tensor must have the same number of dimensions as %s tensor", src ? "self" : "input"));
  Walk w;
  w.sizes = given->sizes;
  std::vector<int64_t> per_dim(rank + 1, 0);
  for (size_t i = 0; i < w.sizes.size() && i < t.ndim(); ++i) {
    bool beyond = i != d && w.sizes[i] > t.sizes[i];
    bool beyond_src = src && i < src->ndim() && w.sizes[i] > src->sizes[i];
    if ((beyond || beyond_src) && given->numel())
      throw RuntimeFault(format(
          "Size does not match at dimension %zu expected index %s to be no larger than %s %s apart from dimension %zu",
          i, shape_text(w.sizes).c_str(), beyond_src && !beyond ? "src" : "self",
          shape_text(beyond_src && !beyond ? src->sizes : t.sizes).c_str(), d));
    if (i != d) w.target[i] = bytes(t, i);
    per_dim[i] = bytes(*given, i);
  }
  w.add_index(given, std::move(per_dim), t.ndim() ? t.sizes[d] : 1, t.ndim() ? bytes(t, d) : 0, d, false);
  return w;
}

Walk walk_select(const Op &op, const Tensor &t, int64_t dim, const TensorRef &given) {
  const char *name = op.title();
  size_t rank = std::max<size_t>(t.ndim(), 1);
  size_t d = size_t(wrap_dim(name, dim, int64_t(rank)));
  if (given->ndim() > 1) throw IndexFault(format("%s(): Index is supposed to be a vector", name));
  if (given->dtype != TD_I64 && given->dtype != TD_I32)
    throw RuntimeFault(format("%s(): Expected dtype int32 or int64 for index", name));
  Walk w;
  w.sizes = t.sizes;
  std::vector<int64_t> per_dim(rank + 1, 0);
  for (size_t i = 0; i < t.ndim(); ++i) w.target[i] = i == d ? 0 : bytes(t, i);
  if (t.ndim()) {
    w.sizes[d] = given->numel();
    per_dim[d] = given->ndim() ? bytes(*given, 0) : 0;
  }
  w.add_index(given, std::move(per_dim), t.ndim() ? t.sizes[d] : 1, t.ndim() ? bytes(t, d) : 0, d, false);
  return w;
}

Walk walk(const Op &op, Args &args, const Tensor &t, const Tensor *src) {
  if (op.form == "index") return walk_index(op, t, args[1].tensors());
  if (op.form == "along") return walk_along(op, t, args[1].integer(), args[2].tensor(), src);
  return walk_select(op, t, args[1].integer(), args[2].tensor());
}

// As PyTorch: an index out of range is an IndexError, but a RuntimeError where it goes along one dimension.
void check_indexed(td_status status, const Op &op) {
  if (status == TD_ERR_INDEX && op.form == "along" && !op.index_error)
    throw RuntimeFault(format("%s(): %s", op.title(), td_last_error()));
  check_status(status, op.title());
}

} // namespace

Results run_gather(Op &op, Args &args) {
  const TensorRef &t = args[0].tensor();
  Walk w = walk(op, args, *t, nullptr);
  TensorRef out = empty(w.sizes, t->dtype);
  if (!out->numel()) return {out};
  int64_t strides[TD_MAX_DIMS];
  byte_strides(*out, w.sizes, strides);
  check_indexed(td_gather(out->data(), strides, t->data(), w.target, int(w.indices.size()), w.list(),
                          int(w.sizes.size()), w.sizes.data(), itemsize(t->dtype)),
                op);
  return {out};
}

Results run_scatter(Op &op, Args &args) {
  TensorRef self = args[0].tensor();
  TensorRef src = args[args.size() - 1].tensor();
  if (src->dtype != self->dtype) {
    if (op.form != "index" && op.form != "select")
      throw RuntimeFault(format("%s(): Expected self.dtype to be equal to src.dtype", op.title()));
    if (src->ndim()) // a 0-d value is cast, as a number would be
      throw RuntimeFault(format("%s: expected self and source to have the same dtype, got %s and %s", op.title(),
                                info(self->dtype).name, info(src->dtype).name));
    src = raw_cast(src, self->dtype);
  }
  TensorRef out = op.inplace_arg >= 0 ? self : raw_clone(*self);
  if (may_share(*src, *out)) src = raw_clone(*src);
  Walk w = walk(op, args, *out, op.form == "along" ? src.get() : nullptr);
  for (TensorRef &i : w.kept)
    if (may_share(*i, *out))
      throw RuntimeFault(format("%s(): the index shares memory with the tensor that is written", op.title()));
  if (!numel_of(w.sizes)) return {out};
  int64_t from[TD_MAX_DIMS], to[TD_MAX_DIMS] = {};
  if (op.form == "along") // the source may be larger than the index
    for (size_t i = 0; i < w.sizes.size(); ++i) from[i] = i < src->ndim() ? bytes(*src, i) : 0;
  else {
    if (broadcast_shapes(op.title(), src->sizes, w.sizes) != w.sizes)
      throw RuntimeFault(
          format("shape mismatch: value tensor of shape %s cannot be broadcast to indexing result of shape %s",
                 shape_text(src->sizes).c_str(), shape_text(w.sizes).c_str()));
    byte_strides(*src, w.sizes, from);
  }
  for (size_t i = 0; i < w.sizes.size(); ++i) to[i] = w.target[i];
  check_indexed(td_scatter(out->data(), to, src->data(), from, int(w.indices.size()), w.list(), int(w.sizes.size()),
                           w.sizes.data(), out->dtype, op.mode),
                op);
  return {out};
}

// (input, dim, descending, k?) -> values and int64 positions
Results run_sort(Op &op, Args &args) {
  const TensorRef &t = args[0].tensor();
  size_t n = t->ndim();
  size_t d = size_t(wrap_dim(op.title(), args[1].integer(), std::max<int64_t>(int64_t(n), 1)));
  int64_t length = n ? t->sizes[d] : 1, k = args[3].none() ? length : args[3].integer();
  if (k < 0 || k > length) throw RuntimeFault("selected index k out of range");
  Dims order, sizes = t->sizes;
  for (size_t i = 0; i < n; ++i)
    if (i != d) order.push_back(int64_t(i));
  if (n) order.push_back(int64_t(d)), sizes[d] = k;
  Dims moved_out, back(n, 0);
  for (size_t i = 0; i < n; ++i) moved_out.push_back(sizes[size_t(order[i])]), back[size_t(order[i])] = int64_t(i);
  TensorRef values = empty(moved_out, t->dtype), indices = empty(moved_out, TD_I64);
  if (values->numel()) {
    int64_t strides[TD_MAX_DIMS], shape[TD_MAX_DIMS];
    for (size_t i = 0; i < n; ++i) strides[i] = bytes(*t, size_t(order[i])), shape[i] = t->sizes[size_t(order[i])];
    if (!n) strides[0] = 0, shape[0] = 1;
    check_status(td_sort(t->data(), strides, int(std::max<size_t>(n, 1)), shape, t->dtype, args[2].truth(),
                         k == length ? 0 : k, values->data(), reinterpret_cast<int64_t *>(indices->data())),
                 op.title());
  }
  auto restored = [&](const TensorRef &r) {
    Geometry g = permute_geometry(*r, back);
    return raw_contiguous(view_of(r, g.sizes, g.strides, g.offset));
  };
  return {restored(values), restored(indices)};
}

Results run_nonzero(Op &op, Args &args) {
  const TensorRef &t = args[0].tensor();
  if (t->dtype != TD_BOOL)
    throw RuntimeFault(format("%s(): expected a bool tensor, got %s", op.title(), info(t->dtype).name));
  int64_t strides[TD_MAX_DIMS];
  byte_strides(*t, t->sizes, strides);
  int64_t count = td_nonzero_count(t->data(), strides, int(t->ndim()), t->sizes.data());
  TensorRef out = empty({count, int64_t(t->ndim())}, TD_I64);
  if (out->numel())
    td_nonzero_fill(t->data(), strides, int(t->ndim()), t->sizes.data(), reinterpret_cast<int64_t *>(out->data()));
  return {out};
}

} // namespace taeda
