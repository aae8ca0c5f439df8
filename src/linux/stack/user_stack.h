// UserStacks: the stack of a program, by frame pointers, with the names of its functions.
//
// A program that was built without frame pointers shows its innermost frame, and perhaps
// frames that are none: `source` says how each was come by. A function without a frame of its
// own (most wrappers of system calls) hides the one that called it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "format/elf_symbols.h"
#include "linux/page_cache.h"
#include "linux/path.h"
#include "linux/stack/unwind.h"
#include "linux/views/maps_areas.h"

namespace vitrine::linux {

class Kernel;

struct UserFrame {
  Gva address;         ///< of an instruction (the first), or of the one after a call
  bool exact = false;  ///< of the instruction itself
  std::string symbol;  ///< "main+0x12"; empty: no table of symbols could be read, or none is near
  std::string file;    ///< the mapped file's path; "[vdso]"; empty: no file
  std::uint64_t offset = 0;  ///< in that file, bytes; of no meaning without one
};

struct UserStack {
  std::vector<UserFrame> frames;  ///< innermost first
  /// Why it ended, where that is not the outermost frame's own end: a literal.
  std::string_view broken;
};

/// Threads: one at a time.
class UserStacks {
 public:
  static constexpr std::size_t kMaxFrames = 128;

  /// @returns not_found  a member that is missing; the message names it. Without a page cache
  ///   that can be read there are no symbols, but stacks.
  [[nodiscard]] static Outcome<UserStacks> open(const Kernel& kernel);

  /// The stack from these registers in the memory of `task`.
  /// @returns not_found  it has no memory: a kernel thread, or about to end
  [[nodiscard]] Result<UserStack> read(Gva task, const UserState& from);

  /// Mappings and files may have changed. Call it before a new look.
  void forget();

 private:
  explicit UserStacks(const Kernel& kernel, maps::AreaFinder areas)
      : kernel_(&kernel), areas_(std::move(areas)) {}

  struct File {
    std::string path;
    std::unique_ptr<format::ElfSymbols> symbols;  // or none
  };
  [[nodiscard]] const File& file_of(Gva file);
  [[nodiscard]] const std::vector<maps::Area>& areas_of(Gva mm);
  [[nodiscard]] UserFrame name(Gva mm, const maps::Area& area, Gva address, bool exact);

  const Kernel* kernel_;
  maps::AreaFinder areas_;
  Field<Gva> mm_;
  OptionalField<Gva> vdso_;
  Embedded path_;  // file.f_path
  std::optional<PageCache> cache_;
  std::optional<PathReader> paths_;
  std::unordered_map<std::uint64_t, File> files_;                   // by struct file
  std::size_t symbol_bytes_ = 0;                                    // of these
  std::unordered_map<std::uint64_t, std::vector<maps::Area>> mms_;  // by mm_struct
};

}  // namespace vitrine::linux
