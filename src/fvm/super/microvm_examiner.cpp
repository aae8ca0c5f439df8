#include "fvm/super/microvm_examiner.h"

#include <fmt/format.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "linux/tasks.h"

namespace vitrine::fvm {
namespace {

/// The files of a pack whose symptoms are of the kernel itself, whatever runs on it.
constexpr std::string_view kOfKernels[] = {"syscall_table.vmi", "interrupts.vmi", "kernel_code.vmi",
                                           "hidden_process.vmi", "hidden_module.vmi"};
constexpr std::size_t kMostTasks = 4096;

std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<MicrovmExaminer>> MicrovmExaminer::create(FileDescriptor ram,
                                                                 std::uint64_t size, Bytes program,
                                                                 const symptom::Pack& pack,
                                                                 std::function<void()> alive,
                                                                 Time now) {
  const auto text = program_text(program);
  if (!text) return fail(Errc::malformed, 0, "the measured program");
  std::vector<RamFile> files;
  files.push_back({RamFile::Kind::shared, std::move(ram)});
  auto machine =
      TRY(AssignedMachine::create({{{Gpa{0}, size}, 0, 0}}, std::move(files), std::move(alive)));
  std::unique_ptr<MicrovmExaminer> made(new MicrovmExaminer(std::move(machine), *text, now));
  for (const auto& file : pack.files()) {
    const auto name = std::string_view(file.name).substr(file.name.rfind('/') + 1);
    if (std::ranges::find(kOfKernels, name) != std::end(kOfKernels)) made->pack_.add(file);
  }
  return made;
}

MicrovmExaminer::State MicrovmExaminer::wrong(std::string why) {
  why_ = std::move(why);
  return State::altered;
}

/// While it waits for a guest: whatever is found now is what was measured and booted.
bool MicrovmExaminer::attach(Time now) {
  again_ = now + std::chrono::milliseconds(500);
  auto kernel = linux::Kernel::attach(*machine_, {});
  if (!kernel) return false;
  linux::FieldBinder bind((*kernel)->types());
  bind(mm_, "task_struct.mm");
  bind(start_code_, "mm_struct.start_code");
  const auto tasks = linux::TaskList::open(**kernel);
  if (!bind.done() || !tasks) return false;
  init_ = tasks->init_process();
  const auto mm = mm_.read((*kernel)->memory(), init_);
  if (!mm || !*mm) return false;  // init is not executed yet
  const auto start = start_code_.read((*kernel)->memory(), *mm);
  const auto root = (*kernel)->user_root(*mm);
  if (!start || !root) return false;
  init_mm_ = *mm;
  root_ = *root;
  base_ = *start;
  memory_ = std::make_unique<x86::AddressSpace>((*kernel)->ram(), root_);
  // Until the pulse beats, this is the initramfs being unpacked, or the program just starting.
  if (!memory_->read(Gva{kPulseAddress}, pulse_) || load<std::uint64_t>(pulse_, 0) != kPulseMagic)
    return false;
  kernel_ = std::move(*kernel);
  if (!pack_.files().empty()) {
    if (auto engine = symptom::Engine::create(*kernel_, pack_, {.patterns = false}))
      engine_ = std::move(*engine);
  }
  ::malloc_trim(0);
  return true;
}

/// Page by page, what is there: pages that were never run are in no page table yet.
Result<bool> MicrovmExaminer::text_intact() {
  std::array<std::byte, kPageSize> page;
  for (std::uint64_t at = 0; at < text_.bytes.size();) {
    const auto place = base_ + at;
    const auto left =
        std::min<std::uint64_t>(kPageSize - place.value % kPageSize, text_.bytes.size() - at);
    const auto measured = text_.bytes.subspan(at, left);
    at += left;
    const auto translation = memory_->translate(place);
    if (!translation) continue;
    auto bytes = machine_->memory().window(translation->address, left);
    if (bytes.empty()) {
      TRY(machine_->memory().read(translation->address, MutableBytes(page).first(left)));
      bytes = Bytes(page).first(left);
    }
    if (std::memcmp(bytes.data(), measured.data(), left) != 0) return false;
  }
  return true;
}

MicrovmExaminer::State MicrovmExaminer::look(Time now) {
  rare_work_ = {};
  if (kernel_ == nullptr) {
    const auto before = cpu_time();
    const bool attached = now >= again_ && attach(now);
    rare_work_ = cpu_time() - before;
    if (attached) return State::sound;
    if (now - since_ > kAttachLate) return wrong("its kernel cannot be found in its memory");
    return State::unknown;
  }
  kernel_->refresh();
  memory_->forget();
  if (!kernel_->still_there()) return wrong("its kernel is no longer the one that was started");
  const auto tasks = linux::TaskList::open(*kernel_);
  if (!tasks || tasks->init_process() != init_) return wrong("its init is another task");
  const auto mm = mm_.read(kernel_->memory(), init_);
  const auto root = kernel_->user_root(init_mm_);
  if (!mm || *mm != init_mm_ || !root || root->table != root_.table)
    return wrong("its init has other memory than it had");
  for (const auto& task : tasks->processes().tasks) {
    if (task.tgid == 1) continue;
    const auto other = mm_.read(kernel_->memory(), task.address);
    if (other && *other) return wrong(fmt::format("a process that is not ours: pid {}", task.pid));
  }
  if (!memory_->read(Gva{kPulseAddress}, pulse_)) return wrong("its pulse is no longer there");
  const auto intact = text_intact();
  if (!intact || !*intact) return wrong("its engine's text is not what was measured");
  if (engine_ != nullptr && now >= rules_due_) {
    const auto before = cpu_time();
    const auto report = engine_->pass({.all = true, .pids = {}});
    ::malloc_trim(0);
    rules_due_ = now + kRulesEvery;
    rare_work_ = cpu_time() - before;
    if (!report.fresh.empty())
      return wrong(
          fmt::format("{}: {}", report.fresh.front().symptom, report.fresh.front().message));
  }
  return State::sound;
}

}  // namespace vitrine::fvm
