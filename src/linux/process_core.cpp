#include "linux/process_core.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/procfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "linux/field.h"
#include "linux/stack/saved_registers.h"
#include "linux/stack/stack_areas.h"
#include "linux/tasks.h"
#include "linux/views/maps_areas.h"
#include "x86/address_space.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMostPages = 16ULL << 20;  // looked at
constexpr std::size_t kMostSegments = 60'000;      // an ELF header counts to 65,535
constexpr std::size_t kSavedWords = 21;            // of struct pt_regs
// Source: include/linux/mm.h.
enum AreaFlag : std::uint64_t {
  kRead = 1,
  kWrite = 2,
  kExecute = 4,
  kPfnMap = 0x400,
  kIo = 0x4000
};

struct Segment {
  Gva start;
  std::uint64_t size = 0;
  std::uint32_t flags = 0;
  bool there = false;
};

struct Fields {
  Field<Gva> mm;
  Field<std::string> comm;
  Field<std::uint64_t> fs_base;
  StackAreas stacks;
  SavedLayout saved;
  static Outcome<Fields> from(const Kernel& kernel) {
    const auto& types = kernel.types();
    Fields fields{.mm = {},
                  .comm = {},
                  .fs_base = {},
                  .stacks = TRY(StackAreas::open(kernel)),
                  .saved = TRY(SavedLayout::open(types))};
    FieldBinder bind(types);
    bind(fields.mm, "task_struct.mm");
    bind(fields.comm, "task_struct.comm");
    bind(fields.fs_base, "task_struct.thread.fsbase");
    TRY(bind.done());
    return fields;
  }
};

Outcome<void> write_all(int file, const void* bytes, std::size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  while (size != 0) {
    const auto written = ::write(file, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      return std::unexpected(
          Problem(Errc::io, "the core cannot be written", "is there room left?"));
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return {};
}

void note(std::string& into, std::uint32_t type, const void* bytes, std::size_t size) {
  const Elf64_Nhdr head{5, static_cast<Elf64_Word>(size), type};
  into.append(reinterpret_cast<const char*>(&head), sizeof head);
  into.append("CORE\0\0\0\0", 8);
  into.append(static_cast<const char*>(bytes), size);
  into.append((4 - size % 4) % 4, '\0');
}

/// What a thread has saved when it entered the kernel. False if that is no such frame.
bool user_registers(const Kernel& kernel, const Fields& fields, Gva task, elf_gregset_t& into) {
  const auto stack = fields.stacks.of_task(task);
  if (!stack) return false;
  const auto state = saved_user_state(kernel.memory(), fields.saved, *stack);
  if (!state) return false;
  std::array<std::uint64_t, 27> words{};
  if (!kernel.memory().read(state->saved_at,
                            std::as_writable_bytes(std::span(words).first(kSavedWords))))
    return false;
  constexpr std::size_t kFsBase = kSavedWords;
  if (const auto base = fields.fs_base.read(kernel.memory(), task)) words[kFsBase] = *base;
  static_assert(sizeof into == sizeof words);
  std::memcpy(&into, words.data(), sizeof words);
  return true;
}

/// The runs of pages that are there, and those that are not.
std::vector<Segment> segments_of(const x86::AddressSpace& memory,
                                 const std::vector<maps::Area>& areas, ProcessCore& core) {
  std::vector<Segment> out;
  std::uint64_t pages = 0;
  // A process may have one page at a million addresses (of zeros, if it only reads): what is
  // written is no more than the machine's memory, twice.
  std::uint64_t room = 0;
  for (const auto& range : memory.ram().ram()) room += 2 * range.size;
  for (const auto& area : areas) {
    if ((area.flags & (kPfnMap | kIo)) != 0) continue;
    const auto flags = static_cast<std::uint32_t>(((area.flags & kRead) != 0 ? PF_R : 0) |
                                                  ((area.flags & kWrite) != 0 ? PF_W : 0) |
                                                  ((area.flags & kExecute) != 0 ? PF_X : 0));
    bool first = true;
    for (auto at = area.start; at < area.end; at += kPageSize) {
      if (++pages > kMostPages || out.size() >= kMostSegments || core.bytes >= room) {
        core.truncated = true;
        return out;
      }
      const auto where = memory.translate(at);
      const bool there = where && memory.ram().load<std::uint8_t>(where->address).has_value();
      if (first || out.back().there != there) out.push_back({at, 0, flags, there});
      out.back().size += kPageSize;
      (there ? core.bytes : core.absent) += kPageSize;
      first = false;
    }
  }
  return out;
}

}  // namespace

Outcome<ProcessCore> write_process_core(const Kernel& kernel, std::int64_t pid, int descriptor) {
  const auto fields = TRY(Fields::from(kernel));
  const auto tasks = TRY(TaskList::open(kernel));
  const auto listing = tasks.processes();
  const auto leader = std::find_if(listing.tasks.begin(), listing.tasks.end(),
                                   [&](const TaskRef& task) { return task.tgid == pid; });
  if (leader == listing.tasks.end())
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("the guest has no process {}", pid)));
  const auto mm = fields.mm.read(kernel.memory(), leader->address);
  if (!mm || !*mm)
    return std::unexpected(Problem(
        Errc::unsupported,
        fmt::format("process {} has no user memory: a kernel thread, or it has ended", pid)));
  const auto root = kernel.user_root(*mm);
  if (!root) return std::unexpected(Problem(root.error()));
  const x86::AddressSpace memory(kernel.ram(), *root);
  const auto finder = TRY(maps::AreaFinder::open(kernel));
  const auto areas = finder.find(*mm);

  ProcessCore core;
  core.truncated = areas.truncated || areas.broken.has_value();
  core.name = fields.comm.read(kernel.memory(), leader->address).value_or("?");
  const auto segments = segments_of(memory, areas.areas, core);

  std::string notes;
  elf_prpsinfo about{};
  about.pr_pid = static_cast<int>(pid);
  std::strncpy(about.pr_psargs, core.name.c_str(), sizeof about.pr_psargs - 1);
  std::strncpy(about.pr_fname, core.name.c_str(), sizeof about.pr_fname - 1);
  for (const auto& thread : tasks.threads_of(*leader).tasks) {
    elf_prstatus status{};
    status.pr_pid = thread.pid;
    ++core.threads;
    if (!user_registers(kernel, fields, thread.address, status.pr_reg))
      ++core.threads_without_registers;
    note(notes, NT_PRSTATUS, &status, sizeof status);
    if (core.threads == 1) note(notes, NT_PRPSINFO, &about, sizeof about);
  }

  Elf64_Ehdr head{};
  std::memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_CORE;
  head.e_machine = EM_X86_64;
  head.e_version = EV_CURRENT;
  head.e_ehsize = sizeof head;
  head.e_phentsize = sizeof(Elf64_Phdr);
  head.e_phnum = static_cast<Elf64_Half>(segments.size() + 1);
  head.e_phoff = sizeof head;
  std::vector<Elf64_Phdr> table(1);
  std::uint64_t offset = sizeof head + (segments.size() + 1) * sizeof(Elf64_Phdr);
  table[0].p_type = PT_NOTE;
  table[0].p_offset = offset;
  table[0].p_filesz = notes.size();
  table[0].p_align = 4;
  offset += notes.size();
  const auto data = (offset + kPageSize - 1) / kPageSize * kPageSize;
  const auto padding = data - offset;
  offset = data;
  for (const auto& segment : segments) {
    Elf64_Phdr entry{};
    entry.p_type = PT_LOAD;
    entry.p_flags = segment.flags;
    entry.p_offset = offset;
    entry.p_vaddr = segment.start.value;
    entry.p_memsz = segment.size;
    entry.p_filesz = segment.there ? segment.size : 0;
    entry.p_align = kPageSize;
    offset += entry.p_filesz;
    table.push_back(entry);
  }
  TRY(write_all(descriptor, &head, sizeof head));
  TRY(write_all(descriptor, table.data(), table.size() * sizeof table[0]));
  TRY(write_all(descriptor, notes.data(), notes.size()));
  const std::string zeros(padding, '\0');
  TRY(write_all(descriptor, zeros.data(), zeros.size()));
  std::vector<std::byte> piece(256 * kKiB);
  for (const auto& segment : segments) {
    if (!segment.there) continue;
    for (std::uint64_t done = 0; done < segment.size;) {
      const auto part =
          MutableBytes(piece).first(std::min<std::size_t>(piece.size(), segment.size - done));
      if (!memory.read(segment.start + done, part)) {
        // Page by page, to lose no more than what is gone.
        for (std::size_t at = 0; at < part.size(); at += kPageSize) {
          const auto page = part.subspan(at, kPageSize);
          if (memory.read(segment.start + done + at, page)) continue;
          std::fill(page.begin(), page.end(), std::byte{0});
          core.lost += kPageSize;
        }
      }
      TRY(write_all(descriptor, part.data(), part.size()));
      done += part.size();
    }
  }
  return core;
}

}  // namespace vitrine::linux
