// Storage, the tensor object and arithmetic on sizes.
#include <cstring>

#include "autograd.h"
#include "tensor.h"

namespace taeda {

void Storage::dec_ref() noexcept {
  if (--refs) return;
  if (deleter)
    deleter(ctx);
  else
    td_free(data);
  delete this;
}

StorageRef new_storage(size_t nbytes) {
  char *block = nbytes <= size_t(PTRDIFF_MAX) / 2 ? static_cast<char *>(td_alloc(nbytes)) : nullptr;
  if (!block) throw MemoryFault(format("can't allocate memory: you tried to allocate %zu bytes", nbytes));
  StorageRef s(new Storage);
  s->data = block;
  s->nbytes = nbytes;
  return s;
}

void grow_storage(Storage &s, size_t nbytes) {
  if (nbytes <= s.nbytes) return;
  if (!s.resizable || s.deleter) throw RuntimeFault("Trying to resize storage that is not resizable");
  StorageRef bigger = new_storage(nbytes);
  std::memcpy(bigger->data, s.data, s.nbytes);
  std::swap(s.data, bigger->data);
  std::swap(s.nbytes, bigger->nbytes);
}

int64_t wrapped_alive = 0;

Tensor::~Tensor() {
  delete autograd;
  Py_XDECREF(traced);
  wrapped_alive -= wrapped;
}

void Tensor::stand_for(PyObject *value, bool wrap) {
  Py_XSETREF(traced, value);
  wrapped_alive += int(wrap) - int(wrapped);
  wrapped = wrap;
}

bool Tensor::symbolic() const { return traced && (!wrapped || tracing_active()); }

bool Tensor::contiguous() const {
  int64_t expected = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 0) return true;
    if (sizes[i] == 1) continue;
    if (strides[i] != expected) {
      for (size_t j = i; j-- > 0;)
        if (sizes[j] == 0) return true;
      return false;
    }
    expected *= sizes[i];
  }
  return true;
}

bool Tensor::requires_grad() const { return autograd && (autograd->requires_grad || autograd->grad_fn); }

void Tensor::no_data() {
  throw RuntimeFault("the values of a traced tensor are not known while a program is captured");
}

int64_t numel_of(const Dims &sizes) {
  bool zero = false;
  for (int64_t s : sizes) {
    if (s < 0)
      throw RuntimeFault(
          format("Trying to create tensor with negative dimension %lld: %s", (long long)s, shape_text(sizes).c_str()));
    zero |= s == 0;
  }
  int64_t n = 1; // a zero hides no overflow: strides are products of the other sizes
  for (int64_t s : sizes)
    if (s > 1 && __builtin_mul_overflow(n, s, &n))
      throw RuntimeFault("Storage size calculation overflowed with sizes=" + shape_text(sizes));
  return zero ? 0 : n;
}

Dims contiguous_strides(const Dims &sizes) {
  Dims strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;)
    if (__builtin_mul_overflow(strides[i], sizes[i] > 1 ? sizes[i] : 1, &strides[i - 1]) || strides[i - 1] > kMaxStride)
      throw RuntimeFault("Stride calculation overflowed with sizes=" + shape_text(sizes));
  return strides;
}

std::string shape_text(const Dims &sizes) {
  std::string s = "[";
  for (size_t i = 0; i < sizes.size(); ++i) s += (i ? ", " : "") + std::to_string(sizes[i]);
  return s + "]";
}

static size_t bytes_of(int64_t numel, DType dtype, const Dims &sizes) {
  size_t bytes;
  if (__builtin_mul_overflow(size_t(numel), itemsize(dtype), &bytes))
    throw RuntimeFault("Storage size calculation overflowed with sizes=" + shape_text(sizes));
  return bytes;
}

TensorRef empty(const Dims &sizes, DType dtype) {
  size_t bytes = bytes_of(numel_of(sizes), dtype, sizes);
  TensorRef t(new Tensor);
  t->sizes = sizes;
  t->strides = contiguous_strides(sizes);
  t->dtype = dtype;
  t->storage = new_storage(bytes);
  t->inference = modes().inference;
  return t;
}

int64_t extent_of(const Dims &sizes, const Dims &strides) {
  int64_t n = 1, step;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return 0;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) || __builtin_add_overflow(n, step, &n))
      throw RuntimeFault("Storage size calculation overflowed with sizes=" + shape_text(sizes) +
                         " and strides=" + shape_text(strides));
  }
  return n;
}

static void check_strides(const char *op, const Dims &sizes, const Dims &strides) {
  if (sizes.size() != strides.size())
    throw RuntimeFault(format("%s: mismatch in length of strides and shape: got %zu strides for %zu sizes", op,
                              strides.size(), sizes.size()));
  for (int64_t s : strides)
    if (s < 0)
      throw RuntimeFault(format("%s: Negative strides are not supported at the moment, got strides: %s", op,
                                shape_text(strides).c_str()));
    else if (s > kMaxStride)
      throw RuntimeFault(
          format("%s: strides can be at most %lld, got %s", op, (long long)kMaxStride, shape_text(strides).c_str()));
}

TensorRef empty_strided(const Dims &sizes, const Dims &strides, DType dtype) {
  numel_of(sizes);
  check_strides("empty_strided", sizes, strides);
  size_t bytes = bytes_of(extent_of(sizes, strides), dtype, sizes);
  TensorRef t(new Tensor);
  t->sizes = sizes;
  t->strides = strides;
  t->dtype = dtype;
  t->storage = new_storage(bytes);
  t->inference = modes().inference;
  return t;
}

TensorRef view_of(const TensorRef &base, const Dims &sizes, const Dims &strides, int64_t offset) {
  TensorRef t(new Tensor);
  t->sizes = sizes;
  t->strides = strides;
  t->offset = offset;
  t->dtype = base->dtype;
  t->storage = base->storage;
  t->inference = base->inference;
  return t;
}

TensorRef scalar_tensor(const Scalar &s, DType dtype) {
  TensorRef t = empty({}, dtype);
  s.store(dtype, t->storage->data);
  return t;
}

Geometry as_strided_geometry(const Tensor &t, const Dims &sizes, const Dims &strides, int64_t offset) {
  numel_of(sizes);
  check_strides("as_strided", sizes, strides);
  if (offset < 0)
    throw RuntimeFault(format("as_strided: expected storage_offset to be non-negative, got %lld", (long long)offset));
  int64_t n = extent_of(sizes, strides), end = 0, bytes = 0, have = t.storage ? int64_t(t.storage->nbytes) : INT64_MAX;
  bool overflow =
      __builtin_add_overflow(n, offset, &end) || __builtin_mul_overflow(end, int64_t(itemsize(t.dtype)), &bytes);
  if (overflow || (n > 0 && bytes > have))
    throw RuntimeFault(format(
        "as_strided: sizes %s, strides %s, storage offset %lld, and itemsize %zu requiring a storage size of %lld are "
        "out of bounds for storage of size %lld",
        shape_text(sizes).c_str(), shape_text(strides).c_str(), (long long)offset, itemsize(t.dtype), (long long)bytes,
        (long long)have));
  return {sizes, strides, offset};
}

void byte_strides(const Tensor &t, const Dims &sizes, int64_t *out) {
  size_t lead = sizes.size() - t.sizes.size();
  int64_t item = int64_t(itemsize(t.dtype));
  for (size_t i = 0; i < lead; ++i) out[i] = 0;
  for (size_t i = 0; i < t.sizes.size(); ++i)
    out[lead + i] = t.sizes[i] == 1 && sizes[lead + i] != 1 ? 0 : t.strides[i] * item;
}

Dims broadcast_shapes(const char *, const Dims &a, const Dims &b) {
  if (a == b) return a;
  const Dims &big = a.size() >= b.size() ? a : b, &small = a.size() >= b.size() ? b : a;
  Dims out = big;
  size_t lead = big.size() - small.size();
  for (size_t i = 0; i < small.size(); ++i) {
    int64_t x = big[lead + i], y = small[i];
    if (x == y || y == 1) continue;
    if (x != 1)
      throw RuntimeFault(
          format("The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton dimension %zu",
                 (long long)(&big == &a ? x : y), (long long)(&big == &a ? y : x), lead + i));
    out[lead + i] = y;
  }
  return out;
}

int64_t wrap_dim(const char *, int64_t dim, int64_t ndim) {
  int64_t n = ndim > 0 ? ndim : 1;
  if (dim < -n || dim >= n)
    throw IndexFault(format("Dimension out of range (expected to be in range of [%lld, %lld], but got %lld)",
                            (long long)-n, (long long)(n - 1), (long long)dim));
  return dim < 0 ? dim + n : dim;
}

} // namespace taeda
