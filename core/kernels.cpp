// Where generated kernels come from: the library built with the wheel, else the Python hook.
#include <dlfcn.h>

#include <cstring>

#include "op.h"

namespace taeda {

namespace {

struct Prebuilt { // as taeda/codegen/prebuild.py writes it
  const char *key;
  const void *kernel;
};
struct Library {
  const Prebuilt *entries = nullptr;
  size_t count = 0;
};

// The library lies beside the extension; a wheel carries one per level.
Library open_prebuilt() {
  Library lib;
  Dl_info here;
  if (!dladdr(reinterpret_cast<void *>(&open_prebuilt), &here) || !here.dli_fname) return lib;
  std::string level = cpu_level();
  const char *target = getenv("TAEDA_TARGET"); // tests choose a lower level than the machine's
  if (target && *target) {
    if (level < target) return lib; // not this machine's: "aarch64" < "x86-64-v2" < ...
    level = target;
  }
  if (level != "x86-64-v3" && level != "x86-64-v4") return lib;
  std::string path = here.dli_fname;
  path = path.substr(0, path.rfind('/') + 1) + "_kernels_" + level.substr(level.size() - 2) + ".so";
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return lib;
  auto *entries = static_cast<const Prebuilt *>(dlsym(handle, "td_prebuilt_kernels"));
  auto *count = static_cast<const size_t *>(dlsym(handle, "td_prebuilt_count"));
  if (entries && count) lib = {entries, *count};
  return lib;
}

const void *find_prebuilt(const char *key) {
  static const Library lib = open_prebuilt();
  size_t low = 0, high = lib.count;
  while (low < high) {
    size_t mid = (low + high) / 2;
    int c = std::strcmp(lib.entries[mid].key, key);
    if (c == 0) return lib.entries[mid].kernel;
    (c < 0 ? low : high) = c < 0 ? mid + 1 : mid;
  }
  return nullptr;
}

} // namespace

const char *cpu_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("x86-64-v4")   ? "x86-64-v4"
         : __builtin_cpu_supports("x86-64-v3") ? "x86-64-v3"
                                               : "x86-64-v2";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "generic";
#endif
}

const void *resolve_kernel(const std::string &key) {
  if (const void *found = find_prebuilt(key.c_str())) return found;
  static PyObject *&callback = hook("kernel");
  if (!callback) throw RuntimeFault(format("no kernel '%s' and no compiler hook", key.c_str()));
  Owned address(PyObject_CallFunction(callback, "s", key.c_str()));
  void *p = PyLong_AsVoidPtr(address.get());
  if (!p) {
    if (PyErr_Occurred()) throw PythonError{};
    throw RuntimeFault(format("the compiler hook gave no kernel for '%s'", key.c_str()));
  }
  return p;
}

const td_gemm_kernels *resolve_gemm(DType d) {
  static const td_gemm_kernels *table[TD_NUM_DTYPES];
  if (!table[d]) table[d] = static_cast<const td_gemm_kernels *>(resolve_kernel(std::string("gemm/") + info(d).code));
  return table[d];
}

const td_kernel *kernel_for(Op &op, const char *form, const DType *ins, size_t n_in, const DType *outs, size_t n_out,
                            const char *suffix, unsigned variant) {
  // 4 bits an operand; wide operators (fused steps) have few dtype patterns but many operands: folded
  uint64_t signature = variant + 1;
  for (size_t i = 0; i < n_in; ++i) signature = signature * 0x9E3779B97F4A7C15ull + ins[i] + 1;
  for (size_t i = 0; i < n_out; ++i) signature = signature * 0x9E3779B97F4A7C15ull + outs[i] + 17;
  if (const td_kernel *k = op.kernels.find(signature)) return k;
  std::string key = std::string(form) + "/" + (op.functional ? op.functional->name : op.name) + "/";
  for (size_t i = 0; i < n_in; ++i) key += std::string(i ? "," : "") + info(ins[i]).code;
  key += "/";
  for (size_t i = 0; i < n_out; ++i) key += std::string(i ? "," : "") + info(outs[i]).code;
  key += suffix;
  auto *k = static_cast<const td_kernel *>(resolve_kernel(key));
  op.kernels.insert(signature, k);
  return k;
}

} // namespace taeda
