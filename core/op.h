// Operators: schema, call path and the per-kind executors. No operator is named here or in any file of the core.
#pragma once
#include <string>
#include <variant>
#include <vector>

#include "autograd.h"
#include "py_common.h"
#include "tensor.h"

namespace taeda {

// ---- schema: parsed from text like "(Tensor input, Tensor|Number other, int[] dim=None, *, bool keepdim=False)"
// ------
enum class ArgType : uint8_t { TensorT, TensorList, TensorOrNumber, Number, Int, IntList, Bool, DTypeT, Str, Object };
struct Param {
  std::string name, type_text;
  ArgType type = ArgType::Object;
  bool optional = false; // takes None
  bool kw_only = false, has_default = false;
  PyObject *interned = nullptr; // the name as a Python string
  PyObject *default_value = nullptr;
};
struct Schema {
  std::vector<Param> params;
  size_t positional = 0; // how many may be given by position
};
Schema parse_schema(const std::string &text); // throws ValueFault

// One parsed argument. An absent optional one holds nothing.
struct Arg {
  std::variant<std::monostate, TensorRef, std::vector<TensorRef>, Scalar, Dims, DType, std::string> v;
  Owned object; // a symbolic value (capture), an Object argument, or the original of an attribute a gradient rule may
                // ask for
  bool none() const { return v.index() == 0 && !object; }
  bool is_tensor() const { return v.index() == 1; }
  const TensorRef &tensor() const { return std::get<TensorRef>(v); }
  const std::vector<TensorRef> &tensors() const { return std::get<std::vector<TensorRef>>(v); }
  const Scalar &scalar() const { return std::get<Scalar>(v); }
  int64_t integer() const { return scalar().to_int(); }
  bool truth() const { return scalar().v.b; }
  const Dims &dims() const { return std::get<Dims>(v); }
};
using Args = std::vector<Arg>;
PyObject *arg_object(const Arg &a); // new reference: the argument as Python sees it

struct Op;
using Results = std::vector<TensorRef>;
using RunFn = Results (*)(Op &, Args &); // executes on real tensors; no autograd, no tracing

// ---- gradients -----------------------------------------------------------------------------------------------------
// What a gradient rule reads; the codes of hook `gradient`.
struct Need {
  enum Kind : uint8_t { Grad, Input, Output, Attr, Shape, DTypeOf, Wanted } kind;
  uint8_t index;
};
struct PointwiseGrad {
  Op *op = nullptr;       // null: no gradient where args is empty, else the incoming gradient itself
  std::vector<Need> args; // the operands of op
};
struct GradRule {
  bool resolved = false, differentiable = false;
  std::vector<PointwiseGrad> pointwise; // maps: one per parameter
  PyObject *function = nullptr;         // other kinds: a Python callable
  std::vector<Need> needs;
  uint64_t saves_input = 0, saves_output = 0; // bit masks over parameters and results
};

// ---- kernels: generated code per dtype signature, found in the prebuilt library, else through the Python hook -------
class KernelTable {
public:
  const td_kernel *find(uint64_t signature) const {
    for (const auto &[s, k] : entries_)
      if (s == signature) return k;
    return nullptr;
  }
  void insert(uint64_t signature, const td_kernel *k) { entries_.emplace_back(signature, k); }

private:
  std::vector<std::pair<uint64_t, const td_kernel *>> entries_;
};
// The highest x86-64 level (or the architecture) that this processor and system support.
const char *cpu_level();
// key: "map/<op>/<in dtypes>/<out dtypes>", ...: docs/architecture.md. Throws if none can be made.
const void *resolve_kernel(const std::string &key);
const td_gemm_kernels *resolve_gemm(DType d);
// The kernel of `op` for these operand dtypes: in its table, else resolved by key <form>/<op
// name>/<ins>/<outs><suffix>.
const td_kernel *kernel_for(Op &op, const char *form, const DType *ins, size_t n_in, const DType *outs, size_t n_out,
                            const char *suffix = "", unsigned variant = 0);

struct Op {
  std::string name, kind, form;
  // The name in messages: an underscore in front marks an operator that users reach through another of that name.
  const char *title() const { return name.c_str() + (name[0] == '_' && name[1] && name[1] != '_' ? 1 : 0); }
  Schema schema;
  RunFn run = nullptr;
  GradRule grad;
  KernelTable kernels;
  PyObject *front = nullptr;   // takes over when the arguments do not fit the schema
  PyObject *self_py = nullptr; // borrowed: operators are never destroyed
  PyObject *composite = nullptr;
  PyObject *host = nullptr; // host: the Python function that computes the results
  PyObject *doc = nullptr;
  Op *functional = nullptr; // the out-of-place operator of an in-place one
  int inplace_arg = -1;     // >= 0: writes into that argument and returns it
  int view_of = -1;         // >= 0: the result may be a view of that argument
  bool takes_out = false;
  // map, rows, generate
  std::string in_types, out_types; // a letter an operand: docs/architecture.md
  uint32_t accepts = 0;            // bit mask of dtypes of T after promotion; 0: any
  bool to_float = false;           // integers compute in the default float dtype
  int divisor = -1;                // >= 0: this operand, if whole numbers, must not be zero
  std::vector<int> writes;         // foreach: the operand that each output is written to
  // reduce, scan
  std::string out_type;
  bool accumulates = false, index = false;
  int mode = 0;             // scatter: TD_SCATTER_...
  bool index_error = false; // gather along: an index out of range is an IndexError
};

// The one call path: run (or hand to the capture) and attach the backward node. Every caller goes through it.
Results call(Op &op, Args &args);
// An operator on complex numbers whose kind has no kernels for them: a Python rule over their parts (hook `complex`).
Results by_parts(Op &op, const Args &args);
Results call_values(Op &op,
                    std::initializer_list<TensorRef> tensors); // for C++ callers: tensors only, defaults for the rest
// The tensors that a Python function `name` gave: one, or a tuple.
Results results_from(PyObject *o, const char *name);
// Python entries: a new reference (a tensor or a tuple).
PyObject *call_python(Op &op, PyObject *const *args, size_t nargs, PyObject *kwnames);
Op *op_from(PyObject *o); // the operator behind a Python object, or null

// Parses into `args`. On a mismatch: false with the message in `*error`, or a fault where `error` is null.
bool parse_args(Op &op, PyObject *const *given, size_t count, PyObject *kwnames, Args &args, std::string *error);
Arg tensor_arg(const TensorRef &t);
Arg dims_arg(const Dims &d);
Arg dtype_arg(DType d);
Arg int_arg(int64_t i);
Arg bool_arg(bool b);
void fill_defaults(Op &op, Args &args);

// Operators the core itself needs, given by the op table at import.
Op *role(const char *name);                              // throws if not set
TensorRef cast(const TensorRef &t, DType d);             // differentiable; t itself where the dtype is right
TensorRef contiguous(const TensorRef &t);                // differentiable
TensorRef sum_to(const TensorRef &t, const Dims &sizes); // undo broadcasting; differentiable
// Raw helpers of the executors: no autograd, no tracing, no version bump.
void copy_into(Tensor &dst, const Tensor &src); // strided copy with cast and broadcast
TensorRef raw_cast(const TensorRef &t, DType d);
TensorRef raw_contiguous(const TensorRef &t);
TensorRef raw_clone(const Tensor &t);
Dims permuted_strides(const Dims &sizes, const std::vector<const Tensor *> &inputs); // result layout as PyTorch's
void check_accepts(const Op &op, DType d);
bool may_share(const Tensor &a, const Tensor &b); // storage ranges overlap
bool can_cast(DType from, DType to);              // by category, as in-place results are

RunFn kind_executor(const std::string &kind); // throws ValueFault for an unknown kind
Results run_map(Op &, Args &);
Results run_generate(Op &, Args &);
Results run_rows(Op &, Args &);
Results run_reduce(Op &, Args &);
Results run_scan(Op &, Args &);
Results run_view(Op &, Args &);
Results run_contract(Op &, Args &);
Results run_gather(Op &, Args &);
Results run_scatter(Op &, Args &);
Results run_sort(Op &, Args &);
Results run_nonzero(Op &, Args &);
Results run_cat(Op &, Args &);
Results run_copy(Op &, Args &);
Results run_host(Op &, Args &);
void foreach_map(Op &op, const std::vector<std::vector<TensorRef>> &lists, const std::vector<Scalar> &numbers);

extern thread_local int tracing_depth;

} // namespace taeda
