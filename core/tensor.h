// Storage and strided tensors. Strides and offsets are in elements; they are never negative.
#pragma once
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "dtype.h"
#include "ref.h"

namespace taeda {

// ---- errors that become Python exceptions of PyTorch's types -----------------------------------------------------
struct RuntimeFault : std::runtime_error {
  using runtime_error::runtime_error;
}; // RuntimeError
struct UnsupportedFault : RuntimeFault {
  using RuntimeFault::RuntimeFault;
}; // NotImplementedError: an operator that does not take this dtype
struct TypeFault : std::runtime_error {
  using runtime_error::runtime_error;
}; // TypeError
struct ValueFault : std::runtime_error {
  using runtime_error::runtime_error;
}; // ValueError
struct IndexFault : std::runtime_error {
  using runtime_error::runtime_error;
}; // IndexError
struct MemoryFault : std::runtime_error {
  using runtime_error::runtime_error;
}; // RuntimeError (as PyTorch)
struct PythonError {}; // a Python exception is set already
std::string format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void check_status(td_status s, const char *op); // throws the matching fault with td_last_error()
// Turns the C++ exception in flight into a Python one. Use in every raw CPython slot: try {...} catch (...) { raise();
// return nullptr; }
void raise_current_exception() noexcept;

// ---- small integer vectors ---------------------------------------------------------------------------------------
// At most TD_MAX_DIMS entries, inline up to 6 (no heap for common ranks).
class Dims {
public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> v) {
    for (auto x : v) push_back(x);
  }
  Dims(size_t n, int64_t fill) {
    for (size_t i = 0; i < n; ++i) push_back(fill);
  }
  Dims(const int64_t *p, size_t n) {
    for (size_t i = 0; i < n; ++i) push_back(p[i]);
  }
  Dims(const Dims &o) { *this = o; }
  Dims(Dims &&o) noexcept : n_(o.n_), heap_(o.heap_) {
    for (int i = 0; i < 6; ++i) small_[i] = o.small_[i];
    o.heap_ = nullptr;
    o.n_ = 0;
  }
  Dims &operator=(const Dims &o) {
    if (this != &o) {
      n_ = 0;
      for (auto x : o) push_back(x);
    }
    return *this;
  }
  Dims &operator=(Dims &&o) noexcept {
    if (this != &o) {
      delete[] heap_;
      heap_ = o.heap_;
      n_ = o.n_;
      for (int i = 0; i < 6; ++i) small_[i] = o.small_[i];
      o.heap_ = nullptr;
      o.n_ = 0;
    }
    return *this;
  }
  ~Dims() { delete[] heap_; }
  void push_back(int64_t x) {
    if (n_ == 6 && !heap_) {
      heap_ = new int64_t[TD_MAX_DIMS];
      for (int i = 0; i < 6; ++i) heap_[i] = small_[i];
    }
    if (n_ >= TD_MAX_DIMS) throw RuntimeFault("tensors have at most 32 dimensions");
    data()[n_++] = x;
  }
  void resize(size_t n, int64_t fill = 0) {
    while (n_ > n) --n_;
    while (n_ < n) push_back(fill);
  }
  void insert(size_t at, int64_t x) {
    push_back(0);
    for (size_t i = n_ - 1; i > at; --i) data()[i] = data()[i - 1];
    data()[at] = x;
  }
  void erase(size_t at) {
    for (size_t i = at; i + 1 < n_; ++i) data()[i] = data()[i + 1];
    --n_;
  }
  void clear() { n_ = 0; }
  size_t size() const { return n_; }
  bool empty() const { return n_ == 0; }
  int64_t *data() { return heap_ ? heap_ : small_; }
  const int64_t *data() const { return heap_ ? heap_ : small_; }
  int64_t &operator[](size_t i) { return data()[i]; }
  int64_t operator[](size_t i) const { return data()[i]; }
  int64_t *begin() { return data(); }
  int64_t *end() { return data() + n_; }
  const int64_t *begin() const { return data(); }
  const int64_t *end() const { return data() + n_; }
  int64_t back() const { return data()[n_ - 1]; }
  bool operator==(const Dims &o) const {
    if (n_ != o.n_) return false;
    for (size_t i = 0; i < n_; ++i)
      if (data()[i] != o.data()[i]) return false;
    return true;
  }
  bool operator!=(const Dims &o) const { return !(*this == o); }

private:
  size_t n_ = 0;
  int64_t small_[6] = {};
  int64_t *heap_ = nullptr;
};
int64_t
numel_of(const Dims &sizes); // checked product; throws on overflow (of the sizes but for zeros) or a negative size
// Larger strides (of single elements, or of none) do not occur, so that byte strides and sums of strides never
// overflow.
constexpr int64_t kMaxStride = int64_t(1) << 52;
Dims contiguous_strides(const Dims &sizes); // row-major; size-1 and 0 dims as PyTorch gives them
std::string shape_text(const Dims &sizes);  // "[2, 3]"
int64_t extent_of(const Dims &sizes,
                  const Dims &strides); // elements from the first to one past the last that is reached

// ---- storage -----------------------------------------------------------------------------------------------------
struct Storage {
  uint32_t refs = 0;
  char *data = nullptr;
  size_t nbytes = 0;
  uint32_t version = 0; // bumped by every in-place write through any view
  bool resizable = true;
  void (*deleter)(void *ctx) = nullptr; // NULL: td_free(data)
  void *ctx = nullptr;
  void inc_ref() noexcept { ++refs; }
  void dec_ref() noexcept;
};
using StorageRef = Ref<Storage>;
StorageRef new_storage(size_t nbytes);        // uninitialised; throws MemoryFault
void grow_storage(Storage &s, size_t nbytes); // keeps the bytes it has; RuntimeFault for memory that is not ours

// ---- tensor ------------------------------------------------------------------------------------------------------
struct AutogradMeta; // autograd.h
struct Tensor;
using TensorRef = Ref<Tensor>;

// The tangents of a tensor in forward mode; aliases of it may share them.
struct Forward {
  uint32_t refs = 0;
  uint32_t levels = 0; // a bit for each level in `tangents`
  std::vector<std::pair<int, TensorRef>> tangents;
  Forward *previous = nullptr, *next = nullptr; // of all that there are
  Forward();
  ~Forward();
  Forward(const Forward &) = delete;
  Forward &operator=(const Forward &) = delete;
  TensorRef tangent(int level) const; // null: none
  void set(int level, const TensorRef &tangent);
  void inc_ref() noexcept { ++refs; }
  void dec_ref() noexcept {
    if (--refs == 0) delete this;
  }

private:
  void set_levels(uint32_t now);
};

// The one tensor object; Python's Tensor wraps it (identity is kept through the intrusive counter).
struct Tensor {
  Counter counter_;
  Dims sizes, strides;
  int64_t offset = 0; // elements
  DType dtype = TD_F32;
  bool inference = false;           // made under inference_mode
  StorageRef storage;               // null for a traced tensor (no data)
  AutogradMeta *autograd = nullptr; // owned; null when it never needed a gradient
  PyObject *traced = nullptr;       // owned: the capture's value for a traced tensor, else null
  bool wrapped = false;             // `traced` is a function transform's value: operators go to hook `transform`
  Ref<Forward> forward;             // its tangents, if it ever had one

  Tensor() = default;
  Tensor(const Tensor &) = delete;
  Tensor &operator=(const Tensor &) = delete;
  ~Tensor();
  void inc_ref() noexcept { counter_.inc_ref(); }
  void dec_ref() noexcept {
    if (counter_.dec_ref()) delete this;
  }
  void set_self_py(PyObject *o) noexcept { counter_.set_self_py(o); }
  PyObject *self_py() const noexcept { return counter_.self_py(); }

  size_t ndim() const { return sizes.size(); }
  int64_t numel() const {
    int64_t n = 1;
    for (auto s : sizes) n *= s;
    return n;
  }
  void stand_for(PyObject *value, bool wrap); // steals `value`
  void stand_for_what(const Tensor &t) {
    if (t.traced) stand_for(Py_NewRef(t.traced), t.wrapped);
  }
  bool symbolic() const;   // sizes and strides are a capture's to tell
  bool contiguous() const; // row-major
  char *data() const {     // throws for a traced tensor
    if (!storage) no_data();
    return storage->data + offset * (int64_t)itemsize(dtype);
  }
  bool requires_grad() const; // leaf flag or has a grad_fn (and dtype is floating/complex)
private:
  [[noreturn]] static void no_data();
};

bool tracing_active();                           // a capture runs on this thread (op.cpp)
extern int64_t wrapped_alive;                    // how many wrapped tensors there are, and sets of tangents
TensorRef empty(const Dims &sizes, DType dtype); // contiguous, uninitialised
TensorRef empty_strided(const Dims &sizes, const Dims &strides, DType dtype);
TensorRef view_of(const TensorRef &base, const Dims &sizes, const Dims &strides,
                  int64_t offset);                     // shares storage; no autograd
TensorRef scalar_tensor(const Scalar &s, DType dtype); // 0-d
// Runtime operand strides in bytes for `t` broadcast to `sizes` (checked by the caller).
void byte_strides(const Tensor &t, const Dims &sizes, int64_t *out);
Dims broadcast_shapes(const char *op, const Dims &a, const Dims &b); // throws PyTorch's message
int64_t
wrap_dim(const char *op, int64_t dim,
         int64_t ndim); // throws IndexFault "Dimension out of range (expected to be in range of [-2, 1], but got 5)"

// ---- view geometry (views.cpp): pure functions on sizes/strides, no autograd, no tracing ------------------------
struct Geometry {
  Dims sizes, strides;
  int64_t offset;
};
bool view_geometry(const Tensor &t, const Dims &sizes, Geometry *out); // reshape without copy; false if impossible
Dims infer_size(const char *op, const Dims &sizes, int64_t numel);     // resolves one -1
Geometry permute_geometry(const Tensor &t, const Dims &dims);
Geometry expand_geometry(const Tensor &t, const Dims &sizes); // -1 keeps
Geometry select_geometry(const Tensor &t, int64_t dim, int64_t index);
Geometry slice_geometry(const Tensor &t, int64_t dim, int64_t start, int64_t end,
                        int64_t step);                        // clamped as Python does
Geometry squeeze_geometry(const Tensor &t, const Dims *dims); // null: all
Geometry unsqueeze_geometry(const Tensor &t, int64_t dim);
Geometry diagonal_geometry(const Tensor &t, int64_t offset, int64_t dim1, int64_t dim2);
Geometry unfold_geometry(const Tensor &t, int64_t dim, int64_t size, int64_t step);
Geometry as_strided_geometry(const Tensor &t, const Dims &sizes, const Dims &strides, int64_t offset); // bounds-checked

// ---- random state ------------------------------------------------------------------------------------------------
// Takes `count` counters of the default generator; returns its seed and the first counter.
td_rng rng_reserve(uint64_t count);

// ---- Python side -------------------------------------------------------------------------------------------------
extern PyTypeObject *tensor_type; // set by bind_tensor
inline bool is_tensor(PyObject *o) { return Py_TYPE(o) == tensor_type || PyType_IsSubtype(Py_TYPE(o), tensor_type); }
Tensor *tensor_ptr(PyObject *o);          // borrowed; o must be a tensor
PyObject *wrap(const TensorRef &t);       // new reference; keeps identity; fast
PyObject *dtype_object(DType d);          // borrowed: the taeda.dtype singleton
bool dtype_from(PyObject *o, DType *out); // false if not a taeda.dtype
bool scalar_from(
    PyObject *o,
    Scalar *out); // bool/int/float/complex (and NumPy scalars); false otherwise; PythonError on int overflow

} // namespace taeda
