#include "linux/path.h"

#include <gtest/gtest.h>

#include "fake_memory.h"

namespace vitrine::linux {
namespace {

using test::FakeMemory;

constexpr PathLayout kLayout{.path_mnt = 0,
                             .path_dentry = 8,
                             .dentry_hash_pprev = 16,
                             .dentry_parent = 24,
                             .dentry_name = 40,
                             .dentry_name_length = 36,
                             .dentry_inode = 48,
                             .dentry_inline_name = 56,
                             .dentry_inline_size = 32,
                             .dentry_operations = 96,
                             .dentry_superblock = 104,
                             .dentry_fsdata = 120,
                             .operations_dname = 72,
                             .mount_parent = 16,
                             .mount_mountpoint = 24,
                             .mount_mnt = 32,
                             .mnt_root = 0,
                             .inode_number = 64,
                             .inode_private = 72,
                             .superblock_type = 40,
                             .type_name = 0,
                             .namespace_operations = 8,
                             .namespace_operations_name = 0,
                             .dma_buffer_name = 32,
                             .fs_root = 24,
                             .fs_pwd = 40};
constexpr PathNamers kNamers{.sockets = {0xffffffff81000010},
                             .pipes = {0xffffffff81000020},
                             .anonymous_inodes = {0xffffffff81000030},
                             .namespaces = {0xffffffff81000040},
                             .simple = {0xffffffff81000050},
                             .dma_buffers = {0xffffffff81000060},
                             .process_files = {0xffffffff81000070}};

/// A guest with one mount ("/") and another on /mnt/disk.
class Paths : public testing::Test {
 protected:
  FakeMemory memory;
  std::uint64_t used = 0;
  Gva root, mnt, disk_point, disk, file;
  Gva root_mount, disk_mount;  // struct mount
  PathReader reader{memory, kLayout, kNamers};

  Gva fresh() { return Gva{0xffff'8880'0200'0000 + 512 * used++}; }

  Gva entry(std::string_view name, Gva parent, bool hashed = true) {
    const Gva at = fresh();
    memory.write(at, std::vector<std::byte>(192));
    memory.put(at + 24, parent ? parent : at);
    memory.put(at + 16, hashed ? std::uint64_t{0xffff'8880'0000'0000} : 0);
    memory.put(at + 36, static_cast<std::uint32_t>(name.size()));
    const Gva text = name.size() < 32 ? at + 56 : fresh();
    memory.put(at + 40, text);
    memory.text(text, name);
    return at;
  }
  Gva mount(Gva of, Gva parent, Gva point) {
    const Gva at = fresh();
    memory.put(at + 16, parent ? parent : at);
    memory.put(at + 24, point);
    memory.put(at + 32, of);
    return at;
  }
  /// An entry that a function names.
  PathPoint odd(std::string_view name, Gva namer) {
    const Gva at = entry(name, {}, false);
    const Gva operations = fresh();
    const Gva inode = fresh();
    memory.put(operations + 72, namer);
    memory.put(at + 96, operations);
    memory.put(at + 48, inode);
    memory.put(inode + 64, std::uint64_t{4711});
    return {mount(entry("/", {}), {}, {}) + 32, at};
  }
  PathPoint on_disk(Gva dentry) const { return {disk_mount + 32, dentry}; }
  PathPoint on_root(Gva dentry) const { return {root_mount + 32, dentry}; }
  std::string text(PathPoint point) const {
    const auto told = reader.text(point);
    return told ? told->text : std::string(name(told.error().code));
  }

  void SetUp() override {
    root = entry("/", {});
    mnt = entry("mnt", root);
    disk_point = entry("disk", mnt);
    disk = entry("/", {});
    file = entry("a name that is too long to lie in the entry itself", disk);
    root_mount = mount(root, {}, {});
    disk_mount = mount(disk, root_mount, disk_point);
    reader.set_root(on_root(root));
  }
};

TEST_F(Paths, ClimbsAcrossMounts) {
  EXPECT_EQ(text(on_root(root)), "/");
  EXPECT_EQ(text(on_root(disk_point)), "/mnt/disk");
  EXPECT_EQ(text(on_disk(disk)), "/mnt/disk");
  EXPECT_EQ(text(on_disk(file)), "/mnt/disk/a name that is too long to lie in the entry itself");
  EXPECT_FALSE(reader.text(on_disk(file))->unreachable);
  EXPECT_EQ(reader.within_filesystem(file).value(),
            "/a name that is too long to lie in the entry itself");
  EXPECT_EQ(reader.within_filesystem(disk).value(), "/");
}

TEST_F(Paths, AnEntryWithADebuggedLockIsLonger) {
  PathLayout long_layout = kLayout;
  long_layout.dentry_size = 256;
  long_layout.dentry_operations = 216;
  long_layout.dentry_superblock = 224;
  long_layout.dentry_fsdata = 248;
  PathReader wide{memory, long_layout, kNamers};
  wide.set_root(on_root(root));
  const auto point = odd("", kNamers.sockets);
  memory.write(point.dentry + 192, std::vector<std::byte>(64));
  memory.put(point.dentry + 216, memory.load<Gva>(point.dentry + 96).value());
  EXPECT_EQ(wide.text(point)->text, "socket:[4711]");
}

TEST_F(Paths, EndsAtTheRootAskedFor) {
  EXPECT_EQ(reader.text(on_root(disk_point), on_root(mnt))->text, "/disk");
  EXPECT_EQ(reader.text(on_disk(disk), on_root(mnt))->text, "/disk");
  const auto elsewhere = reader.text(on_root(mnt), on_disk(disk)).value();
  EXPECT_EQ(elsewhere.text, "/mnt");
  EXPECT_TRUE(elsewhere.unreachable);
}

TEST_F(Paths, SaysWhatIsDeleted) {
  const auto gone = entry("gone", mnt, false);
  EXPECT_EQ(text(on_root(gone)), "/mnt/gone (deleted)");
  EXPECT_TRUE(reader.text(on_root(gone))->deleted);
  EXPECT_EQ(reader.within_filesystem(gone).value(), "/mnt/gone//deleted");
}

TEST_F(Paths, AnEscapedEntryIsAtTheTopOfNothing) {
  const auto below = entry("below", disk);
  EXPECT_EQ(text(on_root(below)), "/");  // its tree is not the one that this mount shows
  EXPECT_TRUE(reader.text(on_root(below))->unreachable);
}

TEST_F(Paths, AsksTheFunctionsThatName) {
  EXPECT_EQ(text(odd("", kNamers.sockets)), "socket:[4711]");
  EXPECT_EQ(text(odd("", kNamers.pipes)), "pipe:[4711]");
  EXPECT_EQ(text(odd("[eventfd]", kNamers.anonymous_inodes)), "anon_inode:[eventfd]");
  EXPECT_EQ(text(odd("", kNamers.process_files)), "anon_inode:[pidfd]");
  EXPECT_EQ(text(odd("memfd:x", kNamers.simple)), "/memfd:x (deleted)");
  EXPECT_TRUE(reader.text(odd("dev/zero", kNamers.simple))->deleted);

  const auto name_space = odd("", kNamers.namespaces);
  const auto inode = memory.load<Gva>(name_space.dentry + 48).value();
  const Gva common = fresh();
  const Gva operations = fresh();
  const Gva name = fresh();
  memory.put(inode + 72, common);
  memory.put(common + 8, operations);
  memory.put(operations, name);
  memory.text(name, "mnt");
  EXPECT_EQ(text(name_space), "mnt:[4711]");
}

TEST_F(Paths, AnUnknownNamerIsAGuessAndSaysSo) {
  const auto strange = odd("thing", {0xffffffff81009990});
  const Gva superblock = fresh();
  const Gva type = fresh();
  const Gva name = fresh();
  memory.put(strange.dentry + 104, superblock);
  memory.put(superblock + 40, type);
  memory.put(type, name);
  memory.text(name, "strangefs");
  const auto told = reader.text(strange).value();
  EXPECT_EQ(told.text, "strangefs:thing");
  EXPECT_TRUE(told.guessed);
}

TEST_F(Paths, RootsOfMountsKeepTheirPlaceEvenWithANamer) {
  const Gva operations = fresh();
  memory.put(operations + 72, kNamers.sockets);
  memory.put(disk + 96, operations);
  EXPECT_EQ(text(on_disk(disk)), "/mnt/disk");
}

TEST_F(Paths, LoopsEnd) {
  const auto a = entry("a", root);
  const auto b = entry("b", a);
  memory.put(a + 24, b);
  EXPECT_EQ(text(on_root(b)), "too_large");
  EXPECT_EQ(reader.within_filesystem(b).error().code, Errc::too_large);
  memory.put(root_mount + 16, disk_mount);  // each mounted on the other
  memory.put(root_mount + 24, disk);
  memory.put(disk_mount + 24, root);
  reader.set_root({});
  EXPECT_EQ(text(on_disk(disk)), "cycle");
}

TEST_F(Paths, TornAndForgedNamesAreRefused) {
  memory.put(mnt + 36, std::uint32_t{2});
  EXPECT_EQ(text(on_root(mnt)), "torn");
  memory.put(mnt + 36, std::uint32_t{0xffff'ffff});
  reader.forget();
  EXPECT_EQ(text(on_root(mnt)), "malformed");
  memory.put(file + 36, std::uint32_t{4});
  EXPECT_EQ(text(on_disk(file)), "torn");
  memory.put(file + 40, std::uint64_t{0x1000});
  EXPECT_EQ(text(on_disk(file)), "malformed");
  EXPECT_EQ(text({{}, root}), "malformed");
}

TEST_F(Paths, EveryFailingReadIsReported) {
  memory.reads = 0;
  ASSERT_TRUE(reader.text(on_disk(file)));
  const auto all = memory.reads;
  for (std::size_t nth = 1; nth <= all; ++nth) {
    reader.forget();
    memory.reads = 0;
    memory.fail_at = nth;
    EXPECT_EQ(text(on_disk(file)), "not_present") << nth;
  }
}

TEST_F(Paths, RemembersUntilForget) {
  EXPECT_EQ(text(on_root(disk_point)), "/mnt/disk");
  memory.text(disk_point + 56, "disc");
  EXPECT_EQ(text(on_root(disk_point)), "/mnt/disk");
  reader.forget();
  EXPECT_EQ(text(on_root(disk_point)), "/mnt/disc");
}

}  // namespace
}  // namespace vitrine::linux
