// Python indexing. The basic parts become a chain of view operators and the rest one gather or scatter, so that
// autograd and capture see every step; numbers that a capture stands for pass through untouched.
#include <cstring>

#include "op.h"
#include "py_common.h"

namespace taeda {

namespace {

// An operator of the table by its role, looked up once.
#define TAEDA_ROLE(name)                                                                                               \
  []() -> Op & {                                                                                                       \
    static Op *op = role(name);                                                                                        \
    return *op;                                                                                                        \
  }()

Owned apply(Op &op, std::initializer_list<PyObject *> args) {
  return Owned(call_python(op, args.begin(), args.size(), nullptr));
}

Owned int_object(int64_t v) { return Owned(PyLong_FromLongLong(v)); }
const Tensor &tensor_of(const Owned &o) { return *tensor_ptr(o.get()); }
bool is_mask(const Tensor &t) { return t.dtype == TD_BOOL || t.dtype == TD_U8; }

// Lists, ranges and arrays of indices as tensors; everything else as it is.
Owned normalised(PyObject *item) {
  bool array = !is_tensor(item) && std::strcmp(Py_TYPE(item)->tp_name, "numpy.ndarray") == 0;
  if (!PyList_Check(item) && !PyRange_Check(item) && !PyTuple_Check(item) && !array) {
    bool known = item == Py_None || item == Py_Ellipsis || PySlice_Check(item) || PyIndex_Check(item);
    Owned found = known ? Owned() : array_of(item);
    return found ? Owned(wrap(tensor_from_buffer(found.get(), false))) : Owned::borrow(item);
  }
  if ((PyList_Check(item) || PyTuple_Check(item)) && PySequence_Size(item) == 0) return Owned(wrap(empty({0}, TD_I64)));
  return Owned(wrap(tensor_from(item, nullptr)));
}

// The walk over one index expression.
class Index {
public:
  Index(PyObject *self, PyObject *index) : current_(Owned::borrow(self)) {
    std::vector<Owned> items;
    if (PyTuple_Check(index))
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(index); ++i) items.push_back(normalised(PyTuple_GET_ITEM(index, i)));
    else
      items.push_back(normalised(index));
    int64_t ndim = int64_t(tensor_of(current_).ndim()), used = 0, ellipses = 0;
    for (const Owned &item : items) {
      used += consumed(item.get());
      ellipses += item.get() == Py_Ellipsis;
    }
    if (ellipses > 1) throw IndexFault("an index can only have a single ellipsis ('...')");
    if (used > ndim) {
      if (ndim == 0 && items.size() == 1 && PyIndex_Check(items[0].get()))
        throw IndexFault(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim tensor to a number");
      throw IndexFault(format("too many indices for tensor of dimension %lld", (long long)ndim));
    }
    for (const Owned &item : items) {
      if (item.get() == Py_Ellipsis) {
        dim_ += ndim - used;
        source_ += ndim - used;
      } else {
        step(item.get());
      }
    }
  }

  bool gathers() const { return !tensors_.empty() || !masks_.empty(); }
  PyObject *view() const { return current_.get(); }
  Owned take_view() { return std::move(current_); }

  // Where one mask is all that indexes: that mask with dimensions of size one behind it, to broadcast against the view.
  // Else null.
  Owned lone_mask() const {
    if (masks_.size() != 1 || !tensors_.empty()) return {};
    const auto &[dim, mask] = masks_[0];
    Owned result = Owned::borrow(mask.get());
    for (size_t n = tensor_of(result).ndim(), end = tensor_of(current_).ndim() - size_t(dim); n < end; ++n)
      result = apply(TAEDA_ROLE("unsqueeze"), {result.get(), int_object(int64_t(n)).get()});
    return result;
  }

  // For the gather and scatter operators: one index tensor or None per leading dimension. Masks become the indices of
  // their true elements.
  Owned index_list() {
    for (const auto &[dim, mask] : masks_) {
      Owned found = apply(TAEDA_ROLE("nonzero"), {mask.get()});
      for (size_t i = 0; i < tensor_of(mask).ndim(); ++i)
        place(dim + int64_t(i),
              apply(TAEDA_ROLE("select"), {found.get(), int_object(1).get(), int_object(int64_t(i)).get()}));
    }
    masks_.clear();
    Owned list(PyList_New(Py_ssize_t(tensors_.size())));
    for (size_t i = 0; i < tensors_.size(); ++i)
      PyList_SET_ITEM(list.get(), Py_ssize_t(i), Py_NewRef(tensors_[i] ? tensors_[i].get() : Py_None));
    return list;
  }

private:
  static int64_t consumed(PyObject *item) { // dimensions of the tensor that an item stands for
    if (item == Py_None || item == Py_Ellipsis || PyBool_Check(item)) return 0;
    if (is_tensor(item) && is_mask(*tensor_ptr(item))) return int64_t(tensor_ptr(item)->ndim());
    return 1;
  }

  void step(PyObject *item) {
    if (item == Py_None) return unsqueeze();
    if (PyBool_Check(item)) return truth(item == Py_True);
    if (PySlice_Check(item)) return slice(item);
    if (is_tensor(item)) return tensor(item);
    if (is_symbolic(item)) return select(item);
    if (PyIndex_Check(item)) return integer(item);
    throw IndexFault(format(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got %s)",
        Py_TYPE(item)->tp_name));
  }

  void select(PyObject *index) {
    current_ = apply(TAEDA_ROLE("select"), {current_.get(), int_object(dim_).get(), index});
    ++source_;
  }

  void integer(PyObject *item) {
    Owned index(PyNumber_Index(item));
    const Tensor &t = tensor_of(current_);
    int64_t size = t.sizes[size_t(dim_)];
    int overflow = 0;
    long long i = PyLong_AsLongLongAndOverflow(index.get(), &overflow);
    if (!t.traced && (overflow || i < -size || i >= size))
      throw IndexFault(format("index %s is out of bounds for dimension %lld with size %lld",
                              nb::str(nb::handle(index.get())).c_str(), (long long)source_, (long long)size));
    select(index.get());
  }

  void unsqueeze() {
    current_ = apply(TAEDA_ROLE("unsqueeze"), {current_.get(), int_object(dim_).get()});
    ++dim_;
  }

  void truth(bool value) { // a new dimension that is taken once or not at all
    unsqueeze();
    TensorRef index = empty({value ? 1 : 0}, TD_I64);
    if (value) std::memset(index->data(), 0, sizeof(int64_t));
    place(dim_ - 1, Owned(wrap(index)));
  }

  // A bound of a slice: None, a number of the capture, or an int clipped to int64 (out-of-range bounds are legal).
  static Owned bound(PyObject *o) {
    if (o == Py_None || is_symbolic(o)) return Owned::borrow(o);
    if (!PyIndex_Check(o)) throw TypeFault("slice indices must be integers or None or have an __index__ method");
    Owned i(PyNumber_Index(o));
    int overflow = 0;
    PyLong_AsLongLongAndOverflow(i.get(), &overflow);
    return overflow == 0 ? std::move(i) : int_object(overflow > 0 ? INT64_MAX : INT64_MIN + 1);
  }

  void slice(PyObject *item) {
    auto *s = reinterpret_cast<PySliceObject *>(item);
    Owned start = bound(s->start), stop = bound(s->stop), step = s->step == Py_None ? int_object(1) : bound(s->step);
    if (!is_symbolic(step.get())) {
      int64_t n = PyLong_AsLongLong(step.get());
      if (n <= 0) throw ValueFault("step must be greater than zero");
      if (start.get() == Py_None && stop.get() == Py_None && n == 1) return advance(1);
    }
    current_ =
        apply(TAEDA_ROLE("slice"), {current_.get(), int_object(dim_).get(), start.get(), stop.get(), step.get()});
    advance(1);
  }

  void tensor(PyObject *item) {
    const Tensor &t = *tensor_ptr(item);
    if (is_mask(t)) return mask(item);
    if (t.dtype != TD_I64 && t.dtype != TD_I32 && t.dtype != TD_I16 && t.dtype != TD_I8)
      throw IndexFault(
          format("tensors used as indices must be long, int, byte or bool tensors, got taeda.%s", info(t.dtype).name));
    if (t.ndim() == 0 && !t.traced && !tracing_active()) return integer(item);
    TensorRef index(tensor_ptr(item));
    place(dim_, t.dtype == TD_I64 || t.dtype == TD_I32 ? Owned::borrow(item) : Owned(wrap(cast(index, TD_I64))));
    advance(1);
  }

  void mask(PyObject *item) {
    TensorRef m(tensor_ptr(item));
    const Tensor &t = tensor_of(current_);
    if (m->dtype != TD_BOOL) m = cast(m, TD_BOOL);
    if (m->ndim() == 0) { // a truth value that is a tensor: a new dimension, masked
      unsqueeze();
      Owned flat = apply(TAEDA_ROLE("unsqueeze"), {Owned(wrap(m)).get(), int_object(0).get()});
      masks_.emplace_back(dim_ - 1, std::move(flat));
      return;
    }
    for (size_t i = 0; i < m->ndim(); ++i)
      if (m->sizes[i] != t.sizes[size_t(dim_) + i] && !m->traced && !t.traced)
        throw IndexFault(format(
            "The shape of the mask %s at index %zu does not match the shape of the indexed tensor %s at index %lld",
            shape_text(m->sizes).c_str(), i, shape_text(t.sizes).c_str(), (long long)(dim_ + int64_t(i))));
    masks_.emplace_back(dim_, Owned(wrap(m)));
    advance(int64_t(m->ndim()));
  }

  void place(int64_t dim, Owned index) {
    while (int64_t(tensors_.size()) <= dim) tensors_.push_back({});
    tensors_[size_t(dim)] = std::move(index);
  }

  void advance(int64_t n) {
    dim_ += n;
    source_ += n;
  }

  Owned current_;                // the view made so far
  int64_t dim_ = 0, source_ = 0; // the next dimension of the view, and of the tensor as it was written
  std::vector<Owned> tensors_;   // per dimension of the view; null: not indexed by a tensor
  std::vector<std::pair<int64_t, Owned>>
      masks_; // first dimension of the view, and the mask over it and those that follow
};

// What is assigned, as a tensor that broadcasts to the target.
Owned value_tensor(PyObject *value, PyObject *target_object) {
  const Tensor &target = *tensor_ptr(target_object);
  Scalar s;
  if (is_symbolic(value) || (!is_tensor(value) && scalar_from(value, &s))) {
    if (s.kind == Scalar::C && !is_complex(target.dtype))
      throw RuntimeFault(format("value cannot be converted to type %s without overflow", info(target.dtype).name));
    if (tracing_active()) // the captured program makes the number itself
      return Owned(PyObject_CallMethod(target_object, "new_full", "(()O)", value));
    return Owned(wrap(scalar_tensor(s, target.dtype)));
  }
  if (value == Py_None)
    throw TypeFault(format("can't assign a NoneType to a tensor of dtype %s", info(target.dtype).name));
  Owned result = is_tensor(value) ? Owned::borrow(value) : Owned(wrap(tensor_from(value, &target.dtype)));
  while (tensor_of(result).ndim() > target.ndim() &&
         tensor_of(result).sizes[0] == 1) // leading sizes of one may be left over
    result = apply(TAEDA_ROLE("select"), {result.get(), int_object(0).get(), int_object(0).get()});
  return result;
}

} // namespace

PyObject *get_item(PyObject *self, PyObject *index) {
  Index parsed(self, index);
  if (parsed.gathers()) return apply(TAEDA_ROLE("index"), {parsed.view(), parsed.index_list().get()}).release();
  if (parsed.view() == self) return apply(TAEDA_ROLE("alias"), {self}).release();
  return parsed.take_view().release();
}

void set_item(PyObject *self, PyObject *index, PyObject *value) {
  Index parsed(self, index);
  if (!parsed.gathers()) {
    apply(TAEDA_ROLE("copy_"), {parsed.view(), value_tensor(value, parsed.view()).get()});
    return;
  }
  Owned v = is_tensor(value) ? Owned::borrow(value) : value_tensor(value, parsed.view());
  DType wanted = tensor_ptr(parsed.view())->dtype;
  Owned mask = parsed.lone_mask();
  if (DType given = tensor_of(v).dtype; given != wanted) {
    bool one = tensor_of(v).ndim() == 0 || (!tensor_of(v).traced && tensor_of(v).numel() == 1);
    if (!mask.get() || !one)
      throw RuntimeFault(
          format("Index put requires the source and destination dtypes match, got %s for the destination "
                 "and %s for the source.",
                 info(wanted).name, info(given).name));
    v = Owned(wrap(cast(TensorRef(tensor_ptr(v.get())), wanted)));
  }
  if (tensor_of(v).ndim() == 0 && mask.get()) { // no index needs to be known, so this works in a capture too
    Owned(PyObject_CallMethod(parsed.view(), "masked_fill_", "OO", mask.get(), v.get()));
    return;
  }
  apply(TAEDA_ROLE("index_put_"), {parsed.view(), parsed.index_list().get(), v.get()});
}

} // namespace taeda
