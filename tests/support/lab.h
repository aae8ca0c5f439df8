// The lab: a synthetic machine with a kernel in it, built in memory from a seed, whose
// truth is known. Real page tables, real kallsyms, real BTF, real lists: what attaches to
// a guest attaches to this, in a millisecond and without a guest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machine/machine.h"
#include "support/kallsyms_builder.h"

namespace vitrine::test {

/// RAM as plain bytes, with holes, and with reads that fail on purpose.
class LabMemory final : public PhysicalMemory {
 public:
  explicit LabMemory(std::vector<GpaRange> ranges);

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return ranges_; }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;

  /// The bytes themselves, to build in and to forge. Must lie in one range.
  [[nodiscard]] MutableBytes bytes(Gpa from, std::uint64_t size);
  template <class T>
  void put(Gpa at, T value) {
    std::memcpy(bytes(at, sizeof value).data(), &value, sizeof value);
  }

  /// The reads from the `first`-th on (counted from 1) fail, `count` of them; 0: none.
  void fail_reads(std::uint64_t first, std::uint64_t count);
  [[nodiscard]] std::uint64_t reads() const { return reads_; }

 private:
  std::vector<GpaRange> ranges_;
  std::vector<std::vector<std::byte>> contents_;
  mutable std::uint64_t reads_ = 0;
  std::uint64_t fail_first_ = 0, fail_count_ = 0;
};

struct LabTask {
  std::int32_t pid;
  std::string name;
  Gva address;
};

struct LabOptions {
  std::uint64_t seed = 1;  ///< places and slide
  std::uint64_t code = 1;  ///< another one: other code in its text
  unsigned levels = 4;
  bool user_half = false;  ///< KPTI: the CPUs' CR3 point at the user tables
  KallsymsOrder order = KallsymsOrder::from_6_4;
  format::KallsymsAddresses form = format::KallsymsAddresses::based_percpu;
  bool btf = true;
  bool data_symbols = true;  ///< false: kallsyms has functions only (no CONFIG_KALLSYMS_ALL)
  bool smp = true;
  std::size_t symbols = 2'200;
  std::size_t tasks = 20;
  bool registers = true;
  std::uint64_t tables = 40 * kMiB;  ///< where page tables are taken from
  MapSource map_source = MapSource::told;
  std::uint64_t e820_end = 4 * kGiB + 2 * kMiB;       ///< what the kernel was told of its RAM's end
  std::uint64_t resources_end = 4 * kGiB + 2 * kMiB;  ///< where iomem_resource has it; 0: has none
  std::uint64_t unplugged = 0;  ///< bytes of RAM that were there beyond its end
};

class Lab final : public Machine {
 public:
  explicit Lab(const LabOptions& options);

  [[nodiscard]] std::string_view name() const noexcept override { return "lab"; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return memory_; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override;
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return true; }
  [[nodiscard]] MapSource map_source() const noexcept override { return map_source_; }

  [[nodiscard]] LabMemory& forge() { return memory_; }
  /// Where the kernel put a virtual address of its own image.
  [[nodiscard]] Gpa physical(Gva image_address) const {
    return text_physical_ + (image_address - text_);
  }

  [[nodiscard]] Gva text() const { return text_; }
  [[nodiscard]] Gpa text_physical() const { return text_physical_; }
  [[nodiscard]] Gva direct_map() const { return direct_map_; }
  [[nodiscard]] const std::vector<LabTask>& tasks() const { return tasks_; }  ///< init_task first
  [[nodiscard]] const std::vector<BuiltSymbol>& symbols() const { return symbols_; }
  /// Of one of its own symbols; 0: it has none of that name.
  [[nodiscard]] Gva symbol(std::string_view name) const;
  /// Where its tables begin, from its text.
  [[nodiscard]] static std::uint64_t btf_offset();
  [[nodiscard]] static std::uint64_t kallsyms_offset();
  /// A page of its image where nothing is, from its text.
  [[nodiscard]] static std::uint64_t free_offset();
  /// mm_struct.rss_stat.
  [[nodiscard]] static std::uint64_t counters_offset();
  [[nodiscard]] std::uint64_t image_size() const { return image_size_; }

 private:
  void lay_out(const LabOptions& options);
  void build_page_tables(const LabOptions& options);
  void build_image(const LabOptions& options);
  void build_tasks(const LabOptions& options);
  Gpa new_table();
  void map(Gpa root, unsigned levels, Gva address, Gpa to, std::uint64_t flags);

  LabMemory memory_;
  Gva text_;
  Gpa text_physical_;
  Gva direct_map_;
  std::uint64_t image_size_ = 0;
  Gpa next_table_;
  Gpa idt_;
  std::uint64_t cr3_ = 0;
  unsigned levels_;
  bool has_registers_;
  MapSource map_source_;
  std::vector<LabTask> tasks_;
  std::vector<BuiltSymbol> symbols_;
};

}  // namespace vitrine::test
