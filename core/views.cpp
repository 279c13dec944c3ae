// View geometry: new sizes, strides and offset over the same storage.
#include <algorithm>

#include "tensor.h"

namespace taeda {

bool view_geometry(const Tensor &t, const Dims &sizes, Geometry *out) {
  *out = {sizes, contiguous_strides(sizes), t.offset};
  int64_t n = numel_of(sizes);
  if (n != t.numel()) return false;
  if (n == 0 && t.sizes == sizes) out->strides = t.strides;
  if (n == 0 || t.contiguous()) return true;
  // Cut the old dims, from the last, into runs that are contiguous among themselves; each run must be filled exactly by
  // new dims.
  int64_t next = int64_t(sizes.size()) - 1, run_stride = t.strides.back(), run = 1, filled = 1;
  for (int64_t d = int64_t(t.ndim()) - 1; d >= 0; --d) {
    run *= t.sizes[d];
    bool ends = d == 0 || (t.sizes[d - 1] != 1 && t.strides[d - 1] != run * run_stride);
    if (!ends) continue;
    while (next >= 0 && (filled < run || sizes[next] == 1)) {
      out->strides[next] = filled * run_stride;
      filled *= sizes[next--];
    }
    if (filled != run) return false;
    if (d > 0) {
      run_stride = t.strides[d - 1];
      run = filled = 1;
    }
  }
  return next == -1;
}

Dims infer_size(const char *, const Dims &sizes, int64_t numel) {
  Dims out = sizes;
  int64_t known = 1, unknown = -1;
  bool overflow = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      if (unknown >= 0) throw RuntimeFault("only one dimension can be inferred");
      unknown = int64_t(i);
    } else if (sizes[i] < 0) {
      throw RuntimeFault(format("invalid shape dimension %lld", (long long)sizes[i]));
    } else {
      overflow |= __builtin_mul_overflow(known, sizes[i], &known);
    }
  }
  bool fits = !overflow && (unknown < 0 ? known == numel : known > 0 ? numel % known == 0 : numel == 0);
  if (!fits)
    throw RuntimeFault(
        format("shape '%s' is invalid for input of size %lld", shape_text(sizes).c_str(), (long long)numel));
  if (unknown >= 0) {
    if (known == 0)
      throw RuntimeFault(format(
          "cannot reshape tensor of 0 elements into shape %s because the unspecified dimension size -1 can be any "
          "value and is ambiguous",
          shape_text(sizes).c_str()));
    out[size_t(unknown)] = numel / known;
  }
  return out;
}

Geometry permute_geometry(const Tensor &t, const Dims &dims) {
  size_t n = t.ndim();
  if (dims.size() != n)
    throw RuntimeFault(format(
        "permute(): number of dimensions in the tensor input does not match the length of the desired ordering of "
        "dimensions i.e. input.dim() = %zu is not equal to len(dims) = %zu",
        n, dims.size()));
  Geometry g{{}, {}, t.offset};
  uint64_t seen = 0;
  for (int64_t d : dims) {
    size_t i = size_t(wrap_dim("permute", d, int64_t(n)));
    if (seen >> i & 1) throw RuntimeFault("permute(): duplicate dims are not allowed.");
    seen |= uint64_t(1) << i;
    g.sizes.push_back(t.sizes[i]);
    g.strides.push_back(t.strides[i]);
  }
  return g;
}

// a * b where that can be a stride; a product that cannot is one of a single element, or of none.
static int64_t bounded_stride(int64_t a, int64_t b, int64_t otherwise) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) || product > kMaxStride ? otherwise : product;
}

Geometry expand_geometry(const Tensor &t, const Dims &sizes) {
  if (sizes.size() < t.ndim())
    throw RuntimeFault(
        format("expand(%s, size=%s): the number of sizes provided (%zu) must be greater or equal to the number of "
               "dimensions in the tensor (%zu)",
               shape_text(t.sizes).c_str(), shape_text(sizes).c_str(), sizes.size(), t.ndim()));
  Geometry g{sizes, Dims(sizes.size(), 0), t.offset};
  size_t lead = sizes.size() - t.ndim();
  for (size_t i = sizes.size(); i-- > 0;) {
    if (i < lead) {
      if (sizes[i] < 0)
        throw RuntimeFault(
            format("The expanded size of the tensor (%lld) isn't allowed in a leading, non-existing dimension %zu",
                   (long long)sizes[i], i));
      if (sizes[i] == 1 && t.ndim() > 0) g.strides[i] = bounded_stride(g.sizes[i + 1], g.strides[i + 1], 1);
      continue;
    }
    int64_t old = t.sizes[i - lead], want = sizes[i] == -1 ? old : sizes[i];
    g.sizes[i] = want;
    if (want == old) {
      g.strides[i] = t.strides[i - lead];
    } else if (old != 1 || want < 0) {
      throw RuntimeFault(format("The expanded size of the tensor (%lld) must match the existing size (%lld) at "
                                "non-singleton dimension %zu.  Target sizes: %s.  Tensor sizes: %s",
                                (long long)want, (long long)old, i, shape_text(sizes).c_str(),
                                shape_text(t.sizes).c_str()));
    }
  }
  numel_of(g.sizes);
  return g;
}

Geometry select_geometry(const Tensor &t, int64_t dim, int64_t index) {
  if (t.ndim() == 0) throw IndexFault("select() cannot be applied to a 0-dim tensor.");
  size_t d = size_t(wrap_dim("select", dim, int64_t(t.ndim())));
  int64_t size = t.sizes[d];
  if (index < -size || index >= size)
    throw IndexFault(format("select(): index %lld out of range for tensor of size %s at dimension %zu",
                            (long long)index, shape_text(t.sizes).c_str(), d));
  Geometry g{t.sizes, t.strides, t.offset + (index < 0 ? index + size : index) * t.strides[d]};
  g.sizes.erase(d);
  g.strides.erase(d);
  return g;
}

Geometry slice_geometry(const Tensor &t, int64_t dim, int64_t start, int64_t end, int64_t step) {
  if (t.ndim() == 0) throw IndexFault("slice() cannot be applied to a 0-dim tensor.");
  size_t d = size_t(wrap_dim("slice", dim, int64_t(t.ndim())));
  if (step <= 0) throw RuntimeFault(format("slice step must be positive, got %lld", (long long)step));
  int64_t size = t.sizes[d];
  auto clamp = [size](int64_t x) { return std::clamp<int64_t>(x < 0 ? x + size : x, 0, size); };
  int64_t first = clamp(start), last = std::max(clamp(end), first);
  Geometry g{t.sizes, t.strides, t.offset + first * t.strides[d]};
  g.sizes[d] = (last - first) / step + ((last - first) % step != 0);
  g.strides[d] = bounded_stride(t.strides[d], step, t.strides[d]);
  return g;
}

Geometry squeeze_geometry(const Tensor &t, const Dims *dims) {
  uint64_t chosen = dims ? 0 : ~uint64_t(0);
  if (dims)
    for (int64_t d : *dims) {
      uint64_t bit = uint64_t(1) << wrap_dim("squeeze", d, int64_t(t.ndim()));
      if (chosen & bit) throw RuntimeFault(format("dim %lld appears multiple times in the list of dims", (long long)d));
      chosen |= bit;
    }
  Geometry g{{}, {}, t.offset};
  for (size_t i = 0; i < t.ndim(); ++i)
    if (t.sizes[i] != 1 || !(chosen >> i & 1)) {
      g.sizes.push_back(t.sizes[i]);
      g.strides.push_back(t.strides[i]);
    }
  return g;
}

Geometry unsqueeze_geometry(const Tensor &t, int64_t dim) {
  size_t d = size_t(wrap_dim("unsqueeze", dim, int64_t(t.ndim()) + 1));
  Geometry g{t.sizes, t.strides, t.offset};
  int64_t stride = d < t.ndim() ? t.sizes[d] * t.strides[d] : 1;
  g.sizes.insert(d, 1);
  g.strides.insert(d, stride);
  return g;
}

Geometry diagonal_geometry(const Tensor &t, int64_t offset, int64_t dim1, int64_t dim2) {
  size_t a = size_t(wrap_dim("diagonal", dim1, int64_t(t.ndim()))),
         b = size_t(wrap_dim("diagonal", dim2, int64_t(t.ndim())));
  if (a == b || t.ndim() < 2)
    throw RuntimeFault(format("diagonal dimensions cannot be identical %lld, %lld", (long long)dim1, (long long)dim2));
  int64_t rows = t.sizes[a], cols = t.sizes[b];
  int64_t n = offset >= 0 ? std::min(rows, offset < cols ? cols - offset : 0)
                          : std::min(offset > -rows ? rows + offset : 0, cols);
  Geometry g{t.sizes, t.strides, t.offset};
  if (n > 0) g.offset += offset >= 0 ? offset * t.strides[b] : -offset * t.strides[a];
  g.sizes.erase(std::max(a, b));
  g.sizes.erase(std::min(a, b));
  g.strides.erase(std::max(a, b));
  g.strides.erase(std::min(a, b));
  g.sizes.push_back(std::max<int64_t>(n, 0));
  g.strides.push_back(t.strides[a] + t.strides[b]);
  return g;
}

Geometry unfold_geometry(const Tensor &t, int64_t dim, int64_t size, int64_t step) {
  size_t d = size_t(wrap_dim("unfold", dim, int64_t(t.ndim())));
  int64_t have = t.ndim() ? t.sizes[d] : 1, stride = t.ndim() ? t.strides[d] : 1;
  if (size < 0) throw RuntimeFault(format("size is %lld but must be >= 0", (long long)size));
  if (size > have)
    throw RuntimeFault(format("maximum size for tensor at dimension %zu is %lld but size is %lld", d, (long long)have,
                              (long long)size));
  if (step <= 0) throw RuntimeFault(format("step is %lld but must be > 0", (long long)step));
  Geometry g{t.sizes, t.strides, t.offset};
  if (t.ndim()) {
    g.sizes[d] = (have - size) / step + 1;
    g.strides[d] = bounded_stride(stride, step, stride);
  }
  g.sizes.push_back(size);
  g.strides.push_back(stride);
  numel_of(g.sizes);
  return g;
}

} // namespace taeda
