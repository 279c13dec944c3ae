// New tensors from Python values: numbers, nested sequences, buffers.
#include <cmath>
#include <cstring>

#include "op.h"
#include "py_common.h"

namespace taeda {

namespace {

const char *type_name(PyObject *o) { return Py_TYPE(o)->tp_name; }

bool is_number(PyObject *o) {
  return PyFloat_CheckExact(o) || PyLong_CheckExact(o) || PyBool_Check(o) || PyComplex_CheckExact(o);
}

// A list or anything like one; text, buffers of one element and tensors are not.
bool is_sequence(PyObject *o) {
  if (PyList_Check(o) || PyTuple_Check(o)) return true;
  if (is_number(o) || is_tensor(o) || PyUnicode_Check(o) || !PySequence_Check(o)) return false;
  if (PyObject_Size(o) >= 0) return true;
  PyErr_Clear(); // such as a 0-d array: a sequence by type only
  return false;
}

bool has_buffer(PyObject *o) { return PyObject_CheckBuffer(o) && !is_tensor(o); }

// ---- nested sequences
// ------------------------------------------------------------------------------------------------
Dims measure(PyObject *data) {
  Dims sizes;
  Owned at = Owned::borrow(data);
  while (is_sequence(at.get())) {
    if (sizes.size() == TD_MAX_DIMS) throw ValueFault(format("too many dimensions '%s'", type_name(data)));
    Py_ssize_t n = PySequence_Size(at.get());
    if (n < 0) throw PythonError{};
    sizes.push_back(n);
    if (n == 0) break;
    at = Owned(PySequence_GetItem(at.get(), 0));
  }
  return sizes;
}

DType leaf_dtype(PyObject *o) {
  if (PyFloat_CheckExact(o)) return default_dtype();
  if (PyBool_Check(o)) return TD_BOOL;
  if (PyLong_CheckExact(o)) return TD_I64;
  if (is_tensor(o)) return tensor_ptr(o)->dtype;
  if (has_buffer(o)) return tensor_from_buffer(o, false)->dtype; // a NumPy scalar or 0-d array
  Scalar s;
  if (!scalar_from(o, &s)) throw RuntimeFault(format("Could not infer dtype of %s", type_name(o)));
  Promoter p;
  p.add(s);
  return p.result();
}

void infer(PyObject *o, size_t depth, int *dtype) {
  if (is_sequence(o)) {
    if (depth == TD_MAX_DIMS) throw ValueFault(format("too many dimensions '%s'", type_name(o)));
    Owned items(PySequence_Fast(o, "tensor(): expected a sequence"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i)
      infer(PySequence_Fast_GET_ITEM(items.get(), i), depth + 1, dtype);
    return;
  }
  DType d = leaf_dtype(o);
  *dtype = *dtype < 0 ? d : promote(DType(*dtype), d);
}

void check_value(const Scalar &s, DType d) {
  if (s.kind == Scalar::C && !is_complex(d)) throw TypeFault(format("can't convert complex to %s", info(d).name));
  if (!is_integral(d, false)) return; // floats round to infinity, everything is a bool
  double x = s.to_double();
  if (std::isnan(x)) throw ValueFault("cannot convert float NaN to integer");
  if (!s.fits(d)) throw RuntimeFault(format("value cannot be converted to type %s without overflow", info(d).name));
}

Scalar leaf_value(PyObject *o) {
  Scalar s;
  if (is_tensor(o)) {
    const Tensor &t = *tensor_ptr(o);
    if (t.numel() != 1) throw ValueFault("only one element tensors can be converted to Python scalars");
    require_data(t, "tensor");
    return Scalar::load(t.dtype, t.data());
  }
  if (scalar_from(o, &s)) return s;
  if (has_buffer(o)) {
    TensorRef t = tensor_from_buffer(o, false);
    if (t->numel() == 1) return Scalar::load(t->dtype, t->data());
  }
  throw TypeFault(format("tensor(): expected a number, got %s", type_name(o)));
}

void fill(PyObject *o, const Tensor &t, size_t dim, char *p) {
  size_t item = itemsize(t.dtype);
  if (dim == t.ndim()) {
    if (is_sequence(o)) throw ValueFault(format("expected a number at dim %zu, got %s", dim, type_name(o)));
    Scalar s = leaf_value(o);
    check_value(s, t.dtype);
    return s.store(t.dtype, p);
  }
  if (!is_sequence(o))
    throw TypeFault(
        format("expected a sequence of length %lld at dim %zu, got %s", (long long)t.sizes[dim], dim, type_name(o)));
  Owned items(PySequence_Fast(o, "tensor(): expected a sequence"));
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  if (n != t.sizes[dim])
    throw ValueFault(format("expected sequence of length %lld at dim %zu (got %zd)", (long long)t.sizes[dim], dim, n));
  size_t step = size_t(t.strides[dim]) * item;
  for (Py_ssize_t i = 0; i < n; ++i, p += step) {
    PyObject *x = PySequence_Fast_GET_ITEM(items.get(), i);
    if (dim + 1 == t.ndim() && t.dtype == TD_F32 && PyFloat_CheckExact(x)) {
      float f = float(PyFloat_AS_DOUBLE(x));
      std::memcpy(p, &f, sizeof f);
    } else {
      fill(x, t, dim + 1, p);
    }
    if (PySequence_Fast_GET_SIZE(items.get()) != n)
      throw ValueFault("tensor(): the sequence changed its length while it was read");
  }
}

TensorRef from_sequence(PyObject *data, const DType *dtype) {
  Dims sizes = measure(data);
  int d = dtype ? int(*dtype) : -1;
  if (d < 0) infer(data, 0, &d);
  TensorRef t = empty(sizes, d < 0 ? default_dtype() : DType(d));
  fill(data, *t, 0, t->data());
  return t;
}

TensorRef converted(const TensorRef &t, const DType *dtype) {
  if (!dtype || t->dtype == *dtype) return t;
  TensorRef out = empty(t->sizes, *dtype);
  copy_into(*out, *t);
  return out;
}

// ---- buffers
// ---------------------------------------------------------------------------------------------------------
struct Buffer { // holds a buffer export; on the heap where a storage keeps it
  Py_buffer view{};
  ~Buffer() {
    if (view.obj) PyBuffer_Release(&view);
  }
};

[[noreturn]] void unsupported(PyObject *o, const char *format_text) {
  throw TypeFault(format(
      "can't convert %s with elements of format '%s'. The supported element types are: float64, float32, float16, "
      "complex64, complex128, int64, int32, int16, int8, uint8, and bool.",
      type_name(o), format_text));
}

DType buffer_dtype(PyObject *o, const Py_buffer &v) {
  const char *f = v.format ? v.format : "B", *all = f;
  if (*f == '@' || *f == '=' || *f == '|')
    ++f;
  else if (*f == '<' || *f == '>' || *f == '!') {
    bool little = *f == '<';
    const uint16_t probe = 1;
    bool native = *reinterpret_cast<const uint8_t *>(&probe) == 1;
    if (little != native && v.itemsize > 1)
      throw ValueFault("given numpy array has byte order different from the native byte order. Conversion between byte "
                       "orders is currently "
                       "not supported.");
    ++f;
  }
  if (*f == 'Z' && (f[1] == 'f' || f[1] == 'd') && !f[2]) return f[1] == 'f' ? TD_C64 : TD_C128;
  if (f[0] == 0 || f[1] != 0) unsupported(o, all);
  switch (*f) {
  case '?':
    return TD_BOOL;
  case 'e':
    return TD_F16;
  case 'f':
    return TD_F32;
  case 'd':
    return TD_F64;
  case 'B':
  case 'c':
    return TD_U8;
  case 'b':
  case 'h':
  case 'i':
  case 'l':
  case 'q':
  case 'n':
    switch (v.itemsize) {
    case 1:
      return TD_I8;
    case 2:
      return TD_I16;
    case 4:
      return TD_I32;
    case 8:
      return TD_I64;
    }
  }
  unsupported(o, all);
}

std::unique_ptr<Buffer> export_buffer(PyObject *o) {
  auto b = std::make_unique<Buffer>();
  if (PyObject_GetBuffer(o, &b->view, PyBUF_FULL_RO)) {
    if (PyErr_ExceptionMatches(PyExc_ValueError) ||
        PyErr_ExceptionMatches(PyExc_BufferError)) { // NumPy's answer for other element types
      PyErr_Clear();
      unsupported(o, "?");
    }
    throw PythonError{};
  }
  if (b->view.suboffsets) throw TypeFault(format("can't convert %s: indirect buffers are not supported", type_name(o)));
  return b;
}

StorageRef adopt(std::unique_ptr<Buffer> b, char *data, size_t nbytes) {
  StorageRef s(new Storage);
  s->data = data;
  s->nbytes = nbytes;
  s->resizable = false;
  s->deleter = [](void *ctx) { delete static_cast<Buffer *>(ctx); };
  s->ctx = b.release();
  return s;
}

void warn_read_only(const char *what) {
  if (PyErr_WarnFormat(PyExc_UserWarning, 1,
                       "The given %s is not writable, and taeda does not support non-writable tensors. This means "
                       "writing to this tensor "
                       "will result in undefined behavior. You may want to copy the %s to protect its data or make it "
                       "writable before "
                       "converting it to a tensor.",
                       what, what))
    throw PythonError{};
}

TensorRef copy_of_buffer(const Py_buffer &v, const Dims &sizes, DType d) {
  TensorRef t = empty(sizes, d);
  if (t->numel() && PyBuffer_ToContiguous(t->data(), &v, v.len, 'C')) throw PythonError{};
  return t;
}

// frombuffer(buffer, dtype, count, offset)
TensorRef from_flat_buffer(PyObject *o, DType d, int64_t count, int64_t offset) {
  auto b = std::make_unique<Buffer>();
  if (PyObject_GetBuffer(o, &b->view, PyBUF_SIMPLE)) {
    PyErr_Clear();
    throw ValueFault("object does not implement Python buffer protocol, or its buffer is not contiguous");
  }
  int64_t len = b->view.len, item = int64_t(itemsize(d));
  if (len == 0 || count == 0)
    throw ValueFault(
        format("both buffer length (%lld) and count (%lld) must not be 0", (long long)len, (long long)count));
  if (offset < 0 || offset >= len)
    throw ValueFault(
        format("offset (%lld bytes) must be non-negative and no greater than buffer length (%lld bytes) minus 1",
               (long long)offset, (long long)len));
  if (count < 0) {
    if ((len - offset) % item)
      throw ValueFault(
          format("buffer length (%lld bytes) after offset (%lld bytes) must be a multiple of element size (%lld)",
                 (long long)(len - offset), (long long)offset, (long long)item));
    count = (len - offset) / item;
  }
  if (count > (len - offset) / item)
    throw ValueFault(format(
        "requested buffer length (%lld * %lld bytes) after offset (%lld bytes) must not be greater than actual buffer "
        "length (%lld bytes)",
        (long long)count, (long long)item, (long long)offset, (long long)len));
  if (b->view.readonly) warn_read_only("buffer");
  TensorRef t(new Tensor);
  t->sizes = {count};
  t->strides = {1};
  t->dtype = d;
  char *data = static_cast<char *>(b->view.buf) + offset;
  t->storage = adopt(std::move(b), data, size_t(count * item));
  return t;
}

const DType *optional_dtype(nb::handle o, DType *d, const char *op) {
  if (o.is_none()) return nullptr;
  if (!dtype_from(o.ptr(), d))
    throw TypeFault(format("%s(): argument 'dtype' must be taeda.dtype, not %s", op, type_name(o.ptr())));
  return d;
}

bool is_ndarray(PyObject *o) {
  for (PyTypeObject *t = Py_TYPE(o); t; t = t->tp_base)
    if (std::strcmp(t->tp_name, "numpy.ndarray") == 0) return true;
  return false;
}

nb::object finished(const TensorRef &t, bool requires_grad) {
  if (requires_grad) require_grad(t);
  return nb::steal(wrap(t));
}

} // namespace

TensorRef tensor_from_buffer(PyObject *o, bool share) {
  auto b = export_buffer(o);
  const Py_buffer &v = b->view;
  DType d = buffer_dtype(o, v);
  Dims sizes, strides;
  for (int i = 0; i < v.ndim; ++i) sizes.push_back(v.shape[i]);
  if (!share) return copy_of_buffer(v, sizes, d);
  for (int i = 0; i < v.ndim; ++i) {
    if (v.strides[i] < 0)
      throw ValueFault(
          "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
          "currently "
          "supported. (You can probably work around this by making a copy of your array with array.copy().)");
    if (v.strides[i] % v.itemsize)
      throw ValueFault("given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
                       "reallocate the memory.");
    strides.push_back(v.strides[i] / v.itemsize);
  }
  if (v.readonly) warn_read_only("NumPy array");
  TensorRef t(new Tensor);
  t->sizes = sizes;
  t->strides = strides;
  t->dtype = d;
  size_t nbytes = size_t(extent_of(sizes, strides)) * itemsize(d);
  char *data = static_cast<char *>(v.buf);
  t->storage = adopt(std::move(b), data, nbytes);
  return t;
}

Owned array_of(PyObject *o) {
  PyObject *type = reinterpret_cast<PyObject *>(Py_TYPE(o));
  if (is_number(o) || is_tensor(o) || PyList_Check(o) || PyTuple_Check(o) || !PyObject_HasAttrString(type, "__array__"))
    return {};
  Owned array(PyObject_CallMethod(o, "__array__", nullptr));
  if (!is_ndarray(array.get())) return {};
  Owned dtype(PyObject_GetAttrString(array.get(), "dtype")), kind(PyObject_GetAttrString(dtype.get(), "kind"));
  const char *letter = PyUnicode_AsUTF8(kind.get());
  if (!letter) throw PythonError{};
  return std::strchr("biufc", *letter) ? std::move(array) : Owned(); // objects, text and dates are no numbers
}

TensorRef tensor_from(PyObject *data, const DType *dtype) {
  Scalar s;
  if (is_tensor(data)) {
    TensorRef src(tensor_ptr(data));
    require_data(*src, "tensor");
    TensorRef out = empty(src->sizes, dtype ? *dtype : src->dtype);
    copy_into(*out, *src);
    return out;
  }
  if (!is_number(data) && has_buffer(data)) return converted(tensor_from_buffer(data, false), dtype);
  if (scalar_from(data, &s)) {
    DType d = dtype ? *dtype : leaf_dtype(data);
    check_value(s, d);
    return scalar_tensor(s, d);
  }
  if (Owned array = array_of(data)) return converted(tensor_from_buffer(array.get(), false), dtype);
  if (is_sequence(data)) return from_sequence(data, dtype);
  if (PyUnicode_Check(data)) throw TypeFault("new(): invalid data type 'str'");
  throw RuntimeFault(format("Could not infer dtype of %s", type_name(data)));
}

void bind_create(nb::module_ &m) {
  m.def(
      "tensor",
      [](nb::object data, nb::object dtype, nb::object device, bool requires_grad, bool) {
        DType d;
        check_device(device.ptr());
        return finished(tensor_from(data.ptr(), optional_dtype(dtype, &d, "tensor")), requires_grad);
      },
      nb::arg("data").none(), nb::kw_only(), nb::arg("dtype") = nb::none(), nb::arg("device") = nb::none(),
      nb::arg("requires_grad") = false, nb::arg("pin_memory") = false,
      "A new leaf tensor with a copy of the data: numbers, nested sequences, arrays or a tensor.");
  m.def(
      "as_tensor",
      [](nb::object data, nb::object dtype, nb::object device) {
        DType d;
        check_device(device.ptr());
        const DType *want = optional_dtype(dtype, &d, "as_tensor");
        if (is_tensor(data.ptr())) {
          TensorRef t(tensor_ptr(data.ptr()));
          return want && *want != t->dtype ? nb::steal(wrap(cast(t, *want))) : nb::object(data);
        }
        if (is_ndarray(data.ptr())) return nb::steal(wrap(converted(tensor_from_buffer(data.ptr(), true), want)));
        return nb::steal(wrap(tensor_from(data.ptr(), want)));
      },
      nb::arg("data").none(), nb::arg("dtype") = nb::none(), nb::arg("device") = nb::none(),
      "The data as a tensor, sharing memory where that is possible.");
  m.def(
      "from_numpy",
      [](nb::object array) {
        if (!is_ndarray(array.ptr())) throw TypeFault(format("expected np.ndarray (got %s)", type_name(array.ptr())));
        return nb::steal(wrap(tensor_from_buffer(array.ptr(), true)));
      },
      nb::arg("ndarray").none(), "A tensor that shares the memory of a NumPy array.");
  m.def(
      "frombuffer",
      [](nb::object buffer, nb::object dtype, int64_t count, int64_t offset, bool requires_grad) {
        DType d;
        if (!optional_dtype(dtype, &d, "frombuffer")) throw TypeFault("frombuffer(): missing argument 'dtype'");
        return finished(from_flat_buffer(buffer.ptr(), d, count, offset), requires_grad);
      },
      nb::arg("buffer"), nb::kw_only(), nb::arg("dtype"), nb::arg("count") = -1, nb::arg("offset") = 0,
      nb::arg("requires_grad") = false, "A 1-d tensor that shares the memory of an object with the buffer protocol.");
  m.def(
      "empty",
      [](nb::object sizes, nb::object dtype) {
        DType d = default_dtype();
        optional_dtype(dtype, &d, "empty");
        return nb::steal(wrap(empty(dims_from(sizes.ptr(), "empty(): argument 'size'"), d)));
      },
      nb::arg("size"), nb::arg("dtype") = nb::none(), "A tensor with whatever the memory holds.");
  m.def(
      "empty_strided",
      [](nb::object sizes, nb::object strides, nb::object dtype) {
        DType d = default_dtype();
        optional_dtype(dtype, &d, "empty_strided");
        return nb::steal(wrap(empty_strided(dims_from(sizes.ptr(), "empty_strided(): argument 'size'"),
                                            dims_from(strides.ptr(), "empty_strided(): argument 'stride'"), d)));
      },
      nb::arg("size"), nb::arg("stride"), nb::arg("dtype") = nb::none(),
      "A tensor with given strides and whatever the memory holds.");
}

} // namespace taeda
