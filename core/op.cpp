// The call path of operators: parse, run or hand to the capture, attach to the tape. Plus what the core itself calls.
#include "op.h"

#include <cstring>
#include <map>

namespace taeda {

thread_local int tracing_depth = 0;
bool tracing_active() { return tracing_depth > 0; }

namespace {

std::map<std::string, Op *> &roles() {
  static auto *r = new std::map<std::string, Op *>;
  return *r;
}

} // namespace

Results results_from(PyObject *o, const char *name) {
  Results r;
  if (is_tensor(o)) {
    r.emplace_back(tensor_ptr(o));
    return r;
  }
  if (!PyTuple_Check(o) && !PyList_Check(o))
    throw TypeFault(
        format("%s(): a tensor or a tuple of tensors was expected from Python, got %s", name, Py_TYPE(o)->tp_name));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    PyObject *item = PySequence_Fast_GET_ITEM(o, i);
    if (!is_tensor(item))
      throw TypeFault(format("%s(): result %zd is %s, not a Tensor", name, i, Py_TYPE(item)->tp_name));
    r.emplace_back(tensor_ptr(item));
  }
  return r;
}

namespace {

// (op, args in schema order) handed to a hook.
Results hand_over(PyObject *callback, Op &op, const Args &args) {
  Owned list(PyList_New(Py_ssize_t(args.size())));
  for (size_t i = 0; i < args.size(); ++i) PyList_SET_ITEM(list.get(), Py_ssize_t(i), arg_object(args[i]));
  Owned result(PyObject_CallFunctionObjArgs(callback, op.self_py, list.get(), nullptr));
  return results_from(result.get(), op.title());
}

Results trace(Op &op, Args &args) {
  static PyObject *&callback = hook("trace");
  if (!callback) throw RuntimeFault("a capture runs, but nothing takes its operators");
  return hand_over(callback, op, args);
}

void refuse_traced(const Op &op, const Args &args) {
  auto check = [&](const TensorRef &t) {
    if (t && t->traced)
      throw RuntimeFault(format("%s(): a tensor of a finished or other capture cannot be used here", op.title()));
  };
  for (const Arg &a : args) {
    if (a.is_tensor())
      check(a.tensor());
    else if (a.v.index() == 2)
      for (const TensorRef &t : a.tensors()) check(t);
  }
}

// Argument vectors of calls from Python are used again: a call allocates none.
struct PooledArgs {
  Args args;
  PooledArgs() {
    if (!pool().empty()) {
      args = std::move(pool().back());
      pool().pop_back();
    }
  }
  ~PooledArgs() {
    args.clear();
    if (pool().size() < 16) pool().push_back(std::move(args));
  }
  static std::vector<Args> &pool() {
    static auto *p = new std::vector<Args>; // the GIL guards it
    return *p;
  }
};

Results run_composite(Op &op, Args &args) {
  std::vector<Owned> values;
  std::vector<PyObject *> pointers;
  for (const Arg &a : args) {
    values.emplace_back(arg_object(a));
    pointers.push_back(values.back().get());
  }
  GradMode off(false);
  Owned result(PyObject_Vectorcall(op.composite, pointers.data(), pointers.size(), nullptr));
  return results_from(result.get(), op.title());
}

} // namespace

Results by_parts(Op &op, const Args &args) {
  static PyObject *&callback = hook("complex");
  if (!callback) throw RuntimeFault("hook 'complex' is not set");
  GradMode off(false);
  return hand_over(callback, op, args);
}

namespace {

bool any_wrapped(const Args &args) {
  for (const Arg &a : args) {
    if (a.is_tensor()) {
      if (a.tensor() && a.tensor()->wrapped) return true;
    } else if (a.v.index() == 2) {
      for (const TensorRef &t : a.tensors())
        if (t && t->wrapped) return true;
    }
  }
  return false;
}

// Tensors of a function transform: it calls the operator again on what they stand for, where the tape sees it.
Results transform(Op &op, const Args &args) {
  static PyObject *&callback = hook("transform");
  if (!callback) throw RuntimeFault("hook 'transform' is not set");
  return hand_over(callback, op, args);
}

} // namespace

Results call(Op &op, Args &args) {
  if (wrapped_alive && any_wrapped(args)) return transform(op, args);
  if (op.inplace_arg >= 0) check_inplace(op, args);
  Results r;
  if (op.composite)
    r = run_composite(op, args);
  else if (tracing_depth)
    r = trace(op, args);
  else {
    refuse_traced(op, args);
    r = op.run(op, args);
  }
  // an operator with nothing to do gives its argument back as it is: no node
  if (op.inplace_arg < 0 && r.size() == 1 && !args.empty() && args[0].is_tensor() &&
      r[0].get() == args[0].tensor().get())
    return r;
  attach(op, args, r);
  return r;
}

Results call_values(Op &op, std::initializer_list<TensorRef> tensors) {
  Args args;
  for (const TensorRef &t : tensors) args.push_back(tensor_arg(t));
  fill_defaults(op, args);
  return call(op, args);
}

PyObject *call_python(Op &op, PyObject *const *args, size_t nargs, PyObject *kwnames) {
  PyObject *out = nullptr;
  Owned fewer;
  std::vector<PyObject *> kept;
  if (kwnames && op.takes_out) {
    Py_ssize_t n = PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < n; ++k) {
      if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, k), "out") != 0) continue;
      out = args[nargs + size_t(k)];
      fewer = Owned(PyTuple_New(n - 1));
      kept.assign(args, args + nargs);
      for (Py_ssize_t j = 0, at = 0; j < n; ++j) {
        if (j == k) continue;
        PyTuple_SET_ITEM(fewer.get(), at++, Py_NewRef(PyTuple_GET_ITEM(kwnames, j)));
        kept.push_back(args[nargs + size_t(j)]);
      }
      args = kept.data();
      kwnames = n > 1 ? fewer.get() : nullptr;
      break;
    }
  }
  PooledArgs pooled;
  Args &parsed = pooled.args;
  std::string error;
  Owned result;
  if (!parse_args(op, args, nargs, kwnames, parsed, &error)) {
    if (!op.front) throw TypeFault(error);
    result = Owned(PyObject_Vectorcall(op.front, args, nargs, kwnames));
  } else {
    // a sum is computed in the dtype it is wanted in
    if (out && is_tensor(out) && (op.accumulates || op.kind == "scan") && parsed.back().none())
      parsed.back() = dtype_arg(tensor_ptr(out)->dtype);
    Results r = call(op, parsed);
    if (op.inplace_arg >= 0)
      result = Owned(wrap(parsed[size_t(op.inplace_arg)].tensor()));
    else if (r.size() == 1)
      result = Owned(wrap(r[0]));
    else {
      result = Owned(PyTuple_New(Py_ssize_t(r.size())));
      for (size_t i = 0; i < r.size(); ++i) PyTuple_SET_ITEM(result.get(), Py_ssize_t(i), wrap(r[i]));
    }
  }
  if (!out || out == Py_None) return result.release();
  static PyObject *&write = hook("write_out");
  if (!write) throw RuntimeFault("hook 'write_out' is not set");
  Owned name(PyUnicode_FromString(op.name.c_str()));
  return Owned(PyObject_CallFunctionObjArgs(write, name.get(), result.get(), out, nullptr)).release();
}

Op *role(const char *name) {
  auto found = roles().find(name);
  if (found == roles().end()) throw RuntimeFault(format("no operator was given for role '%s'", name));
  return found->second;
}

void set_role(const std::string &name, Op *op) { roles()[name] = op; }

TensorRef cast(const TensorRef &t, DType d) {
  if (t->dtype == d) return t;
  static Op *op = role("cast");
  Args args;
  args.push_back(tensor_arg(t));
  args.push_back(dtype_arg(d));
  return call(*op, args)[0];
}

TensorRef contiguous(const TensorRef &t) {
  if (t->contiguous()) return t;
  static Op *op = role("contiguous");
  return call_values(*op, {t})[0];
}

TensorRef sum_to(const TensorRef &t, const Dims &sizes) {
  if (t->sizes == sizes) return t;
  static Op *sum = role("sum"), *reshape = role("reshape");
  size_t extra = t->ndim() - sizes.size();
  Dims reduced;
  for (size_t i = 0; i < t->ndim(); ++i)
    if (i < extra || (sizes[i - extra] == 1 && t->sizes[i] != 1)) reduced.push_back(int64_t(i));
  TensorRef r = t;
  if (!reduced.empty()) {
    Args args;
    args.push_back(tensor_arg(t));
    args.push_back(dims_arg(reduced));
    args.push_back(bool_arg(true));
    fill_defaults(*sum, args);
    r = call(*sum, args)[0];
  }
  if (!extra) return r;
  // the leading dims are now of size one: dropped by a view whose sizes a capture may know as symbols
  if (tracing_depth) {
    static Op *select = role("select");
    for (size_t i = 0; i < extra; ++i) {
      Args args;
      args.push_back(tensor_arg(r));
      args.push_back(int_arg(0));
      args.push_back(int_arg(0));
      r = call(*select, args)[0];
    }
    return r;
  }
  Args args;
  args.push_back(tensor_arg(r));
  args.push_back(dims_arg(sizes));
  return call(*reshape, args)[0];
}

// ---- raw helpers of the executors
// ------------------------------------------------------------------------------------
namespace {

void copy_same_dtype(Tensor &dst, const Tensor &src) {
  int64_t to[TD_MAX_DIMS], from[TD_MAX_DIMS];
  byte_strides(dst, dst.sizes, to);
  byte_strides(src, dst.sizes, from);
  check_status(td_copy(dst.data(), to, src.data(), from, int(dst.ndim()), dst.sizes.data(), itemsize(dst.dtype)),
               "copy_");
}

} // namespace

bool may_share(const Tensor &a, const Tensor &b) {
  if (a.storage.get() != b.storage.get() || !a.numel() || !b.numel()) return false;
  auto span = [](const Tensor &t) {
    int64_t last = t.offset;
    for (size_t i = 0; i < t.ndim(); ++i) last += (t.sizes[i] - 1) * t.strides[i];
    return std::pair(t.offset * int64_t(itemsize(t.dtype)), (last + 1) * int64_t(itemsize(t.dtype)));
  };
  auto [a0, a1] = span(a);
  auto [b0, b1] = span(b);
  return a0 < b1 && b0 < a1;
}

void copy_into(Tensor &dst, const Tensor &src) {
  if (!dst.numel()) return;
  TensorRef kept; // a copy of a source that overlaps the destination
  const Tensor *from = &src;
  bool same_place =
      src.data() == dst.data() && src.sizes == dst.sizes && src.strides == dst.strides && src.dtype == dst.dtype;
  if (same_place) return;
  if (may_share(dst, src)) {
    kept = raw_clone(src);
    from = kept.get();
  }
  if (from->dtype == dst.dtype) return copy_same_dtype(dst, *from);
  static Op *op = role("cast");
  const td_kernel *k = kernel_for(*op, "map", &from->dtype, 1, &dst.dtype, 1);
  int64_t strides[2][TD_MAX_DIMS];
  byte_strides(dst, dst.sizes, strides[0]);
  byte_strides(*from, dst.sizes, strides[1]);
  td_operand ops[4]; // the parts of a complex number are operands of their own
  size_t n = 0;
  auto add = [&](const Tensor &t, const int64_t *s) {
    ops[n++] = {t.data(), s};
    if (is_complex(t.dtype)) ops[n++] = {t.data() + itemsize(t.dtype) / 2, s};
  };
  add(dst, strides[0]);
  add(*from, strides[1]);
  check_status(td_map(k, ops, int(dst.ndim()), dst.sizes.data()), "copy_");
}

TensorRef raw_cast(const TensorRef &t, DType d) {
  if (t->dtype == d) return t;
  TensorRef r = empty_strided(t->sizes, permuted_strides(t->sizes, {t.get()}), d);
  copy_into(*r, *t);
  return r;
}

TensorRef raw_contiguous(const TensorRef &t) {
  if (t->contiguous()) return t;
  TensorRef r = empty(t->sizes, t->dtype);
  copy_into(*r, *t);
  return r;
}

TensorRef raw_clone(const Tensor &t) {
  TensorRef r = empty_strided(t.sizes, permuted_strides(t.sizes, {&t}), t.dtype);
  if (r->numel()) copy_same_dtype(*r, t);
  return r;
}

bool can_cast(DType from, DType to) {
  auto rank = [](DType d) { return int(info(d).category); };
  return rank(from) <= rank(to);
}

// The dims of the result are laid out in the order in which the inputs' dims are; ties go to the next input.
Dims permuted_strides(const Dims &sizes, const std::vector<const Tensor *> &inputs) {
  size_t n = sizes.size();
  bool plain = true;
  for (const Tensor *t : inputs) plain = plain && (t->contiguous() || t->ndim() == 0);
  if (plain || n < 2) return contiguous_strides(sizes);
  Dims order; // outermost first
  for (size_t i = 0; i < n; ++i) order.push_back(int64_t(i));
  auto stride_of = [&](const Tensor &t, int64_t dim) -> int64_t {
    int64_t at = dim - int64_t(n - t.ndim());
    return at < 0 || (t.sizes[size_t(at)] == 1 && sizes[size_t(dim)] != 1) ? 0 : t.strides[size_t(at)];
  };
  // > 0: a belongs inside b
  auto compare = [&](int64_t a, int64_t b) {
    for (const Tensor *t : inputs) {
      int64_t sa = stride_of(*t, a), sb = stride_of(*t, b);
      if (sa == 0 || sb == 0) continue;
      if (sa < sb) return 1;
      if (sa > sb) return -1;
      if (sizes[size_t(a)] < sizes[size_t(b)]) return 1; // equal strides: the larger size outside
      if (sizes[size_t(a)] > sizes[size_t(b)]) return -1;
    }
    return 0;
  };
  for (size_t i = 1; i < n; ++i) // insertion sort: pairs that no input orders keep their places
    for (size_t at = i, j = i; j-- > 0;) {
      int c = compare(order[j], order[at]);
      if (c > 0) {
        std::swap(order[j], order[at]);
        at = j;
      } else if (c < 0)
        break;
    }
  Dims strides(n, 0);
  int64_t step = 1;
  for (size_t i = n; i-- > 0;) {
    strides[size_t(order[i])] = step;
    step *= std::max<int64_t>(sizes[size_t(order[i])], 1);
  }
  return strides;
}

void check_accepts(const Op &op, DType d) {
  if (op.accepts && !(op.accepts >> d & 1)) {
    static const char *const kNames[TD_NUM_DTYPES] = {"Bool",  "Byte",   "Char",         "Short",
                                                      "Int",   "Long",   "Half",         "BFloat16",
                                                      "Float", "Double", "ComplexFloat", "ComplexDouble"};
    throw UnsupportedFault(format("\"%s\" not implemented for '%s'", op.title(), kNames[d]));
  }
}

RunFn kind_executor(const std::string &kind) {
  static const std::pair<const char *, RunFn> kKinds[] = {
      {"map", run_map},         {"generate", run_generate}, {"rows", run_rows},         {"reduce", run_reduce},
      {"scan", run_scan},       {"view", run_view},         {"contract", run_contract}, {"gather", run_gather},
      {"scatter", run_scatter}, {"sort", run_sort},         {"nonzero", run_nonzero},   {"cat", run_cat},
      {"copy", run_copy},       {"host", run_host},         {"composite", nullptr}};
  for (const auto &[name, fn] : kKinds)
    if (kind == name) return fn;
  throw ValueFault(format("Op: unknown kind '%s'", kind.c_str()));
}

} // namespace taeda
