#include "probe/moment_layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

unsigned moment(std::string_view group, std::string_view name) {
  return static_cast<unsigned>(vmipl::find_moment(group, name) - vmipl::moments().data());
}

// Kernel memory as a few words and texts.
class Words : public MomentMemory {
 public:
  std::map<std::uint64_t, std::uint8_t> bytes;
  std::map<std::uint64_t, std::uint8_t> user_bytes;
  void word(std::uint64_t at, std::uint64_t value, unsigned size = 8) {
    for (unsigned i = 0; i < size; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
  void text(std::uint64_t at, std::string_view value) {
    for (std::size_t i = 0; i < value.size(); ++i)
      bytes[at + i] = static_cast<std::uint8_t>(value[i]);
    for (std::size_t i = value.size(); i < 16; ++i) bytes[at + i] = 0;
  }
  bool kernel(std::uint64_t at, MutableBytes into) noexcept override {
    return get(bytes, at, into);
  }
  bool user(std::uint64_t, std::uint64_t at, MutableBytes into) noexcept override {
    return get(user_bytes, at, into);
  }

 private:
  static bool get(const std::map<std::uint64_t, std::uint8_t>& from, std::uint64_t at,
                  MutableBytes into) {
    for (std::size_t i = 0; i < into.size(); ++i) {
      const auto found = from.find(at + i);
      if (found == from.end()) return false;
      into[i] = std::byte{found->second};
    }
    return true;
  }
};

constexpr std::uint64_t kBase = 0xffff888000000000;
constexpr std::uint64_t kTask = kBase + 0x1000, kLeader = kBase + 0x2000, kMm = kBase + 0x3000,
                        kFile = kBase + 0x4000;

struct Guest {
  MomentLayout layout;
  Words memory;

  Guest() {
    std::uint32_t at = 0;
    // Every member somewhere of its own.
#define X(name, ...) layout.name = at += 0x10;
    VITRINE_MOMENT_MEMBERS(X)
#undef X
    layout.per_cpu_offsets = kBase + 0x100;
    layout.current_task = 0x20;
    layout.direct_map = kBase;
    layout.cpus = 2;
    memory.word(kBase + 0x100, kBase + 0x10000);
    memory.word(kBase + 0x108, kBase + 0x20000);
    memory.word(kBase + 0x20020, kTask);
    memory.word(kTask + layout.task_pid, 43, 4);
    memory.word(kTask + layout.task_tgid, 42, 4);
    memory.word(kTask + layout.task_leader, kLeader);
    memory.word(kTask + layout.task_mm, kMm);
    memory.text(kTask + layout.task_comm, "worker");
    memory.text(kLeader + layout.task_comm, "server");
    memory.word(kMm + layout.mm_pgd, kBase + 0x55000);
    memory.word(kMm + layout.mm_exe_file, kFile);
  }
};

TEST(MomentLayout, SurvivesTheWayAndRefusesOthers) {
  Guest guest;
  const auto bytes = save(guest.layout);
  const auto back = load_moment_layout(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, guest.layout);
  EXPECT_EQ(load_moment_layout(Bytes(bytes).first(bytes.size() - 1)).error().code, Errc::malformed);
  auto other = bytes;
  other[4] = std::byte{99};
  EXPECT_EQ(load_moment_layout(other).error().code, Errc::unsupported);
  EXPECT_FALSE(load_moment_layout({}));
}

TEST(MomentReader, FindsTheCpuByItsGsBase) {
  Guest guest;
  MomentReader reader(guest.layout, guest.memory);
  const std::uint64_t first = kBase + 0x10000, second = kBase + 0x20000;
  EXPECT_EQ(reader.cpu({.gs_base = second, .kernel_gs_base = 0x7000, .index = 1})->number, 1U);
  EXPECT_EQ(
      reader.cpu({.gs_base = 0x7000, .kernel_gs_base = second, .index = 1, .user_mode = true})
          ->number,
      1U);
  EXPECT_EQ(reader.cpu({.gs_base = 0x7000, .kernel_gs_base = second, .index = 1})->number, 1U)
      << "in the entry code, before swapgs";
  EXPECT_EQ(reader.cpu({.gs_base = second, .kernel_gs_base = first, .index = 0})->number, 0U)
      << "one is forged: the CPU's index decides";
  EXPECT_EQ(reader.cpu({.gs_base = second, .kernel_gs_base = 0, .index = 0})->number, 1U)
      << "the guest numbers its CPUs otherwise";
  EXPECT_EQ(reader.cpu({.gs_base = 0x7000, .kernel_gs_base = 0x8000, .index = 1})->number, 1U)
      << "nothing tells: the index";
  EXPECT_FALSE(reader.cpu({.gs_base = 0x7000, .index = 2}));
  EXPECT_EQ(reader.current({1, second}), kTask);
  EXPECT_FALSE(reader.current({0, first}));
  EXPECT_EQ(reader.per_cpu(0x30, 1), second + 0x30);
  EXPECT_FALSE(reader.per_cpu(0x30, 2));
}

TEST(MomentReader, AKernelForOneCpuHasItsVariablesWhereTheyAreLinked) {
  Guest guest;
  guest.layout.per_cpu_offsets = 0;
  guest.layout.uniprocessor = 1;
  guest.layout.current_task = kBase + 0x6000;
  guest.memory.word(kBase + 0x6000, kTask);
  MomentReader reader(guest.layout, guest.memory);
  const auto cpu = reader.cpu({.gs_base = 0, .index = 0});
  ASSERT_TRUE(cpu);
  EXPECT_TRUE(reader.still(*cpu));
  EXPECT_EQ(reader.current(*cpu), kTask);
  EXPECT_EQ(reader.per_cpu(kBase + 0x30, 0), kBase + 0x30);
}

TEST(MomentReader, NumbersAndNames) {
  Guest guest;
  MomentReader reader(guest.layout, guest.memory);
  EXPECT_EQ(reader.number(moment("process", "pid"), kTask), 42U);
  EXPECT_EQ(reader.number(moment("thread", "tid"), kTask), 43U);
  EXPECT_EQ(reader.number(moment("process", "task"), kTask), kLeader);
  EXPECT_EQ(reader.number(moment("process", "root"), kTask), 0x55000U);
  EXPECT_FALSE(reader.number(moment("process", "uid"), kTask));
  EXPECT_FALSE(reader.number(moment("", "cpu"), kTask));
  char into[64];
  const auto text = [&](std::string_view group, std::string_view name) -> std::string {
    const auto size = reader.text(moment(group, name), kTask, into);
    return size ? std::string(into, *size) : "?";
  };
  EXPECT_EQ(text("process", "name"), "server");
  EXPECT_EQ(text("thread", "name"), "worker");
  EXPECT_EQ(text("process", "path"), "?");
  EXPECT_TRUE(reader.knows(moment("process", "name")));
  EXPECT_FALSE(reader.knows(moment("", "now")));
}

TEST(MomentReader, PathsAcrossMountsAndOfDeletedFiles) {
  Guest guest;
  auto& m = guest.memory;
  const auto& l = guest.layout;
  const std::uint64_t root = kBase + 0x6000, directory = kBase + 0x7000, file = kBase + 0x8000,
                      inner = kBase + 0x9000, mount = kBase + 0xa000, upper = kBase + 0xb000;
  const auto dentry = [&](std::uint64_t at, std::uint64_t parent, std::string_view name,
                          bool hashed = true) {
    m.word(at + l.dentry_parent, parent);
    m.word(at + l.dentry_name, at + 0x800);
    m.text(at + 0x800, name);
    m.word(at + l.dentry_length, name.size(), 4);
    m.word(at + l.dentry_hashed, hashed ? 1 : 0);
    m.word(at + l.dentry_operations, 0);
  };
  dentry(root, root, "/");
  dentry(directory, root, "mnt");
  dentry(inner, inner, "/");
  dentry(file, inner, "tool");
  m.word(upper + l.mount_mnt + l.mnt_root, root);
  m.word(upper + l.mount_parent, upper);
  m.word(mount + l.mount_mnt + l.mnt_root, inner);
  m.word(mount + l.mount_parent, upper);
  m.word(mount + l.mount_mountpoint, directory);
  m.word(kFile + l.file_mount, mount + l.mount_mnt);
  m.word(kFile + l.file_dentry, file);
  MomentReader reader(guest.layout, guest.memory);
  char into[64];
  const auto path = [&](std::span<char> room) -> std::string {
    const auto size = reader.text(moment("process", "path"), kTask, room);
    return size ? std::string(room.data(), *size) : "?";
  };
  EXPECT_EQ(path(into), "/mnt/tool");
  EXPECT_EQ(path(std::span(into).first(5)), "?")
      << "what does not fit is missing, not a wrong path";
  m.word(file + l.dentry_hashed, 0);
  EXPECT_EQ(path(into), "/mnt/tool (deleted)");
  m.word(file + l.dentry_operations, kBase + 0xc000);
  m.word(kBase + 0xc000 + l.operations_dname, kBase + 1);
  EXPECT_EQ(path(into), "/tool (deleted)") << "a memfd";
  m.word(file + l.dentry_operations, 0);
  m.word(inner + l.dentry_parent, file);  // a circle
  m.word(mount + l.mount_mnt + l.mnt_root, root);
  EXPECT_EQ(path(into), "?");
}

TEST(MomentReader, CommandLines) {
  Guest guest;
  auto& m = guest.memory;
  const auto line = [&](std::string_view bytes) {
    m.user_bytes.clear();
    for (std::size_t i = 0; i < bytes.size(); ++i)
      m.user_bytes[0x5000 + i] = static_cast<std::uint8_t>(bytes[i]);
    m.word(kMm + guest.layout.mm_arg_start, 0x5000);
    m.word(kMm + guest.layout.mm_arg_end, 0x5000 + bytes.size());
    MomentReader reader(guest.layout, guest.memory);
    char into[64];
    const auto size = reader.text(moment("process", "cmdline"), kTask, into);
    return size ? std::string(into, *size) : "?";
  };
  EXPECT_EQ(line(std::string_view("ls\0-l\0", 6)), "ls -l");
  EXPECT_EQ(line(std::string_view("sshd: me\0junk", 13)), "sshd: me") << "a title";
  EXPECT_EQ(line(""), "?");
}

// Memory that answers every read with random bytes or pointers into itself: no crash, an end.
TEST(MomentReader, ForgedMemoryEnds) {
  class Forged : public MomentMemory {
   public:
    std::mt19937 random{7};
    bool kernel(std::uint64_t, MutableBytes into) noexcept override {
      for (std::size_t i = 0; i < into.size(); i += 8) {
        const std::uint64_t value = random() % 4 == 0 ? random() : kBase + random() % 4 * 0x1000;
        std::memcpy(into.data() + i, &value, std::min<std::size_t>(8, into.size() - i));
      }
      return random() % 64 != 0;
    }
    bool user(std::uint64_t, std::uint64_t at, MutableBytes into) noexcept override {
      return kernel(at, into);
    }
  };
  Guest guest;
  Forged memory;
  MomentReader reader(guest.layout, memory);
  char into[300];
  for (int round = 0; round < 3000; ++round) {
    for (unsigned i = 0; i < vmipl::moments().size(); ++i) {
      (void)reader.number(i, kTask);
      if (const auto size = reader.text(
              i, kTask, std::span(into).first(1 + static_cast<std::size_t>(round) % 300))) {
        ASSERT_LE(*size, 1 + static_cast<std::size_t>(round) % 300);
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::probe
