// ELF64 relocatable objects into memory: layout, symbols, relocations, GOT and call stubs.
#include "object_loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace taeda {
namespace {

static_assert(std::endian::native == std::endian::little, "generated objects are little-endian");

constexpr uint64_t kMaxBytes = uint64_t(1) << 30; // of one object in memory
constexpr size_t kStubBytes = 16;
#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kMachine = EM_AARCH64;
#else
constexpr uint16_t kMachine = EM_NONE;
#endif

[[noreturn]] void fail(const std::string &why) { throw ObjectError("object code: " + why); }

// Objects are loaded into pages of one protection each.
enum Region { Code, Constants, Data, RegionCount };

uint64_t align_up(uint64_t value, uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

void *find_in_process(const char *name) {
  static void *const own = [] {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void *>(&load_object), &info) || !info.dli_fname) return static_cast<void *>(nullptr);
    return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  }();
  if (own)
    if (void *found = dlsym(own, name)) return found;
  if (void *found = dlsym(RTLD_DEFAULT, name)) return found;
  static void *const libm = dlopen("libm.so.6", RTLD_LAZY);
  return libm ? dlsym(libm, name) : nullptr;
}

} // namespace

class ObjectReader {
public:
  ObjectReader(std::span<const std::byte> bytes, std::span<const External> externals)
      : bytes_(bytes), externals_(externals) {}

  LoadedObject load() {
    read_header();
    read_sections();
    read_symbols();
    find_needs();
    place();
    map();
    fill();
    for (const Elf64_Shdr &s : sections_)
      if (s.sh_type == SHT_RELA && loaded(s.sh_info)) relocate(s);
    protect();
    publish();
    return std::move(result_);
  }

private:
  struct Symbol {
    std::string_view name;
    uint32_t section = SHN_UNDEF;
    uint64_t value = 0;
    uint8_t binding = STB_LOCAL, type = STT_NOTYPE;
    int got = -1, stub = -1;
    uint64_t address = 0; // once placed
  };

  // A `T` at `offset`, which must lie in the file.
  template <class T> T at(uint64_t offset) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) fail("truncated");
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  std::string_view text(const Elf64_Shdr &table, uint64_t offset) const {
    if (table.sh_type != SHT_STRTAB) fail("a string table has the wrong type");
    if (offset >= table.sh_size) fail("a name lies outside its string table");
    const char *start = reinterpret_cast<const char *>(bytes_.data()) + table.sh_offset + offset;
    const void *end = std::memchr(start, 0, table.sh_size - offset);
    if (!end) fail("a name has no end");
    return {start, size_t(static_cast<const char *>(end) - start)};
  }

  void read_header() {
    header_ = at<Elf64_Ehdr>(0);
    if (std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0) fail("not an ELF file");
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB || header_.e_type != ET_REL)
      fail("not a 64-bit little-endian relocatable file");
    if (header_.e_machine != kMachine) fail("made for another machine");
    if (header_.e_shentsize != sizeof(Elf64_Shdr)) fail("section headers of an unknown size");
  }

  void read_sections() {
    if (header_.e_shoff > bytes_.size() || (bytes_.size() - header_.e_shoff) / sizeof(Elf64_Shdr) < header_.e_shnum)
      fail("section headers lie outside the file");
    uint64_t total = 0;
    for (unsigned i = 0; i < header_.e_shnum; ++i) {
      auto s = at<Elf64_Shdr>(header_.e_shoff + i * sizeof(Elf64_Shdr));
      bool in_file = s.sh_type != SHT_NOBITS && s.sh_type != SHT_NULL;
      if (in_file && (s.sh_offset > bytes_.size() || bytes_.size() - s.sh_offset < s.sh_size))
        fail("a section lies outside the file");
      if (s.sh_flags & SHF_ALLOC) {
        if (s.sh_flags & SHF_TLS) fail("thread-local data is not supported");
        if ((s.sh_flags & SHF_EXECINSTR) && (s.sh_flags & SHF_WRITE)) fail("a section is writable and executable");
        if (s.sh_type == SHT_NOBITS && s.sh_size > kMaxBytes) fail("too large");
        if (s.sh_addralign > 4096 || (s.sh_addralign & (s.sh_addralign - 1)))
          fail("a section has an invalid alignment");
        if ((total += align_up(s.sh_size, 4096)) > kMaxBytes) fail("too large");
      }
      sections_.push_back(s);
    }
  }

  // Unwind tables are not loaded: generated functions neither throw nor are unwound through.
  bool loaded(uint32_t section) const {
    if (section >= sections_.size()) return false;
    const Elf64_Shdr &s = sections_[section];
    return (s.sh_flags & SHF_ALLOC) && (s.sh_type == SHT_PROGBITS || s.sh_type == SHT_NOBITS) && !is_unwind(s);
  }

  bool is_unwind(const Elf64_Shdr &s) const {
    if (header_.e_shstrndx >= sections_.size()) fail("no section names");
    return text(sections_[header_.e_shstrndx], s.sh_name) == ".eh_frame";
  }

  void read_symbols() {
    for (const Elf64_Shdr &s : sections_) {
      if (s.sh_type != SHT_SYMTAB) continue;
      if (!symbols_.empty()) fail("several symbol tables");
      if (s.sh_entsize != sizeof(Elf64_Sym) || s.sh_link >= sections_.size()) fail("a damaged symbol table");
      const Elf64_Shdr &names = sections_[s.sh_link];
      for (uint64_t i = 0; i < s.sh_size / sizeof(Elf64_Sym); ++i) {
        auto raw = at<Elf64_Sym>(s.sh_offset + i * sizeof(Elf64_Sym));
        Symbol symbol;
        symbol.name = text(names, raw.st_name);
        symbol.section = raw.st_shndx;
        symbol.value = raw.st_value;
        symbol.binding = ELF64_ST_BIND(raw.st_info);
        symbol.type = ELF64_ST_TYPE(raw.st_info);
        bool special = symbol.section >= SHN_LORESERVE;
        if (special && symbol.section != SHN_ABS) fail("a symbol of an unsupported kind");
        if (!special && symbol.section >= sections_.size()) fail("a symbol in a section that does not exist");
        if (!special && symbol.section != SHN_UNDEF && symbol.value > sections_[symbol.section].sh_size)
          fail("a symbol outside its section");
        symbols_.push_back(symbol);
      }
    }
  }

  Elf64_Rela relocation(const Elf64_Shdr &table, uint64_t i) const {
    auto r = at<Elf64_Rela>(table.sh_offset + i * sizeof(Elf64_Rela));
    if (ELF64_R_SYM(r.r_info) >= symbols_.size()) fail("a relocation names a symbol that does not exist");
    return r;
  }

  static bool uses_got(uint32_t type) {
    if (kMachine == EM_X86_64)
      return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX;
    return type == R_AARCH64_ADR_GOT_PAGE || type == R_AARCH64_LD64_GOT_LO12_NC;
  }

  static bool is_call(uint32_t type) {
    if (kMachine == EM_X86_64) return type == R_X86_64_PLT32;
    return type == R_AARCH64_CALL26 || type == R_AARCH64_JUMP26;
  }

  // Which symbols need an entry in the offset table, and which a stub that can reach any address.
  void find_needs() {
    for (const Elf64_Shdr &s : sections_) {
      if (s.sh_type == SHT_REL && loaded(s.sh_info)) fail("relocations without addends are not supported");
      if (s.sh_type != SHT_RELA || !loaded(s.sh_info)) continue;
      if (s.sh_entsize != sizeof(Elf64_Rela)) fail("relocations of an unknown size");
      for (uint64_t i = 0; i < s.sh_size / sizeof(Elf64_Rela); ++i) {
        auto r = relocation(s, i);
        Symbol &symbol = symbols_[ELF64_R_SYM(r.r_info)];
        uint32_t type = ELF64_R_TYPE(r.r_info);
        if (uses_got(type) && symbol.got < 0) symbol.got = got_count_++;
        if (is_call(type) && symbol.section == SHN_UNDEF && symbol.stub < 0) symbol.stub = stub_count_++;
      }
    }
  }

  void place() {
    offsets_.assign(sections_.size(), 0);
    uint64_t page = uint64_t(sysconf(_SC_PAGESIZE)), end = 0;
    for (int region = 0; region < RegionCount; ++region) {
      region_start_[region] = end;
      for (uint32_t i = 0; i < sections_.size(); ++i) {
        const Elf64_Shdr &s = sections_[i];
        if (!loaded(i) || region_of(s) != region) continue;
        end = align_up(end, std::max<uint64_t>(s.sh_addralign, 1));
        offsets_[i] = end;
        end += s.sh_size;
      }
      if (region == Code) {
        stubs_ = end = align_up(end, kStubBytes);
        end += uint64_t(stub_count_) * kStubBytes;
      } else if (region == Constants) {
        got_ = end = align_up(end, 8);
        end += uint64_t(got_count_) * 8;
      }
      end = align_up(end, page);
      region_size_[region] = end - region_start_[region];
    }
    if (end > kMaxBytes) fail("too large");
    size_ = end;
  }

  static Region region_of(const Elf64_Shdr &s) {
    return s.sh_flags & SHF_EXECINSTR ? Code : s.sh_flags & SHF_WRITE ? Data : Constants;
  }

  void map() {
    if (size_ == 0) fail("holds no code");
    void *base = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) fail("no memory to load it");
    result_.base_ = base;
    result_.size_ = size_;
    base_ = static_cast<uint8_t *>(base);
  }

  uint64_t base_address() const { return reinterpret_cast<uint64_t>(base_); }

  uint64_t external(const Symbol &symbol) {
    for (const External &e : externals_)
      if (e.name == symbol.name) return reinterpret_cast<uint64_t>(e.address);
    std::string name(symbol.name);
    if (void *found = find_in_process(name.c_str())) return reinterpret_cast<uint64_t>(found);
    if (symbol.binding == STB_WEAK) return 0;
    fail("undefined symbol '" + name + "'");
  }

  void fill() {
    for (uint32_t i = 0; i < sections_.size(); ++i)
      if (loaded(i) && sections_[i].sh_type == SHT_PROGBITS && sections_[i].sh_size)
        std::memcpy(base_ + offsets_[i], bytes_.data() + sections_[i].sh_offset, sections_[i].sh_size);
    for (size_t i = 1; i < symbols_.size(); ++i) {
      Symbol &s = symbols_[i];
      if (s.section == SHN_ABS)
        s.address = s.value;
      else if (s.section != SHN_UNDEF)
        s.address = loaded(s.section) ? base_address() + offsets_[s.section] + s.value : 0;
      else if (!s.name.empty())
        s.address = external(s);
      if (s.got >= 0) std::memcpy(base_ + got_ + uint64_t(s.got) * 8, &s.address, 8);
      if (s.stub >= 0) write_stub(base_ + stubs_ + uint64_t(s.stub) * kStubBytes, s.address);
    }
  }

  static void write_stub(uint8_t *at, uint64_t target) {
    if (kMachine == EM_X86_64) {
      const uint8_t jump[] = {0xff, 0x25, 2, 0, 0, 0, 0xcc, 0xcc}; // jmp *[rip + 2]: over the two padding bytes
      std::memcpy(at, jump, 8);
    } else {
      const uint32_t jump[] = {0x58000050, 0xd61f0200}; // ldr x16, #8; br x16
      std::memcpy(at, jump, 8);
    }
    std::memcpy(at + 8, &target, 8);
  }

  void relocate(const Elf64_Shdr &table) {
    const Elf64_Shdr &section = sections_[table.sh_info];
    for (uint64_t i = 0; i < table.sh_size / sizeof(Elf64_Rela); ++i) {
      auto r = relocation(table, i);
      uint32_t type = ELF64_R_TYPE(r.r_info);
      uint64_t width = type == R_X86_64_64 && kMachine == EM_X86_64          ? 8
                       : type == R_AARCH64_ABS64 || type == R_AARCH64_PREL64 ? 8
                                                                             : 4;
      if (section.sh_type == SHT_NOBITS || r.r_offset > section.sh_size || section.sh_size - r.r_offset < width)
        fail("a relocation lies outside its section");
      const Symbol &symbol = symbols_[ELF64_R_SYM(r.r_info)];
      if (symbol.section != SHN_UNDEF && symbol.section != SHN_ABS && !loaded(symbol.section))
        fail("a relocation against a section that is not loaded");
      uint8_t *place = base_ + offsets_[table.sh_info] + r.r_offset;
      if (kMachine == EM_X86_64)
        relocate_x86(type, place, symbol, r.r_addend);
      else
        relocate_aarch64(type, place, symbol, r.r_addend);
    }
  }

  template <class T> static void put(uint8_t *place, uint64_t value) {
    T narrow = static_cast<T>(value);
    std::memcpy(place, &narrow, sizeof(T));
  }

  static void put_signed32(uint8_t *place, int64_t value) {
    if (value != int32_t(value)) fail("a relocation is out of range");
    put<int32_t>(place, uint64_t(value));
  }

  uint64_t got_entry(const Symbol &s) const { return base_address() + got_ + uint64_t(s.got) * 8; }
  uint64_t call_target(const Symbol &s) const {
    return s.stub >= 0 ? base_address() + stubs_ + uint64_t(s.stub) * kStubBytes : s.address;
  }

  void relocate_x86(uint32_t type, uint8_t *place, const Symbol &symbol, int64_t addend) {
    uint64_t here = reinterpret_cast<uint64_t>(place), target = symbol.address + uint64_t(addend);
    switch (type) {
    case R_X86_64_NONE:
      return;
    case R_X86_64_64:
      return put<uint64_t>(place, target);
    case R_X86_64_PC32:
      return put_signed32(place, int64_t(target - here));
    case R_X86_64_PLT32:
      return put_signed32(place, int64_t(call_target(symbol) + uint64_t(addend) - here));
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
      return put_signed32(place, int64_t(got_entry(symbol) + uint64_t(addend) - here));
    case R_X86_64_32S:
      return put_signed32(place, int64_t(target));
    case R_X86_64_32:
      if (target != uint32_t(target)) fail("a relocation is out of range");
      return put<uint32_t>(place, target);
    default:
      fail("unsupported relocation " + std::to_string(type));
    }
  }

  // Sets the immediate bits of the instruction at `place`.
  static void patch(uint8_t *place, uint32_t mask, uint64_t bits) {
    uint32_t instruction;
    std::memcpy(&instruction, place, 4);
    put<uint32_t>(place, (instruction & ~mask) | (uint32_t(bits) & mask));
  }

  static void patch_page(uint8_t *place, uint64_t target) {
    int64_t pages = int64_t((target & ~uint64_t(4095)) - (reinterpret_cast<uint64_t>(place) & ~uint64_t(4095))) >> 12;
    if (pages < -(1 << 20) || pages >= (1 << 20)) fail("a relocation is out of range");
    uint64_t p = uint64_t(pages);
    patch(place, 0x60ffffe0, (p & 3) << 29 | ((p >> 2) & 0x7ffff) << 5);
  }

  static void patch_low12(uint8_t *place, uint64_t target, unsigned scale) {
    uint64_t low = target & 4095;
    if (low & ((1u << scale) - 1)) fail("a relocation is misaligned");
    patch(place, 0x003ffc00, (low >> scale) << 10);
  }

  void relocate_aarch64(uint32_t type, uint8_t *place, const Symbol &symbol, int64_t addend) {
    uint64_t here = reinterpret_cast<uint64_t>(place), target = symbol.address + uint64_t(addend);
    switch (type) {
    case R_AARCH64_NONE:
      return;
    case R_AARCH64_ABS64:
      return put<uint64_t>(place, target);
    case R_AARCH64_PREL64:
      return put<uint64_t>(place, target - here);
    case R_AARCH64_PREL32:
      return put_signed32(place, int64_t(target - here));
    case R_AARCH64_ADR_PREL_PG_HI21:
      return patch_page(place, target);
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC:
      return patch_low12(place, target, 0);
    case R_AARCH64_LDST16_ABS_LO12_NC:
      return patch_low12(place, target, 1);
    case R_AARCH64_LDST32_ABS_LO12_NC:
      return patch_low12(place, target, 2);
    case R_AARCH64_LDST64_ABS_LO12_NC:
      return patch_low12(place, target, 3);
    case R_AARCH64_LDST128_ABS_LO12_NC:
      return patch_low12(place, target, 4);
    case R_AARCH64_ADR_GOT_PAGE:
      return patch_page(place, got_entry(symbol) + uint64_t(addend));
    case R_AARCH64_LD64_GOT_LO12_NC:
      return patch_low12(place, got_entry(symbol) + uint64_t(addend), 3);
    case R_AARCH64_CALL26:
    case R_AARCH64_JUMP26: {
      int64_t distance = int64_t(call_target(symbol) + uint64_t(addend) - here);
      if ((distance & 3) || distance < -(int64_t(1) << 27) || distance >= (int64_t(1) << 27))
        fail("a relocation is out of range");
      return patch(place, 0x03ffffff, uint64_t(distance) >> 2);
    }
    default:
      fail("unsupported relocation " + std::to_string(type));
    }
  }

  void protect() {
    const int rights[RegionCount] = {PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE};
    for (int region = 0; region < RegionCount; ++region)
      if (region_size_[region] && mprotect(base_ + region_start_[region], region_size_[region], rights[region]) != 0)
        fail(std::string("the system does not let generated code be made executable: ") + std::strerror(errno));
    char *code = reinterpret_cast<char *>(base_ + region_start_[Code]);
    __builtin___clear_cache(code, code + region_size_[Code]);
  }

  void publish() {
    for (const Symbol &s : symbols_)
      if (s.binding == STB_GLOBAL && s.section != SHN_UNDEF && s.section != SHN_ABS && loaded(s.section))
        result_.symbols_.emplace_back(std::string(s.name), reinterpret_cast<void *>(s.address));
  }

  std::span<const std::byte> bytes_;
  std::span<const External> externals_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Shdr> sections_;
  std::vector<Symbol> symbols_;
  std::vector<uint64_t> offsets_; // of each loaded section from base_
  uint64_t region_start_[RegionCount] = {}, region_size_[RegionCount] = {};
  uint64_t got_ = 0, stubs_ = 0, size_ = 0;
  int got_count_ = 0, stub_count_ = 0;
  uint8_t *base_ = nullptr;
  LoadedObject result_;
};

LoadedObject::~LoadedObject() {
  if (base_) munmap(base_, size_);
}

void *LoadedObject::address(std::string_view symbol) const {
  for (const auto &[name, address] : symbols_)
    if (name == symbol) return address;
  return nullptr;
}

LoadedObject load_object(std::span<const std::byte> bytes, std::span<const External> externals) {
  return ObjectReader(bytes, externals).load();
}

} // namespace taeda
