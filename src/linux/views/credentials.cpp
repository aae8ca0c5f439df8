#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "linux/kernel.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kPid,
  kTid,
  kName,
  kUid,
  kEuid,
  kCapabilities,
  kUserUid,
  kExecUid,
  kSetuidExe,
  kParent,
  kForeignUser,
  kKernels,
  kSharedWith,
  kShared,
  kRaised,
  kKernelGroups,
  kPath,
  kAddress
};

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer, "of the process"},
    {"tid", ColumnType::integer, "of the thread"},
    {"name", ColumnType::text, "of the thread (task_struct.comm)"},
    {"uid", ColumnType::integer, "real user id (real_cred.uid)"},
    {"euid", ColumnType::integer, "effective user id"},
    {"capabilities", ColumnType::mask, "effective ones"},
    {"user_uid", ColumnType::integer,
     "of the user that is charged for it (cred.user): set*uid() keeps it equal to uid"},
    {"exec_uid", ColumnType::integer,
     "real user id with which the running program was opened to be executed (mm.exe_file.f_cred)"},
    {"setuid_program", ColumnType::boolean, "the running program's file has the setuid bit"},
    {"parent", ColumnType::integer, "pid of the parent", Column::hidden},
    {"foreign_user", ColumnType::boolean,
     "user_uid is not uid: the ids were written by no system call"},
    {"kernels_own", ColumnType::boolean, "a program with the kernel's own credentials (init_cred)"},
    {"shared_with", ColumnType::list,
     "pids of other processes with the very same credentials, at most 64: only threads share "
     "them"},
    {"shared", ColumnType::boolean, "there are such", Column::hidden},
    {"raised", ColumnType::boolean,
     "user id 0, though at its exec it had no such id, no capability, and its program gives none"},
    {"kernel_groups", ColumnType::boolean,
     "it has the kernel's first list of groups, which its parent had given up before: only kernel "
     "credentials bring it back"},
    {"path", ColumnType::text, "the running program", Column::hidden},
    {"address", ColumnType::address, "its struct cred", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "credentials",
    .summary =
        "who each process is, and whether it could have become that by the kernel's proper calls",
    .columns = kColumns,
    .order = "by pid, then tid",
    .key = "pid tid",
};

constexpr std::uint32_t kKernelThreadFlag = 0x0020'0000;           // PF_KTHREAD
constexpr std::uint32_t kUserWorkers = 0x0000'0010 | 0x0000'4000;  // PF_IO_WORKER, PF_USER_WORKER
constexpr std::uint16_t kSetuid = 04000;
constexpr std::size_t kMaxOthers = 64;  // who share credentials, named at each of them
constexpr std::uint64_t kSetuidCapability = 1U << 7;  // CAP_SETUID

struct Fields {
  Field<Gva> real_cred, mm, exe_file, file_cred, inode, parent;
  Field<std::string> comm;
  Field<std::uint32_t> flags;
  Embedded path;
  Field<std::uint16_t> mode;
  Field<std::uint32_t> uid, euid, suid, fsuid, user_uid;
  ArrayField<std::uint32_t> effective32, permitted32, ambient32;
  Field<std::uint64_t> effective, permitted, ambient;
  bool wide = false;
  Field<Gva> user, user_space, groups;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.real_cred, "task_struct.real_cred");
    bind(f.mm, "task_struct.mm");
    bind(f.comm, "task_struct.comm");
    bind(f.flags, "task_struct.flags");
    bind(f.parent, "task_struct.real_parent");
    bind(f.exe_file, "mm_struct.exe_file");
    bind(f.file_cred, "file.f_cred");
    bind(f.inode, "file.f_inode");
    bind(f.path, "file.f_path");
    bind(f.mode, "inode.i_mode");
    bind(f.uid, "cred.uid.val");
    bind(f.euid, "cred.euid.val");
    bind(f.suid, "cred.suid.val");
    bind(f.fsuid, "cred.fsuid.val");
    bind(f.user, "cred.user");
    bind(f.user_uid, "user_struct.uid.val");
    bind(f.user_space, "cred.user_ns");
    bind(f.groups, "cred.group_info");
    // kernel_cap_t: two 32-bit words, one of 64 bits from 6.3 on (f122a08b197d).
    f.wide = Field<std::uint64_t>::from(types, "cred.cap_effective.val").has_value();
    if (f.wide) {
      bind(f.effective, "cred.cap_effective.val");
      bind(f.permitted, "cred.cap_permitted.val");
      bind(f.ambient, "cred.cap_ambient.val");
    } else {
      bind(f.effective32, "cred.cap_effective.cap");
      bind(f.permitted32, "cred.cap_permitted.cap");
      bind(f.ambient32, "cred.cap_ambient.cap");
    }
    TRY(bind.done());
    return f;
  }
};

/// What is read of one struct cred.
struct Credentials {
  std::uint32_t uid = 0, euid = 0, suid = 0, fsuid = 0, user_uid = 0;
  std::uint64_t effective = 0, permitted = 0, ambient = 0;
  Gva user_space, groups;
  [[nodiscard]] bool any_root() const { return uid == 0 || euid == 0 || suid == 0 || fsuid == 0; }
};

struct Person {
  TaskRef task;
  Gva credentials;
  Credentials now;
  std::string name;
  std::uint32_t flags = 0;
  Gva parent;
  std::optional<Credentials> at_exec;
  bool setuid_program = false;
  Gva program;  ///< struct file
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Fields fields, TaskList tasks, PathReader paths)
      : kernel_(kernel),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        paths_(std::move(paths)) {
    const auto at = [&](const char* name) { return kernel.symbols().find(name).value_or(Gva{}); };
    init_cred_ = at("init_cred");
    init_groups_ = at("init_groups");
    init_user_space_ = at("init_user_ns");
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    paths_.forget();
    const auto processes = tasks_.processes();
    processes.note_in(tally);
    std::vector<Person> people;
    for (const auto& process : processes.tasks) {
      for (const auto& thread : tasks_.threads_of(process).tasks) {
        if (auto person = look_at(thread)) {
          people.push_back(*std::move(person));
        } else if (tasks_.still(thread)) {
          ++tally.dropped;
        }
      }
    }
    std::unordered_map<Gva, std::vector<std::int32_t>> owners;  // of a cred: processes
    std::unordered_map<Gva, const Person*> by_task;
    for (const auto& person : people) {
      by_task[person.task.address] = &person;
      if (is_kernel_thread(person)) continue;
      auto& pids = owners[person.credentials];
      if (pids.empty() || pids.back() != person.task.tgid) pids.push_back(person.task.tgid);
    }
    for (const auto& person : people) {
      if (!rows.wants_pid(person.task.tgid)) continue;
      // What would be told of it is told only of one that is still there, with the same
      // credentials.
      const bool same =
          f_.real_cred.read(memory_, person.task.address).value_or(Gva{}) == person.credentials;
      rows.begin();
      fill(rows, person, owners[person.credentials], by_task);
      if (!same || !tasks_.still(person.task)) rows.doubt("changed while it was read");
      if (!rows.end()) break;
    }
    return tally;
  }

 private:
  [[nodiscard]] static bool is_kernel_thread(const Person& person) {
    return (person.flags & kKernelThreadFlag) != 0;
  }

  Result<Credentials> credentials_at(Gva cred) const {
    Credentials c;
    c.uid = TRY(f_.uid.read(memory_, cred));
    c.euid = TRY(f_.euid.read(memory_, cred));
    c.suid = TRY(f_.suid.read(memory_, cred));
    c.fsuid = TRY(f_.fsuid.read(memory_, cred));
    const auto bits = [&](const ArrayField<std::uint32_t>& narrow,
                          const Field<std::uint64_t>& wide) -> Result<std::uint64_t> {
      if (f_.wide) return wide.read(memory_, cred);
      const std::uint64_t low = TRY(narrow.read(memory_, cred, 0)),
                          high = TRY(narrow.read(memory_, cred, 1));
      return high << 32 | low;
    };
    c.effective = TRY(bits(f_.effective32, f_.effective));
    c.permitted = TRY(bits(f_.permitted32, f_.permitted));
    c.ambient = TRY(bits(f_.ambient32, f_.ambient));
    const Gva user = TRY(f_.user.read(memory_, cred));
    c.user_uid = TRY(f_.user_uid.read(memory_, user));
    c.user_space = TRY(f_.user_space.read(memory_, cred));
    c.groups = TRY(f_.groups.read(memory_, cred));
    return c;
  }

  Result<Person> look_at(const TaskRef& task) {
    Person person;
    person.task = task;
    person.flags = TRY(f_.flags.read(memory_, task.address));
    person.name = TRY(f_.comm.read(memory_, task.address));
    person.credentials = TRY(f_.real_cred.read(memory_, task.address));
    person.parent = TRY(f_.parent.read(memory_, task.address));
    person.now = TRY(credentials_at(person.credentials));
    const auto mm = TRY(f_.mm.read(memory_, task.address));
    if (!mm) return person;
    const auto file = f_.exe_file.read(memory_, mm);
    if (!file || !*file) return person;
    person.program = *file;
    if (const auto cred = f_.file_cred.read(memory_, *file)) {
      if (auto then = credentials_at(*cred)) person.at_exec = *then;
    }
    const auto inode = f_.inode.read(memory_, *file);
    if (inode && *inode)
      person.setuid_program = (f_.mode.read(memory_, *inode).value_or(0) & kSetuid) != 0;
    return person;
  }

  void fill(RowSink& rows, const Person& person, const std::vector<std::int32_t>& owners,
            const std::unordered_map<Gva, const Person*>& by_task) {
    const auto& now = person.now;
    const bool program = !is_kernel_thread(person) && person.at_exec.has_value();
    rows.set(kPid, std::int64_t{person.task.tgid});
    rows.set(kTid, std::int64_t{person.task.pid});
    rows.set(kName, person.name);
    rows.set(kUid, std::int64_t{now.uid});
    rows.set(kEuid, std::int64_t{now.euid});
    rows.set(kCapabilities, now.effective);
    rows.set(kUserUid, std::int64_t{now.user_uid});
    if (person.at_exec) rows.set(kExecUid, std::int64_t{person.at_exec->uid});
    rows.set(kSetuidExe, person.setuid_program);
    rows.set(kForeignUser, now.user_uid != now.uid);
    rows.set(kKernels, program && person.credentials == init_cred_);
    std::vector<std::string> others;
    if (!is_kernel_thread(person)) {
      for (const auto pid : owners) {
        if (pid != person.task.tgid) others.push_back(fmt::format("{}", pid));
        if (others.size() == kMaxOthers) break;
      }
    }
    rows.set(kShared, !others.empty());
    rows.set(kSharedWith, std::move(others));
    rows.set(kRaised, program && raised(person));
    const auto parent = by_task.find(person.parent);
    bool groups = false;
    if (parent != by_task.end()) {
      const Person& above = *parent->second;
      rows.set(kParent, std::int64_t{above.task.tgid});
      // A list of groups is never taken back: a descendant of who had another has another.
      groups = program && init_groups_ && now.groups == init_groups_ && above.at_exec &&
               above.at_exec->groups != init_groups_;
    }
    rows.set(kKernelGroups, groups);
    if (rows.wants(kPath) && person.program) {
      if (const auto point = paths_.point_at(f_.path.in(person.program))) {
        if (auto text = paths_.text(*point)) rows.set(kPath, std::move(text->text));
      }
    }
    rows.set(kAddress, person.credentials.value);
  }

  /// Who was nobody special when it executed an ordinary program can become root by executing
  /// another alone. In user namespaces of its own it may be root; that is no one here.
  [[nodiscard]] bool raised(const Person& person) const {
    const auto& then = *person.at_exec;
    if ((person.flags & kUserWorkers) != 0 || person.setuid_program) return false;
    if (person.now.user_space != init_user_space_ || then.user_space != init_user_space_)
      return false;
    if (then.any_root() || then.ambient != 0) return false;
    // A file may give capabilities (security.capability); with CAP_SETUID the ids are its own
    // affair.
    if (!person.now.any_root()) return false;
    return then.permitted == 0 || (then.permitted & kSetuidCapability) == 0;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  PathReader paths_;
  Gva init_cred_, init_groups_, init_user_space_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  auto paths = TRY(PathReader::open(kernel));
  return std::make_unique<Reader>(kernel, std::move(fields), std::move(tasks), std::move(paths));
}

}  // namespace

const View credentials_view(kInfo, open);

}  // namespace vitrine::linux
