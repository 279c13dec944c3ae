// Operators: schema, call path and the per-kind executors. No operator is named here or in any file of the core.
#pragma once
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "autograd.h"
#include "tensor.h"

namespace taeda {

// ---- schema: parsed from text like  "(Tensor self, Number|Tensor other, int[] dim=None, *, bool keepdim=False, dtype? dtype=None)"
enum class ArgType : uint8_t { TensorT, OptTensor, TensorList, TensorOrNumber, Number, OptNumber, Int, OptInt, IntList, OptIntList,
                               Bool, OptBool, Float, OptFloat, DTypeT, OptDType, Str, OptStr, Object };
struct Param { std::string name; ArgType type; bool kw_only = false; bool has_default = false; PyObject *default_value = nullptr; };
struct Schema { std::vector<Param> params; };

// One parsed argument.
struct Arg {
  std::variant<std::monostate, TensorRef, std::vector<TensorRef>, Scalar, Dims, DType, std::string> v;
  PyObject *object = nullptr; // owned; set for symbolic values (tracing), Object params and attributes kept for a gradient rule
  bool none() const { return v.index() == 0 && !object; }
};
using Args = std::vector<Arg>;

struct Op;
using Results = std::vector<TensorRef>;
using RunFn = Results (*)(Op &, Args &); // executes on real tensors; no autograd, no tracing

// ---- gradients -----------------------------------------------------------------------------------------------------
// What a gradient rule reads, by name in the op table: resolved once into codes.
struct Need { enum Kind : uint8_t { Grad, Input, Output, Attr, Shape, DTypeOf } kind; uint8_t index; };
struct PointwiseGrad { Op *op = nullptr; std::vector<Need> args; }; // gradient wrt one input as another pointwise op
struct GradRule {
  bool resolved = false;
  bool differentiable = false;
  std::vector<PointwiseGrad> pointwise;  // kind pointwise: one per tensor parameter
  PyObject *function = nullptr;          // other kinds: Python callable(*needs) -> gradient or tuple (one per tensor parameter)
  std::vector<Need> needs;
  uint64_t saves_input = 0, saves_output = 0; // bit masks
};

// ---- kernels: generated code per dtype signature, found in the prebuilt library, else through the Python hook ----------
struct KernelTable {
  const td_kernel *find(uint64_t signature) const;
  void insert(uint64_t signature, const td_kernel *k);
 private:
  std::vector<std::pair<uint64_t, const td_kernel *>> entries_;
};
// key: "map/<op>/<in dtypes>/<out dtypes>", "rows/...", "cols/...", "scan/...": see docs/architecture.md. Throws if none can be made.
const td_kernel *resolve_kernel(const std::string &key);
const td_gemm_kernels *resolve_gemm(DType d);

struct Op {
  std::string name, kind;
  Schema schema;
  RunFn run = nullptr;
  int n_out = 1;
  GradRule grad;
  KernelTable kernels;
  PyObject *front = nullptr;  // Python function taking over when the arguments are not plain (set for a few ops)
  PyObject *self_py = nullptr;
  int inplace_arg = -1;       // >= 0: writes into that argument and returns it
  int view_of = -1;           // >= 0: the result is a view of that argument
  Op *functional = nullptr;   // the out-of-place op of an in-place one
  // pointwise
  std::string in_types, out_types; // one letter an operand: T common, b bool, i int64, o default output rule...; docs/architecture.md
  uint32_t accepts = 0;            // bit mask of compute dtypes
  bool to_float = false;           // integers compute in the default float dtype
  // kind-specific attributes, as given at registration
  PyObject *spec = nullptr;
};

// The one call path: parse -> (traced? capture hook : run) -> attach the backward node. Every caller goes through it.
Results call(Op &op, Args &args);
Results call_tensors(Op &op, std::initializer_list<TensorRef> tensors); // helper for C++ callers
// Python entry: returns a new reference (single tensor or tuple).
PyObject *call_python(Op &op, PyObject *const *args, size_t nargs, PyObject *kwnames);
Args parse_args(Op &op, PyObject *const *args, size_t nargs, PyObject *kwnames);

// ops the core itself needs, given by the op table at import: "add" (accumulate), "sum" (undo broadcasting), "copy" (cast), "fill", ...
Op *role(const char *name); // throws if not set
TensorRef cast(const TensorRef &t, DType d);                  // through role copy; differentiable
TensorRef contiguous(const TensorRef &t);                     // differentiable
TensorRef sum_to(const TensorRef &t, const Dims &sizes);      // undo broadcasting; differentiable
void copy_into(Tensor &dst, const Tensor &src);               // raw strided copy with cast and broadcast; bumps nothing

// Kind executors (kind_*.cpp), found by kind name at registration.
RunFn kind_executor(const std::string &kind);

// Capture: true when some argument is traced or a capture is running on this thread.
bool tracing_active();
extern thread_local int tracing_depth;

} // namespace taeda
