// A world for the command line's tests: one machine "web1", one view "things", no guest.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/dispatch.h"
#include "cli/world.h"

namespace vitrine::cli::test {

/// Memory of a few bytes at one address; the rest is not there.
class FakeMemory final : public VirtualMemory {
 public:
  FakeMemory(std::uint64_t base, std::string bytes) : base_(base), bytes_(std::move(bytes)) {}
  [[nodiscard]] Result<void> read(Gva from, MutableBytes into) const override {
    if (from.value < base_ || from.value - base_ > bytes_.size() ||
        bytes_.size() - (from.value - base_) < into.size()) {
      return fail(Errc::not_present, from.value, "pte");
    }
    std::memcpy(into.data(), bytes_.data() + (from.value - base_), into.size());
    return {};
  }

 private:
  std::uint64_t base_;
  std::string bytes_;
};

class FakePhysical final : public PhysicalMemory {
 public:
  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return ranges_; }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    if (!ranges_[0].contains(from)) return fail(Errc::outside_ram, from.value, "hole");
    std::memset(into.data(), 0x41, into.size());
    return {};
  }

 private:
  GpaRange ranges_[1] = {{Gpa{0}, 256 * kMiB}};
};

class FakeMachine final : public Machine {
 public:
  explicit FakeMachine(const bool* alive) : alive_(alive) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "web1"; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return memory_; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    return std::unexpected(Problem(Errc::unsupported, "none"));
  }
  [[nodiscard]] std::vector<std::string> notes() const override {
    return {"RAM: made up (256 MiB)"};
  }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return *alive_; }

 private:
  const bool* alive_;
  FakePhysical memory_;
};

using ReadScript = std::function<Outcome<linux::Tally>(linux::RowSink&)>;

/// What a test wants its world to say.
struct Script {
  ReadScript things, processes;
  std::vector<MachineEntry> machines;
  linux::Health health;
  bool alive = true;
  bool still_there = true;
  std::optional<Problem> no_kernel;
};

inline constexpr linux::Column kThingColumns[] = {
    {"pid", linux::ColumnType::integer, "a number"},
    {"name", linux::ColumnType::text, "a text"},
    {"size", linux::ColumnType::size, "bytes"},
    {"cpu_time", linux::ColumnType::duration, "how long"},
    {"address", linux::ColumnType::address, "where", linux::Column::hidden},
    {"started", linux::ColumnType::time, "when", linux::Column::hidden},
    {"deleted", linux::ColumnType::boolean, "whether", linux::Column::hidden},
    {"words", linux::ColumnType::list, "several", linux::Column::hidden},
    {"env", linux::ColumnType::list, "private | secret", linux::Column::on_request},
};
inline constexpr linux::ViewInfo kThings = {"things", "things to show", kThingColumns, "by pid",
                                            "pid"};

inline constexpr linux::Column kProcessColumns[] = {
    {"pid", linux::ColumnType::integer, "process id"},
    {"ppid", linux::ColumnType::integer, "its parent's"},
    {"name", linux::ColumnType::text, "name"},
    {"cmdline", linux::ColumnType::text, "arguments"},
    {"cpu_user", linux::ColumnType::duration, "in user mode"},
    {"cpu_system", linux::ColumnType::duration, "in the kernel"},
    {"rss", linux::ColumnType::size, "resident"},
    {"state", linux::ColumnType::text, "R, S ..."},
    {"kernel_thread", linux::ColumnType::boolean, "in the kernel alone", linux::Column::hidden},
    {"address", linux::ColumnType::address, "task_struct", linux::Column::hidden},
};
inline constexpr linux::ViewInfo kProcesses = {"processes", "the processes", kProcessColumns,
                                               "by pid", "pid"};

/// Opened by FakeGuest::open() alone.
inline Outcome<std::unique_ptr<linux::ViewReader>> open_fake(const linux::Kernel&) {
  return std::unexpected(Problem(Errc::unsupported, "a fake"));
}

class FakeReader final : public linux::ViewReader {
 public:
  explicit FakeReader(const ReadScript& script) : script_(script) {}
  [[nodiscard]] Outcome<linux::Tally> read(linux::RowSink& rows) override {
    return script_ ? script_(rows) : Outcome<linux::Tally>(linux::Tally{});
  }

 private:
  const ReadScript& script_;
};

class FakeGuest final : public Guest {
 public:
  explicit FakeGuest(const Script& script) : script_(script) {
    identity_.banner = "Linux version 6.1.0";
    identity_.release = "6.1.0";
    identity_.text = Gva{0xffffffff81000000};
  }
  [[nodiscard]] const linux::Identity& identity() const override { return identity_; }
  [[nodiscard]] const linux::Health& health() const override { return script_.health; }
  [[nodiscard]] const linux::SymbolTable& symbols() const override { return symbols_; }
  [[nodiscard]] const linux::SymbolTable& module_symbols() const override { return modules_; }
  [[nodiscard]] Outcome<std::string> describe_type(std::string_view) const override {
    return std::string("struct list_head {\n\tstruct list_head *next;\n};\n");
  }
  [[nodiscard]] const VirtualMemory& memory() const override { return memory_; }
  [[nodiscard]] Outcome<std::unique_ptr<VirtualMemory>> process_memory(Gva) const override {
    return std::make_unique<FakeMemory>(0x1000, "user");
  }
  [[nodiscard]] Outcome<std::unique_ptr<linux::ViewReader>> open(
      const linux::View& view) const override {
    const bool things = view.info().name == "things";
    return std::make_unique<FakeReader>(things ? script_.things : script_.processes);
  }
  void refresh() override {}
  [[nodiscard]] const linux::TypeCatalogue& types() const override { return types_; }
  [[nodiscard]] bool still_there() const override { return script_.still_there; }

 private:
  const Script& script_;
  linux::Identity identity_;
  linux::SymbolTable symbols_ = make_symbols();
  linux::SymbolTable modules_;
  linux::TypeCatalogue types_;
  FakeMemory memory_{0xffffffff81000000, "Hello, examiner.\x01"};

  static linux::SymbolTable make_symbols() {
    linux::SymbolTable::Builder builder;
    builder.add(0xffffffff81000000, 'T', "_text");
    builder.add(0xffffffff81000100, 'T', "do_exit");
    builder.add(0xffffffff81000200, 't', "do_fork");
    return std::move(builder).build();
  }
};

class FakeWorld final : public World {
 public:
  explicit FakeWorld(const Script& script) : script_(script) {}
  [[nodiscard]] Outcome<std::vector<MachineEntry>> machines() const override {
    return script_.machines;
  }
  [[nodiscard]] Outcome<std::unique_ptr<Machine>> open_machine(std::string_view vm) const override {
    if (vm == "web1" || vm == "4242") return std::make_unique<FakeMachine>(&script_.alive);
    return std::unexpected(Problem(Errc::not_found,
                                   "no QEMU machine is called \"" + std::string(vm) + "\"",
                                   "did you mean web1?"));
  }
  [[nodiscard]] Outcome<std::unique_ptr<Guest>> attach(const Machine&, bool) const override {
    if (script_.no_kernel) return std::unexpected(*script_.no_kernel);
    return std::make_unique<FakeGuest>(script_);
  }
  [[nodiscard]] std::span<const linux::View* const> views() const override { return views_; }

 private:
  const Script& script_;
  linux::View things_{kThings, open_fake}, processes_{kProcesses, open_fake};
  const linux::View* views_[2] = {&things_, &processes_};
};

/// One command line, run; what came of it.
struct Run {
  Status status;
  std::string out, err;
};

inline Run run(const std::vector<std::string>& words, const Script& script, unsigned width = 0,
               Charset charset = Charset::utf8) {
  StringOutput out, err;
  Console console{
      .out = out, .err = err, .interactive = width != 0, .width = width, .charset = charset};
  const FakeWorld world(script);
  Context context{world, console};
  const auto status = dispatch(words, context);
  return {status, out.text, err.text};
}

}  // namespace vitrine::cli::test
