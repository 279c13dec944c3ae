// Arrays in and out without copies: the buffer protocol, DLPack and NumPy.
#include <cstring>
#include <memory>

#include "op.h"
#include "py_tensor.h"

namespace taeda {

namespace {

const char *buffer_format(DType d) {
  static constexpr const char *kFormats[TD_NUM_DTYPES] = {"?", "B",     "b", "h", "i",  sizeof(long) == 8 ? "l" : "q",
                                                          "e", nullptr, "f", "d", "Zf", "Zd"};
  return kFormats[d];
}

void require_no_grad(const Tensor &t, const char *what) {
  if (t.requires_grad())
    throw RuntimeFault(
        format("Can't call %s on Tensor that requires grad. Use tensor.detach().%s instead.", what, what));
}

// ---- buffer protocol
// ---------------------------------------------------------------------------------------------------
struct Layout {
  StorageRef storage; // the tensor itself may move to other memory meanwhile
  Py_ssize_t shape[TD_MAX_DIMS], strides[TD_MAX_DIMS];
};

// The memory of a tensor that others get the address of: it stays where it is.
StorageRef pinned(const Tensor &t) {
  t.storage->resizable = false;
  return t.storage;
}

bool column_major(const Tensor &t) {
  int64_t expected = 1;
  for (size_t i = 0; i < t.ndim(); ++i) {
    if (t.sizes[i] == 0) return true;
    if (t.sizes[i] != 1 && t.strides[i] != expected) return false;
    expected *= t.sizes[i];
  }
  return true;
}

int getbuffer_slot(PyObject *self, Py_buffer *view, int flags) {
  view->obj = nullptr;
  return guarded(-1, [&] {
    const Tensor &t = *tensor_ptr(self);
    require_data(t, "buffer");
    require_no_grad(t, "numpy()");
    if (!buffer_format(t.dtype))
      throw TypeFault(format("the buffer protocol has no format for taeda.%s", info(t.dtype).name));
    bool rows = t.contiguous(), columns = column_major(t);
    auto wants = [flags](int f) { return (flags & f) == f; };
    if ((wants(PyBUF_C_CONTIGUOUS) && !rows) || (wants(PyBUF_F_CONTIGUOUS) && !columns) ||
        (wants(PyBUF_ANY_CONTIGUOUS) && !rows && !columns) || (!wants(PyBUF_STRIDES) && !rows)) {
      PyErr_SetString(PyExc_BufferError, "the tensor is not contiguous in the order that was asked for");
      throw PythonError{};
    }
    auto layout = std::make_unique<Layout>();
    layout->storage = pinned(t);
    auto item = Py_ssize_t(itemsize(t.dtype));
    for (size_t i = 0; i < t.ndim(); ++i) {
      layout->shape[i] = t.sizes[i];
      layout->strides[i] = t.strides[i] * item;
    }
    view->buf = t.data();
    view->len = t.numel() * item;
    view->itemsize = item;
    view->readonly = 0;
    view->ndim = int(t.ndim());
    view->format = wants(PyBUF_FORMAT) ? const_cast<char *>(buffer_format(t.dtype)) : nullptr;
    view->shape = wants(PyBUF_ND) ? layout->shape : nullptr;
    view->strides = wants(PyBUF_STRIDES) ? layout->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = layout.release();
    view->obj = Py_NewRef(self);
    return 0;
  });
}

void releasebuffer_slot(PyObject *, Py_buffer *view) { delete static_cast<Layout *>(view->internal); }

// ---- NumPy
// ---------------------------------------------------------------------------------------------------------------
Owned numpy_array(const TensorRef &t) {
  require_data(*t, "numpy");
  if (!buffer_format(t->dtype)) throw TypeFault("Got unsupported ScalarType BFloat16");
  Owned plain(wrap(view_of(t, t->sizes, t->strides, t->offset))); // without history
  Owned view(PyMemoryView_FromObject(plain.get()));
  Owned numpy(PyImport_ImportModule("numpy")), asarray(PyObject_GetAttrString(numpy.get(), "asarray"));
  return Owned(PyObject_CallOneArg(asarray.get(), view.get()));
}

PyObject *numpy_method(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    static const char *names[] = {"force", nullptr};
    int force = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$p:numpy", const_cast<char **>(names), &force))
      throw PythonError{};
    TensorRef t(tensor_ptr(self));
    if (!force) require_no_grad(*t, "numpy()");
    return numpy_array(t).release();
  });
}

PyObject *array_method(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    static const char *names[] = {"dtype", "copy", nullptr};
    PyObject *dtype = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:__array__", const_cast<char **>(names), &dtype, &copy))
      throw PythonError{};
    TensorRef t(tensor_ptr(self));
    require_no_grad(*t, "numpy()");
    Owned array = numpy_array(t);
    if (copy == Py_True) array = Owned(PyObject_CallMethod(array.get(), "copy", nullptr));
    if (dtype == Py_None) return array.release();
    Owned have(PyObject_GetAttrString(array.get(), "dtype"));
    int same = PyObject_RichCompareBool(have.get(), dtype, Py_EQ);
    if (same < 0) throw PythonError{};
    if (!same && copy == Py_False) throw ValueFault("Unable to avoid copy while creating an array with another dtype");
    return same ? array.release() : Owned(PyObject_CallMethod(array.get(), "astype", "O", dtype)).release();
  });
}

// ---- DLPack: the structures of its ABI, versions 0.x and 1.x
// ---------------------------------------------------------
namespace dl {
struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void *data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct Managed {
  Tensor tensor;
  void *ctx;
  void (*deleter)(Managed *);
};
struct Version {
  uint32_t major, minor;
};
struct ManagedVersioned {
  Version version;
  void *ctx;
  void (*deleter)(ManagedVersioned *);
  uint64_t flags;
  Tensor tensor;
};
constexpr int32_t kCPU = 1;
constexpr uint64_t kIsCopied = 2;
enum Code : uint8_t { Int = 0, UInt = 1, Float = 2, BFloat = 4, Complex = 5, Bool = 6 };
} // namespace dl

dl::DataType dlpack_dtype(DType d) {
  auto bits = uint8_t(itemsize(d) * 8);
  if (d == TD_BOOL) return {dl::Bool, 8, 1};
  if (d == TD_BF16) return {dl::BFloat, 16, 1};
  if (d == TD_U8) return {dl::UInt, 8, 1};
  return {uint8_t(is_complex(d) ? dl::Complex : is_float(d) ? dl::Float : dl::Int), bits, 1};
}

DType from_dlpack_dtype(dl::DataType t) {
  for (int d = 0; d < TD_NUM_DTYPES; ++d) {
    dl::DataType have = dlpack_dtype(DType(d));
    if (have.code == t.code && have.bits == t.bits && t.lanes == 1) return DType(d);
  }
  throw RuntimeFault(
      format("from_dlpack: no Taeda dtype for DLPack type code %d with %d bits and %d lanes", t.code, t.bits, t.lanes));
}

struct Export { // what one capsule keeps alive
  StorageRef storage;
  int64_t shape[TD_MAX_DIMS], strides[TD_MAX_DIMS];
  dl::Managed plain;
  dl::ManagedVersioned versioned;
};

void release_export(void *ctx) { // a consumer may call this from any thread
  if (!Py_IsInitialized()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  delete static_cast<Export *>(ctx);
  PyGILState_Release(state);
}

void capsule_destructor(PyObject *capsule) { // only while no consumer has renamed it
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    auto *m = static_cast<dl::Managed *>(PyCapsule_GetPointer(capsule, "dltensor"));
    m->deleter(m);
  } else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto *m = static_cast<dl::ManagedVersioned *>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
    m->deleter(m);
  }
}

[[noreturn]] void buffer_error(const std::string &text) {
  PyErr_SetString(PyExc_BufferError, text.c_str());
  throw PythonError{};
}

PyObject *dlpack_method(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    static const char *names[] = {"stream", "max_version", "dl_device", "copy", nullptr};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", const_cast<char **>(names), &stream, &version,
                                     &device, &copy))
      throw PythonError{};
    TensorRef t(tensor_ptr(self));
    require_data(*t, "__dlpack__");
    if (t->requires_grad()) buffer_error("Can't export tensors that require gradient, use tensor.detach()");
    auto first = [](PyObject *pair, const char *what) {
      if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2)
        throw TypeFault(format("__dlpack__: '%s' must be a pair of ints", what));
      return int_from(PyTuple_GET_ITEM(pair, 0), what);
    };
    if (device != Py_None && first(device, "dl_device") != dl::kCPU)
      buffer_error("__dlpack__: this tensor lives on the CPU and cannot be exported to another device");
    bool copied = copy == Py_True;
    if (copied) {
      TensorRef own = empty(t->sizes, t->dtype);
      copy_into(*own, *t);
      t = own;
    }
    auto e = std::make_unique<Export>();
    e->storage = pinned(*t);
    for (size_t i = 0; i < t->ndim(); ++i) {
      e->shape[i] = t->sizes[i];
      e->strides[i] = t->strides[i];
    }
    dl::Tensor out = {t->numel() ? t->data() : nullptr,
                      {dl::kCPU, 0},
                      int32_t(t->ndim()),
                      dlpack_dtype(t->dtype),
                      e->shape,
                      e->strides,
                      0};
    e->plain = {out, e.get(), [](dl::Managed *m) { release_export(m->ctx); }};
    e->versioned = {
        {1, 0}, e.get(), [](dl::ManagedVersioned *m) { release_export(m->ctx); }, copied ? dl::kIsCopied : 0, out};
    bool versioned = version != Py_None && first(version, "max_version") >= 1;
    Owned capsule(versioned ? PyCapsule_New(&e->versioned, "dltensor_versioned", capsule_destructor)
                            : PyCapsule_New(&e->plain, "dltensor", capsule_destructor));
    e.release();
    return capsule.release();
  });
}

PyObject *dlpack_device_method(PyObject *, PyObject *) { return Py_BuildValue("(ii)", dl::kCPU, 0); }

// Checks everything before the capsule is consumed, so that a refused capsule stays with its producer.
TensorRef adopt_dlpack(const dl::Tensor &d) {
  if (d.device.type != dl::kCPU)
    throw RuntimeFault(format(
        "from_dlpack: the array lives on device type %d; this build of Taeda takes CPU memory only", d.device.type));
  if (d.ndim < 0 || d.ndim > TD_MAX_DIMS)
    throw RuntimeFault(format("from_dlpack: %d dimensions; tensors have at most 32", d.ndim));
  TensorRef t(new Tensor);
  t->dtype = from_dlpack_dtype(d.dtype);
  t->sizes = Dims(d.shape, size_t(d.ndim));
  numel_of(t->sizes);
  t->strides = d.strides ? Dims(d.strides, size_t(d.ndim)) : contiguous_strides(t->sizes);
  for (int64_t s : t->strides)
    if (s < 0 || s > kMaxStride)
      throw ValueFault(format("from_dlpack: arrays with %s strides are not supported; copy the array first",
                              s < 0 ? "negative" : "huge"));
  StorageRef s(new Storage);
  s->deleter = [](void *) {}; // not ours to free until the capsule is consumed
  s->data = static_cast<char *>(d.data) + (d.data ? d.byte_offset : 0);
  s->nbytes = size_t(extent_of(t->sizes, t->strides)) * itemsize(t->dtype);
  s->resizable = false;
  if (!s->data && s->nbytes) throw RuntimeFault("from_dlpack: the array has no data");
  t->storage = s;
  return t;
}

TensorRef from_capsule(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto *m = static_cast<dl::ManagedVersioned *>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
    if (m->version.major != 1)
      throw RuntimeFault(format("from_dlpack: DLPack version %u.%u is not known", m->version.major, m->version.minor));
    TensorRef t = adopt_dlpack(m->tensor);
    if (PyCapsule_SetName(capsule, "used_dltensor_versioned")) throw PythonError{};
    t->storage->ctx = m;
    t->storage->deleter = [](void *ctx) {
      auto *x = static_cast<dl::ManagedVersioned *>(ctx);
      if (x->deleter) x->deleter(x);
    };
    return t;
  }
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    auto *m = static_cast<dl::Managed *>(PyCapsule_GetPointer(capsule, "dltensor"));
    TensorRef t = adopt_dlpack(m->tensor);
    if (PyCapsule_SetName(capsule, "used_dltensor")) throw PythonError{};
    t->storage->ctx = m;
    t->storage->deleter = [](void *ctx) {
      auto *x = static_cast<dl::Managed *>(ctx);
      if (x->deleter) x->deleter(x);
    };
    return t;
  }
  throw RuntimeFault("from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once");
}

TensorRef from_dlpack(nb::object source, nb::object copy) {
  if (PyCapsule_CheckExact(source.ptr())) return from_capsule(source.ptr());
  if (!nb::hasattr(source, "__dlpack__"))
    throw TypeFault(format("from_dlpack: %s has no __dlpack__ method", Py_TYPE(source.ptr())->tp_name));
  if (nb::hasattr(source, "__dlpack_device__")) {
    nb::object device = source.attr("__dlpack_device__")();
    if (!PyTuple_Check(device.ptr()) || PyTuple_GET_SIZE(device.ptr()) != 2)
      throw TypeFault("from_dlpack: __dlpack_device__ must return a pair of ints");
    int64_t type = int_from(PyTuple_GET_ITEM(device.ptr(), 0), "from_dlpack: device type");
    if (type != dl::kCPU)
      throw RuntimeFault(
          format("from_dlpack: the array lives on device type %lld; this build of Taeda takes CPU memory only",
                 (long long)type));
  }
  nb::object capsule;
  try {
    capsule = copy.is_none()
                  ? source.attr("__dlpack__")(nb::arg("max_version") = nb::make_tuple(1, 0))
                  : source.attr("__dlpack__")(nb::arg("max_version") = nb::make_tuple(1, 0), nb::arg("copy") = copy);
  } catch (nb::python_error &e) {
    if (!copy.is_none() || !e.matches(PyExc_TypeError)) throw; // producers before DLPack 1.0 take no max_version
    capsule = source.attr("__dlpack__")();
  }
  return from_capsule(capsule.ptr());
}

} // namespace

PyType_Slot buffer_slots[] = {
    {Py_bf_getbuffer, (void *)getbuffer_slot},
    {Py_bf_releasebuffer, (void *)releasebuffer_slot},
    {0, nullptr},
};

#define TAEDA_KEYWORDS(f) (PyCFunction)(void (*)()) f, METH_VARARGS | METH_KEYWORDS
PyMethodDef interop_methods[] = {
    {"numpy", TAEDA_KEYWORDS(numpy_method), "numpy(*, force=False): a NumPy array that shares this tensor's memory."},
    {"__array__", TAEDA_KEYWORDS(array_method), nullptr},
    {"__dlpack__", TAEDA_KEYWORDS(dlpack_method), "A DLPack capsule that shares this tensor's memory."},
    {"__dlpack_device__", dlpack_device_method, METH_NOARGS, "(device type, device id) of DLPack."},
    {nullptr, nullptr, 0, nullptr},
};
#undef TAEDA_KEYWORDS

void bind_interop(nb::module_ &m) {
  m.attr("max_dims") = TD_MAX_DIMS;
  m.def(
      "from_dlpack",
      [](nb::object source, nb::object device, nb::object copy) {
        check_device(device.ptr());
        return nb::steal(wrap(from_dlpack(source, copy)));
      },
      nb::arg("ext_tensor"), nb::kw_only(), nb::arg("device") = nb::none(), nb::arg("copy") = nb::none(),
      "A tensor that shares the memory of another library's array.");
}

} // namespace taeda
