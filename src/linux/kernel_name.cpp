#include "linux/kernel_name.h"

#include <algorithm>
#include <memory>
#include <string_view>

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kChunk = 4 * kMiB;
constexpr std::size_t kText = 65;  // __NEW_UTS_LEN + 1
constexpr std::size_t kRelease = 2 * kText;
constexpr std::size_t kMachine = 4 * kText;
constexpr std::size_t kSize = 6 * kText;
constexpr std::string_view kSystem{"Linux\0\0\0", 8};  // and zeros up to the node's name

/// The text at the start of `field`: printable, ended by a NUL and by nothing but NULs.
std::optional<std::string_view> text_of(std::string_view field) {
  const auto end = field.find('\0');
  if (end == 0 || end == std::string_view::npos) return std::nullopt;
  if (field.find_first_not_of('\0', end) != std::string_view::npos) return std::nullopt;
  const auto text = field.substr(0, end);
  const bool printable = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
  return printable ? std::optional(text) : std::nullopt;
}

bool is_x86(std::string_view machine) {
  return machine == "x86_64" ||
         (machine.size() == 4 && machine[0] == 'i' && machine.ends_with("86"));
}

std::optional<KernelName> name_at(std::string_view bytes) {
  if (bytes.size() < kSize || text_of(bytes.substr(0, kText)) != "Linux") return std::nullopt;
  const auto release = text_of(bytes.substr(kRelease, kText));
  const auto machine = text_of(bytes.substr(kMachine, kText));
  if (!release || !machine || !is_x86(*machine)) return std::nullopt;
  if (!(release->front() >= '0' && release->front() <= '9')) return std::nullopt;
  return KernelName{std::string(*release), std::string(*machine)};
}

std::optional<KernelName> name_in(std::string_view bytes) {
  for (auto at = bytes.find(kSystem); at != std::string_view::npos;
       at = bytes.find(kSystem, at + 1)) {
    if (auto name = name_at(bytes.substr(at))) return name;
  }
  return std::nullopt;
}

}  // namespace

std::optional<KernelName> find_kernel_name(const PhysicalMemory& ram) {
  const auto copy = std::make_unique_for_overwrite<char[]>(kChunk);
  for (const auto& range : ram.ram()) {
    Gpa from = range.start;
    while (from < range.end()) {
      const auto next = ram.next_populated(from);
      if (!next || next->size == 0 || next->start >= range.end()) break;
      const std::uint64_t size = std::min({range.end() - next->start, next->size, kChunk});
      const std::span<char> into(copy.get(), size);
      if (ram.read(next->start, std::as_writable_bytes(into))) {
        if (auto name = name_in({copy.get(), size})) return name;
      }
      // One that straddles two pieces is whole in the second.
      from = next->start + (size > kSize && size == kChunk ? size - kSize : size);
    }
  }
  return std::nullopt;
}

}  // namespace vitrine::linux
