#include "linux/kernel.h"

#include <fmt/core.h>

#include <chrono>
#include <cstdlib>

#include "linux/field.h"
#include "linux/find_kernel.h"
#include "linux/identity.h"
#include "linux/kernel_cache.h"
#include "linux/modules.h"
#include "linux/self_test.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr unsigned kMaxCpus = 8192;  // CONFIG_NR_CPUS, at most

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// vmlinux's BTF, copied out of .rodata.
Outcome<TypeCatalogue> read_types(const VirtualMemory& memory, const SymbolTable& symbols) {
  const auto start = symbols.find("__start_BTF");
  const auto stop = symbols.find("__stop_BTF");
  if (!start || !stop) {
    return std::unexpected(Problem(Errc::not_found, "this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF)"));
  }
  const std::uint64_t size = *stop - *start;
  if (size > btf::kMaxBlobSize) {
    return std::unexpected(Problem(Errc::too_large, fmt::format("the kernel's BTF claims {} bytes", size)));
  }
  std::vector<std::byte> blob(size);
  TRY(memory.read(*start, blob));
  return TRY(TypeCatalogue::parse(std::move(blob)));
}

}  // namespace

struct Kernel::State {
  State(const Machine& m, FoundKernel f)
      : machine(m),
        place(f.place),
        symbols(std::move(f.symbols)),
        ahead(m.memory()),
        memory(ahead, f.place.root) {}

  const Machine& machine;
  KernelPlace place;
  SymbolTable symbols;
  ReadAhead ahead;
  x86::AddressSpace memory;
  TypeCatalogue types;
  Identity identity;
  Health health;
  Gva per_cpu_offsets;
  unsigned cpus = 1;
  Field<Gva> mm_pgd;
  mutable std::optional<SymbolTable> module_symbols;
};

Kernel::Kernel(std::unique_ptr<State> state) : state_(std::move(state)) {}
Kernel::~Kernel() = default;

bool Health::ok() const {
  for (const auto& check : checks) {
    if (!check.ok) return false;
  }
  return true;
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
  std::vector<Gpa> hints;
  if (auto cpus = machine.registers()) {
    hints = text_hints(machine.memory(), *cpus);
    if (hints.empty()) health.notes.emplace_back("no CPU runs 64-bit kernel code: RAM was scanned");
  } else {
    health.notes.push_back(fmt::format("no registers ({}): RAM was scanned", cpus.error().message));
  }
  const KernelCache cache(options.cache_directory);
  std::string doubt;
  auto cached = cache.find(machine.memory(), hints, doubt);
  if (!doubt.empty()) health.warnings.push_back(doubt);
  const bool known = cached.has_value();
  auto found = known ? std::move(*cached) : TRY(find_kernel(machine.memory(), hints));
  if (!known) {
    if (const auto kept = cache.keep(machine.memory(), found); !kept) health.warnings.push_back(kept.error().message);
  }
  health.notes.push_back(fmt::format("kernel: found by {} in {:.1f} ms", found.how, milliseconds_since(start)));
  health.notes.push_back(fmt::format("symbols: {} from kallsyms", found.symbols.size()));

  auto state = std::make_unique<State>(machine, std::move(found));
  state->identity = read_identity(state->memory, machine.memory(), state->place, state->symbols, health.warnings);

  const auto types_start = std::chrono::steady_clock::now();
  if (auto types = read_types(state->memory, state->symbols)) {
    state->types = std::move(*types);
    health.notes.push_back(fmt::format("types: BTF, read in {:.1f} ms", milliseconds_since(types_start)));
    FieldBinder bind(state->types);
    bind(state->mm_pgd, "mm_struct.pgd");
    if (auto bound = bind.done(); !bound) health.warnings.push_back(bound.error().message);
  } else {
    health.warnings.push_back(types.error().message);
  }

  if (const auto offsets = state->symbols.find("__per_cpu_offset")) state->per_cpu_offsets = *offsets;
  if (const auto ids = state->symbols.find("nr_cpu_ids")) {
    const auto count = state->memory.load<std::uint32_t>(*ids).value_or(1);
    if (count == 0 || count > kMaxCpus) {
      health.warnings.push_back(fmt::format("nr_cpu_ids is {}: taken as 1", count));
    } else {
      state->cpus = count;
    }
  }

  auto kernel = std::unique_ptr<Kernel>(new Kernel(std::move(state)));
  run_self_test(*kernel, health);
  health.notes.push_back(fmt::format("attached in {:.1f} ms", milliseconds_since(start)));
  kernel->state_->health = std::move(health);
  return kernel;
}

const Machine& Kernel::machine() const { return state_->machine; }
const x86::AddressSpace& Kernel::memory() const { return state_->memory; }
const ReadAhead& Kernel::read_ahead() const { return state_->ahead; }
const Identity& Kernel::identity() const { return state_->identity; }
const Health& Kernel::health() const { return state_->health; }
const SymbolTable& Kernel::symbols() const { return state_->symbols; }
const TypeCatalogue& Kernel::types() const { return state_->types; }
bool Kernel::has_types() const { return !state_->types.empty(); }
unsigned Kernel::cpu_count() const { return state_->cpus; }

const SymbolTable& Kernel::module_symbols() const {
  if (!state_->module_symbols) {
    auto symbols = read_module_symbols(*this);
    state_->module_symbols = symbols ? std::move(*symbols) : SymbolTable();
  }
  return *state_->module_symbols;
}

Outcome<Gva> Kernel::symbol(std::string_view name) const {
  if (const auto found = symbols().find(name)) return *found;
  return std::unexpected(Problem(Errc::not_found, fmt::format("this kernel has no symbol {}", name)));
}

Result<Gva> Kernel::per_cpu(Gva variable, unsigned cpu) const {
  if (cpu >= cpu_count()) return fail(Errc::out_of_bounds, cpu, "cpu");
  if (!state_->per_cpu_offsets) return fail(Errc::not_found, 0, "__per_cpu_offset");
  const auto offset = TRY(memory().load<std::uint64_t>(state_->per_cpu_offsets + cpu * sizeof(std::uint64_t)));
  return variable + offset;
}

Result<x86::PageRoot> Kernel::user_root(Gva mm) const {
  const auto pgd = TRY(state_->mm_pgd.read(memory(), mm));
  const auto table = TRY(memory().translate(pgd));
  return x86::PageRoot{table.address, state_->place.root.levels};
}

void Kernel::refresh() {
  state_->memory.forget();
  state_->module_symbols.reset();
}

bool Kernel::still_there() const {
  const x86::PageRoot root = state_->place.root;
  const auto text = x86::translate(ram(), root, state_->place.text);
  return text && text->address == state_->place.text_physical;
}

}  // namespace vitrine::linux
