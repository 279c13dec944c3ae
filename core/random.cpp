// Random state: generators hand out ranges of Philox counters; the arithmetic is in generated kernels.
#include <cstring>
#include <mutex>
#include <random>

#include "py_common.h"

namespace taeda {

namespace {

constexpr uint64_t kDefaultSeed = 67280421310721; // the first seed of a process, as in PyTorch
constexpr int64_t kStateBytes = 16;

class Generator {
public:
  td_rng reserve(uint64_t count) {
    std::lock_guard lock(mutex_);
    uint64_t seed = state_.seed;
    return {seed, td_rng_reserve(&state_, count)};
  }
  void set(td_rng state) {
    std::lock_guard lock(mutex_);
    state_ = state;
  }
  td_rng get() {
    std::lock_guard lock(mutex_);
    return state_;
  }

private:
  std::mutex mutex_;
  td_rng state_{kDefaultSeed, 0};
};

Generator &default_generator() {
  static Generator *g = new Generator; // never destroyed: Python objects may outlive static destruction
  return *g;
}

// Seeds in [-2**63, 2**64), negative ones remapped, as PyTorch does.
uint64_t seed_from(nb::handle o) {
  Owned index(PyNumber_Index(o.ptr()));
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(index.get(), &overflow);
  if (overflow == 0) return uint64_t(v);
  unsigned long long u = overflow > 0 ? PyLong_AsUnsignedLongLong(index.get()) : 0;
  if (overflow < 0 || PyErr_Occurred()) {
    PyErr_Clear();
    throw RuntimeFault("manual_seed(): expected a seed in [-2**63, 2**64), got " + std::string(nb::str(o).c_str()));
  }
  return u;
}

Generator &generator_from(nb::handle o) { return o.is_none() ? default_generator() : nb::cast<Generator &>(o); }

uint64_t fresh_seed() {
  std::random_device device;
  return ((uint64_t(device()) << 32) | device()) &
         0x1fffffffffffffull; // 53 bits, so that the seed survives being a double
}

TensorRef state_tensor(const td_rng &s) {
  TensorRef t = empty({kStateBytes}, TD_U8);
  std::memcpy(t->data(), &s.seed, 8);
  std::memcpy(t->data() + 8, &s.offset, 8);
  return t;
}

td_rng state_from(nb::handle o) {
  if (!is_tensor(o.ptr()))
    throw TypeFault(format("expected a taeda.ByteTensor, but got %s", Py_TYPE(o.ptr())->tp_name));
  Tensor &t = *tensor_ptr(o.ptr());
  if (t.dtype != TD_U8 || !t.contiguous()) throw TypeFault("RNG state must be a contiguous taeda.uint8 tensor");
  require_data(t, "set_state");
  if (t.numel() != kStateBytes)
    throw RuntimeFault(format("RNG state is wrong size: got %lld bytes, expected 16", (long long)t.numel()));
  td_rng s;
  std::memcpy(&s.seed, t.data(), 8);
  std::memcpy(&s.offset, t.data() + 8, 8);
  return s;
}

} // namespace

td_rng rng_state() { return default_generator().get(); }
void set_rng_state(td_rng state) { default_generator().set(state); }

td_rng rng_reserve(uint64_t count) { return default_generator().reserve(count); }

void bind_random(nb::module_ &m) {
  nb::class_<Generator>(m, "Generator", "A source of random numbers: a seed and a position in its stream.")
      .def(
          "__init__",
          [](Generator *self, nb::object device) {
            check_device(device.ptr());
            new (self) Generator();
          },
          nb::arg("device") = nb::none())
      .def(
          "manual_seed",
          [](nb::object self, nb::object seed) {
            nb::cast<Generator &>(self).set({seed_from(seed), 0});
            return self;
          },
          nb::arg("seed"), "Sets the seed and starts its stream from the beginning. Returns self.")
      .def(
          "seed",
          [](Generator &g) {
            g.set({fresh_seed(), 0});
            return g.get().seed;
          },
          "Sets a seed from the system's entropy and returns it.")
      .def(
          "initial_seed", [](Generator &g) { return g.get().seed; }, "The seed the stream started from.")
      .def(
          "get_state", [](Generator &g) { return nb::steal(wrap(state_tensor(g.get()))); },
          "The state as a uint8 tensor.")
      .def(
          "set_state",
          [](nb::object self, nb::object state) {
            nb::cast<Generator &>(self).set(state_from(state));
            return self;
          },
          nb::arg("state"), "Restores a state taken with get_state().");
  m.attr("default_generator") = nb::cast(&default_generator(), nb::rv_policy::reference);
  m.def(
      "rng_reserve",
      [](uint64_t n, nb::object generator) {
        td_rng r = generator_from(generator).reserve(n);
        return nb::make_tuple(int64_t(r.seed),
                              int64_t(r.offset)); // numbers of the core are int64: the bits are what matters
      },
      nb::arg("n"), nb::arg("generator") = nb::none(),
      "Takes n counters of a generator: (seed, first counter), both as int64 bits.");
}

} // namespace taeda
