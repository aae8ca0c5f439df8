#include "probe/moment_layout.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

constexpr std::uint32_t kMagic = 0x4c4d4956;         // "VIML"
constexpr std::uint32_t kKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
constexpr std::uint32_t kOnline = 2;                 // CSS_ONLINE, include/linux/cgroup-defs.h
constexpr unsigned kMaxComponents = 256;
constexpr unsigned kMaxMounts = 64;
constexpr unsigned kMaxLevels = 64;
constexpr std::uint64_t kHalf = 1ULL << 63;  // kernel addresses have the top bit

bool is_kernel(std::uint64_t address) { return (address & kHalf) != 0; }

/// Text that grows towards its beginning: how paths are found.
struct Backwards {
  std::span<char> room;
  std::size_t at;  ///< where the text begins; room.size(): empty

  explicit Backwards(std::span<char> into) : room(into), at(into.size()) {}
  [[nodiscard]] std::size_t free() const { return at; }
  bool put(char c) {
    if (at == 0) return false;
    room[--at] = c;
    return true;
  }
  bool put(std::string_view text) {
    if (at < text.size()) return false;
    at -= text.size();
    std::copy(text.begin(), text.end(), room.begin() + static_cast<std::ptrdiff_t>(at));
    return true;
  }
  /// Moves the text to the room's beginning, and `tail` behind it as far as it fits.
  std::size_t finish(std::string_view tail) {
    const auto size = room.size() - at;
    std::memmove(room.data(), room.data() + at, size);
    const auto more = std::min(tail.size(), room.size() - size);
    std::copy_n(tail.begin(), more, room.begin() + static_cast<std::ptrdiff_t>(size));
    return size + more;
  }
};

}  // namespace

std::array<std::byte, sizeof(MomentLayout) + 8> save(const MomentLayout& layout) {
  static_assert(std::is_trivially_copyable_v<MomentLayout>);
  std::array<std::byte, sizeof(MomentLayout) + 8> out{};
  std::memcpy(out.data(), &kMagic, 4);
  std::memcpy(out.data() + 4, &MomentLayout::kVersion, 4);
  std::memcpy(out.data() + 8, &layout, sizeof layout);
  return out;
}

Result<MomentLayout> load_moment_layout(Bytes bytes) {
  if (load<std::uint32_t>(bytes, 0) != kMagic)
    return fail(Errc::malformed, 0, "not a layout of the moment");
  if (load<std::uint32_t>(bytes, 4) != MomentLayout::kVersion)
    return fail(Errc::unsupported, 4, "version of a layout of the moment");
  if (bytes.size() != sizeof(MomentLayout) + 8)
    return fail(Errc::malformed, bytes.size(), "size of a layout of the moment");
  return *load<MomentLayout>(bytes, 8);
}

MomentReader::MomentReader(const MomentLayout& layout, MomentMemory& memory)
    : layout_(layout), memory_(memory) {
  struct Name {
    std::string_view group, name;
    Kind kind;
  };
  using enum Kind;
  static constexpr Name kNames[] = {{"process", "pid", Kind::pid},
                                    {"process", "tgid", Kind::pid},
                                    {"process", "ppid", ppid},
                                    {"process", "name", Kind::name},
                                    {"process", "path", Kind::path},
                                    {"process", "cmdline", Kind::cmdline},
                                    {"process", "uid", uid},
                                    {"process", "euid", euid},
                                    {"process", "gid", gid},
                                    {"process", "egid", egid},
                                    {"process", "cgroup", Kind::cgroup},
                                    {"process", "pid_namespace", pid_namespace},
                                    {"process", "mount_namespace", mount_namespace},
                                    {"process", "network_namespace", network_namespace},
                                    {"process", "user_namespace", user_namespace},
                                    {"process", "session", session},
                                    {"process", "tty", Kind::tty},
                                    {"process", "start_time", start_time},
                                    {"process", "kernel_thread", kernel_thread},
                                    {"process", "root", root},
                                    {"process", "task", task},
                                    {"thread", "tid", Kind::tid},
                                    {"thread", "name", thread_name},
                                    {"thread", "task", thread_task}};
  const auto all = vmipl::moments();
  for (const auto& known : kNames) {
    const auto* found = vmipl::find_moment(known.group, known.name);
    if (found == nullptr) continue;
    const auto index = static_cast<std::size_t>(found - all.data());
    if (index < kinds_.size()) kinds_[index] = known.kind;
  }
}

template <class T>
std::optional<T> MomentReader::get(std::uint64_t object, std::uint32_t member) noexcept {
  if (member == MomentLayout::kAbsent || !is_kernel(object)) return std::nullopt;
  T value{};
  if (!memory_.kernel(object + member, writable_bytes_of(value))) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> MomentReader::pointer(std::uint64_t object,
                                                   std::uint32_t member) noexcept {
  const auto value = get<std::uint64_t>(object, member);
  if (!value || !is_kernel(*value)) return std::nullopt;
  return value;
}

std::optional<MomentReader::Cpu> MomentReader::cpu(const CpuAtEvent& at) noexcept {
  if (layout_.uniprocessor != 0) return Cpu{0, 0};
  const auto offset_of = [&](std::uint32_t number) -> std::optional<std::uint64_t> {
    if (layout_.per_cpu_offsets == 0 || number >= layout_.cpus) return std::nullopt;
    return get<std::uint64_t>(layout_.per_cpu_offsets, number * 8);
  };
  const auto find = [&](std::uint64_t base) -> std::optional<Cpu> {
    if (!is_kernel(base)) return std::nullopt;
    if (offset_of(at.index) == base) return Cpu{at.index, base};
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(layout_.cpus, 4096); ++i) {
      if (offset_of(i) == base) return Cpu{i, base};
    }
    return std::nullopt;
  };
  // Where neither tells: its index, by which QEMU's and the guest's numbers agree.
  const auto guess = [&]() -> std::optional<Cpu> {
    const auto offset = offset_of(at.index);
    if (!offset || !is_kernel(*offset)) return std::nullopt;
    return Cpu{at.index, *offset};
  };
  const auto swapped = find(at.kernel_gs_base);
  if (at.user_mode) return swapped ? swapped : guess();
  const auto plain = find(at.gs_base);
  if (plain && swapped && plain->number != swapped->number)
    return plain->number == at.index ? plain : swapped->number == at.index ? swapped : plain;
  return plain ? plain : swapped ? swapped : guess();
}

bool MomentReader::still(const Cpu& cpu) noexcept {
  if (layout_.uniprocessor != 0) return true;
  return layout_.per_cpu_offsets != 0 &&
         get<std::uint64_t>(layout_.per_cpu_offsets, cpu.number * 8) == cpu.offset;
}

std::optional<std::uint64_t> MomentReader::current(const Cpu& cpu) noexcept {
  if (layout_.current_task == 0) return std::nullopt;
  std::uint64_t task = 0;
  if (!memory_.kernel(cpu.offset + layout_.current_task, writable_bytes_of(task)) ||
      !is_kernel(task))
    return std::nullopt;
  return task;
}

std::optional<std::uint64_t> MomentReader::per_cpu(std::uint64_t variable,
                                                   std::uint64_t cpu) noexcept {
  if (layout_.uniprocessor != 0) return variable;
  if (layout_.per_cpu_offsets == 0 || cpu >= layout_.cpus) return std::nullopt;
  const auto offset =
      get<std::uint64_t>(layout_.per_cpu_offsets, static_cast<std::uint32_t>(cpu * 8));
  if (!offset) return std::nullopt;
  return variable + *offset;
}

bool MomentReader::knows(unsigned moment) const noexcept {
  return moment < kinds_.size() && kinds_[moment] != Kind::none;
}

std::optional<std::int32_t> MomentReader::pid(std::uint64_t task) noexcept {
  return get<std::int32_t>(task, layout_.task_tgid);
}
std::optional<std::int32_t> MomentReader::tid(std::uint64_t task) noexcept {
  return get<std::int32_t>(task, layout_.task_pid);
}

std::optional<std::size_t> MomentReader::name(std::uint64_t task, std::span<char> into) noexcept {
  const auto first = leader(task);
  if (!first) return std::nullopt;
  return comm(*first, into);
}

std::optional<std::uint64_t> MomentReader::namespace_number(std::uint64_t task,
                                                            std::uint32_t member,
                                                            std::uint32_t number) noexcept {
  const auto proxy = pointer(task, layout_.task_nsproxy);
  const auto space = proxy ? pointer(*proxy, member) : std::nullopt;
  const auto value = space ? get<std::uint32_t>(*space, number) : std::nullopt;
  if (!value) return std::nullopt;
  return *value;
}

std::optional<std::uint64_t> MomentReader::number(unsigned moment, std::uint64_t task) noexcept {
  const auto kind = moment < kinds_.size() ? kinds_[moment] : Kind::none;
  const auto widened = [](std::optional<std::int32_t> value) -> std::optional<std::uint64_t> {
    if (!value) return std::nullopt;
    return static_cast<std::uint64_t>(std::int64_t{*value});
  };
  const auto credential = [&](std::uint32_t member) -> std::optional<std::uint64_t> {
    const auto first = leader(task);
    const auto cred = first ? pointer(*first, layout_.task_real_cred) : std::nullopt;
    const auto value = cred ? get<std::uint32_t>(*cred, member) : std::nullopt;
    if (!value) return std::nullopt;
    return *value;
  };
  switch (kind) {
    case Kind::pid:
      return widened(pid(task));
    case Kind::tid:
      return widened(tid(task));
    case Kind::ppid: {
      const auto first = leader(task);
      const auto parent = first ? pointer(*first, layout_.task_real_parent) : std::nullopt;
      return parent ? widened(pid(*parent)) : std::nullopt;
    }
    case Kind::uid:
      return credential(layout_.cred_uid);
    case Kind::euid:
      return credential(layout_.cred_euid);
    case Kind::gid:
      return credential(layout_.cred_gid);
    case Kind::egid:
      return credential(layout_.cred_egid);
    case Kind::user_namespace: {
      const auto first = leader(task);
      const auto cred = first ? pointer(*first, layout_.task_real_cred) : std::nullopt;
      const auto space = cred ? pointer(*cred, layout_.cred_user_ns) : std::nullopt;
      const auto value = space ? get<std::uint32_t>(*space, layout_.user_ns_number) : std::nullopt;
      if (!value) return std::nullopt;
      return *value;
    }
    case Kind::mount_namespace:
      return namespace_number(task, layout_.nsproxy_mnt, layout_.mnt_ns_number);
    case Kind::network_namespace:
      return namespace_number(task, layout_.nsproxy_net, layout_.net_ns_number);
    case Kind::pid_namespace: {
      // The namespace of the deepest number that the task has.
      const auto pid_struct = pointer(task, layout_.task_thread_pid);
      const auto level =
          pid_struct ? get<std::uint32_t>(*pid_struct, layout_.pid_level) : std::nullopt;
      if (!level || *level > 32 || layout_.pid_numbers == MomentLayout::kAbsent ||
          layout_.upid_ns == MomentLayout::kAbsent)
        return std::nullopt;
      const auto space =
          pointer(*pid_struct, layout_.pid_numbers + *level * layout_.upid_size + layout_.upid_ns);
      const auto value = space ? get<std::uint32_t>(*space, layout_.pid_ns_number) : std::nullopt;
      if (!value) return std::nullopt;
      return *value;
    }
    case Kind::session: {
      const auto signal = pointer(task, layout_.task_signal);
      if (!signal || layout_.signal_pids == MomentLayout::kAbsent ||
          layout_.pid_numbers == MomentLayout::kAbsent || layout_.upid_nr == MomentLayout::kAbsent)
        return std::nullopt;
      const auto pid_struct = pointer(*signal, layout_.signal_pids + 8 * layout_.session_kind);
      return pid_struct
                 ? widened(get<std::int32_t>(*pid_struct, layout_.pid_numbers + layout_.upid_nr))
                 : std::nullopt;
    }
    case Kind::start_time: {
      const auto first = leader(task);
      const auto start = first ? get<std::uint64_t>(*first, layout_.task_start) : std::nullopt;
      const auto real =
          layout_.offset_real != 0 ? get<std::int64_t>(layout_.offset_real, 0) : std::nullopt;
      const auto boot =
          layout_.offset_boot != 0 ? get<std::int64_t>(layout_.offset_boot, 0) : std::nullopt;
      if (!start || !real || !boot) return std::nullopt;
      return static_cast<std::uint64_t>(*real) - static_cast<std::uint64_t>(*boot) + *start;
    }
    case Kind::kernel_thread: {
      const auto flags = get<std::uint32_t>(task, layout_.task_flags);
      if (!flags) return std::nullopt;
      return (*flags & kKernelThread) != 0 ? 1 : 0;
    }
    case Kind::root: {
      const auto mm = pointer(task, layout_.task_mm);
      const auto pgd = mm ? pointer(*mm, layout_.mm_pgd) : std::nullopt;
      if (!pgd || layout_.direct_map == 0 || *pgd < layout_.direct_map) return std::nullopt;
      return *pgd - layout_.direct_map;
    }
    case Kind::task:
      return leader(task);
    case Kind::thread_task:
      return task;
    default:
      return std::nullopt;
  }
}

std::optional<std::size_t> MomentReader::text(unsigned moment, std::uint64_t task,
                                              std::span<char> into) noexcept {
  switch (moment < kinds_.size() ? kinds_[moment] : Kind::none) {
    case Kind::name:
      return name(task, into);
    case Kind::thread_name:
      return comm(task, into);
    case Kind::path:
      return path(task, into);
    case Kind::cmdline:
      return cmdline(task, into);
    case Kind::cgroup:
      return cgroup(task, into);
    case Kind::tty:
      return tty(task, into);
    default:
      return std::nullopt;
  }
}

std::optional<std::size_t> MomentReader::comm(std::uint64_t task, std::span<char> into) noexcept {
  const auto bytes = get<std::array<char, 16>>(task, layout_.task_comm);
  if (!bytes) return std::nullopt;
  const auto size =
      static_cast<std::size_t>(std::find(bytes->begin(), bytes->end(), '\0') - bytes->begin());
  const auto fits = std::min(size, into.size());
  std::copy_n(bytes->begin(), fits, into.begin());
  return fits;
}

std::optional<std::size_t> MomentReader::string(std::uint64_t address,
                                                std::span<char> into) noexcept {
  std::size_t have = 0;
  while (have < into.size()) {
    const auto at = address + have;
    const auto chunk =
        std::min<std::size_t>({into.size() - have, 64, 4096 - static_cast<std::size_t>(at % 4096)});
    if (!memory_.kernel(at, std::as_writable_bytes(into.subspan(have, chunk)))) return std::nullopt;
    if (const void* nul = std::memchr(into.data() + have, 0, chunk))
      return static_cast<std::size_t>(static_cast<const char*>(nul) - into.data());
    have += chunk;
  }
  return have;
}

// As prepend_path() in fs/d_path.c goes, without its locks: a path that changes meanwhile is
// missing or a mixture, as any reader without locks may see it.
std::optional<std::size_t> MomentReader::path(std::uint64_t task, std::span<char> into) noexcept {
  const auto mm = pointer(task, layout_.task_mm);
  const auto file = mm ? pointer(*mm, layout_.mm_exe_file) : std::nullopt;
  auto mount = file ? pointer(*file, layout_.file_mount) : std::nullopt;
  auto dentry = file ? pointer(*file, layout_.file_dentry) : std::nullopt;
  if (!mount || !dentry) return std::nullopt;
  // Where "/" is: init's root directory. Without it, the way ends at the mount tree's root.
  std::uint64_t top_mount = 0, top_dentry = 0;
  if (layout_.init_reaper != 0) {
    const auto init = get<std::uint64_t>(layout_.init_reaper, 0);
    const auto fs = init ? pointer(*init, layout_.task_fs) : std::nullopt;
    if (fs) {
      top_mount = pointer(*fs, layout_.fs_root_mount).value_or(0);
      top_dentry = pointer(*fs, layout_.fs_root_dentry).value_or(0);
    }
  }
  const auto parent_of = [&](std::uint64_t at) { return pointer(at, layout_.dentry_parent); };
  /// Writes the entry's name before what is there.
  const auto prepend = [&](std::uint64_t at, Backwards& out) {
    const auto name = pointer(at, layout_.dentry_name);
    const auto length = get<std::uint32_t>(at, layout_.dentry_length);
    if (!name || !length || *length > 255 || out.free() < std::size_t{*length} + 1) return false;
    const auto place = out.room.subspan(out.at - *length, *length);
    if (!memory_.kernel(*name, std::as_writable_bytes(place))) return false;
    out.at -= *length;
    return true;
  };
  Backwards out(into);
  auto root = pointer(*mount, layout_.mnt_root);
  auto parent = parent_of(*dentry);
  if (!root || !parent) return std::nullopt;
  const auto hashed = get<std::uint64_t>(*dentry, layout_.dentry_hashed);
  const bool deleted = hashed && *hashed == 0 && *parent != *dentry;
  // Who is named by a function of its file system: a memfd.
  if (const auto operations = pointer(*dentry, layout_.dentry_operations)) {
    const auto namer = get<std::uint64_t>(*operations, layout_.operations_dname);
    if (namer && *namer != 0 && (*parent != *dentry || *dentry != *root)) {
      if (!prepend(*dentry, out) || !out.put('/')) return std::nullopt;
      return out.finish(" (deleted)");
    }
  }
  unsigned components = 0, mounts = 0;
  while (*mount != top_mount || *dentry != top_dentry) {
    if (*dentry == *root) {
      const auto whole = *mount - layout_.mount_mnt;
      const auto above = pointer(whole, layout_.mount_parent);
      if (!above || ++mounts > kMaxMounts) return std::nullopt;
      if (*above == whole) break;  // another root than init's
      dentry = pointer(whole, layout_.mount_mountpoint);
      mount = *above + layout_.mount_mnt;
      root = pointer(*mount, layout_.mnt_root);
      if (!dentry || !root) return std::nullopt;
      continue;
    }
    parent = parent_of(*dentry);
    if (!parent || ++components > kMaxComponents) return std::nullopt;
    if (*parent == *dentry) {  // moved out of what its bind mount shows
      out.at = out.room.size();
      break;
    }
    if (!prepend(*dentry, out) || !out.put('/')) return std::nullopt;
    dentry = parent;
  }
  if (out.at == out.room.size() && !out.put('/')) return std::nullopt;
  return out.finish(deleted ? " (deleted)" : "");
}

// As get_mm_cmdline() in fs/proc/base.c: a program may have overwritten its arguments by a title.
std::optional<std::size_t> MomentReader::cmdline(std::uint64_t task,
                                                 std::span<char> into) noexcept {
  const auto mm = pointer(task, layout_.task_mm);
  const auto pgd = mm ? pointer(*mm, layout_.mm_pgd) : std::nullopt;
  const auto start = mm ? get<std::uint64_t>(*mm, layout_.mm_arg_start) : std::nullopt;
  const auto end = mm ? get<std::uint64_t>(*mm, layout_.mm_arg_end) : std::nullopt;
  if (!pgd || !start || !end || is_kernel(*start) || is_kernel(*end) || *start > *end)
    return std::nullopt;
  if (*start == *end) return std::nullopt;
  char last = '\0';
  const bool title =
      memory_.user(*pgd, *end - 1, std::as_writable_bytes(std::span(&last, 1))) && last != '\0';
  auto whole = *end - *start;
  if (title) {
    // A title may run on into the environment, where that lies behind.
    const auto env_start = get<std::uint64_t>(*mm, layout_.mm_env_start);
    const auto env_end = get<std::uint64_t>(*mm, layout_.mm_env_end);
    if (env_start == end && env_end && *env_end >= *env_start && !is_kernel(*env_end))
      whole = *env_end - *start;
  }
  const auto size = std::min<std::size_t>(
      into.size(), static_cast<std::size_t>(std::min<std::uint64_t>(whole, 4096)));
  std::size_t have = 0;
  while (have < size) {
    const auto at = *start + have;
    const auto chunk =
        std::min<std::size_t>(size - have, 4096 - static_cast<std::size_t>(at % 4096));
    if (!memory_.user(*pgd, at, std::as_writable_bytes(into.subspan(have, chunk)))) break;
    have += chunk;
  }
  if (have == 0) return std::nullopt;
  if (title)
    have = std::min(
        have, static_cast<std::size_t>(
                  std::find(into.begin(), into.begin() + static_cast<std::ptrdiff_t>(have), '\0') -
                  into.begin()));
  while (have > 0 && into[have - 1] == '\0') --have;
  std::replace(into.begin(), into.begin() + static_cast<std::ptrdiff_t>(have), '\0', ' ');
  return have;
}

std::optional<std::size_t> MomentReader::cgroup(std::uint64_t task, std::span<char> into) noexcept {
  const auto first = leader(task);
  const auto set = first ? pointer(*first, layout_.task_cgroups) : std::nullopt;
  const auto group = set ? pointer(*set, layout_.css_set_group) : std::nullopt;
  auto node = group ? pointer(*group, layout_.cgroup_node) : std::nullopt;
  if (!node) return std::nullopt;
  Backwards out(into);
  std::array<char, 256> part;
  for (unsigned level = 0;; ++level) {
    const auto parent = get<std::uint64_t>(*node, layout_.node_parent);
    if (!parent || level > kMaxLevels) return std::nullopt;
    if (*parent == 0) break;
    const auto name = pointer(*node, layout_.node_name);
    const auto size = name ? string(*name, part) : std::nullopt;
    if (!size || !out.put(std::string_view(part.data(), *size)) || !out.put('/'))
      return std::nullopt;
    node = *parent;
  }
  if (out.at == out.room.size() && !out.put('/')) return std::nullopt;
  const auto flags = get<std::uint32_t>(*group, layout_.cgroup_flags);
  return out.finish(flags && (*flags & kOnline) == 0 ? " (deleted)" : "");
}

std::optional<std::size_t> MomentReader::tty(std::uint64_t task, std::span<char> into) noexcept {
  const auto signal = pointer(task, layout_.task_signal);
  const auto terminal = signal ? pointer(*signal, layout_.signal_tty) : std::nullopt;
  if (!terminal || layout_.tty_name == MomentLayout::kAbsent) return std::nullopt;
  std::array<char, 64> name;
  const auto size = string(*terminal + layout_.tty_name, name);
  if (!size) return std::nullopt;
  const std::string_view text(name.data(), *size);
  // The kernel says pts3, people and /dev say pts/3.
  const bool slash = text.starts_with("pts") && text.size() > 3 && text[3] != '/';
  std::size_t at = 0;
  for (std::size_t i = 0; i < text.size() && at < into.size(); ++i) {
    if (slash && i == 3) into[at++] = '/';
    if (at < into.size()) into[at++] = text[i];
  }
  return at;
}

}  // namespace vitrine::probe
