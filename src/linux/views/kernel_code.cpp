#include "linux/kernel_code.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kStart, kSize, kOwner, kName, kKnown, kBytes };

constexpr Column kColumns[] = {
    {"start", ColumnType::address, "first address"},
    {"size", ColumnType::size, "bytes"},
    {"owner", ColumnType::text,
     "kernel, module, bpf, ftrace, kprobes; unused: filled with traps or zeros; unknown: nobody "
     "accounts for it"},
    {"name", ColumnType::text, "of the module or program; absent: none"},
    {"known", ColumnType::boolean, "false: bytes that could run and that nobody accounts for"},
    {"bytes", ColumnType::text, "the first 32, in hexadecimal", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "kernel_code",
    .summary = "executable memory of the kernel, by its page tables, and whose it is",
    .columns = kColumns,
    .order = "by address",
    .key = "start",
};

constexpr std::size_t kShownBytes = 32;

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel) : kernel_(kernel) {}

  Outcome<Tally> read(RowSink& rows) override {
    const auto code = TRY(KernelCode::read(kernel_));
    Tally tally;
    tally.truncated = code.truncated();
    tally.warnings = code.warnings();
    std::vector<const CodeRange*> ranges;
    for (const auto& range : code.known()) ranges.push_back(&range);
    for (const auto& range : code.rest()) ranges.push_back(&range);
    std::ranges::stable_sort(ranges, {}, [](const CodeRange* range) { return range->start; });
    for (const CodeRange* range : ranges) {
      rows.begin();
      rows.set(kStart, range->start.value);
      rows.set(kSize, static_cast<std::int64_t>(range->size));
      rows.set(kOwner, std::string(name(range->owner)));
      if (!range->name.empty()) rows.set(kName, range->name);
      rows.set(kKnown, range->owner != CodeOwner::unknown);
      if (rows.wants(kBytes))
        rows.set(kBytes, hexadecimal_at(kernel_.memory(), range->start, kShownBytes));
      if (!rows.end()) break;
    }
    return tally;
  }

 private:
  const Kernel& kernel_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  TRY(kernel.symbol("_etext"));
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View kernel_code_view(kInfo, open);

}  // namespace vitrine::linux
