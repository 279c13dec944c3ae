// Compiled programs: loading object code and running entry points on tensors.
#include <cstring>

#include "object_loader.h"
#include "op.h"

namespace taeda {

namespace {

void release_block(void *block) { td_free(block); }

nb::dict load(nb::bytes data) {
  nb::dict symbols;
  try {
    LoadedObject object = load_object({reinterpret_cast<const std::byte *>(data.c_str()), data.size()});
    for (const auto &[name, address] : object.symbols()) symbols[name.c_str()] = reinterpret_cast<uintptr_t>(address);
    object.keep_forever();
  } catch (const ObjectError &e) {
    throw RuntimeFault(format("load_object: %s", e.what()));
  }
  return symbols;
}

void describe(const Tensor &t, td_tensor &d) {
  d = {};
  d.data = t.data();
  d.dtype = t.dtype;
  d.ndim = int32_t(t.ndim());
  for (size_t i = 0; i < t.ndim(); ++i) {
    d.sizes[i] = t.sizes[i];
    d.strides[i] = t.strides[i] * int64_t(itemsize(t.dtype));
  }
}

TensorRef output_tensor(const td_tensor &d, const std::vector<TensorRef> &inputs,
                        const std::vector<td_tensor> &described) {
  Dims sizes(d.sizes, size_t(d.ndim)), strides;
  auto dtype = DType(d.dtype);
  for (int i = 0; i < d.ndim; ++i) strides.push_back(d.strides[i] / int64_t(itemsize(dtype)));
  if (!d.owner) { // lies in an input's memory
    for (size_t i = 0; i < inputs.size(); ++i)
      if (described[i].data == d.data && inputs[i]->dtype == dtype) {
        bump_version(*inputs[i]); // written in place
        return view_of(inputs[i], sizes, strides, inputs[i]->offset);
      }
    throw RuntimeFault("run_program: an output without memory of its own matches no input");
  }
  StorageRef storage(new Storage);
  storage->data = static_cast<char *>(d.owner);
  storage->deleter = release_block;
  storage->ctx = d.owner;
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); ++i) last += (sizes[i] - 1) * strides[i];
  int64_t offset = (d.data - static_cast<char *>(d.owner)) / int64_t(itemsize(dtype));
  storage->nbytes = numel_of(sizes) ? size_t(offset + last + 1) * itemsize(dtype) : 0;
  TensorRef t(new Tensor);
  t->sizes = sizes;
  t->strides = strides;
  t->offset = offset;
  t->dtype = dtype;
  t->storage = storage;
  return t;
}

// Runs td_program_fn at `address`. Returns (status, outputs); where the status is not TD_OK, (status, (step, message)):
// TD_ERR_GUARD means that the program does not fit these inputs, step is -1 where no step of the plan has failed.
nb::tuple run(uintptr_t address, nb::sequence inputs, nb::sequence scalars, size_t n_out) {
  std::vector<TensorRef> tensors;
  for (nb::handle h : inputs) {
    if (!is_tensor(h.ptr())) throw TypeFault(format("run_program: expected Tensor, got %s", Py_TYPE(h.ptr())->tp_name));
    tensors.emplace_back(tensor_ptr(h.ptr()));
    require_data(*tensors.back(), "run_program");
  }
  std::vector<td_tensor> in(tensors.size()), out(n_out);
  for (size_t i = 0; i < tensors.size(); ++i) describe(*tensors[i], in[i]);
  if (n_out) std::memset(out.data(), 0, n_out * sizeof(td_tensor));
  std::vector<double> numbers;
  for (nb::handle h : scalars) numbers.push_back(nb::cast<double>(h));
  td_rng rng = rng_state();
  td_ctx ctx{&rng, numbers.data(), nullptr, -1};
  td_status status = reinterpret_cast<td_program_fn>(address)(&ctx, in.data(), out.data());
  set_rng_state(rng);
  if (status != TD_OK) {
    for (td_tensor &o : out) td_free(o.owner);
    if (status == TD_ERR_HOST && PyErr_Occurred()) throw PythonError{}; // as the host function raised it
    return nb::make_tuple(int(status), nb::make_tuple(ctx.failed_step, td_last_error()));
  }
  Owned list(PyList_New(Py_ssize_t(n_out)));
  for (size_t i = 0; i < n_out; ++i)
    PyList_SET_ITEM(list.get(), Py_ssize_t(i), wrap(output_tensor(out[i], tensors, in)));
  return nb::make_tuple(0, nb::steal(list.release()));
}

} // namespace

void bind_program(nb::module_ &m) {
  m.def("load_object", &load, nb::arg("data"),
        "Loads ELF object code; returns the addresses of its global symbols. The code stays for the life of the "
        "process.");
  m.def("run_program", &run, nb::arg("address"), nb::arg("inputs"), nb::arg("scalars"), nb::arg("n_out"),
        "Runs a compiled program. Returns (status, outputs); status 7: the inputs do not pass its guards.");
}

} // namespace taeda
