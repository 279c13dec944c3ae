// Kinds map, generate and rows: generated row kernels over broadcast operands.
#include <algorithm>
#include <cstring>

#include "forward.h"
#include "op.h"

namespace taeda {

namespace {

struct Number {
  alignas(16) char bytes[16];
};

// Most operators have few operands: their plans are small enough to set up and take down in no time.
constexpr size_t kFew = 6;

// What the operands of one call come to: dtypes, result shape and data.
template <size_t N> struct Plan {
  DType common = TD_F32;
  Dims sizes;
  size_t n_in = 0, n_out = 0;
  DType in[N], out[N];
  TensorRef tensors[N]; // cast; null for numbers
  Number numbers[N];
};

DType compute_dtype(DType d) { return d == TD_F16 || d == TD_BF16 ? TD_F32 : d; }

template <size_t N> void promote_operands(const Op &op, const Args &args, Plan<N> &p) {
  Promoter promoter;
  bool any = false;
  for (size_t i = 0; i < p.n_in; ++i) {
    const Arg &a = args[i];
    if (op.in_types[i] != 'T') continue;
    if (a.is_tensor()) {
      promoter.add(a.tensor()->dtype, a.tensor()->ndim() == 0);
      any = true;
    } else if (!a.none()) {
      promoter.add(a.scalar());
      any = true;
    }
  }
  if (!any) {
    for (size_t i = 0; i < p.n_in; ++i)
      if (args[i].is_tensor()) p.common = args[i].tensor()->dtype;
    return;
  }
  p.common = promoter.result();
  if (op.to_float && is_integral(p.common, true)) p.common = default_dtype();
  check_accepts(op, p.common);
}

template <size_t N> void broadcast_operands(const Op &op, const Args &args, Plan<N> &p) {
  bool first = true;
  for (size_t i = 0; i < p.n_in; ++i) {
    if (!args[i].is_tensor()) continue;
    const Dims &s = args[i].tensor()->sizes;
    if (first)
      p.sizes = s;
    else if (p.sizes != s)
      p.sizes = broadcast_shapes(op.title(), p.sizes, s);
    first = false;
  }
}

DType letter_dtype(const Op &op, char letter, DType common) {
  switch (letter) {
  case 'T':
  case 'R':
    return common;
  case 'b':
    return TD_BOOL;
  case 'i':
    return TD_I64;
  case 'd':
    return TD_F64;
  case 'p':
    return compute_dtype(common);
  case 'r':
    return real_of(common);
  case 'c':
    return complex_of(common);
  default:
    throw ValueFault(format("%s: unknown operand letter '%c'", op.title(), letter));
  }
}

template <size_t N> void load_operands(const Op &op, const Args &args, Plan<N> &p) {
  for (size_t i = 0; i < p.n_in; ++i) {
    p.in[i] = letter_dtype(op, op.in_types[i], p.common);
    if (args[i].is_tensor())
      p.tensors[i] = raw_cast(args[i].tensor(), p.in[i]);
    else if (args[i].none())
      throw TypeFault(format("%s(): argument '%s' must be Tensor or Number, not None", op.title(),
                             op.schema.params[i].name.c_str()));
    else
      args[i].scalar().store(p.in[i], p.numbers[i].bytes);
  }
  for (size_t i = 0; i < p.n_out; ++i) p.out[i] = letter_dtype(op, op.out_types[i], p.common);
}

template <size_t N> void make_plan(const Op &op, const Args &args, Plan<N> &p) {
  p.n_in = op.in_types.size();
  p.n_out = op.out_types.size();
  promote_operands(op, args, p);
  broadcast_operands(op, args, p);
}

// Operand descriptors: outputs, then inputs. A complex operand is two of its real dtype, side by side in memory.
template <size_t N> struct Operands {
  int64_t strides[N][TD_MAX_DIMS];
  td_operand ops[2 * N];
  uint8_t sizes[2 * N];
  size_t count = 0;
  void add(char *data, const int64_t *strides, DType d) {
    bool pair = is_complex(d);
    auto size = uint8_t(itemsize(d) >> int(pair));
    for (int part = 0; part <= int(pair); ++part) {
      ops[count] = {data + part * size, strides};
      sizes[count++] = size;
    }
  }
};

template <size_t N> void describe(Plan<N> &p, const Results &outs, const Dims &sizes, Operands<N> &o) {
  size_t n = sizes.size();
  for (size_t i = 0; i < p.n_out; ++i) {
    byte_strides(*outs[i], sizes, o.strides[i]);
    o.add(outs[i]->data(), o.strides[i], p.out[i]);
  }
  for (size_t i = 0; i < p.n_in; ++i) {
    int64_t *strides = o.strides[p.n_out + i];
    if (p.tensors[i]) {
      byte_strides(*p.tensors[i], sizes, strides);
      o.add(p.tensors[i]->data(), strides, p.in[i]);
    } else {
      std::memset(strides, 0, n * sizeof(int64_t));
      o.add(p.numbers[i].bytes, strides, p.in[i]);
    }
  }
}

bool same_layout(const Tensor &a, const Tensor &b) {
  return a.data() == b.data() && a.sizes == b.sizes && a.strides == b.strides && a.dtype == b.dtype;
}

} // namespace

namespace {

template <size_t N> bool all_flat(const Plan<N> &p) {
  for (size_t i = 0; i < p.n_in; ++i)
    if (p.tensors[i] && !(p.tensors[i]->contiguous() && p.tensors[i]->sizes == p.sizes)) return false;
  return true;
}

// One dimension does for contiguous operands of one shape.
template <size_t N> td_status map_flat(const td_kernel *k, Plan<N> &p, const Results &outs) {
  int64_t strides[N];
  Operands<N> o;
  for (size_t i = 0; i < p.n_out; ++i) {
    strides[i] = int64_t(itemsize(p.out[i]));
    o.add(outs[i]->data(), &strides[i], p.out[i]);
  }
  for (size_t i = 0; i < p.n_in; ++i) {
    size_t j = p.n_out + i;
    strides[j] = p.tensors[i] ? int64_t(itemsize(p.in[i])) : 0;
    o.add(p.tensors[i] ? p.tensors[i]->data() : p.numbers[i].bytes, &strides[j], p.in[i]);
  }
  int64_t n = outs[0]->numel();
  return td_map(k, o.ops, 1, &n);
}

template <class T> bool any_zero(const Tensor &t, size_t dim, const char *at) {
  if (dim == t.ndim()) return *reinterpret_cast<const T *>(at) == 0;
  int64_t step = t.strides[dim] * int64_t(sizeof(T));
  bool found = false;
  if (dim + 1 == t.ndim())
    for (int64_t i = 0; i < t.sizes[dim]; ++i) found |= *reinterpret_cast<const T *>(at + i * step) == 0;
  else
    for (int64_t i = 0; i < t.sizes[dim] && !found; ++i) found = any_zero<T>(t, dim + 1, at + i * step);
  return found;
}

bool any_zero(const Tensor &t) {
  switch (t.numel() ? itemsize(t.dtype) : 0) {
  case 1:
    return any_zero<int8_t>(t, 0, t.data());
  case 2:
    return any_zero<int16_t>(t, 0, t.data());
  case 4:
    return any_zero<int32_t>(t, 0, t.data());
  case 8:
    return any_zero<int64_t>(t, 0, t.data());
  default:
    return false;
  }
}

// Kernels do not stop at a whole number divided by zero; PyTorch raises.
template <size_t N> void check_divisor(const Op &op, const Plan<N> &p) {
  if (op.divisor < 0 || !is_integral(p.common, true) || !numel_of(p.sizes)) return;
  auto j = size_t(op.divisor);
  static constexpr char kZero[sizeof(Number)] = {};
  if (p.tensors[j] ? any_zero(*p.tensors[j]) : !std::memcmp(p.numbers[j].bytes, kZero, itemsize(p.in[j])))
    throw RuntimeFault(format("%s(): ZeroDivisionError: the divisor has a zero", op.title()));
}

template <size_t N> Results run_map_sized(Op &op, Args &args) {
  Plan<N> p;
  make_plan(op, args, p);
  Results outs, written;
  bool flat;
  if (op.inplace_arg >= 0) {
    const TensorRef &self = args[size_t(op.inplace_arg)].tensor();
    if (p.sizes != self->sizes)
      throw RuntimeFault(format("output with shape %s doesn't match the broadcast shape %s",
                                shape_text(self->sizes).c_str(), shape_text(p.sizes).c_str()));
    load_operands(op, args, p);
    check_divisor(op, p);
    if (!can_cast(p.out[0], self->dtype))
      throw RuntimeFault(format("result type %s can't be cast to the desired output type %s", info(p.out[0]).name,
                                info(self->dtype).name));
    for (size_t i = 0; i < p.n_in;
         ++i) // an input that overlaps self without being it must be read before it is written
      if (p.tensors[i] && may_share(*p.tensors[i], *self) && !same_layout(*p.tensors[i], *self))
        p.tensors[i] = raw_clone(*p.tensors[i]);
    outs.push_back(p.out[0] == self->dtype ? self : empty(p.sizes, p.out[0]));
    written.push_back(self);
    flat = outs[0]->contiguous() && all_flat(p);
  } else if (load_operands(op, args, p), check_divisor(op, p), flat = all_flat(p)) {
    for (size_t i = 0; i < p.n_out; ++i) outs.push_back(empty(p.sizes, p.out[i]));
  } else {
    std::vector<const Tensor *> inputs;
    for (size_t i = 0; i < p.n_in; ++i)
      if (p.tensors[i]) inputs.push_back(p.tensors[i].get());
    Dims strides = permuted_strides(p.sizes, inputs);
    for (size_t i = 0; i < p.n_out; ++i) outs.push_back(empty_strided(p.sizes, strides, p.out[i]));
  }
  if (outs[0]->numel()) {
    const td_kernel *k = kernel_for(op, "map", p.in, p.n_in, p.out, p.n_out);
    if (flat)
      check_status(map_flat(k, p, outs), op.title());
    else {
      Operands<N> o;
      describe(p, outs, p.sizes, o);
      check_status(td_map(k, o.ops, int(p.sizes.size()), p.sizes.data()), op.title());
    }
  }
  if (written.empty()) return outs;
  if (outs[0].get() != written[0].get()) copy_into(*written[0], *outs[0]);
  return written;
}

} // namespace

Results run_map(Op &op, Args &args) {
  bool few = op.in_types.size() + op.out_types.size() <= kFew;
  return few ? run_map_sized<kFew>(op, args) : run_map_sized<TD_MAX_OPERANDS>(op, args);
}

// (int[] size, numbers..., *, dtype?): each element a formula of its linear index.
Results run_generate(Op &op, Args &args) {
  Dims sizes = args[0].dims();
  DType d = default_dtype();
  for (size_t i = 0; i < args.size(); ++i)
    if (args[i].v.index() == 5) d = std::get<DType>(args[i].v);
  check_accepts(op, d);
  TensorRef out = empty(sizes, d);
  if (!out->numel()) return {out};
  Plan<TD_MAX_OPERANDS> p; // generators of wide formulas are rare: no narrow form
  p.n_in = op.in_types.size();
  p.n_out = 1;
  p.common = d;
  p.out[0] = d;
  for (size_t i = 0; i < p.n_in; ++i) {
    char letter = op.in_types[i];
    p.in[i] = letter == 'T' ? compute_dtype(d) : letter_dtype(op, letter, d);
    args[i + 1].scalar().store(p.in[i], p.numbers[i].bytes);
  }
  const td_kernel *k = kernel_for(op, "map", p.in, p.n_in, p.out, 1);
  Operands<TD_MAX_OPERANDS> o;
  describe(p, {out}, sizes, o);
  check_status(td_map(k, o.ops, int(sizes.size()), sizes.data()), op.title());
  return {out};
}

namespace {

template <size_t N> Results run_rows_sized(Op &op, Args &args) {
  Plan<N> p;
  make_plan(op, args, p);
  load_operands(op, args, p);
  if (p.sizes.empty()) throw RuntimeFault(format("%s(): needs at least one dimension", op.title()));
  Dims row = p.sizes;
  row[row.size() - 1] = 1;
  Results outs;
  for (size_t i = 0; i < p.n_out; ++i) outs.push_back(empty(op.out_types[i] == 'R' ? row : p.sizes, p.out[i]));
  if (numel_of(row) == 0) return outs;
  const td_kernel *k = kernel_for(op, "map", p.in, p.n_in, p.out, p.n_out);
  Operands<N> o;
  describe(p, outs, p.sizes, o);
  check_status(td_rows(k, o.ops, o.sizes, int(p.sizes.size()), 1, p.sizes.data()), op.title());
  return outs;
}

} // namespace

Results run_rows(Op &op, Args &args) {
  bool few = op.in_types.size() + op.out_types.size() <= kFew;
  return few ? run_rows_sized<kFew>(op, args) : run_rows_sized<TD_MAX_OPERANDS>(op, args);
}

// ---- one multi-output operator over lists of tensors, in one parallel region
// -----------------------------------------
namespace {

constexpr int64_t kForeachBlock = 8192; // elements

struct ForeachItem {
  char *data[TD_MAX_OPERANDS];
  int64_t n, first_block;
};
struct ForeachJob {
  const td_kernel *k;
  std::vector<ForeachItem> items;
  size_t operands;
  int64_t elem[TD_MAX_OPERANDS], row[TD_MAX_OPERANDS];
};

void foreach_blocks(void *ctx, int64_t begin, int64_t end) {
  auto &job = *static_cast<ForeachJob *>(ctx);
  auto item = std::upper_bound(job.items.begin(), job.items.end(), begin,
                               [](int64_t b, const ForeachItem &i) { return b < i.first_block; }) -
              1;
  char *ptr[TD_MAX_OPERANDS];
  for (int64_t block = begin; block < end; ++block) {
    while (block >= item->first_block + (item->n + kForeachBlock - 1) / kForeachBlock) ++item;
    int64_t at = (block - item->first_block) * kForeachBlock, n = std::min(kForeachBlock, item->n - at);
    for (size_t j = 0; j < job.operands; ++j) ptr[j] = item->data[j] + at * job.elem[j];
    reinterpret_cast<td_row_fn>(job.k->fn)(ptr, job.elem, job.row, n, 1, 0, nullptr);
  }
}

} // namespace

void foreach_map(Op &op, const std::vector<std::vector<TensorRef>> &lists, const std::vector<Scalar> &numbers) {
  size_t n_tensors = lists.size(), n_in = op.in_types.size(), n_out = op.out_types.size(),
         count = lists.empty() ? 0 : lists[0].size();
  const char *name = op.title();
  if (n_tensors + numbers.size() != n_in)
    throw TypeFault(format("foreach_: %s takes %zu operands, got %zu lists and %zu numbers", name, n_in, n_tensors,
                           numbers.size()));
  if (op.writes.size() != n_out) throw TypeFault(format("foreach_: %s does not say where its outputs go", name));
  for (const auto &l : lists)
    if (l.size() != count) throw ValueFault(format("foreach_: the lists of %s differ in length", name));
  std::vector<bool> done(count, false);
  for (size_t start = 0; start < count; ++start) {
    if (done[start]) continue;
    DType d = lists[0][start]->dtype; // one job per dtype
    check_accepts(op, d);
    DType in[TD_MAX_OPERANDS], out[TD_MAX_OPERANDS];
    Number values[TD_MAX_OPERANDS];
    for (size_t i = 0; i < n_in; ++i) in[i] = letter_dtype(op, op.in_types[i], d);
    for (size_t i = 0; i < n_out; ++i) out[i] = letter_dtype(op, op.out_types[i], d);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i].store(in[n_tensors + i], values[n_tensors + i].bytes);
    ForeachJob job{kernel_for(op, "map", in, n_in, out, n_out), {}, n_in + n_out, {}, {}};
    for (size_t i = 0; i < n_out; ++i) job.elem[i] = int64_t(itemsize(out[i]));
    for (size_t i = 0; i < n_tensors; ++i) job.elem[n_out + i] = int64_t(itemsize(in[i]));
    std::vector<TensorRef> kept; // contiguous stand-ins
    std::vector<std::pair<TensorRef, TensorRef>> back;
    int64_t blocks = 0;
    for (size_t e = start; e < count; ++e) {
      if (done[e] || lists[0][e]->dtype != d) continue;
      done[e] = true;
      const Tensor &first = *lists[0][e];
      ForeachItem item{};
      item.n = first.numel();
      item.first_block = blocks;
      TensorRef places[TD_MAX_OPERANDS];
      for (size_t i = 0; i < n_tensors; ++i) {
        const TensorRef &t = lists[i][e];
        if (t->traced) throw RuntimeFault(format("foreach_: %s cannot run on traced tensors", name));
        if (forward_level(*t) >= 0)
          throw RuntimeFault(format("foreach_: %s cannot run on tensors with tangents (forward mode)", name));
        if (t->sizes != first.sizes)
          throw RuntimeFault(format("%s: entry %zu of the lists has shapes %s and %s", name, e,
                                    shape_text(first.sizes).c_str(), shape_text(t->sizes).c_str()));
        bool is_written = std::find(op.writes.begin(), op.writes.end(), int(i)) != op.writes.end();
        if (is_written && t->dtype != d) throw RuntimeFault(format("%s: entry %zu of the lists mixes dtypes", name, e));
        if (is_written) check_inplace(name, *t);
        TensorRef c = raw_contiguous(raw_cast(t, d));
        if (c.get() != t.get()) kept.push_back(c);
        if (is_written && c.get() != t.get()) back.emplace_back(t, c);
        if (is_written) bump_version(*t);
        places[i] = c;
        item.data[n_out + i] = c->data();
      }
      for (size_t i = 0; i < numbers.size(); ++i) item.data[n_out + n_tensors + i] = values[n_tensors + i].bytes;
      for (size_t i = 0; i < n_out; ++i) item.data[i] = places[size_t(op.writes[i])]->data();
      if (item.n) {
        blocks += (item.n + kForeachBlock - 1) / kForeachBlock;
        job.items.push_back(item);
      }
    }
    if (blocks) td_parallel_for(blocks, foreach_blocks, &job);
    for (auto &[to, from] : back) copy_into(*to, *from);
  }
}

} // namespace taeda
