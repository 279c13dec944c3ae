// Kind view: new geometry over the same storage. Forms are shapes of arguments, not operators.
#include "op.h"

namespace taeda {

namespace {

TensorRef geometry_view(const TensorRef &t, const Geometry &g) { return view_of(t, g.sizes, g.strides, g.offset); }

TensorRef reshaped(const Op &op, const TensorRef &t, const Dims &wanted, bool may_copy) {
  Dims sizes = infer_size(op.title(), wanted, t->numel());
  Geometry g;
  if (view_geometry(*t, sizes, &g)) return geometry_view(t, g);
  if (!may_copy)
    throw RuntimeFault(
        "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
        "contiguous subspaces). Use .reshape(...) instead.");
  TensorRef c = raw_contiguous(t);
  return view_of(c, sizes, contiguous_strides(sizes), c->offset);
}

// The same bytes as elements of another dtype; the last dimension takes up the difference in size.
TensorRef as_dtype(const char *name, const TensorRef &t, DType d) {
  int64_t from = int64_t(itemsize(t->dtype)), to = int64_t(itemsize(d));
  Dims sizes = t->sizes, strides = t->strides;
  int64_t offset = t->offset;
  if (from != to) {
    size_t last = t->ndim() - 1;
    if (!t->ndim())
      throw RuntimeFault(format("%s(): self.dim() cannot be 0 to view %s as %s (different element sizes)", name,
                                info(t->dtype).name, info(d).name));
    if (strides[last] != 1)
      throw RuntimeFault(
          format("%s(): self.stride(-1) must be 1 to view %s as %s (different element sizes), but got %lld", name,
                 info(t->dtype).name, info(d).name, (long long)strides[last]));
    auto scaled = [&](int64_t n, const char *what) {
      if (n * from % to)
        throw RuntimeFault(
            format("%s(): %s must be divisible by %lld to view %s as %s (different element sizes), but got %lld", name,
                   what, (long long)(to / from), info(t->dtype).name, info(d).name, (long long)n));
      return n * from / to;
    };
    sizes[last] = scaled(sizes[last], "self.size(-1)");
    offset = scaled(offset, "self.storage_offset()");
    for (size_t i = 0; i < last; ++i) strides[i] = scaled(strides[i], "self.stride()");
  }
  TensorRef r = view_of(t, sizes, strides, offset);
  r->dtype = d;
  return r;
}

// Complex numbers as pairs in a new last dimension, and back.
TensorRef as_real(const char *name, const TensorRef &t) {
  if (!is_complex(t->dtype)) throw RuntimeFault(format("%s is only supported for complex tensors", name));
  Dims sizes = t->sizes, strides = t->strides;
  for (int64_t &s : strides) s *= 2;
  sizes.push_back(2);
  strides.push_back(1);
  TensorRef r = view_of(t, sizes, strides, t->offset * 2);
  r->dtype = real_of(t->dtype);
  return r;
}

TensorRef as_complex(const char *name, const TensorRef &t) {
  if (t->dtype != TD_F32 && t->dtype != TD_F64)
    throw RuntimeFault(
        format("%s is only supported for floating point tensors (float32, float64), but got a tensor of type %s", name,
               info(t->dtype).name));
  if (!t->ndim()) throw RuntimeFault("Input tensor must have one or more dimensions");
  size_t last = t->ndim() - 1;
  if (t->sizes[last] != 2) throw RuntimeFault("Tensor must have a last dimension of size 2");
  if (t->strides[last] != 1) throw RuntimeFault("Tensor must have a last dimension with stride 1");
  Dims sizes = t->sizes, strides = t->strides;
  sizes.resize(last);
  strides.resize(last);
  for (int64_t &s : strides) {
    if (s % 2) throw RuntimeFault("Tensor must have a stride divisible by 2 for all but last dimension");
    s /= 2;
  }
  if (t->offset % 2) throw RuntimeFault("Tensor must have a storage_offset divisible by 2");
  TensorRef r = view_of(t, sizes, strides, t->offset / 2);
  r->dtype = complex_of(t->dtype);
  return r;
}

int64_t or_else(const Arg &a, int64_t fallback) { return a.none() ? fallback : a.integer(); }

} // namespace

Results run_view(Op &op, Args &args) {
  const TensorRef &t = args[0].tensor();
  const std::string &form = op.form;
  const char *name = op.title();
  if (form == "reshape") return {reshaped(op, t, args[1].dims(), true)};
  if (form == "view") return {reshaped(op, t, args[1].dims(), false)};
  if (form == "dtype") return {as_dtype("view", t, std::get<DType>(args[1].v))};
  if (form == "as_real") return {as_real(name, t)};
  if (form == "as_complex") return {as_complex(name, t)};
  if (form == "alias") return {view_of(t, t->sizes, t->strides, t->offset)};
  if (form == "transpose") {
    int64_t n = std::max<int64_t>(int64_t(t->ndim()), 1);
    auto a = size_t(wrap_dim(name, args[1].integer(), n)), b = size_t(wrap_dim(name, args[2].integer(), n));
    Dims sizes = t->sizes, strides = t->strides;
    if (t->ndim()) std::swap(sizes[a], sizes[b]), std::swap(strides[a], strides[b]);
    return {view_of(t, sizes, strides, t->offset)};
  }
  if (form == "permute") return {geometry_view(t, permute_geometry(*t, args[1].dims()))};
  if (form == "expand") return {geometry_view(t, expand_geometry(*t, args[1].dims()))};
  if (form == "squeeze") {
    const Dims *dims = args[1].none() ? nullptr : &args[1].dims();
    return {geometry_view(t, squeeze_geometry(*t, dims))};
  }
  if (form == "unsqueeze") return {geometry_view(t, unsqueeze_geometry(*t, args[1].integer()))};
  if (form == "select") return {geometry_view(t, select_geometry(*t, args[1].integer(), args[2].integer()))};
  if (form == "slice")
    return {geometry_view(t, slice_geometry(*t, args[1].integer(), or_else(args[2], 0), or_else(args[3], INT64_MAX),
                                            or_else(args[4], 1)))};
  if (form == "diagonal")
    return {geometry_view(t, diagonal_geometry(*t, args[1].integer(), args[2].integer(), args[3].integer()))};
  if (form == "unfold")
    return {geometry_view(t, unfold_geometry(*t, args[1].integer(), args[2].integer(), args[3].integer()))};
  if (form == "as_strided")
    return {geometry_view(t, as_strided_geometry(*t, args[1].dims(), args[2].dims(), t->offset + args[3].integer()))};
  throw ValueFault(format("%s: unknown view form '%s'", name, form.c_str()));
}

} // namespace taeda
