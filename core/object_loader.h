// Loads generated object code: ELF64 relocatable files as LLVM emits them, for x86-64 and aarch64. Everything in a file
// is checked against its bounds before use: a damaged or foreign object is refused with an ObjectError, never a crash.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace taeda {

struct ObjectError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Code and data of one object in executable memory. Memory is writable while it is filled and executable after, never
// both.
class LoadedObject {
public:
  LoadedObject() = default;
  LoadedObject(LoadedObject &&other) noexcept { swap(other); }
  LoadedObject &operator=(LoadedObject &&other) noexcept {
    swap(other);
    return *this;
  }
  LoadedObject(const LoadedObject &) = delete;
  ~LoadedObject();

  void *address(std::string_view symbol) const; // of a global symbol; nullptr if there is none
  const std::vector<std::pair<std::string, void *>> &symbols() const { return symbols_; }
  void keep_forever() { base_ = nullptr; } // the code outlives this object

private:
  friend class ObjectReader;
  void swap(LoadedObject &other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    symbols_.swap(other.symbols_);
  }
  void *base_ = nullptr;
  size_t size_ = 0;
  std::vector<std::pair<std::string, void *>> symbols_;
};

struct External { // a symbol that objects may refer to
  std::string_view name;
  void *address;
};

// Undefined symbols are looked up in `externals`, then in the module that holds this loader, then in the whole process
// and libm.
LoadedObject load_object(std::span<const std::byte> bytes, std::span<const External> externals = {});

} // namespace taeda
