#include "cli/top_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>

#include "cli/cell.h"
#include "cli/table.h"

namespace vitrine::cli {

void TopTable::add(TopLook look) {
  std::unordered_map<std::uint64_t, const Row*> past;
  for (const auto& row : rows_) past.emplace(row.process.address, &row);
  const auto elapsed = static_cast<double>(look.at - at_);
  std::vector<Row> rows;
  rows.reserve(look.processes.size());
  for (auto& process : look.processes) {
    Row row{std::move(process)};
    const auto before = past.find(row.process.address);
    if (before != past.end() && before->second->process.pid == row.process.pid && at_ != 0 &&
        elapsed > 0) {
      const auto used = row.process.cpu_time - before->second->process.cpu_time;
      row.share = std::max(0.0, static_cast<double>(used) / elapsed * 100);
    }
    rows.push_back(std::move(row));
  }
  rows_ = std::move(rows);
  at_ = look.at;
}

std::vector<const TopTable::Row*> TopTable::ordered(const TopOptions& options) const {
  std::vector<const Row*> rows;
  for (const auto& row : rows_) {
    if (options.kernel_threads || !row.process.kernel_thread) rows.push_back(&row);
  }
  const auto weight = [&](const Row* row) -> double {
    switch (options.order) {
      case TopOrder::cpu:
        return row->share;
      case TopOrder::memory:
        return static_cast<double>(row->process.rss);
      case TopOrder::time:
        return static_cast<double>(row->process.cpu_time);
      case TopOrder::pid:
        return -static_cast<double>(row->process.pid);
    }
    return 0;
  };
  std::ranges::stable_sort(rows, [&](const Row* a, const Row* b) {
    const auto left = weight(a), right = weight(b);
    if (left != right) return options.reverse ? left < right : left > right;
    return a->process.cpu_time > b->process.cpu_time;
  });
  return rows;
}

std::size_t TopTable::size(const TopOptions& options) const { return ordered(options).size(); }

std::vector<std::string> TopTable::lines(const TopOptions& options, unsigned width,
                                         std::size_t rows, Console& console) const {
  std::size_t running = 0, doubtful = 0;
  double share = -1;  // unknown until the second look
  for (const auto& row : rows_) {
    running += row.process.state == "R" ? 1 : 0;
    doubtful += row.process.doubtful ? 1 : 0;
    if (row.share >= 0) share = std::max(0.0, share) + row.share;
  }
  auto heading = fmt::format("{} processes, {} running", rows_.size(), running);
  if (share >= 0) heading += fmt::format(", CPU {:.1f} %", share);
  if (doubtful != 0) heading += fmt::format(", {} doubtful", doubtful);

  StringOutput text;
  Console inner{.out = text,
                .err = console.err,
                .width = width,
                .colour = console.colour,
                .charset = console.charset};
  Table table({{"PID", true},
               {"UID", true},
               {"S"},
               {"CPU%", true},
               {"TIME", true},
               {"RSS", true},
               {"COMMAND", false, true}},
              inner, {});
  const auto all = ordered(options);
  const std::size_t room = rows == 0 ? all.size() : rows > 2 ? rows - 2 : 0;
  for (std::size_t i = std::min(options.from, all.size());
       i < all.size() && i - options.from < room; ++i) {
    const auto& process = all[i]->process;
    table.row({std::to_string(process.pid), std::to_string(process.uid),
               escape(process.state, console.charset),
               all[i]->share < 0 ? "-" : fmt::format("{:.1f}", all[i]->share),
               human_duration(process.cpu_time),
               process.kernel_thread
                   ? "-"
                   : human_size(static_cast<std::uint64_t>(std::max<std::int64_t>(process.rss, 0))),
               escape(process.command, console.charset)},
              process.doubtful ? "?" : "");
  }
  table.finish();
  std::vector<std::string> lines = {width == 0 ? heading
                                               : shorten(heading, width, console.charset)};
  for (std::size_t from = 0; from < text.text.size();) {
    const auto end = text.text.find('\n', from);
    lines.push_back(text.text.substr(from, end - from));
    from = end + 1;
  }
  return lines;
}

}  // namespace vitrine::cli
