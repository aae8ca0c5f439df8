#include "linux/kernel.h"
#include "linux/views/all_views.h"
#include "linux/views/processes_row.h"

namespace vitrine::linux {
namespace {

using Stage = ReadAhead::Stage;

class ProcessesReader final : public ViewReader {
 public:
  ProcessesReader(const Kernel& kernel, TaskList tasks, processes::ProcessRow row)
      : ahead_(kernel.read_ahead()), tasks_(std::move(tasks)), row_(std::move(row)) {}

  Outcome<Tally> read(RowSink& rows) override {
    const ReadAhead::Look look(ahead_, plan_);
    Tally tally;
    row_.new_listing(rows, tally);
    const auto listing = tasks_.processes(rows);
    listing.note_in(tally);
    for (const auto& task : listing.tasks) {
      switch (read_row(rows, task, tally)) {
        case Row::told:
          if (!rows.end()) return tally;
          break;
        case Row::ended:
          break;
        case Row::unreadable:
          ++tally.dropped;
          break;
      }
    }
    return tally;
  }

  std::vector<MissingColumns> missing_columns() const override { return row_.missing(); }

 private:
  enum class Row { told, ended, unreadable };

  /// Reads a row until two looks at its task_struct agree.
  Row read_row(RowSink& rows, const TaskRef& ref, Tally& tally) {
    for (int attempt = 1;; ++attempt) {
      const bool first = attempt == 1;
      const ReadAhead::In stage(ahead_, first ? Stage::objects : Stage::anew);
      if (!load(ref, first ? Stage::anchors : Stage::anew)) {
        return tasks_.standing(ref) == TaskList::Standing::ended ? Row::ended : Row::unreadable;
      }
      if (!row_.is(ref)) return Row::ended;
      rows.begin();
      row_.fill(rows, ref);
      const bool same = unchanged();
      const auto standing = tasks_.standing(ref);
      if (standing == TaskList::Standing::unreadable) return Row::unreadable;
      if (standing == TaskList::Standing::ended) return Row::ended;
      if (same) return Row::told;
      if (attempt == TaskList::kTries) {
        rows.doubt("changed while it was read");
        return Row::told;
      }
      ++tally.retries;
    }
  }

  bool load(const TaskRef& ref, Stage of) {
    const ReadAhead::In stage(ahead_, of);
    return row_.take(ref.address);
  }

  bool unchanged() {
    const ReadAhead::In stage(ahead_, Stage::again);
    return row_.unchanged();
  }

  const ReadAhead& ahead_;
  TaskList tasks_;
  processes::ProcessRow row_;
  ReadPlan plan_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto row = TRY(processes::ProcessRow::open(kernel));
  return std::make_unique<ProcessesReader>(kernel, std::move(tasks), std::move(row));
}

}  // namespace

const View processes_view(processes::kInfo, open);

}  // namespace vitrine::linux
