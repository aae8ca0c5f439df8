#include "linux/unlisted_symbols.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "linux/field.h"
#include "linux/type_catalogue.h"
#include "memory/stretch.h"
#include "x86/address_space.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMaxImage = 96 * kMiB;  // from _text to the end of .data
constexpr std::size_t kMaxBanner = 512;
constexpr std::uint32_t kBtfStart = 0x0001'eb9f;  // magic, version 1, no flags
constexpr std::uint64_t kSmallestBtf = 64 * kKiB;
constexpr std::string_view kBannerStart = "Linux version ";
constexpr std::size_t kMaxNames = 4096;  // places where the first task's name is followed up

/// The kernel's image as it lies in RAM, copied: text, .rodata and .data follow each other.
class Image {
 public:
  Image(const PhysicalMemory& ram, const KernelPlace& place) : place_(place) {
    const auto all = stretch_at(ram, place.text_physical);
    if (!all) return;
    const auto size = std::min(kMaxImage, all->end() - place.text_physical);
    copy_ = std::make_unique_for_overwrite<std::byte[]>(size);
    if (ram.read(place.text_physical, {copy_.get(), size})) bytes_ = {copy_.get(), size};
  }
  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  [[nodiscard]] std::uint64_t address(std::uint64_t offset) const {
    return place_.text.value + offset;
  }
  [[nodiscard]] bool holds(Gva address) const { return address - place_.text < bytes_.size(); }

 private:
  KernelPlace place_;
  std::unique_ptr<std::byte[]> copy_;
  Bytes bytes_;
};

/// "Linux version 6.1.0 (builder) ... #1 SMP ...\n": its format begins alike, and the log holds it
/// again. From 6.1 on a placeholder, whose build has no number, stands before it (commit
/// 2df8220cc511).
std::optional<std::uint64_t> find_banner(const Image& image) {
  const auto text = image.text();
  std::optional<std::uint64_t> unnumbered;
  for (auto at = text.find(kBannerStart); at != std::string_view::npos;
       at = text.find(kBannerStart, at + 1)) {
    const auto rest = text.substr(at + kBannerStart.size(), kMaxBanner);
    const auto end = rest.find('\0');
    if (end == std::string_view::npos || end < 2 || rest[end - 1] != '\n') continue;
    const auto digit = [&](std::size_t i) { return rest[i] >= '0' && rest[i] <= '9'; };
    if (!digit(0)) continue;
    const auto build = rest.substr(0, end).rfind(" #");
    if (build != std::string_view::npos && digit(build + 2)) return at;
    if (!unnumbered) unnumbered = at;
  }
  return unnumbered;
}

/// The handlers of the first three system calls, in their order.
std::optional<std::uint64_t> find_call_table(const Image& image,
                                             const SymbolTable::Builder& symbols) {
  std::array<std::uint64_t, 3> first{};
  for (const auto& [i, name] : {std::pair{0U, "__x64_sys_read"}, std::pair{1U, "__x64_sys_write"},
                                std::pair{2U, "__x64_sys_open"}}) {
    const auto found = symbols.find(name);
    if (!found) return std::nullopt;
    first[i] = *found;
  }
  const std::string_view wanted(reinterpret_cast<const char*>(first.data()), sizeof first);
  const auto at = image.text().find(wanted);
  if (at == std::string_view::npos || at % sizeof(std::uint64_t) != 0) return std::nullopt;
  return at;
}

/// vmlinux's BTF: {start, size}. Modules have theirs elsewhere.
std::optional<std::pair<std::uint64_t, std::uint64_t>> find_btf(const Image& image) {
  const Bytes bytes = image.bytes();
  for (std::uint64_t at = 0; at + 24 <= bytes.size(); at += 4) {
    if (load<std::uint32_t>(bytes, at) != kBtfStart) continue;
    const std::uint64_t header = *load<std::uint32_t>(bytes, at + 4);
    const std::uint64_t strings = *load<std::uint32_t>(bytes, at + 16);
    const std::uint64_t size = header + strings + *load<std::uint32_t>(bytes, at + 20);
    if (header < 24 || header > 256 || size < kSmallestBtf || size > btf::kMaxBlobSize) continue;
    const auto blob = slice(bytes, at, size);
    if (!blob || header + strings >= size) continue;
    // Strings begin and end with a NUL.
    if ((*blob)[header + strings] != std::byte{0} || blob->back() != std::byte{0}) continue;
    return std::pair{at, size};
  }
  return std::nullopt;
}

/// Where the first task stands in the image: "swapper", pid 0, its list leading through itself.
std::optional<std::uint64_t> find_init_task(const PhysicalMemory& ram, const KernelPlace& place,
                                            const Image& image, Bytes blob) {
  auto types = TypeCatalogue::parse({blob.begin(), blob.end()});
  if (!types) return std::nullopt;
  FieldBinder bind(*types);
  Field<std::string> comm;
  Field<std::int32_t> pid;
  Field<Gva> next, previous;
  Embedded list;
  bind(comm, "task_struct.comm");
  bind(pid, "task_struct.pid");
  bind(next, "task_struct.tasks.next");
  bind(previous, "task_struct.tasks.prev");
  bind(list, "task_struct.tasks");
  const auto name = Embedded::from(*types, "task_struct.comm");
  if (!bind.done() || !name || !name->offset() || !list.offset()) return std::nullopt;
  const x86::AddressSpace memory(ram, place.root);
  const auto text = image.text();
  std::size_t left = kMaxNames;
  for (auto at = text.find("swapper"); at != std::string_view::npos && left > 0;
       at = text.find("swapper", at + 1), --left) {
    if (at < *name->offset()) continue;
    const Gva task{image.address(at - *name->offset())};
    const auto number = pid.read(memory, task);
    const auto after = next.read(memory, task);
    if (!number || *number != 0 || !after) continue;
    const auto back = previous.read(memory, list.owner(*after));
    if (back && list.owner(*back) == task) return task.value;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> add_unlisted_symbols(const PhysicalMemory& ram, const KernelPlace& place,
                                              SymbolTable::Builder& symbols) {
  std::vector<std::string> added;
  // One of them tells: kallsyms has the kernel's data, or it has not.
  if (symbols.find("linux_banner") && symbols.find("init_top_pgt")) return added;
  const auto add = [&](const char* name, std::optional<std::uint64_t> address) {
    if (!address || symbols.find(name)) return;
    symbols.add(*address, kUnlisted, name);
    added.emplace_back(name);
  };
  const auto placed = [&](const Image& image, std::optional<std::uint64_t> offset) {
    return offset ? std::optional(image.address(*offset)) : std::nullopt;
  };
  const std::uint64_t root = place.root.table.value - place.text_physical.value;
  add("init_top_pgt", place.text.value + root);
  const Image image(ram, place);
  add("linux_banner", placed(image, find_banner(image)));
  add("sys_call_table", placed(image, find_call_table(image, symbols)));
  if (const auto btf = find_btf(image); btf && !symbols.find("__start_BTF")) {
    add("__start_BTF", image.address(btf->first));
    add("__stop_BTF", image.address(btf->first + btf->second));
    add("init_task",
        find_init_task(ram, place, image, image.bytes().subspan(btf->first, btf->second)));
  }
  return added;
}

}  // namespace vitrine::linux
