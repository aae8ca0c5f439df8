#include "linux/stack/user_stack.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "x86/user_half.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kExecutable = 4;        // VM_EXEC
constexpr std::uint64_t kFarthest = 64 * kMiB;  // between two frames
constexpr std::size_t kMaxFiles = 4096;
constexpr std::size_t kMaxSymbolBytes = 512 * kMiB;  // of all files; of those beyond none is named

const maps::Area* area_at(const std::vector<maps::Area>& areas, Gva address) {
  const auto after = std::ranges::upper_bound(areas, address, {}, &maps::Area::start);
  if (after == areas.begin()) return nullptr;
  const auto& area = *std::prev(after);
  return address < area.end ? &area : nullptr;
}

}  // namespace

Outcome<UserStacks> UserStacks::open(const Kernel& kernel) {
  UserStacks stacks(kernel, TRY(maps::AreaFinder::open(kernel)));
  FieldBinder bind(kernel.types());
  bind(stacks.mm_, "task_struct.mm");
  bind(stacks.vdso_, "mm_struct.context.vdso");
  bind(stacks.path_, "file.f_path");
  TRY(bind.done());
  if (auto cache = PageCache::open(kernel)) stacks.cache_ = std::move(*cache);
  if (auto paths = PathReader::open(kernel)) stacks.paths_ = std::move(*paths);
  return stacks;
}

void UserStacks::forget() {
  files_.clear();
  symbol_bytes_ = 0;
  mms_.clear();
  if (paths_) paths_->forget();
}

const UserStacks::File& UserStacks::file_of(Gva at) {
  if (const auto known = files_.find(at.value); known != files_.end()) return known->second;
  if (files_.size() >= kMaxFiles) {
    files_.clear();
    symbol_bytes_ = 0;
  }
  File file;
  if (paths_) {
    const auto point = paths_->point_at(path_.in(at));
    if (point) {
      if (auto text = paths_->text(*point)) file.path = std::move(text->text);
    }
  }
  if (cache_ && symbol_bytes_ < kMaxSymbolBytes) {
    if (const auto contents = cache_->of_file(at)) {
      const auto read = [&](std::uint64_t offset, MutableBytes into) {
        return cache_->read(*contents, offset, into);
      };
      if (auto symbols = format::ElfSymbols::read(read, contents->size_bytes)) {
        symbol_bytes_ += symbols->footprint();
        file.symbols = std::make_unique<format::ElfSymbols>(std::move(*symbols));
      }
    }
  }
  return files_.emplace(at.value, std::move(file)).first->second;
}

const std::vector<maps::Area>& UserStacks::areas_of(Gva mm) {
  if (const auto known = mms_.find(mm.value); known != mms_.end()) return known->second;
  if (mms_.size() >= kMaxFiles) mms_.clear();
  return mms_.emplace(mm.value, areas_.find(mm).areas).first->second;
}

UserFrame UserStacks::name(Gva mm, const maps::Area& area, Gva address, bool exact) {
  UserFrame frame{.address = address, .exact = exact, .symbol = {}, .file = {}, .offset = 0};
  if (!area.file) {
    const auto vdso =
        vdso_.exists() ? vdso_.field().read(kernel_->memory(), mm) : Result<Gva>(Gva{});
    if (vdso && *vdso == area.start) frame.file = "[vdso]";
    return frame;
  }
  const auto& file = file_of(area.file);
  frame.file = file.path;
  frame.offset = address - area.start + area.page_offset * kPageSize;
  if (!file.symbols) return frame;
  // Not the instruction after a call: that may be another function's.
  const auto within = exact ? frame.offset : frame.offset - 1;
  const auto linked = file.symbols->address_of(within);
  if (!linked) return frame;
  const auto found = file.symbols->find(*linked);
  if (!found) return frame;
  const auto offset = found->offset + (exact ? 0 : 1);
  frame.symbol =
      offset == 0 ? std::string(found->name) : fmt::format("{}+{:#x}", found->name, offset);
  return frame;
}

Result<UserStack> UserStacks::read(Gva task, const UserState& from) {
  const auto mm = TRY(mm_.read(kernel_->memory(), task));
  if (!mm) return fail(Errc::not_found, task.value, "task_struct.mm");
  const auto root = TRY(kernel_->user_root(mm));
  const x86::AddressSpace memory(kernel_->ram(), root);
  const auto& areas = areas_of(mm);
  UserStack stack;
  const auto push = [&](Gva address, bool exact) {
    const auto* area = area_at(areas, exact ? address : address - 1);
    if (area == nullptr || (area->flags & kExecutable) == 0) return false;
    stack.frames.push_back(name(mm, *area, address, exact));
    return true;
  };
  if (!push(Gva{from.ip}, true)) {
    stack.frames.push_back(
        {.address = Gva{from.ip}, .exact = true, .symbol = {}, .file = {}, .offset = 0});
    stack.broken = "it runs where no code is mapped";
    return stack;
  }
  for (std::uint64_t bp = from.bp, below = from.sp; stack.frames.size() < kMaxFrames;) {
    if (bp == 0) return stack;  // the outermost frame's, by the ABI
    if (bp % 8 != 0 || bp < below || bp - below > kFarthest || bp >= x86::user_end(root).value) {
      stack.broken = "no frame pointer from here on";
      return stack;
    }
    const auto frame = memory.load<std::array<std::uint64_t, 2>>(Gva{bp});
    if (!frame) {
      stack.broken = "its stack cannot be read";
      return stack;
    }
    if ((*frame)[1] == 0) return stack;
    if (!push(Gva{(*frame)[1]}, false)) {
      stack.broken = "its caller is no code";
      return stack;
    }
    below = bp + 8;
    bp = (*frame)[0];
  }
  stack.broken = "it is deeper than any that is walked";
  return stack;
}

}  // namespace vitrine::linux
