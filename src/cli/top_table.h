// TopTable: what `vitrine top` shows, out of two looks at the processes. Pure: looks in,
// lines out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.h"

namespace vitrine::cli {

struct TopProcess {
  std::int64_t pid = 0;
  std::uint64_t address = 0;  ///< its task_struct: tells a reused pid apart
  std::int64_t uid = 0;
  std::string state;
  std::int64_t cpu_time = 0;  ///< nanoseconds
  std::int64_t rss = 0;       ///< bytes
  std::string command;        ///< the guest's bytes
  bool kernel_thread = false;
  bool doubtful = false;
};

struct TopLook {
  std::vector<TopProcess> processes;
  std::int64_t at = 0;  ///< nanoseconds, of a clock that only grows
};

enum class TopOrder { cpu, memory, time, pid };

struct TopOptions {
  TopOrder order = TopOrder::cpu;
  bool reverse = false;
  bool kernel_threads = true;
  std::size_t from = 0;  ///< rows scrolled away
};

class TopTable {
 public:
  /// `look` becomes the present one, and the present one the past.
  void add(TopLook look);

  /// A heading ("97 processes, 2 running, CPU 12.3 %"), a header, and rows; each fits `width` (0:
  /// no limit). At most `rows` lines in all (0: all).
  [[nodiscard]] std::vector<std::string> lines(const TopOptions& options, unsigned width,
                                               std::size_t rows, Console& console) const;
  /// How many rows there are to scroll through.
  [[nodiscard]] std::size_t size(const TopOptions& options) const;

 private:
  struct Row {
    TopProcess process;
    double share = -1;  ///< of one CPU since the last look; below 0: unknown
  };
  std::vector<Row> rows_;
  std::int64_t at_ = 0;
  [[nodiscard]] std::vector<const Row*> ordered(const TopOptions& options) const;
};

}  // namespace vitrine::cli
