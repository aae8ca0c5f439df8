#include "probe/gdb/stops.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

#include "linux/type_catalogue.h"
#include "probe/gdb/gdb_source.h"
#include "vmipl/catalogue.h"
#include "x86/address_space.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMostPending = 4096;  // of one return address
// struct pt_regs of x86-64: ABI of ptrace. Source: arch/x86/include/asm/ptrace.h.
enum PtRegs : std::uint64_t {
  kR10 = 56,
  kR9 = 64,
  kR8 = 72,
  kAx = 80,
  kDx = 96,
  kSi = 104,
  kDi = 112,
  kOrigAx = 120
};

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// Bytes of an instruction that does nothing: ENDBR64 and the NOPs that compilers and ftrace put
/// at the start of a function. Its CPU is taken past it by RIP alone. 0: any other.
/// Source: Intel SDM vol. 2, "NOP", "ENDBR64".
unsigned idle_bytes(Bytes code) {
  constexpr std::string_view kIdle[] = {
      std::string_view("\xf3\x0f\x1e\xfa", 4), std::string_view("\x0f\x1f\x44\x00\x00", 5),
      std::string_view("\x66\x90", 2),         std::string_view("\x0f\x1f\x00", 3),
      std::string_view("\x0f\x1f\x40\x00", 4), std::string_view("\x90", 1),
  };
  const std::string_view text(reinterpret_cast<const char*>(code.data()), code.size());
  for (const auto idle : kIdle) {
    if (text.starts_with(idle)) return static_cast<unsigned>(idle.size());
  }
  return 0;
}

GdbClient::Point kind_of(const WatchSpot& watch) {
  return watch.reads && watch.writes ? GdbClient::Point::access
         : watch.writes              ? GdbClient::Point::write
                                     : GdbClient::Point::read;
}

/// With four levels of page tables and with five.
bool in_kernel(std::uint64_t address) { return address >> 63 != 0; }

}  // namespace

Stops::Stops(const linux::Kernel& kernel, GdbClient& client, EventSink& sink,
             SourceSettings settings)
    : kernel_(kernel), client_(client), sink_(sink), settings_(std::move(settings)) {
  if (auto layout = linux::ModuleLayout::find(kernel.types())) modules_ = *std::move(layout);
  TaskFields fields;
  linux::FieldBinder bind(kernel.types());
  bind(fields.pid, "task_struct.pid");
  bind(fields.tgid, "task_struct.tgid");
  bind(fields.parent, "task_struct.real_parent->tgid");
  bind(fields.exit_code, "task_struct.exit_code");
  bind(fields.signal_flags, "task_struct.signal->flags");
  bind(fields.group_exit_code, "task_struct.signal->group_exit_code");
  if (bind.done()) task_ = fields;
}

Outcome<void> Stops::use(Assignment mine) {
  std::map<Gva, Point> points;
  std::vector<Watch> watches;
  for (const auto probe : mine.probes) {
    auto placed = place(kernel_, *mine.program, probe);
    if (!placed.offer.possible)
      return std::unexpected(Problem(Errc::unsupported, placed.offer.reason, placed.offer.remedy));
    for (const auto& spot : placed.placement.spots)
      points[spot.at].bound.push_back({probe, spot.role});
    if (placed.placement.watch) watches.push_back({probe, *placed.placement.watch, {}, false});
  }
  // A breakpoint of ours may be a byte in the guest's memory: what stood there is read before.
  for (auto& [at, point] : points) {
    if (const auto old = points_.find(at); old != points_.end()) {
      point.inserted = old->second.inserted;
      point.skip = old->second.skip;
      continue;
    }
    std::array<std::byte, 5> code{};
    if (kernel_.memory().read(at, code)) point.skip = idle_bytes(code);
  }
  for (auto& [at, point] : points_) {
    if (point.inserted && !points.contains(at))
      points[at].inserted = true;  // settle_points() takes it out
  }
  for (const auto& watch : watches_) {
    if (watch.inserted) TRY(client_.remove(kind_of(watch.spot), watch.spot.at, watch.spot.length));
  }
  points_ = std::move(points);
  watches_ = std::move(watches);
  mine_ = std::move(mine);
  thinning_.clear();
  const auto limit = settings_of(settings_, *mine_.program).rate_limit;
  limit_ = limit ? RateLimit::of(*limit) : kStopLimit;
  const auto now = monotonic_ns();
  for (const auto probe : mine_.probes) thinning_.emplace(probe, Thinning{RateGate(limit_, now)});
  for (auto& watch : watches_) {
    watch.shadow.resize(watch.spot.length);
    (void)kernel_.memory().read(watch.spot.at, watch.shadow);
  }
  return settle_points();
}

bool Stops::wanted(const Point& point) const {
  if (suspended_) return false;
  if (!point.pending.empty()) return true;
  return std::any_of(point.bound.begin(), point.bound.end(),
                     [&](const Bound& bound) { return !thinning_.at(bound.probe).out; });
}

/// What is wanted goes in, what is not comes out.
Outcome<void> Stops::settle_points() {
  for (auto it = points_.begin(); it != points_.end();) {
    auto& [at, point] = *it;
    const bool want = wanted(point);
    if (want && !point.inserted) {
      // Software under TCG is a mark on translated code; under KVM it is a byte of the guest's
      // memory, which read-only text takes by QEMU's own hand. Hardware is the second choice, as
      // there are four.
      if (auto done = client_.insert(GdbClient::Point::software, at, 1); !done)
        TRY(client_.insert(GdbClient::Point::hardware, at, 1));
      point.inserted = true;
    } else if (!want && point.inserted) {
      if (auto done = client_.remove(GdbClient::Point::software, at, 1); !done)
        TRY(client_.remove(GdbClient::Point::hardware, at, 1));
      point.inserted = false;
    }
    it = !want && !suspended_ && point.bound.empty() ? points_.erase(it) : std::next(it);
  }
  for (auto& watch : watches_) {
    const bool want = !suspended_ && !thinning_.at(watch.probe).out;
    if (want == watch.inserted) continue;
    if (want) {
      TRY(client_.insert(kind_of(watch.spot), watch.spot.at, watch.spot.length));
      (void)kernel_.memory().read(watch.spot.at, watch.shadow);
    } else {
      TRY(client_.remove(kind_of(watch.spot), watch.spot.at, watch.spot.length));
    }
    watch.inserted = want;
  }
  return {};
}

bool Stops::wants_change() {
  const auto now = monotonic_ns();
  return std::any_of(thinning_.begin(), thinning_.end(),
                     [&](auto& one) { return one.second.out && one.second.gate.rested(now); });
}

Outcome<void> Stops::change() {
  const auto now = monotonic_ns();
  for (auto& [probe, thinning] : thinning_) {
    if (!thinning.out || !thinning.gate.rested(now)) continue;
    thinning.out = false;
    thinning.out_ns += now - thinning.since_ns;
  }
  return settle_points();
}

std::size_t Stops::index_of(const std::string& thread) const {
  const auto& all = client_.threads();
  const auto at = std::find(all.begin(), all.end(), thread);
  return at == all.end() ? 0 : static_cast<std::size_t>(at - all.begin());
}

Outcome<void> Stops::handle(const GdbStop& stop) {
  const auto index = index_of(stop.thread);
  const auto& thread = client_.threads()[index];
  const auto cpu = static_cast<unsigned>(index);
  const auto registers = TRY(client_.registers(thread));
  if (stop.watched)
    TRY(at_watch(stop, thread, cpu, registers));
  else
    (void)TRY(at_point(thread, cpu, registers));
  return {};
}

Outcome<void> Stops::suspend() {
  suspended_ = true;
  return settle_points();
}

Outcome<void> Stops::resume() {
  suspended_ = false;
  return settle_points();
}

Outcome<bool> Stops::at_point(const std::string& thread, unsigned cpu,
                              const x86::Registers& registers) {
  const auto found = points_.find(Gva{registers.rip});
  if (found == points_.end()) return false;
  bool moved = false;
  // In script order; a return is of a probe that stands at its entry.
  std::vector<Pending> returned;
  std::erase_if(found->second.pending, [&](const Pending& pending) {
    if (pending.stack != registers.gpr[x86::kRsp]) return false;
    returned.push_back(pending);
    return true;
  });
  std::stable_sort(returned.begin(), returned.end(),
                   [](const Pending& a, const Pending& b) { return a.probe < b.probe; });
  const auto bound = found->second.bound;
  std::size_t r = 0;
  for (const auto& one : bound) {
    while (r < returned.size() && returned[r].probe < one.probe)
      at_return(returned[r++], thread, cpu, registers, moved);
    if (!thinning_.at(one.probe).out) at_bound(one, thread, cpu, registers, moved);
  }
  while (r < returned.size()) at_return(returned[r++], thread, cpu, registers, moved);
  TRY(settle_points());
  if (!moved) TRY(step_over(thread, cpu, registers));
  return true;
}

Outcome<void> Stops::step_over(const std::string& thread, unsigned cpu,
                               const x86::Registers& registers) {
  const Gva at{registers.rip};
  const auto found = points_.find(at);
  if (found == points_.end() || !found->second.inserted)
    return {};  // taken out: the CPU runs on by itself
  if (found->second.skip != 0)
    return client_.write_register(thread, "rip", registers.rip + found->second.skip);
  found->second.inserted = false;
  if (auto done = client_.remove(GdbClient::Point::software, at, 1); !done)
    TRY(client_.remove(GdbClient::Point::hardware, at, 1));
  // A stop that another CPU had under way may come instead of the step's end; a repeated string
  // instruction stays where it is.
  for (int tries = 0; tries < 64; ++tries) {
    const auto stop = TRY(client_.step(thread));
    if (stop.kind == GdbStop::exited)
      return std::unexpected(Problem(Errc::vanished, "the machine has ended"));
    const auto after = TRY(client_.registers(thread));
    if (stop.watched) TRY(at_watch(stop, thread, cpu, after));
    if (after.rip != registers.rip) break;
  }
  return settle_points();
}

void Stops::expect(Gva at, Pending pending) {
  auto& point = points_[at];
  if (point.bound.empty() && !point.inserted) {
    std::array<std::byte, 5> code{};
    if (kernel_.memory().read(at, code)) point.skip = idle_bytes(code);
  }
  // One that was entered with this stack before, and left by another way than this: a task that
  // ended there.
  std::erase_if(point.pending, [&](const Pending& one) {
    return one.probe == pending.probe && one.role == pending.role && one.stack == pending.stack;
  });
  if (point.pending.size() >= kMostPending) {
    point.pending.erase(point.pending.begin());
    ++forgotten_;
  }
  point.pending.push_back(pending);
}

void Stops::at_bound(const Bound& bound, const std::string& thread, unsigned cpu,
                     const x86::Registers& registers, bool& moved) {
  StopTold told;
  const auto& gpr = registers.gpr;
  const auto call = [&] {
    told.arguments = {Told::of(gpr[x86::kRdi]), Told::of(gpr[x86::kRsi]), Told::of(gpr[x86::kRdx]),
                      Told::of(gpr[x86::kRcx]), Told::of(gpr[x86::kR8]),  Told::of(gpr[x86::kR9])};
  };
  const auto& probe = mine_.program->probes[bound.probe];
  switch (bound.role) {
    case StopRole::execute:
      call();
      told.texts.push_back(linux::symbolize(kernel_.symbols(), Gva{registers.rip}));
      told.fields = {Told::of(registers.rip), Told::of(std::string_view(told.texts.back()))};
      return fire(bound.probe, thread, cpu, registers, told, moved);
    case StopRole::function_return:
    case StopRole::module_load: {
      const auto at = load(gpr[x86::kRsp]);
      if (!at) {
        ++forgotten_;
        return;
      }
      return expect(Gva{*at},
                    {bound.probe, bound.role, gpr[x86::kRsp] + 8,
                     bound.role == StopRole::module_load ? gpr[x86::kRdi] : registers.rip});
    }
    case StopRole::syscall:
      if (!wants_system_call(probe, gpr[x86::kRax])) {
        (void)pass(bound.probe);  // it stopped the machine all the same
        return;
      }
      tell_system_call(told, gpr[x86::kRax]);
      told.arguments = {Told::of(gpr[x86::kRdi]), Told::of(gpr[x86::kRsi]),
                        Told::of(gpr[x86::kRdx]), Told::of(gpr[x86::kR10]),
                        Told::of(gpr[x86::kR8]),  Told::of(gpr[x86::kR9])};
      return fire(bound.probe, thread, cpu, registers, told, moved);
    case StopRole::syscall_return: {
      // do_syscall_64(nr, regs) until 5.10, (regs, nr) since (commit 3e5e7f7736b0).
      const auto frame = in_kernel(gpr[x86::kRdi]) ? gpr[x86::kRdi] : gpr[x86::kRsi];
      const auto number = load(frame + kOrigAx), at = load(gpr[x86::kRsp]);
      if (!number || !at) {
        ++forgotten_;
        return;
      }
      if (wants_system_call(probe, *number))
        expect(Gva{*at}, {bound.probe, bound.role, gpr[x86::kRsp] + 8, frame});
      else
        (void)pass(bound.probe);
      return;
    }
    case StopRole::handler:
      tell_frame(told, gpr[x86::kRdi]);
      return fire(bound.probe, thread, cpu, registers, told, moved);
    case StopRole::handler_return: {
      const auto at = load(gpr[x86::kRsp]);
      if (!at) {
        ++forgotten_;
        return;
      }
      return expect(Gva{*at}, {bound.probe, bound.role, gpr[x86::kRsp] + 8, gpr[x86::kRdi]});
    }
    case StopRole::process_start: {
      const Gva task{gpr[x86::kRdi]};
      told.subject = task;
      told.fields = {Told::none()};
      if (task_) {
        const auto pid = task_->pid.read(kernel_.memory(), task),
                   tgid = task_->tgid.read(kernel_.memory(), task),
                   parent = task_->parent.read(kernel_.memory(), task);
        if (pid && tgid && *pid != *tgid) return;  // a thread
        if (parent) told.fields = {Told::of(static_cast<std::uint64_t>(*parent))};
      }
      return fire(bound.probe, thread, cpu, registers, told, moved);
    }
    case StopRole::process_exec:
      return fire(bound.probe, thread, cpu, registers, told, moved);
    case StopRole::process_exit:
      if ((gpr[x86::kRsi] & 0xff) == 0) return;  // not the last thread
      told.subject = Gva{gpr[x86::kRdi]};
      told.fields = {exit_code_of(*told.subject)};
      return fire(bound.probe, thread, cpu, registers, told, moved);
    case StopRole::module_unload:
      tell_module(told, Gva{gpr[x86::kRdi]});
      return fire(bound.probe, thread, cpu, registers, told, moved);
  }
}

void Stops::at_return(const Pending& pending, const std::string& thread, unsigned cpu,
                      const x86::Registers& registers, bool& moved) {
  if (thinning_.at(pending.probe).out) return;
  StopTold told;
  told.result = Told::of(registers.gpr[x86::kRax]);
  switch (pending.role) {
    case StopRole::syscall_return:
      tell_frame(told, pending.subject);
      if (const auto result = load(pending.subject + kAx)) told.result = Told::of(*result);
      break;
    case StopRole::handler_return:
      tell_frame(told, pending.subject);
      break;
    case StopRole::module_load:
      if (static_cast<std::int32_t>(registers.gpr[x86::kRax]) != 0) return;  // its init refused
      tell_module(told, Gva{pending.subject});
      break;
    default:
      told.texts.push_back(linux::symbolize(kernel_.symbols(), Gva{pending.subject}));
      told.fields = {Told::of(pending.subject), Told::of(std::string_view(told.texts.back()))};
  }
  fire(pending.probe, thread, cpu, registers, told, moved);
}

Outcome<void> Stops::at_watch(const GdbStop& stop, const std::string& thread, unsigned cpu,
                              const x86::Registers& registers) {
  for (auto& watch : watches_) {
    const auto into = *stop.watched - watch.spot.at.value;
    if (into >= watch.spot.length || thinning_.at(watch.probe).out) continue;
    std::vector<std::byte> now(watch.spot.length);
    const bool readable = kernel_.memory().read(watch.spot.at, now).has_value();
    const auto kind = kind_of(watch.spot);
    // QEMU names the range, not the byte: what changed says where a write went.
    const auto changed =
        readable ? std::mismatch(now.begin(), now.end(), watch.shadow.begin()).first - now.begin()
                 : 0;
    const bool wrote = readable && changed != static_cast<std::ptrdiff_t>(now.size());
    const auto where = wrote ? static_cast<std::uint64_t>(changed) : 0;
    const bool known = wrote || watch.spot.length <= 8;
    const auto number = [&](const std::vector<std::byte>& bytes) {
      std::uint64_t value = 0;
      std::memcpy(&value, bytes.data() + where, std::min<std::size_t>(8, bytes.size() - where));
      return readable && known ? Told::of(value) : Told::none();
    };
    StopTold told;
    const bool undecided = kind == GdbClient::Point::access && !wrote;
    told.fields = {known ? Told::of(watch.spot.at.value + where) : Told::none(), Told::none(),
                   number(now), number(watch.shadow),
                   undecided ? Told::none()
                             : Told::of(std::uint64_t{kind != GdbClient::Point::read ? 1U : 0U})};
    bool moved = false;
    fire(watch.probe, thread, cpu, registers, told, moved);
    watch.shadow = std::move(now);
  }
  return settle_points();
}

bool Stops::pass(std::uint32_t probe) {
  auto& thinning = thinning_.at(probe);
  const auto now = monotonic_ns();
  if (!thinning.gate.admit(now)) {
    thinning.out = true;
    thinning.since_ns = now;
    if (++thinning.times == 1) {
      const auto& written = mine_.program->probes[probe];
      sink_.note(
          {SourceNote::thinned, probe,
           fmt::format("line {}: {} fires more often than {:g} times a second: it is switched off "
                       "until it has rested, again and again; what happens meanwhile is not seen",
                       written.line, vmipl::probes()[written.probe].name, limit_.rate)});
    }
    return false;
  }
  return true;
}

void Stops::fire(std::uint32_t probe, const std::string& thread, unsigned cpu,
                 const x86::Registers& registers, const StopTold& told, bool& moved) {
  if (!pass(probe)) return;
  StopFiring firing(client_, thread, registers, told);
  firing.probe = probe;
  firing.program = mine_.program.get();
  firing.cpu = cpu;
  firing.monotonic_ns = monotonic_ns();
  sink_.fire(firing);
  stay_ |= firing.stays();
  moved |= firing.moved();
}

/// The call that a frame of registers at the entry is of.
void Stops::tell_frame(StopTold& told, std::uint64_t frame) const {
  constexpr PtRegs kArguments[] = {kDi, kSi, kDx, kR10, kR8, kR9};
  for (std::size_t i = 0; i < told.arguments.size(); ++i) {
    const auto value = load(frame + kArguments[i]);
    told.arguments[i] = value ? Told::of(*value) : Told::none();
  }
  if (const auto number = load(frame + kOrigAx)) tell_system_call(told, *number);
}

void Stops::tell_system_call(StopTold& told, std::uint64_t number) const {
  told.system_call_number = Told::of(number);
  const auto name = vmipl::system_call_name(number);
  told.system_call_name = name.empty() ? Told::none() : Told::of(name);
  told.compat = Told::of(std::uint64_t{0});
}

void Stops::tell_module(StopTold& told, Gva module) const {
  told.fields = {Told::none(), Told::none(), Told::none()};
  if (!modules_) return;
  const auto read = linux::read_module(kernel_.memory(), *modules_, module);
  if (!read) return;
  told.texts.push_back(read->name);
  told.fields = {Told::of(std::string_view(told.texts.back())), Told::of(read->core.value),
                 Told::of(read->size)};
}

Told Stops::exit_code_of(Gva task) const {
  if (!task_) return Told::none();
  constexpr std::uint32_t kGroupExit = 4;  // SIGNAL_GROUP_EXIT, include/linux/sched/signal.h
  const auto flags = task_->signal_flags.read(kernel_.memory(), task);
  const auto code = flags && (*flags & kGroupExit) != 0
                        ? task_->group_exit_code.read(kernel_.memory(), task)
                        : task_->exit_code.read(kernel_.memory(), task);
  return code ? Told::of(static_cast<std::uint64_t>(static_cast<std::int64_t>(*code)))
              : Told::none();
}

std::optional<std::uint64_t> Stops::load(std::uint64_t at) const {
  std::uint64_t value = 0;
  if (!kernel_.memory().read(Gva{at}, writable_bytes_of(value))) return std::nullopt;
  return value;
}

Losses Stops::losses() const {
  Losses losses;
  const auto now = monotonic_ns();
  for (const auto& [probe, thinning] : thinning_) {
    if (thinning.times == 0) continue;
    losses.firings += thinning.gate.refused();
    const auto out = thinning.out_ns + (thinning.out ? now - thinning.since_ns : 0);
    losses.words.push_back(fmt::format(
        "gdbstub: line {} was switched off {} times, {:.1f} s in all, as it fired too often; what "
        "happened then is not counted",
        mine_.program->probes[probe].line, thinning.times, static_cast<double>(out) * 1e-9));
  }
  if (forgotten_ != 0)
    losses.words.push_back(fmt::format("gdbstub: {} returns were not waited for", forgotten_));
  return losses;
}

}  // namespace vitrine::probe
