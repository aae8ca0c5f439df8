// What tests and benches ask of the kernel floor that no command says.
//
//   look_probe refresh MACHINE VIEW RUNS   times a view read again and again in one process
//   look_probe btf MACHINE NAME            writes a BTF blob as recovered: vmlinux, or a module's
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

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
  for (const auto& column : view->info().columns) query.wanted.push_back(column.show == linux::Column::shown);
  std::vector<double> times;
  std::size_t rows = 0;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    kernel.refresh();
    Counter counter(view->info(), query);
    if (const auto tally = (*reader)->read(counter); !tally) return complain(tally.error());
    rows = counter.rows();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(times);
  fmt::print("{{\"view\": \"{}\", \"rows\": {}, \"runs\": {}, \"median_ms\": {:.4f}, \"worst_ms\": {:.4f}}}\n", name, rows,
             runs, times[times.size() / 2], times.back());
  return 0;
}

int write_btf(const linux::Kernel& kernel, std::string_view name) {
  std::vector<std::byte> blob;
  if (name == "vmlinux") {
    const auto start = kernel.symbol("__start_BTF");
    const auto stop = kernel.symbol("__stop_BTF");
    if (!start || !stop || *stop - *start > 256 * kMiB) return complain({Errc::not_found, "no BTF"});
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

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (argc < 4 || (what != "refresh" && what != "btf")) {
    fmt::print(stderr, "usage: look_probe refresh MACHINE VIEW RUNS | btf MACHINE NAME\n");
    return 2;
  }
  const auto machine = open_machine(argv[2]);
  if (!machine) return complain(machine.error());
  const auto kernel = linux::Kernel::attach(**machine, {linux::default_cache_directory()});
  if (!kernel) return complain(kernel.error());
  if (what == "btf") return write_btf(**kernel, argv[3]);
  return refresh(**kernel, argv[3], argc > 4 ? std::atoi(argv[4]) : 100);
}
