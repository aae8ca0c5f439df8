// vitrine demo: a guest is booted, and looked into, a sentence and a command at a time.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "cli/commands/families.h"
#include "cli/demo_guest.h"
#include "cli/dispatch.h"
#include "cli/interrupt.h"

namespace vitrine::cli {
namespace {

struct Step {
  std::string_view sentence;
  std::vector<std::string> words;  ///< "VM" stands for the guest
  std::size_t lines = 16;          ///< of its output
};

const std::vector<Step>& steps() {
  static const std::vector<Step> all = {
      {"It is a QEMU machine like any other: no agent in it, no debug symbols, no special option.",
       {"vms"}},
      {"Its kernel was found in its RAM, with the names and types it carries itself.",
       {"info", "VM"},
       40},
      {"What runs in it, as its own ps would say, but not asked of it:", {"ps", "VM"}, 24},
      {"Who started whom:", {"pstree", "VM"}},
      {"The files that its processes hold open:", {"lsof", "VM"}},
      {"Its sockets, and who owns them:", {"ss", "VM"}},
      {"Its kernel modules:", {"lsmod", "VM"}},
      {"And its log, though nobody logged in:", {"dmesg", "VM"}},
      {"Any structure of this very kernel, with offsets, as its own BTF has it:",
       {"type", "VM", "list_head"}},
      {"Any memory, by symbol or address:", {"mem", "VM", "linux_banner:64"}},
      {"Everything also comes as JSON, an object a line, and as CSV:",
       {"lsmod", "VM", "--json", "--columns", "name,size,used_by"},
       3},
  };
  return all;
}

/// The first lines of what a command prints.
class FirstLines final : public Output {
 public:
  FirstLines(Output& out, std::size_t most) : out_(out), most_(most) {}
  bool write(std::string_view text) override {
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
      if (lines_ < most_) out_.write(text.substr(0, end));
      if (text[end - 1] == '\n') ++lines_;
      text.remove_prefix(end);
    }
    return true;
  }
  bool flush() override { return out_.flush(); }
  [[nodiscard]] std::size_t more() const { return lines_ > most_ ? lines_ - most_ : 0; }

 private:
  Output& out_;
  std::size_t most_;
  std::size_t lines_ = 0;
};

/// Waits for Enter. @returns false  the person wants to stop.
bool next(Console& console) {
  console.err.write(console.dim("-- Enter: go on, q: stop --"));
  console.err.flush();
  char byte = 0;
  bool stop = false;
  while (true) {
    const auto got = read(STDIN_FILENO, &byte, 1);
    if (got <= 0) return false;  // Ctrl-C, Ctrl-D
    if (byte == '\n') return !stop;
    stop = stop || byte == 'q';
  }
}

Outcome<Status> run(Context& context, const Arguments& words) {
  auto& console = context.console;
  const bool ask = !words.has("--yes") && console.interactive && isatty(STDIN_FILENO) == 1;
  const auto label = words.value("--kernel").value_or("6.1");
  const auto name = fmt::format("demo-{}", getpid());
  const InterruptGuard interrupts;

  console.out.write(fmt::format(
      "Booting a Debian guest with Linux {}. The first time, its kernel is fetched.\n", label));
  console.out.flush();
  const auto guest = DemoGuest::boot(label, name);
  if (!guest) {
    if (!InterruptGuard::interrupted()) return std::unexpected(guest.error());
    console.remark("interrupted; the guest is shut down");
    return Status::failed;
  }

  auto status = Status::done;
  for (const auto& step : steps()) {
    if (ask && !next(console)) break;
    if (InterruptGuard::interrupted()) break;
    std::vector<std::string> line = step.words;
    std::string shown = "$ vitrine";
    for (auto& word : line) {
      if (word == "VM") word = name;
      shown += " " + word;
    }
    console.out.write(fmt::format("\n{}\n{}\n", step.sentence, console.bold(shown)));
    FirstLines out(console.out, step.lines);
    Console inner{.out = out,
                  .err = console.err,
                  .interactive = console.interactive,
                  .width = console.width,
                  .colour = console.colour,
                  .err_colour = console.err_colour,
                  .charset = console.charset};
    Context inside{context.world, inner};
    status = std::max(status, dispatch(line, inside));
    if (out.more() != 0) console.out.write(fmt::format("... and {} lines more\n", out.more()));
    console.out.flush();
  }
  console.out.write(
      InterruptGuard::interrupted()
          ? "\nInterrupted. The guest is being shut down.\n"
          : "\nThat was it; the guest is being shut down. On your own machines: vitrine vms\n");
  console.out.flush();
  return InterruptGuard::interrupted() ? Status::failed : status;
}

}  // namespace

Command demo_command() {
  return {
      .name = "demo",
      .group = "Help",
      .summary = "boots a guest and shows the commands on it",
      .options = {{"--yes", "", "do not wait for Enter between the steps"},
                  {"--kernel",
                   "LABEL",
                   "5.10, 6.1 (usual), 6.12 or 7.x",
                   Words::text,
                   {"5.10", "6.1", "6.12", "7.x"}}},
      .description =
          "Boots a small Debian guest with busybox, needs no root, and shuts it down at the end, "
          "however that comes.",
      .examples = {"vitrine demo", "vitrine demo --yes"},
      .run = run};
}

}  // namespace vitrine::cli
