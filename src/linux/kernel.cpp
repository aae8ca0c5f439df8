#include "linux/kernel.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "linux/code_sample.h"
#include "linux/field.h"
#include "linux/find_kernel.h"
#include "linux/identity.h"
#include "linux/kernel_cache.h"
#include "linux/map_check.h"
#include "linux/memory_follower.h"
#include "linux/modules.h"
#include "linux/self_test.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr unsigned kMaxCpus = 8192;  // CONFIG_NR_CPUS, at most

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

/// vmlinux's BTF, copied out of .rodata.
Outcome<std::vector<std::byte>> read_types(const VirtualMemory& memory,
                                           const SymbolTable& symbols) {
  const auto start = symbols.find("__start_BTF");
  const auto stop = symbols.find("__stop_BTF");
  if (!start || !stop) {
    return std::unexpected(
        Problem(Errc::not_found, "this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF)"));
  }
  const std::uint64_t size = *stop - *start;
  if (size > btf::kMaxBlobSize) {
    return std::unexpected(
        Problem(Errc::too_large, fmt::format("the kernel's BTF claims {} bytes", size)));
  }
  std::vector<std::byte> blob(size);
  TRY(memory.read(*start, blob));
  return blob;
}

/// What is said where the guest's own tables are not those of its kernel, and the kept serve.
void tell_altered(Health& health, const char* what, double likeness, std::string_view path) {
  health.checks.push_back(
      {what, Health::Verdict::failed,
       fmt::format("the guest's own {} differs from what its kernel carried before", what)});
  health.warnings.push_back(
      fmt::format("THE GUEST'S {} WAS ALTERED: its bytes are not those that this kernel (same "
                  "build id, {:.0f} % of a sample of "
                  "its code the same) carried when it was kept. What was kept serves instead: {}. "
                  "Memory is damaged, or someone "
                  "is hiding; --no-cache shows what the guest itself says",
                  what, likeness * 100, path));
}

void keep(const KernelCache& cache, const PhysicalMemory& ram, const FoundKernel& found,
          Bytes types, Health& health) {
  if (const auto kept = cache.keep(ram, found, types); !kept)
    health.warnings.push_back(kept.error().message);
}

/// The guest's own types. A kernel that is not in the cache is put there; for one that is,
/// the guest's BTF is held against what was kept, which serves where they differ.
/// Empty where there are none; `health` says why.
TypeCatalogue learn_types(const PhysicalMemory& ram, const FoundKernel& found,
                          const KernelCache& cache, const CachedKernel* cached, Health& health) {
  const auto start = std::chrono::steady_clock::now();
  const x86::AddressSpace memory(ram, found.place.root);
  auto blob = read_types(memory, found.symbols);
  const bool types_altered = cached != nullptr && cached->types_hash != 0 &&
                             (!blob || hash_types(*blob) != cached->types_hash);
  const char* whence = "BTF";
  if (types_altered || (cached != nullptr && cached->symbols_altered)) {
    const auto likeness = cache.code_likeness(ram, *cached);
    if (cached->symbols_altered) tell_altered(health, "kallsyms", likeness, cached->path);
    if (types_altered) {
      auto kept = likeness >= CodeSample::kSame ? cache.types(*cached) : std::nullopt;
      if (kept) {
        tell_altered(health, "BTF", likeness, cached->path);
        blob = std::move(*kept);
        whence = "BTF as kept";
      } else {
        health.warnings.push_back(
            fmt::format("the guest's BTF is not what was kept with its kernel ({}), and cannot be "
                        "replaced by it: the guest's own is used",
                        cached->path));
      }
    }
  }
  Outcome<TypeCatalogue> types = std::unexpected(Problem(Errc::not_found, ""));
  if (blob) {
    auto copy = cached == nullptr ? *blob : std::vector<std::byte>();
    if (auto parsed = TypeCatalogue::parse(std::move(*blob))) {
      types = std::move(*parsed);
    } else {
      types = std::unexpected(Problem(parsed.error()));
      copy.clear();  // what does not parse is not kept; the symbols are worth keeping without
    }
    if (cached == nullptr) keep(cache, ram, found, copy, health);
  } else {
    types = std::unexpected(blob.error());
    if (cached == nullptr) keep(cache, ram, found, {}, health);
  }
  if (!types) {
    health.warnings.push_back(types.error().message);
    return {};
  }
  health.notes.push_back(
      fmt::format("types: {}, read in {:.1f} ms", whence, milliseconds_since(start)));
  return std::move(*types);
}

}  // namespace

struct Kernel::State {
  State(const Machine& m, FoundKernel f)
      : machine(m),
        place(f.place),
        symbols(std::move(f.symbols)),
        ram(m.memory()),
        ahead(ram),
        memory(ahead, f.place.root),
        follower(m, memory, ram, {symbols.find("max_pfn"), symbols.find("uevent_seqnum")}) {}

  const Machine& machine;
  KernelPlace place;
  SymbolTable symbols;
  WitnessedMemory ram;
  ReadAhead ahead;
  x86::AddressSpace memory;
  MemoryFollower follower;
  TypeCatalogue types;
  Identity identity;
  Health health;
  Gva per_cpu_offsets;
  bool lists_data = true;
  bool uniprocessor = false;  ///< CONFIG_SMP is not set: a per-CPU variable is one like others
  unsigned cpus = 1;
  Field<Gva> mm_pgd;
  mutable std::optional<SymbolTable> module_symbols;
};

Kernel::Kernel(std::unique_ptr<State> state) : state_(std::move(state)) {}
Kernel::~Kernel() = default;

bool Health::ok() const {
  return std::ranges::all_of(checks,
                             [](const Check& check) { return check.verdict == Verdict::passed; });
}

std::string default_cache_directory() {
  if (const char* base = std::getenv("XDG_CACHE_HOME"); base != nullptr && *base == '/') {
    return std::string(base) + "/vitrine";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::string(home) + "/.cache/vitrine";
  }
  return {};
}

Outcome<std::unique_ptr<Kernel>> Kernel::attach(const Machine& machine,
                                                const AttachOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  Health health;
  std::vector<TextHint> hints;
  bool asked_cpus = false;
  if (auto cpus = machine.registers()) {
    hints = text_hints(machine.memory(), *cpus);
    asked_cpus = true;
    if (hints.empty()) health.notes.emplace_back("no CPU runs 64-bit kernel code: RAM was scanned");
  } else {
    health.notes.push_back(fmt::format("no registers ({}): RAM was scanned", cpus.error().message));
  }
  const KernelCache cache(options.cache_directory);
  std::string doubt;
  auto cached = cache.find(machine.memory(), hints, doubt);
  if (!doubt.empty()) health.warnings.push_back(doubt);
  auto found = cached ? std::move(cached->kernel)
                      : TRY(find_kernel(machine.memory(), hints, !machine.live()));
  if (cached) cached->kernel.place = found.place;
  health.notes.push_back(
      fmt::format("kernel: found by {} in {:.1f} ms", found.how, milliseconds_since(start)));
  if (asked_cpus && machine.live() && !runs_at(machine.memory(), found.place, hints)) {
    health.warnings.emplace_back(
        "no CPU runs this kernel: it lies in RAM, but has ended (a reboot, a kexec) or starts only "
        "now");
  }
  health.notes.push_back(fmt::format("symbols: {} from kallsyms{}", found.symbols.size(),
                                     cached && cached->symbols_altered ? " as kept" : ""));
  const bool lists_data = found.unlisted.empty();
  if (!lists_data) {
    health.warnings.push_back(
        fmt::format("kallsyms has no data (CONFIG_KALLSYMS_ALL is not set), so views that start at "
                    "a variable cannot be had; found by what stands there: {}",
                    fmt::join(found.unlisted, ", ")));
  }
  auto types = learn_types(machine.memory(), found, cache, cached ? &*cached : nullptr, health);

  auto state = std::make_unique<State>(machine, std::move(found));
  state->follower.look();  // memory may have been plugged since the machine was opened
  state->identity =
      read_identity(state->memory, machine.memory(), state->place, state->symbols, health.warnings);
  state->types = std::move(types);
  state->lists_data = lists_data;
  if (!state->types.empty()) {
    FieldBinder bind(state->types);
    bind(state->mm_pgd, "mm_struct.pgd");
    if (auto bound = bind.done(); !bound) health.warnings.push_back(bound.error().message);
  }

  if (const auto offsets = state->symbols.find("__per_cpu_offset"))
    state->per_cpu_offsets = *offsets;
  else
    state->uniprocessor =
        lists_data || (!state->types.empty() &&
                       !MemberPath::compile(state->types, "task_struct.thread_info.cpu") &&
                       !MemberPath::compile(state->types, "task_struct.cpu"));
  if (const auto ids = state->symbols.find("nr_cpu_ids")) {
    const auto count = state->memory.load<std::uint32_t>(*ids).value_or(1);
    if (count == 0 || count > kMaxCpus) {
      health.warnings.push_back(fmt::format("nr_cpu_ids is {}: taken as 1", count));
    } else {
      state->cpus = count;
    }
  }

  auto kernel = std::unique_ptr<Kernel>(new Kernel(std::move(state)));
  check_inferred_map(*kernel, health);
  run_self_test(*kernel, health);
  health.notes.push_back(fmt::format("attached in {:.1f} ms", milliseconds_since(start)));
  kernel->state_->health = std::move(health);
  return kernel;
}

const Machine& Kernel::machine() const { return state_->machine; }
const x86::AddressSpace& Kernel::memory() const { return state_->memory; }
const WitnessedMemory& Kernel::ram() const { return state_->ram; }
const ReadAhead& Kernel::read_ahead() const { return state_->ahead; }
const Identity& Kernel::identity() const { return state_->identity; }
const Health& Kernel::health() const { return state_->health; }
const SymbolTable& Kernel::symbols() const { return state_->symbols; }
const TypeCatalogue& Kernel::types() const { return state_->types; }
bool Kernel::lists_data() const { return state_->lists_data; }
bool Kernel::has_types() const { return !state_->types.empty(); }
unsigned Kernel::cpu_count() const { return state_->cpus; }
bool Kernel::one_cpu() const { return state_->uniprocessor; }

const SymbolTable& Kernel::module_symbols() const {
  if (!state_->module_symbols) {
    auto symbols = read_module_symbols(*this);
    state_->module_symbols = symbols ? std::move(*symbols) : SymbolTable();
  }
  return *state_->module_symbols;
}

Outcome<Gva> Kernel::symbol(std::string_view name) const {
  if (const auto found = symbols().find(name)) return *found;
  return std::unexpected(
      Problem(Errc::not_found, fmt::format("this kernel has no symbol {}", name)));
}

Result<Gva> Kernel::per_cpu(Gva variable, unsigned cpu) const {
  if (cpu >= cpu_count()) return fail(Errc::out_of_bounds, cpu, "cpu");
  if (state_->uniprocessor) return variable;
  if (!state_->per_cpu_offsets) return fail(Errc::not_found, 0, "__per_cpu_offset");
  const auto offset =
      TRY(memory().load<std::uint64_t>(state_->per_cpu_offsets + cpu * sizeof(std::uint64_t)));
  return variable + offset;
}

Result<x86::PageRoot> Kernel::user_root(Gva mm) const {
  const auto pgd = TRY(state_->mm_pgd.read(memory(), mm));
  const auto table = TRY(memory().translate(pgd));
  return x86::PageRoot{table.address, state_->place.root.levels, true};
}

void Kernel::refresh() {
  state_->memory.forget();
  state_->follower.look();
  state_->module_symbols.reset();
}

void Kernel::forget_modules() const {
  state_->memory.forget();
  state_->module_symbols.reset();
}

bool Kernel::still_there() const {
  const x86::PageRoot root = state_->place.root;
  const auto text = x86::translate(ram(), root, state_->place.text);
  return text && text->address == state_->place.text_physical;
}

}  // namespace vitrine::linux
