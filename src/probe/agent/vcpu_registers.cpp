#include "probe/agent/vcpu_registers.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "x86/system_instruction.h"

namespace vitrine::probe {
namespace {

constexpr std::array<std::string_view, kRegCount> kNames = {
    "rax", "rbx", "rcx",     "rdx",     "rsi",       "rdi", "rbp",    "rsp", "r8",  "r9",  "r10",
    "r11", "r12", "r13",     "r14",     "r15",       "rip", "eflags", "cs",  "ss",  "ds",  "es",
    "fs",  "gs",  "fs_base", "gs_base", "k_gs_base", "cr0", "cr2",    "cr3", "cr4", "cr8", "efer"};

// The order in which instructions number the general registers, which is QEMU's.
constexpr std::array<Reg, 16> kByEncoding = {
    Reg::rax, Reg::rcx, Reg::rdx, Reg::rbx, Reg::rsp, Reg::rbp, Reg::rsi, Reg::rdi,
    Reg::r8,  Reg::r9,  Reg::r10, Reg::r11, Reg::r12, Reg::r13, Reg::r14, Reg::r15};
constexpr std::array<std::uint8_t, 16> kEncoding = {0, 3, 1,  2,  6,  7,  5,  4,
                                                    8, 9, 10, 11, 12, 13, 14, 15};  // of Reg

constexpr std::array<Reg, 6> kSegmentOrder = {Reg::es, Reg::cs, Reg::ss, Reg::ds, Reg::fs, Reg::gs};
constexpr std::size_t kSegmentSize = 24;  // selector, padding, base, limit, flags
constexpr std::size_t kSegmentCount = 10;
constexpr std::size_t kObjectBytes = 96 * 1024;
constexpr unsigned kChecks = 32;

std::size_t index(Reg reg) { return static_cast<std::size_t>(reg); }

template <class T>
T peek(std::span<const std::byte> bytes, std::size_t at) {
  T value{};
  if (at + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

std::optional<RegisterPlaces> find_register_places(
    std::span<const std::byte> object,
    const std::array<std::optional<std::uint64_t>, kRegCount>& told) {
  const auto value = [&](Reg reg) { return told[index(reg)].value_or(0); };
  for (const auto reg : kByEncoding) {
    if (!told[index(reg)]) return std::nullopt;
  }
  // Registers that are all zero would match anywhere.
  unsigned different = 0;
  for (const auto reg : kByEncoding) different += value(reg) != 0 ? 1 : 0;
  if (different < 6 || value(Reg::cr3) == 0) return std::nullopt;

  std::optional<RegisterPlaces> found;
  for (std::size_t at = 0; at + 16 * 8 + 1024 <= object.size(); at += 8) {
    if (peek<std::uint64_t>(object, at) != value(Reg::rax) ||
        peek<std::uint64_t>(object, at + 8) != value(Reg::rcx))
      continue;
    bool same = true;
    for (std::size_t i = 0; i < 16 && same; ++i)
      same = peek<std::uint64_t>(object, at + 8 * i) == value(kByEncoding[i]);
    if (!same) continue;
    if (found) return std::nullopt;
    found = RegisterPlaces{.general = static_cast<std::uint32_t>(at)};
  }
  if (!found) return std::nullopt;

  // Behind them, within a few hundred bytes: ten segments and then the control registers.
  const std::size_t from = found->general + 18 * 8;
  for (std::size_t at = from; at < from + 256; at += 8) {
    bool same = true;
    for (std::size_t i = 0; i < kSegmentOrder.size() && same; ++i)
      same = peek<std::uint32_t>(object, at + i * kSegmentSize) == value(kSegmentOrder[i]);
    same = same && peek<std::uint64_t>(object, at + 4 * kSegmentSize + 8) == value(Reg::fs_base) &&
           peek<std::uint64_t>(object, at + 5 * kSegmentSize + 8) == value(Reg::gs_base);
    const auto control = at + kSegmentCount * kSegmentSize;
    same = same && peek<std::uint64_t>(object, control) == value(Reg::cr0) &&
           peek<std::uint64_t>(object, control + 16) == value(Reg::cr2) &&
           peek<std::uint64_t>(object, control + 24) == value(Reg::cr3) &&
           peek<std::uint64_t>(object, control + 32) == value(Reg::cr4);
    if (!same) continue;
    found->segments = static_cast<std::uint32_t>(at);
    found->control = static_cast<std::uint32_t>(control);
    for (std::size_t near = control + 40; near < control + 400; near += 8) {
      if (value(Reg::efer) != 0 && peek<std::uint64_t>(object, near) == value(Reg::efer)) {
        found->efer = static_cast<std::uint32_t>(near);
        break;
      }
    }
    return found;
  }
  return std::nullopt;
}

VcpuRegisters::VcpuRegisters(const PluginApi& api, unsigned vcpu) : api_(api), vcpu_(vcpu) {}

VcpuRegisters::~VcpuRegisters() {
  if (bytes_ != nullptr) (void)api_.bytes_free(bytes_, 1);
}

void find_register_handles(const PluginApi& api, std::span<const std::string_view> names,
                           std::span<PluginRegister*> handles) {
  auto* list = api.registers();
  if (list == nullptr) return;
  // A description has three words, or four in newer versions: the step at which the words that
  // must be names are names.
  const auto* words = reinterpret_cast<const std::uintptr_t*>(list->data);
  const auto is_name = [&](std::size_t word) {
    const auto* text = reinterpret_cast<const char*>(words[word]);
    return words[word] > 0x10000 && std::string_view(text) == "rbx";
  };
  std::size_t step = 3;
  if (list->len >= 2 && !is_name(4)) step = 4;
  for (unsigned i = 0; i < list->len; ++i) {
    const std::string_view name = reinterpret_cast<const char*>(words[i * step + 1]);
    for (std::size_t reg = 0; reg < names.size(); ++reg) {
      if (names[reg] == name) handles[reg] = reinterpret_cast<PluginRegister*>(words[i * step]);
    }
  }
  api.array_free(list, 1);
}

std::optional<std::uint64_t> read_register(const PluginApi& api, PluginRegister* handle,
                                           GlibBytes* bytes) noexcept {
  api.bytes_resize(bytes, 0);
  (void)api.read_register(handle, bytes);
  if (bytes->len != 4 && bytes->len != 8) return std::nullopt;
  std::uint64_t value = 0;
  std::memcpy(&value, bytes->data, bytes->len);
  return value;
}

void VcpuRegisters::find_handles() {
  handles_found_ = true;
  bytes_ = api_.bytes_new();
  find_register_handles(api_, kNames, handles_);
  if (api_.cpu != nullptr) object_ = static_cast<std::byte*>(api_.cpu(static_cast<int>(vcpu_)));
}

std::optional<std::uint64_t> VcpuRegisters::ask(Reg reg) noexcept {
  auto* handle = handles_[index(reg)];
  return handle != nullptr ? probe::read_register(api_, handle, bytes_) : std::nullopt;
}

void VcpuRegisters::find_places() {
  --tries_left_;
  std::array<std::optional<std::uint64_t>, kRegCount> told;
  for (std::size_t reg = 0; reg < kRegCount; ++reg) told[reg] = ask(static_cast<Reg>(reg));
  std::vector<std::byte> copy(kObjectBytes);
  // The object's size is not known: what lies behind its end may not be mapped.
  iovec into{copy.data(), copy.size()};
  std::vector<iovec> pages;
  for (std::size_t at = 0; at < copy.size();) {
    const auto address = reinterpret_cast<std::uintptr_t>(object_) + at;
    const auto part = std::min<std::size_t>(copy.size() - at, 4096 - address % 4096);
    pages.push_back({object_ + at, part});
    at += part;
  }
  const auto got = ::process_vm_readv(::getpid(), &into, 1, pages.data(), pages.size(), 0);
  if (got <= 0) return;
  const auto places =
      find_register_places(std::span(copy.data(), static_cast<std::size_t>(got)), told);
  if (!places) return;
  places_ = *places;
  base_ = object_;
  checks_left_ = kChecks;
}

void VcpuRegisters::check_places() {
  --checks_left_;
  bool same = true;
  for (std::size_t i = 0; i < 16; ++i) {
    const auto told = ask(kByEncoding[i]);
    same = same && told && *told == at<std::uint64_t>(places_.general + 8 * i);
  }
  const auto cr3 = ask(Reg::cr3);
  const auto gs = ask(Reg::gs_base);
  same = same && cr3 && gs && *cr3 == at<std::uint64_t>(places_.control + 24) &&
         *gs == at<std::uint64_t>(places_.segments + 5 * kSegmentSize + 8);
  if (same) return;
  base_ = nullptr;  // never again: the interface's own way serves
  tries_left_ = 0;
}

void VcpuRegisters::begin_anew() {
  base_ = nullptr;
  tries_left_ = kTries;
  checks_left_ = 0;
  settled_ = false;
  if (handles_found_ && api_.cpu != nullptr)
    object_ = static_cast<std::byte*>(api_.cpu(static_cast<int>(vcpu_)));
}

void VcpuRegisters::settle_now() {
  if (!handles_found_) find_handles();
  if (base_ == nullptr) {
    if (object_ != nullptr && tries_left_ != 0) find_places();
  } else if (checks_left_ != 0) {
    check_places();
  }
  settled_ = base_ != nullptr ? checks_left_ == 0 : object_ == nullptr || tries_left_ == 0;
}

template <class T>
T VcpuRegisters::at(std::size_t offset) const noexcept {
  T value;
  std::memcpy(&value, base_ + offset, sizeof value);
  return value;
}

std::optional<std::uint64_t> VcpuRegisters::get(Reg reg) noexcept {
  if (base_ == nullptr) return ask(reg);
  switch (reg) {
    case Reg::cs:
    case Reg::ss:
    case Reg::ds:
    case Reg::es:
    case Reg::fs:
    case Reg::gs:
      for (std::size_t i = 0; i < kSegmentOrder.size(); ++i) {
        if (kSegmentOrder[i] == reg) return at<std::uint32_t>(places_.segments + i * kSegmentSize);
      }
      return std::nullopt;
    case Reg::fs_base:
      return at<std::uint64_t>(places_.segments + 4 * kSegmentSize + 8);
    case Reg::gs_base:
      return at<std::uint64_t>(places_.segments + 5 * kSegmentSize + 8);
    case Reg::cr0:
      return at<std::uint64_t>(places_.control);
    case Reg::cr2:
      return at<std::uint64_t>(places_.control + 16);
    case Reg::cr3:
      return at<std::uint64_t>(places_.control + 24);
    case Reg::cr4:
      return at<std::uint64_t>(places_.control + 32);
    case Reg::efer:
      return places_.efer != 0 ? std::optional(at<std::uint64_t>(places_.efer)) : ask(reg);
    case Reg::rip:
      return at<std::uint64_t>(places_.general + 16 * 8);
    case Reg::rflags:
    case Reg::kernel_gs_base:
    case Reg::cr8:
    case Reg::count_:
      return ask(reg);
    default:
      return at<std::uint64_t>(places_.general + 8U * kEncoding[index(reg)]);
  }
}

std::uint64_t VcpuRegisters::general(unsigned encoding) noexcept {
  if (base_ != nullptr) return at<std::uint64_t>(places_.general + 8U * (encoding & 15U));
  return ask(kByEncoding[encoding & 15U]).value_or(0);
}

std::optional<x86::Segment> VcpuRegisters::segment(unsigned which) noexcept {
  if (base_ == nullptr || which >= 8) return std::nullopt;
  const auto place = places_.segments + which * kSegmentSize;
  x86::Segment segment;
  segment.selector = static_cast<std::uint16_t>(at<std::uint32_t>(place));
  segment.base = at<std::uint64_t>(place + 8);
  segment.limit = at<std::uint32_t>(place + 16);
  segment.attributes = static_cast<std::uint16_t>(at<std::uint32_t>(place + 20) >> 8);
  return segment;
}

std::optional<x86::DescriptorTable> VcpuRegisters::table(bool interrupts) noexcept {
  if (base_ == nullptr) return std::nullopt;
  const auto place = places_.segments + (interrupts ? 9U : 8U) * kSegmentSize;
  return x86::DescriptorTable{Gva{at<std::uint64_t>(place + 8)}, at<std::uint32_t>(place + 16)};
}

x86::Registers VcpuRegisters::all() noexcept {
  x86::Registers all;
  for (std::uint8_t i = 0; i < 16; ++i) all.gpr[x86::gpr_of_encoding(i)] = general(i);
  const auto value = [&](Reg reg) { return get(reg).value_or(0); };
  all.rip = value(Reg::rip);
  all.rflags = value(Reg::rflags);
  all.cr0 = value(Reg::cr0);
  all.cr2 = value(Reg::cr2);
  all.cr3 = value(Reg::cr3);
  all.cr4 = value(Reg::cr4);
  all.efer = value(Reg::efer);
  const std::array<x86::Segment*, 8> segments = {&all.es, &all.cs, &all.ss,  &all.ds,
                                                 &all.fs, &all.gs, &all.ldt, &all.tr};
  if (base_ != nullptr) {
    for (unsigned i = 0; i < segments.size(); ++i)
      *segments[i] = segment(i).value_or(x86::Segment{});
    all.gdtr = table(false).value_or(x86::DescriptorTable{});
    all.idtr = table(true).value_or(x86::DescriptorTable{});
  } else {
    for (unsigned i = 0; i < 6; ++i)
      segments[i]->selector = static_cast<std::uint16_t>(value(kSegmentOrder[i]));
    all.fs.base = value(Reg::fs_base);
    all.gs.base = value(Reg::gs_base);
  }
  return all;
}

bool VcpuRegisters::write(Reg reg, std::uint64_t value) noexcept {
  // Of the general registers alone: what QEMU derives from the others would not follow.
  if (index(reg) >= index(Reg::rip)) return false;
  if (api_.write_register != nullptr && handles_[index(reg)] != nullptr) {
    api_.bytes_resize(bytes_, sizeof value);
    if (bytes_->len != sizeof value) return false;
    std::memcpy(bytes_->data, &value, sizeof value);
    (void)api_.write_register(handles_[index(reg)], bytes_);
    return true;
  }
  if (base_ == nullptr) return false;
  std::memcpy(object_ + places_.general + 8U * kEncoding[index(reg)], &value, sizeof value);
  return true;
}

}  // namespace vitrine::probe
