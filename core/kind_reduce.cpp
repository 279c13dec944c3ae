// Kinds reduce and scan. The order of a reduction is the canonical one of docs/architecture.md: runs of adjacent
// reduced dims, the last first.
#include "op.h"

namespace taeda {

namespace {

DType accumulator(const Op &op, DType in, DType out) {
  if (op.index) return TD_I64;
  if (op.out_type == "b") return TD_BOOL;
  if (!op.accumulates) return in;
  if (out == TD_F64) return TD_F64;
  if (is_float(out)) return TD_F32;
  return TD_I64;
}

// The dims asked for, as flags. None and an empty list mean all.
std::vector<bool> reduced_dims(const Op &op, const Arg &dim, size_t ndim) {
  std::vector<bool> flags(ndim, false);
  auto mark = [&](int64_t d) {
    if (ndim == 0) {
      wrap_dim(op.title(), d, 1);
      return;
    }
    size_t w = size_t(wrap_dim(op.title(), d, int64_t(ndim)));
    if (flags[w]) throw RuntimeFault(format("dim %zu appears multiple times in the list of dims", w));
    flags[w] = true;
  };
  if (dim.none() || (dim.v.index() == 4 && dim.dims().empty()))
    flags.assign(ndim, true);
  else if (dim.v.index() == 4)
    for (int64_t d : dim.dims()) mark(d);
  else
    mark(dim.integer());
  return flags;
}

TensorRef run_once(Op &op, const TensorRef &x, size_t begin, size_t end, DType out_dtype, bool first) {
  bool rows = end == x->ndim();
  Dims kept = x->sizes;
  for (size_t i = begin; i < end; ++i) kept[i] = 1;
  TensorRef out = empty(kept, out_dtype);
  if (!out->numel()) return out;
  const td_kernel *k =
      rows ? kernel_for(op, "rows", &x->dtype, 1, &out_dtype, 1)
           : kernel_for(op, "cols", &x->dtype, 1, &out_dtype, 1, first ? "/first" : "/next", first ? 1 : 2);
  int64_t strides[2][TD_MAX_DIMS];
  byte_strides(*out, x->sizes, strides[0]);
  byte_strides(*x, x->sizes, strides[1]);
  for (size_t i = begin; i < end; ++i) strides[0][i] = 0;
  td_operand ops[2] = {{out->data(), strides[0]}, {x->data(), strides[1]}};
  uint8_t sizes[2] = {uint8_t(itemsize(out_dtype)), uint8_t(itemsize(x->dtype))};
  int ndim = int(x->ndim()), nred = int(end - begin);
  check_status(rows ? td_rows(k, ops, sizes, ndim, nred, x->sizes.data())
                    : td_cols(k, ops, sizes, ndim, int(begin), nred, x->sizes.data()),
               op.title());
  return out;
}

} // namespace

Results run_reduce(Op &op, Args &args) {
  TensorRef x = args[0].tensor();
  bool keepdim = args[2].truth();
  if (args.size() > 3 && !args[3].none()) x = raw_cast(x, std::get<DType>(args[3].v));
  if (op.to_float && is_integral(x->dtype, true)) x = raw_cast(x, default_dtype());
  check_accepts(op, x->dtype);
  if (is_complex(x->dtype)) {
    args[0].v = x;
    return by_parts(op, args);
  }
  size_t ndim = x->ndim();
  std::vector<bool> reduced = reduced_dims(op, args[1], ndim);
  bool everything = args[1].none();
  DType out_dtype = op.out_type == "b"   ? x->dtype == TD_U8 ? TD_U8 : TD_BOOL // as PyTorch, for any and all
                    : op.out_type == "i" ? TD_I64
                    : op.out_type == "acc" && is_integral(x->dtype, true) && (args.size() <= 3 || args[3].none())
                        ? TD_I64
                        : x->dtype;
  Dims final_sizes, kept_sizes;
  for (size_t i = 0; i < ndim; ++i) {
    if (!reduced[i])
      final_sizes.push_back(x->sizes[i]);
    else if (keepdim)
      final_sizes.push_back(1);
    if (!op.accumulates && op.out_type != "b" && reduced[i] && x->sizes[i] == 0) {
      if (everything)
        throw(op.index ? IndexFault(format("%s(): Expected reduction dim to be specified for input.numel() == 0. "
                                           "Specify the reduction dim with the 'dim' argument.",
                                           op.title()))
                       : IndexFault(format("%s(): Expected reduction dim to be specified for input.numel() == 0. "
                                           "Specify the reduction dim with the 'dim' argument.",
                                           op.title())));
      throw IndexFault(format("%s(): Expected reduction dim %zu to have non-zero size.", op.title(), i));
    }
  }
  DType acc = accumulator(op, x->dtype, out_dtype);
  if (ndim == 0) x = view_of(x, {1}, {1}, x->offset), reduced.assign(1, true), ndim = 1;
  if (op.index && everything && ndim > 1) { // the position in the flattened tensor
    x = raw_contiguous(x);
    x = view_of(x, {x->numel()}, {1}, x->offset);
    reduced.assign(1, true);
    ndim = 1;
  }
  bool first = true, any = false;
  for (size_t end = ndim; end-- > 0;) {
    if (!reduced[end]) continue;
    size_t stop = end + 1;
    while (end > 0 && reduced[end - 1]) --end;
    bool last = true;
    for (size_t i = 0; i < end; ++i) last = last && !reduced[i];
    x = run_once(op, x, end, stop, last ? out_dtype : acc, first);
    first = false;
    any = true;
  }
  if (!any) x = raw_cast(x, out_dtype);
  return {view_of(x, final_sizes, contiguous_strides(final_sizes), x->offset)};
}

Results run_scan(Op &op, Args &args) {
  TensorRef x = args[0].tensor();
  if (args.size() > 2 && !args[2].none()) x = raw_cast(x, std::get<DType>(args[2].v));
  check_accepts(op, x->dtype);
  if (is_complex(x->dtype)) {
    args[0].v = x;
    return by_parts(op, args);
  }
  bool given = args.size() > 2 && !args[2].none();
  DType out_dtype = !given && is_integral(x->dtype, true) ? TD_I64 : x->dtype;
  int64_t dim = wrap_dim(op.title(), args[1].integer(), std::max<int64_t>(int64_t(x->ndim()), 1));
  TensorRef out = empty_strided(x->sizes, permuted_strides(x->sizes, {x.get()}), out_dtype);
  if (!out->numel()) return {out};
  if (x->ndim() == 0) {
    copy_into(*out, *x);
    return {out};
  }
  const td_kernel *k = kernel_for(op, "scan", &x->dtype, 1, &out_dtype, 1);
  int64_t strides[2][TD_MAX_DIMS];
  byte_strides(*out, x->sizes, strides[0]);
  byte_strides(*x, x->sizes, strides[1]);
  td_operand ops[2] = {{out->data(), strides[0]}, {x->data(), strides[1]}};
  check_status(td_scan(k, ops, int(x->ndim()), int(dim), x->sizes.data()), op.title());
  return {out};
}

} // namespace taeda
