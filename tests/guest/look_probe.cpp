// What tests and benches ask of the kernel floor that no command says.
//
//   look_probe refresh MACHINE VIEW RUNS   times a view read again and again in one process
//   look_probe agree MACHINE VIEW          repeated looks of one reader against fresh ones: a
//   paused guest look_probe listings MACHINE VIEW RUNS  listings of a busy guest: what must not be,
//   counted look_probe faults MACHINE VIEW MOST    a paused guest; the 1st read fails, the 2nd ...,
//   at most MOST of them look_probe follow MACHINE -            one reader of processes; a look for
//   each line of its input look_probe tables MACHINE -            where the kernel keeps kallsyms
//   and BTF, physically look_probe btf MACHINE NAME            writes a BTF blob as recovered:
//   vmlinux, or a module's
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "linux/find_kernel.h"
#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/view.h"
#include "machine/open.h"

namespace {

using namespace vitrine;

class Counter final : public linux::RowSink {
 public:
  using RowSink::RowSink;

 protected:
  bool row(std::span<const linux::Value>, std::string_view) override { return true; }
};

int complain(const Problem& problem) {
  fmt::print(stderr, "{}\n", problem.message);
  return 1;
}

int refresh(linux::Kernel& kernel, std::string_view name, int runs) {
  const auto* view = linux::find_view(name);
  if (view == nullptr) return complain({Errc::not_found, fmt::format("no view {}", name)});
  const auto reader = view->open(kernel);
  if (!reader) return complain(reader.error());
  // The columns that a table shows, as `top` reads them.
  linux::Query query;
  for (const auto& column : view->info().columns)
    query.wanted.push_back(column.show == linux::Column::shown);
  std::size_t rows = 0;
  const auto timed = [&](linux::ViewReader& looker, std::vector<double>& times) -> Outcome<void> {
    const auto start = std::chrono::steady_clock::now();
    kernel.refresh();
    Counter counter(view->info(), query);
    TRY(looker.read(counter));
    rows = counter.rows();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
    return {};
  };
  // In turn: who looks again and knows what to fetch, and who never looked before.
  std::vector<double> again, first;
  for (int i = 0; i < runs; ++i) {
    if (const auto done = timed(**reader, again); !done) return complain(done.error());
    const auto fresh = view->open(kernel);
    if (!fresh) return complain(fresh.error());
    if (const auto done = timed(**fresh, first); !done) return complain(done.error());
  }
  std::ranges::sort(again);
  std::ranges::sort(first);
  fmt::print(
      "{{\"view\": \"{}\", \"rows\": {}, \"runs\": {}, \"median_ms\": {:.4f}, \"worst_ms\": "
      "{:.4f}, \"first_ms\": {:.4f}}}\n",
      name, rows, runs, again[again.size() / 2], again.back(), first[first.size() / 2]);
  return 0;
}

/// Keeps every row.
class Keeper final : public linux::RowSink {
 public:
  using RowSink::RowSink;
  std::vector<std::vector<linux::Value>> kept;
  std::vector<std::string> doubts;

 protected:
  bool row(std::span<const linux::Value> values, std::string_view doubt) override {
    kept.emplace_back(values.begin(), values.end());
    doubts.emplace_back(doubt);
    return true;
  }
};

/// One reader, six looks, each against a reader that never looked before. All columns.
int agree(linux::Kernel& kernel, std::string_view name) {
  const auto* view = linux::find_view(name);
  if (view == nullptr) return complain({Errc::not_found, fmt::format("no view {}", name)});
  const linux::Query query{.wanted = std::vector<bool>(view->info().columns.size(), true)};
  const auto again = view->open(kernel);
  if (!again) return complain(again.error());
  std::size_t differing = 0, rows = 0;
  for (int look = 0; look < 6; ++look) {
    const auto fresh = view->open(kernel);
    if (!fresh) return complain(fresh.error());
    Keeper one(view->info(), query), other(view->info(), query);
    kernel.refresh();
    if (const auto tally = (*again)->read(one); !tally) return complain(tally.error());
    kernel.refresh();
    if (const auto tally = (*fresh)->read(other); !tally) return complain(tally.error());
    rows = other.kept.size();
    differing += one.kept != other.kept || one.doubts != other.doubts;
  }
  fmt::print("{{\"view\": \"{}\", \"rows\": {}, \"looks\": 6, \"differing\": {}}}\n", name, rows,
             differing);
  return differing == 0 ? 0 : 1;
}

/// The pid (and the tid where there is one) is in columns of those names.
int listings(linux::Kernel& kernel, std::string_view view_name, int runs) {
  const auto* view = linux::find_view(view_name);
  if (view == nullptr) return complain({Errc::not_found, fmt::format("no view {}", view_name)});
  const auto columns = view->info().columns;
  const auto column = [&](std::string_view wanted) {
    const auto found = std::ranges::find(columns, wanted, &linux::Column::name);
    return static_cast<std::size_t>(found - columns.begin());
  };
  const auto key = column(view->info().key), text = column("name"), state = column("state");
  if (key == columns.size() || text == columns.size() || state == columns.size()) {
    return complain({Errc::invalid, "listings counts processes and threads"});
  }
  const auto reader = view->open(kernel);
  if (!reader) return complain(reader.error());
  linux::Query query;
  for (const auto& each : columns) query.wanted.push_back(each.show == linux::Column::shown);
  query.wanted[key] = query.wanted[text] = query.wanted[state] = true;
  std::size_t rows = 0, failed = 0, twice = 0, impossible = 0, doubtful = 0, retries = 0,
              dropped = 0, truncated = 0;
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    kernel.refresh();
    Keeper keeper(view->info(), query);
    const auto tally = (*reader)->read(keeper);
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
    if (!tally) {
      ++failed;
      continue;
    }
    retries += tally->retries;
    dropped += tally->dropped;
    truncated += tally->truncated ? 1 : 0;
    std::vector<std::int64_t> keys;
    for (std::size_t row = 0; row < keeper.kept.size(); ++row) {
      const auto& values = keeper.kept[row];
      const auto* number = std::get_if<std::int64_t>(&values[key]);
      const auto* name = std::get_if<std::string>(&values[text]);
      const auto* letter = std::get_if<std::string>(&values[state]);
      keys.push_back(number != nullptr ? *number : -1);
      if (!keeper.doubts[row].empty()) {
        ++doubtful;
        continue;
      }
      // Children of churn are called so, or churn-exec: a mixture of the two is torn.
      constexpr std::array<std::string_view, 4> kChurn{"churn", "churn-vfork", "churn-threads",
                                                       "churn-exec"};
      const bool whole =
          name != nullptr && name->size() <= 15 &&
          (!name->starts_with("churn") || std::ranges::find(kChurn, *name) != kChurn.end());
      const bool possible = number != nullptr && *number > 0 && *number <= 4'194'304 &&
                            letter != nullptr && letter->size() == 1 &&
                            std::string_view("RSDTtXZPI").contains(letter->front());
      if (!whole || !possible) ++impossible;
    }
    rows += keys.size();
    std::ranges::sort(keys);
    for (std::size_t k = 1; k < keys.size(); ++k) twice += keys[k] == keys[k - 1];
  }
  std::ranges::sort(times);
  fmt::print(
      "{{\"view\": \"{}\", \"listings\": {}, \"rows\": {}, \"failed\": {}, \"twice\": {}, "
      "\"impossible\": {}, "
      "\"doubtful\": {}, \"retries\": {}, \"dropped\": {}, \"truncated\": {}, \"median_ms\": "
      "{:.4f}, \"worst_ms\": {:.4f}}}\n",
      view_name, runs, rows, failed, twice, impossible, doubtful, retries, dropped, truncated,
      times[times.size() / 2], times.back());
  return failed + twice + impossible == 0 ? 0 : 1;
}

/// One reader for as long as there are lines to read: how many processes, and how many of them lie
/// in RAM beyond the first 4 GiB.
int follow(linux::Kernel& kernel) {
  const auto* view = linux::find_view("processes");
  const auto reader = view->open(kernel);
  if (!reader) return complain(reader.error());
  linux::Query query;
  for (const auto& column : view->info().columns)
    query.wanted.push_back(column.name == "pid" || column.name == "address" ||
                           column.name == "name");
  const auto columns = view->info().columns;
  const auto address = static_cast<std::size_t>(
      std::ranges::find(columns, "address", &linux::Column::name) - columns.begin());
  while (std::getchar() != EOF) {
    kernel.refresh();
    Keeper keeper(view->info(), query);
    const auto tally = (*reader)->read(keeper);
    if (!tally) return complain(tally.error());
    const auto beyond = std::ranges::count_if(keeper.kept, [&](const auto& row) {
      const auto* at = std::get_if<std::uint64_t>(&row[address]);
      return at != nullptr && *at - kernel.identity().direct_map.value >= 4 * kGiB;
    });
    fmt::print(
        "{{\"rows\": {}, \"beyond\": {}, \"dropped\": {}, \"truncated\": {}, \"doubtful\": {}, "
        "\"warnings\": {}}}\n",
        keeper.kept.size(), beyond, tally->dropped, tally->truncated,
        std::ranges::count_if(keeper.doubts, [](const auto& doubt) { return !doubt.empty(); }),
        tally->warnings.size());
    std::fflush(stdout);
  }
  return 0;
}

int write_btf(const linux::Kernel& kernel, std::string_view name) {
  std::vector<std::byte> blob;
  if (name == "vmlinux") {
    const auto start = kernel.symbol("__start_BTF");
    const auto stop = kernel.symbol("__stop_BTF");
    if (!start || !stop || *stop - *start > 256 * kMiB)
      return complain({Errc::not_found, "no BTF"});
    blob.resize(*stop - *start);
    if (const auto done = kernel.memory().read(*start, blob); !done) return complain(done.error());
  } else {
    auto modules = linux::read_module_btf(kernel);
    if (!modules) return complain(modules.error());
    for (auto& module : modules->modules) {
      if (module.module == name) blob = std::move(module.blob);
    }
  }
  std::fwrite(blob.data(), 1, blob.size(), stdout);
  return blob.empty() ? 1 : 0;
}

/// Another machine's memory, which fails when told to.
class FaultyMachine final : public Machine {
 public:
  explicit FaultyMachine(const Machine& inner) : inner_(inner), memory_(inner.memory()) {}

  [[nodiscard]] std::string_view name() const noexcept override { return inner_.name(); }
  [[nodiscard]] bool live() const noexcept override { return inner_.live(); }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return memory_; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    return inner_.registers();
  }
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return inner_.alive(); }

  /// From now on, the `at`th read fails (from 0); with `for_good`, all after it too. Counts anew.
  void arm(std::uint64_t at, bool for_good) {
    memory_.reads = 0;
    memory_.fail_at = at;
    memory_.for_good = for_good;
  }
  [[nodiscard]] std::uint64_t reads() const { return memory_.reads; }

 private:
  struct Memory final : PhysicalMemory {
    explicit Memory(const PhysicalMemory& memory) : inner(memory) {}
    [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return inner.ram(); }
    [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
      const auto number = reads++;
      if (number == fail_at || (for_good && number > fail_at))
        return fail(Errc::io, from.value, "made to fail");
      return inner.read(from, into);
    }
    const PhysicalMemory& inner;
    mutable std::uint64_t reads = 0;
    std::uint64_t fail_at = ~std::uint64_t{0};
    bool for_good = false;
  };
  const Machine& inner_;
  Memory memory_;
};

/// What a listing with faults may not do, beside crash and hang: a row from nowhere, a value from
/// nowhere, a row left out without a word.
int faults(const Machine& inner, std::string_view name, std::uint64_t most) {
  FaultyMachine machine(inner);
  const auto kernel = linux::Kernel::attach(machine, {linux::default_cache_directory()});
  if (!kernel) return complain(kernel.error());
  const auto* view = linux::find_view(name);
  if (view == nullptr) return complain({Errc::not_found, fmt::format("no view {}", name)});
  const linux::Query query{.wanted = std::vector<bool>(view->info().columns.size(), true)};
  const auto columns = view->info().columns;
  std::size_t runs = 0, silent = 0, from_nowhere = 0, wrong_values = 0, refused = 0, words = 0;
  const auto listing = [&](Keeper& keeper) -> std::optional<linux::Tally> {
    (*kernel)->refresh();
    const auto reader = view->open(**kernel);
    if (!reader) return std::nullopt;
    auto tally = (*reader)->read(keeper);
    return tally ? std::optional(*tally) : std::nullopt;
  };
  Keeper whole(view->info(), query);
  machine.arm(~std::uint64_t{0}, false);
  if (!listing(whole)) return complain({Errc::io, "the view cannot be read at all"});
  const auto total = machine.reads();
  for (const bool for_good : {false, true}) {
    const std::uint64_t step = std::max<std::uint64_t>(1, total / most);
    for (std::uint64_t at = 0; at < total; at += at < 64 ? 1 : step) {
      Keeper keeper(view->info(), query);
      machine.arm(at, for_good);
      const auto tally = listing(keeper);
      ++runs;
      if (!tally) {
        ++refused;
        continue;
      }
      bool doubted = false;
      const bool warned = tally->dropped != 0 || tally->truncated || !tally->warnings.empty();
      for (std::size_t row = 0; row < keeper.kept.size(); ++row) {
        doubted = doubted || !keeper.doubts[row].empty();
        if (!keeper.doubts[row].empty()) continue;
        // The same row, but for what could not be read.
        const auto like = [&](const std::vector<linux::Value>& other) {
          for (std::size_t i = 0; i < other.size(); ++i) {
            const bool missing = std::holds_alternative<linux::Missing>(keeper.kept[row][i]);
            if (!missing && keeper.kept[row][i] != other[i]) return false;
          }
          return true;
        };
        if (row < whole.kept.size() && like(whole.kept[row])) continue;
        if (warned || std::ranges::any_of(whole.kept, like)) continue;
        ++wrong_values;
        if (wrong_values > 3) continue;
        // Which columns set it apart from the row that is most like it?
        std::vector<std::string_view> least(columns.size() + 1);
        for (const auto& other : whole.kept) {
          std::vector<std::string_view> differing;
          for (std::size_t i = 0; i < other.size(); ++i) {
            const bool missing = std::holds_alternative<linux::Missing>(keeper.kept[row][i]);
            if (!missing && keeper.kept[row][i] != other[i]) differing.push_back(columns[i].name);
          }
          if (differing.size() < least.size()) least = std::move(differing);
        }
        fmt::print(stderr, "{}: read {}{}: another {}\n", name, at, for_good ? " and on" : "",
                   fmt::join(least, ", "));
      }
      if (keeper.kept.size() > whole.kept.size() && !warned) ++from_nowhere;
      const bool said = doubted || warned;
      words += said ? 1 : 0;
      if (keeper.kept.size() < whole.kept.size() && !said) {
        if (++silent <= 3)
          fmt::print(stderr, "{}: read {}{}: {} of {} rows, without a word\n", name, at,
                     for_good ? " and on" : "", keeper.kept.size(), whole.kept.size());
      }
    }
  }
  fmt::print(
      "{{\"view\": \"{}\", \"rows\": {}, \"reads\": {}, \"runs\": {}, \"refused\": {}, \"said\": "
      "{}, \"silent\": {}, "
      "\"from_nowhere\": {}, \"wrong_values\": {}}}\n",
      name, whole.kept.size(), total, runs, refused, words, silent, from_nowhere, wrong_values);
  return silent + from_nowhere + wrong_values == 0 ? 0 : 1;
}

int tables(const Machine& machine) {
  const auto cpus = machine.registers();
  const auto hints =
      cpus ? linux::text_hints(machine.memory(), *cpus) : std::vector<linux::TextHint>();
  const auto found = linux::find_kernel(machine.memory(), hints);
  if (!found) return complain(found.error());
  const auto text = found->place.text_physical.value;
  fmt::print("{{\"kallsyms\": [");
  for (const auto& range : found->kallsyms) {
    fmt::print("{}[{}, {}]", &range == found->kallsyms.data() ? "" : ", ", text + range.offset,
               range.size);
  }
  const auto start = found->symbols.find("__start_BTF"), stop = found->symbols.find("__stop_BTF");
  if (!start || !stop) return complain({Errc::not_found, "no BTF"});
  fmt::print("], \"btf\": [[{}, {}]]}}\n", text + (*start - found->place.text), *stop - *start);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (argc < 4 || (what != "refresh" && what != "agree" && what != "listings" && what != "tables" &&
                   what != "faults" && what != "btf" && what != "follow")) {
    fmt::print(stderr,
               "usage: look_probe refresh|listings|faults MACHINE VIEW RUNS | agree MACHINE VIEW | "
               "tables|follow MACHINE - | btf MACHINE NAME\n");
    return 2;
  }
  const auto machine = open_machine(argv[2]);
  if (!machine) return complain(machine.error());
  if (what == "tables") return tables(**machine);
  if (what == "faults")
    return faults(**machine, argv[3],
                  argc > 4 ? static_cast<std::uint64_t>(std::max(std::atoi(argv[4]), 1)) : 200);
  const auto kernel = linux::Kernel::attach(**machine, {linux::default_cache_directory()});
  if (!kernel) return complain(kernel.error());
  if (what == "btf") return write_btf(**kernel, argv[3]);
  if (what == "follow") return follow(**kernel);
  if (what == "agree") return agree(**kernel, argv[3]);
  if (what == "listings") return listings(**kernel, argv[3], argc > 4 ? std::atoi(argv[4]) : 100);
  return refresh(**kernel, argv[3], argc > 4 ? std::atoi(argv[4]) : 100);
}
