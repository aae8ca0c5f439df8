#include "machine/gdb_registers.h"

#include <algorithm>
#include <charconv>

namespace vitrine {
namespace {

/// The value of key="..." within one tag.
std::string_view attribute(std::string_view tag, std::string_view key) {
  for (auto at = tag.find(key); at != std::string_view::npos; at = tag.find(key, at + 1)) {
    if (at == 0 || (tag[at - 1] != ' ' && tag[at - 1] != '\n' && tag[at - 1] != '\t')) continue;
    auto rest = tag.substr(at + key.size());
    if (!rest.starts_with("=\"")) continue;
    rest.remove_prefix(2);
    return rest.substr(0, rest.find('"'));
  }
  return {};
}

/// Each tag that begins with "<NAME " in the text.
template <class F>
bool each_tag(std::string_view text, std::string_view name, F&& visit) {
  for (auto at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    const auto end = text.find('>', at);
    if (end == std::string_view::npos) return true;
    if (!visit(text.substr(at, end - at))) return false;
  }
  return true;
}

/// Without comments: QEMU's descriptions have registers in some that it does not send.
std::string without_comments(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto start = text.find("<!--");
    out += text.substr(0, start);
    if (start == std::string_view::npos) break;
    const auto end = text.find("-->", start + 4);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 3);
  }
  return out;
}

std::string_view gdb_name(std::string_view name) {
  if (name == "rflags") return "eflags";
  if (name == "kernel_gs_base") return "k_gs_base";
  return name;
}

}  // namespace

std::vector<std::string> GdbRegisters::includes(std::string_view target) {
  std::vector<std::string> files;
  (void)each_tag(target, "<xi:include ", [&](std::string_view tag) {
    if (const auto file = attribute(tag, "href"); !file.empty() && file.size() < 100)
      files.emplace_back(file);
    return files.size() < 64;
  });
  return files;
}

Result<GdbRegisters> GdbRegisters::parse(const std::vector<std::string>& features) {
  GdbRegisters out;
  unsigned number = 0;
  Result<void> good;
  for (const auto& raw : features) {
    const auto feature = without_comments(raw);
    (void)each_tag(feature, "<reg ", [&](std::string_view tag) {
      const auto name = attribute(tag, "name"), bits = attribute(tag, "bitsize"),
                 told = attribute(tag, "regnum");
      std::uint32_t size = 0;
      (void)std::from_chars(bits.data(), bits.data() + bits.size(), size);
      if (!told.empty()) (void)std::from_chars(told.data(), told.data() + told.size(), number);
      if (name.empty() || size == 0 || size % 8 != 0 || size > 4096 || number > 65535)
        good = fail(Errc::malformed, number, "gdb register");
      else if (out.all_.size() >= 4096)
        good = fail(Errc::too_large, number, "gdb registers");
      if (!good) return false;
      out.all_.push_back(
          {std::string(name), {number, static_cast<std::uint32_t>(out.size_), size / 8}});
      out.size_ += size / 8;
      ++number;
      return true;
    });
    if (!good) return std::unexpected(good.error());
  }
  if (!out.find("rip")) return fail(Errc::malformed, 0, "gdb register rip");
  return out;
}

std::optional<GdbRegisters::Place> GdbRegisters::find(std::string_view name) const {
  name = gdb_name(name);
  for (const auto& one : all_) {
    if (one.name == name) return one.place;
  }
  return std::nullopt;
}

std::uint64_t GdbRegisters::value(Bytes packet, std::string_view name) const {
  const auto place = find(name);
  if (!place) return 0;
  const auto bytes = slice(packet, place->offset, std::min(place->size, 8U));
  if (!bytes) return 0;
  std::uint64_t out = 0;
  std::memcpy(&out, bytes->data(), bytes->size());
  return out;
}

Result<x86::Registers> GdbRegisters::decode(Bytes packet) const {
  const auto rip = find("rip");
  if (!rip || !slice(packet, rip->offset, rip->size))
    return fail(Errc::out_of_bounds, packet.size(), "gdb registers");
  x86::Registers out;
  constexpr std::string_view kGeneral[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  for (std::size_t i = 0; i < x86::kGprCount; ++i) out.gpr[i] = value(packet, kGeneral[i]);
  out.rip = value(packet, "rip");
  out.rflags = value(packet, "eflags");
  const auto selector = [&](std::string_view name) {
    return static_cast<std::uint16_t>(value(packet, name));
  };
  out.cs.selector = selector("cs");
  out.ss.selector = selector("ss");
  out.ds.selector = selector("ds");
  out.es.selector = selector("es");
  out.fs.selector = selector("fs");
  out.gs.selector = selector("gs");
  out.fs.base = value(packet, "fs_base");
  out.gs.base = value(packet, "gs_base");
  out.cr0 = value(packet, "cr0");
  out.cr2 = value(packet, "cr2");
  out.cr3 = value(packet, "cr3");
  out.cr4 = value(packet, "cr4");
  out.efer = value(packet, "efer");
  return out;
}

}  // namespace vitrine
