#include "linux/tasks_memory.h"

#include <algorithm>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {

UserBytes read_user_bytes(const VirtualMemory& memory, Gva from, std::uint64_t size,
                          std::uint64_t limit) {
  UserBytes out;
  out.cut = size > limit;
  size = std::min(size, limit);
  while (out.bytes.size() < size) {
    const auto done = out.bytes.size();
    const Gva at = from + done;
    const auto part = static_cast<std::size_t>(
        std::min<std::uint64_t>(kPageSize - at.value % kPageSize, size - done));
    out.bytes.resize(done + part);
    const auto into = std::as_writable_bytes(std::span(out.bytes)).subspan(done);
    if (!memory.read(at, into)) {
      out.bytes.resize(done);
      out.cut = true;
      break;
    }
  }
  return out;
}

std::vector<std::string> split_strings(std::string_view bytes) {
  std::vector<std::string> strings;
  while (!bytes.empty()) {
    const auto end = std::min(bytes.find('\0'), bytes.size());
    strings.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  return strings;
}

Outcome<MemoryFields> MemoryFields::open(const Kernel& kernel) {
  MemoryFields fields;
  fields.kernel_ = &kernel;
  const auto& types = kernel.types();
  FieldBinder bind(types);
  bind(fields.total_vm_, "mm_struct.total_vm");
  bind(fields.data_vm_, "mm_struct.data_vm");
  bind(fields.stack_vm_, "mm_struct.stack_vm");
  bind(fields.start_code_, "mm_struct.start_code");
  bind(fields.end_code_, "mm_struct.end_code");
  bind(fields.arg_start_, "mm_struct.arg_start");
  bind(fields.arg_end_, "mm_struct.arg_end");
  bind(fields.env_start_, "mm_struct.env_start");
  bind(fields.env_end_, "mm_struct.env_end");
  bind(fields.exe_file_, "mm_struct.exe_file");
  // A bitmap in a struct of its own since 6.18.
  bind(fields.flags_, {"mm_struct.flags.__mm_flags[0]", "mm_struct.flags"});
  bind(fields.counters_, {"mm_struct.rss_stat.count", "mm_struct.rss_stat"});
  TRY(bind.done());
  // struct mm_rss_stat { atomic_long_t count[4]; } up to 6.1, percpu_counter[4] since
  // 6.2 (f1a7941243c1).
  if (const auto count = Embedded::from(types, "mm_struct.rss_stat.count"); !count) {
    fields.per_cpu_ = true;
    fields.counter_count_ = static_cast<std::uint32_t>(
        TRY(Embedded::from(types, "percpu_counter.count")).offset().value_or(0));
    if (const auto cpus = Embedded::from(types, "percpu_counter.counters"))
      fields.counter_cpus_ = static_cast<std::uint32_t>(cpus->offset().value_or(0));
  }
  const auto index = [&](std::string_view name, std::uint32_t fallback) {
    return static_cast<std::uint32_t>(types.find_enumerator(name).value_or(fallback));
  };
  fields.file_pages_ = index("MM_FILEPAGES", 0);
  fields.anonymous_pages_ = index("MM_ANONPAGES", 1);
  fields.shared_pages_ = index("MM_SHMEMPAGES", 3);
  fields.span_ =
      Span::covering(fields.total_vm_, fields.data_vm_, fields.stack_vm_, fields.start_code_,
                     fields.end_code_, fields.arg_start_, fields.arg_end_, fields.env_start_,
                     fields.env_end_, fields.exe_file_, fields.flags_)
          .joined({static_cast<std::uint32_t>(fields.counters_.offset().value_or(0)),
                   static_cast<std::uint32_t>(fields.counters_.size())});
  return fields;
}

Result<std::int64_t> MemoryFields::counter(const Snapshot& mm, std::uint32_t which) const {
  const std::uint64_t at = counters_.offset().value_or(0) + which * counters_.stride();
  if (which >= counters_.count()) return fail(Errc::out_of_bounds, mm.object().value, "rss_stat");
  const auto word = [&](std::uint64_t offset) -> Result<std::int64_t> {
    const auto bytes = mm.bytes(offset, 8);
    if (!bytes) return fail(Errc::out_of_bounds, mm.object().value, "mm_struct.rss_stat");
    return *load<std::int64_t>(*bytes, 0);
  };
  if (!per_cpu_) return std::max<std::int64_t>(0, TRY(word(at)));
  auto sum = static_cast<std::uint64_t>(TRY(word(at + counter_count_)));  // forged ones wrap
  const Gva parts{counter_cpus_ ? static_cast<std::uint64_t>(TRY(word(at + *counter_cpus_))) : 0};
  if (parts) {
    for (unsigned cpu = 0; cpu < kernel_->cpu_count(); ++cpu) {
      const Gva part = TRY(kernel_->per_cpu(parts, cpu));
      sum +=
          static_cast<std::uint64_t>(std::int64_t{TRY(kernel_->memory().load<std::int32_t>(part))});
    }
  }
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(sum));
}

namespace {

constexpr std::uint64_t kMaxPages = 1ULL << 45;  // an address space of 57 bits

/// Pages as bytes; a count that no address space can have is refused.
Result<std::int64_t> bytes_of_pages(std::uint64_t pages, Gva where, const char* what) {
  if (pages > kMaxPages) return fail(Errc::implausible, where.value, what);
  return static_cast<std::int64_t>(pages * kPageSize);
}

}  // namespace

Result<MemoryFields::Resident> MemoryFields::resident(const Snapshot& mm) const {
  const auto file = static_cast<std::uint64_t>(TRY(counter(mm, file_pages_)));
  const auto anonymous = static_cast<std::uint64_t>(TRY(counter(mm, anonymous_pages_)));
  const auto shared = static_cast<std::uint64_t>(TRY(counter(mm, shared_pages_)));
  return Resident{
      .total = TRY(bytes_of_pages(file + anonymous + shared, mm.object(), "mm_struct.rss_stat")),
      .shared = TRY(bytes_of_pages(file + shared, mm.object(), "mm_struct.rss_stat"))};
}

Result<std::int64_t> MemoryFields::total(const Snapshot& mm) const {
  return bytes_of_pages(TRY(total_vm_.read(mm)), mm.object(), "mm_struct.total_vm");
}

Result<std::int64_t> MemoryFields::text(const Snapshot& mm) const {
  const auto start = TRY(start_code_.read(mm)) / kPageSize;
  const auto end = (TRY(end_code_.read(mm)) + kPageSize - 1) / kPageSize;
  return bytes_of_pages(end - start, mm.object(), "mm_struct.end_code");
}

Result<std::int64_t> MemoryFields::data(const Snapshot& mm) const {
  return bytes_of_pages(TRY(data_vm_.read(mm)) + TRY(stack_vm_.read(mm)), mm.object(),
                        "mm_struct.data_vm");
}

Result<UserBytes> MemoryFields::command_line(const VirtualMemory& user, const Snapshot& mm) const {
  const auto start = TRY(arg_start_.read(mm));
  const auto end = TRY(arg_end_.read(mm));
  const auto env_start = TRY(env_start_.read(mm));
  const auto env_end = TRY(env_end_.read(mm));
  if (env_end == 0 || start >= end) return UserBytes{};
  if (const auto last = user.load<char>(Gva{end - 1}); last && *last != '\0') {
    // The last NUL was overwritten: a title, which ends at its first NUL and may run on
    // into the environment behind the arguments. The kernel shows a page of it at most.
    const auto whole = (env_start != end || env_end < env_start ? end : env_end) - start;
    auto title = read_user_bytes(user, Gva{start}, kPageSize, kPageSize);
    if (const auto nul = title.bytes.find('\0'); nul != std::string::npos) {
      title.bytes.resize(nul + 1);
      title.cut = false;
    }
    if (title.bytes.size() > whole) title.bytes.resize(whole);
    return title;
  }
  return read_user_bytes(user, Gva{start}, end - start, kMaxStrings);
}

Result<UserBytes> MemoryFields::environment(const VirtualMemory& user, const Snapshot& mm) const {
  const auto start = TRY(env_start_.read(mm));
  const auto end = TRY(env_end_.read(mm));
  if (start >= end) return UserBytes{};
  return read_user_bytes(user, Gva{start}, end - start, kMaxStrings);
}

std::optional<std::int64_t> MemoryFields::dumpable(const Snapshot& mm) const {
  const auto flags = flags_.read(mm);
  if (!flags || !*flags) return std::nullopt;
  return static_cast<std::int64_t>(**flags & 3);
}

}  // namespace vitrine::linux
