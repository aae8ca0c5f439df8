// vitrine-fvm as init of a microVM.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "fvm/log_line.h"
#include "fvm/sandbox/seccomp.h"
#include "fvm/sensor/bar_files.h"
#include "fvm/sensor/sensor.h"
#include "fvm/sensor/sensor_main.h"
#include "memory/shared_mapping.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;

/// Init has nobody to return to: the kernel stops with a panic, and the supervisor sees it.
[[noreturn]] void give_up(std::string_view why) {
  log_line("vitrine-fvm", why);
  ::_exit(1);
}

void load_modules() {
  // Their names begin with their order.
  for (int place = 0; place < 100; ++place) {
    const auto prefix = fmt::format("{:02}-", place);
    DIR* folder = ::opendir("/modules");
    while (const auto* entry = folder != nullptr ? ::readdir(folder) : nullptr) {
      if (!std::string_view(entry->d_name).starts_with(prefix)) continue;
      const FileDescriptor file(
          ::open(fmt::format("/modules/{}", entry->d_name).c_str(), O_RDONLY | O_CLOEXEC));
      (void)::syscall(SYS_finit_module, file.get(), "", 0);
    }
    if (folder != nullptr) ::closedir(folder);
  }
}

template <class Look>
auto wait_for(Look look, std::string_view what) {
  for (int turn = 0; turn < 3000; ++turn) {
    if (auto found = look()) return std::move(*found);
    std::this_thread::sleep_for(milliseconds(10));
  }
  give_up(what);
}

Result<std::vector<RamFile>> open_bars(const Orders& orders) {
  std::uint32_t wanted = 0;
  for (const auto& segment : orders.segments) wanted = std::max(wanted, segment.backing + 1);
  auto bars = ivshmem_bars();
  std::erase_if(bars, [](const Bar& bar) { return bar.bus == 0; });
  for (int turn = 0; turn < 2000 && bars.size() < wanted; ++turn) {
    std::this_thread::sleep_for(milliseconds(5));
    bars = ivshmem_bars();
    std::erase_if(bars, [](const Bar& bar) { return bar.bus == 0; });
  }
  std::vector<RamFile> files;
  for (const auto& bar : bars)
    files.push_back({RamFile::Kind::bar, TRY(open_for_reading(bar.path))});
  return files;
}

}  // namespace

int run_init() {
  ::mkdir("/dev", 0755);
  (void)::mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, nullptr);
  (void)::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  (void)::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, nullptr);
  load_modules();
  Pulse* pulse = create_pulse();
  if (pulse == nullptr) give_up("no room for the pulse");
  const auto port = wait_for([] { return verdict_port(); }, "there is no verdict channel");
  const auto open_file = [](const std::string& path, int how) -> std::optional<FileDescriptor> {
    FileDescriptor file(::open(path.c_str(), how | O_CLOEXEC));
    if (!file) return std::nullopt;
    return file;
  };
  auto channel =
      wait_for([&] { return open_file(port, O_WRONLY); }, "the verdict channel cannot be opened");
  const auto control = wait_for(
      [] -> std::optional<Bar> {
        const auto bars = ivshmem_bars();
        if (bars.empty() || bars.front().bus != 0 || bars.front().size != kControlBytes)
          return std::nullopt;
        return bars.front();
      },
      "there is no control page");
  const auto page_file = wait_for([&] { return open_file(control.path, O_RDONLY); },
                                  "the control page cannot be opened");
  void* page = ::mmap(nullptr, kControlBytes, PROT_READ, MAP_SHARED, page_file.get(), 0);
  if (page == MAP_FAILED) give_up("the control page cannot be mapped");
  const std::array<std::string, 1> folders = {"/pack"};
  const auto pack = symptom::Pack::load(folders);

  Reporter reporter(std::move(channel));
  run_sensor(static_cast<const volatile std::byte*>(page), *pulse, reporter, open_bars, pack,
             microvm_rules());
  give_up("the verdict channel is closed");
}

}  // namespace vitrine::fvm
