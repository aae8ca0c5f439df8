#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>

#include "linux/find_kernel.h"
#include "linux/kernel.h"
#include "linux/kernel_cache.h"
#include "linux/type_catalogue.h"
#include "linux/view.h"
#include "memory/passing_memory.h"
#include "support/failing_memory.h"
#include "support/lab.h"

namespace vitrine::linux {
namespace {

using format::KallsymsAddresses;
using test::KallsymsOrder;
using test::Lab;
using test::LabOptions;
using Verdict = Health::Verdict;

void expect_found(const Lab& lab, const Kernel& kernel) {
  EXPECT_EQ(kernel.identity().text, lab.text());
  EXPECT_EQ(kernel.identity().text_physical, lab.text_physical());
  EXPECT_EQ(kernel.identity().release, "6.9.0-lab");
  EXPECT_EQ(kernel.identity().build_id, "0100000002000000030000000400000005000000");
  EXPECT_EQ(kernel.symbols().size(), lab.symbols().size());
  for (const auto& symbol : lab.symbols()) {
    bool there = false;
    for (const auto& found : kernel.symbols().all(symbol.name))
      there |= found.address.value == symbol.address;
    EXPECT_TRUE(there) << symbol.name;
  }
  for (const auto& check : kernel.health().checks)
    EXPECT_EQ(check.verdict, Verdict::passed) << check.name << ": " << check.detail;
}

struct Layout {
  const char* name;
  KallsymsOrder order;
  KallsymsAddresses form;
};

class Attach : public testing::TestWithParam<Layout> {};

TEST_P(Attach, FindsTheKernelByRegistersAndByScan) {
  for (const unsigned levels : {4U, 5U}) {
    for (const bool registers : {true, false}) {
      for (const bool user_half : {false, true}) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
          const Lab lab({.seed = seed,
                         .levels = levels,
                         .user_half = user_half,
                         .order = GetParam().order,
                         .form = GetParam().form,
                         .registers = registers});
          const auto kernel = Kernel::attach(lab, {});
          ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
          expect_found(lab, **kernel);
          EXPECT_EQ((*kernel)->identity().levels, levels);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, Attach,
    testing::Values(
        Layout{"absolute_4_2", KallsymsOrder::to_4_19, KallsymsAddresses::absolute},
        Layout{"percpu_4_19", KallsymsOrder::to_4_19, KallsymsAddresses::based_percpu},
        Layout{"absolute", KallsymsOrder::to_6_3, KallsymsAddresses::absolute},
        Layout{"percpu_5_10", KallsymsOrder::to_6_3, KallsymsAddresses::based_percpu},
        Layout{"percpu_6_2", KallsymsOrder::from_6_2_with_seqs, KallsymsAddresses::based_percpu},
        Layout{"percpu_6_4", KallsymsOrder::from_6_4, KallsymsAddresses::based_percpu},
        Layout{"based_6_15", KallsymsOrder::from_6_4, KallsymsAddresses::based},
        Layout{"self_relative_7", KallsymsOrder::from_7, KallsymsAddresses::self_relative}),
    [](const auto& one) { return one.param.name; });

TEST(AttachDecoy, ACopyThatNoPageTableMapsIsPassedOver) {
  for (const auto form : {KallsymsAddresses::based, KallsymsAddresses::self_relative}) {
    Lab lab({.seed = 4, .form = form, .registers = false});
    // What unpacking leaves behind: the same image, lower in memory, met first.
    const auto image = lab.forge().bytes(lab.text_physical(), lab.image_size());
    std::memcpy(lab.forge().bytes(Gpa{2 * kMiB}, lab.image_size()).data(), image.data(),
                image.size());
    const auto kernel = Kernel::attach(lab, {});
    ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
    EXPECT_EQ((*kernel)->identity().text_physical, lab.text_physical());
  }
}

/// The rows of a view, as text.
class Rows final : public RowSink {
 public:
  explicit Rows(const ViewInfo& info) : RowSink(info, {}) {}
  std::vector<std::vector<Value>> rows;

 private:
  bool row(std::span<const Value> values, std::string_view /*doubt*/) override {
    rows.emplace_back(values.begin(), values.end());
    return true;
  }
};

TEST(AttachOneCpu, ThreadsWereLastOnTheOnlyOne) {
  // Without CONFIG_SMP thread_info has no `cpu`.
  for (const bool smp : {true, false}) {
    const Lab lab({.smp = smp, .tasks = 5});
    const auto kernel = Kernel::attach(lab, {});
    ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
    const View& threads = *find_view("threads");
    auto reader = threads.open(**kernel);
    ASSERT_TRUE(reader.has_value()) << reader.error().message;
    Rows rows(threads.info());
    ASSERT_TRUE((*reader)->read(rows).has_value());
    EXPECT_EQ(rows.rows.size(), 5U);
    std::size_t column = 0;
    while (threads.info().columns[column].name != "cpu") ++column;
    for (const auto& row : rows.rows) EXPECT_EQ(std::get<std::int64_t>(row[column]), 0) << smp;
  }
}

std::optional<Health::Check> check_of(const Kernel& kernel, std::string_view name) {
  for (const auto& check : kernel.health().checks) {
    if (check.name == name) return check;
  }
  return std::nullopt;
}

Health::Check memory_check(
    const LabOptions& options, const std::function<void(Lab&)>& change = [](Lab&) {}) {
  Lab lab(options);
  change(lab);
  const auto kernel = Kernel::attach(lab, {});
  if (!kernel) return {"attach", Verdict::failed, kernel.error().message};
  return check_of(**kernel, "memory map")
      .value_or(Health::Check{"memory map", Verdict::failed, "not tested"});
}

TEST(AttachMemory, RamThatWasUnpluggedIsNotMissed) {
  const auto gone = memory_check({.unplugged = 128 * kMiB});
  EXPECT_EQ(gone.verdict, Verdict::passed) << gone.detail;
  // A kernel whose resources cannot be had counts by max_pfn alone, which does not go back.
  const auto unknown = memory_check({.resources_end = 0, .unplugged = 128 * kMiB});
  EXPECT_EQ(unknown.verdict, Verdict::failed) << unknown.detail;
  EXPECT_EQ(memory_check({.resources_end = 0}).verdict, Verdict::passed);
}

TEST(AttachMemory, RamThatTheMapLacksIsTold) {
  const auto more = memory_check({.resources_end = 4 * kGiB + 4 * kMiB});
  EXPECT_EQ(more.verdict, Verdict::failed);
  EXPECT_EQ(more.detail, "the kernel has RAM at 0x1003fffff, our map has not");
}

TEST(AttachMemory, ForgedResourcesEndTheWalk) {
  constexpr std::uint64_t kSibling = 48, kChild = 56, kEnd = 8;
  const auto forged = [](std::uint64_t number, std::uint64_t member, std::uint64_t value) {
    return memory_check({}, [&](Lab& lab) {
      const Gva base = lab.symbol("iomem_resource");
      lab.forge().put(lab.physical(base + number * 64 + member),
                      value < 64 ? (base + value * 64).value : value);
    });
  };
  // What cannot be walked is passed over for max_pfn, which agrees here.
  EXPECT_EQ(forged(5, kSibling, 1).verdict, Verdict::passed);  // a circle
  EXPECT_EQ(forged(2, kChild, 2).verdict, Verdict::passed);    // its own child
  EXPECT_EQ(forged(3, kSibling, 0x1234).verdict, Verdict::passed);
  EXPECT_EQ(forged(3, kEnd, 100).verdict, Verdict::passed);  // ends before it begins
  EXPECT_EQ(forged(3, kEnd, UINT64_MAX).verdict, Verdict::passed);
}

/// The lab's RAM as of several backends: cut anew, and mapped by nobody in one piece.
class CutMemory final : public PassingMemory {
 public:
  CutMemory(const PhysicalMemory& inner, Gpa cut) : PassingMemory(inner) {
    for (const auto& range : inner.ram()) {
      if (!range.contains(cut)) {
        ranges_.push_back(range);
        continue;
      }
      ranges_.push_back({range.start, cut - range.start});
      ranges_.push_back({cut, range.end() - cut});
    }
  }
  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return ranges_; }
  [[nodiscard]] Bytes window(Gpa, std::uint64_t) const noexcept override { return {}; }
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    return PhysicalMemory::next_populated(from);
  }

 private:
  std::vector<GpaRange> ranges_;
};

TEST(AttachMemory, AKernelThatLiesAcrossTwoBackendsIsFound) {
  for (const bool data_symbols : {true, false}) {
    const Lab lab({.data_symbols = data_symbols});
    const auto hints = text_hints(lab.memory(), lab.registers().value());
    const auto whole = find_kernel(lab.memory(), hints);
    ASSERT_TRUE(whole.has_value() && whole->unlisted.empty() == data_symbols);
    const auto step = lab.image_size() / 11 / kPageSize * kPageSize;
    for (std::uint64_t at = kPageSize; at < lab.image_size(); at += step) {
      const CutMemory cut(lab.memory(), lab.text_physical() + at);
      for (const auto& cpus : {hints, std::vector<TextHint>()}) {
        const auto found = find_kernel(cut, cpus);
        ASSERT_TRUE(found.has_value()) << at << ": " << found.error().message;
        EXPECT_EQ(found->place.text, lab.text());
        EXPECT_EQ(found->unlisted, whole->unlisted) << at;
      }
    }
  }
}

TEST(AttachNothing, MemoryThatTheHostDoesNotGiveIsNotSaidToBeEmpty) {
  const Lab lab({.registers = false});
  const FailingMemory memory(lab.memory(), 0, true);
  const auto kernel = find_kernel(memory, {});
  ASSERT_FALSE(kernel.has_value());
  EXPECT_TRUE(kernel.error().message.ends_with("of RAM could not be read"))
      << kernel.error().message;
}

TEST(AttachEnded, AKernelThatNoCpuRunsIsPassedOver) {
  // What a kexec leaves: the old kernel whole, its tables too, beside the one that runs.
  unsigned tried = 0;
  for (std::uint64_t seed = 1; seed < 40 && tried < 3; ++seed) {
    Lab lab({.seed = 4});
    Lab old({.seed = seed + 100, .tables = 44 * kMiB});
    const auto distance = std::max(lab.text_physical(), old.text_physical()) -
                          std::min(lab.text_physical(), old.text_physical());
    if (distance < lab.image_size() || old.text() == lab.text()) continue;
    ++tried;
    for (const auto& [at, size] : {std::pair{old.text_physical(), old.image_size()},
                                   std::pair{Gpa{44 * kMiB}, std::uint64_t{kMiB}}})
      std::memcpy(lab.forge().bytes(at, size).data(), old.forge().bytes(at, size).data(), size);
    const auto kernel = Kernel::attach(lab, {});
    ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
    EXPECT_EQ((*kernel)->identity().text, lab.text());
    EXPECT_TRUE((*kernel)->health().warnings.empty());
    // The one that runs has gone, the CPU's own tables have not: what is left is shown, with a
    // word.
    std::ranges::fill(lab.forge().bytes(lab.text_physical() + Lab::kallsyms_offset(), 2 * kMiB),
                      std::byte{0});
    const auto rest = Kernel::attach(lab, {});
    ASSERT_TRUE(rest.has_value()) << rest.error().message;
    EXPECT_EQ((*rest)->identity().text, old.text());
    EXPECT_TRUE(std::ranges::any_of((*rest)->health().warnings, [](const auto& text) {
      return text.contains("no CPU runs this kernel");
    }));
  }
  EXPECT_EQ(tried, 3U);
}

TEST(AttachNothing, AnEmptyMachineIsSaidToBeEmpty) {
  Lab lab({});
  std::ranges::fill(lab.forge().bytes(Gpa{kMiB}, 47 * kMiB), std::byte{0});
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_FALSE(kernel.has_value());
  EXPECT_EQ(kernel.error().code, Errc::not_found);
  EXPECT_NE(kernel.error().message.find("no Linux kernel was found"), std::string::npos);
  EXPECT_FALSE(kernel.error().hint.empty());
}

TEST(AttachNothing, OfAnImageNobodyIsToldToTryAgain) {
  Lab lab({.registers = false});
  std::ranges::fill(lab.forge().bytes(Gpa{kMiB}, 47 * kMiB), std::byte{0});
  const auto machine = find_kernel(lab.memory(), {});
  const auto image = find_kernel(lab.memory(), {}, true);
  ASSERT_FALSE(machine.has_value() || image.has_value());
  EXPECT_NE(machine.error().hint.find("try again"), std::string::npos);
  EXPECT_EQ(image.error().hint.find("try again"), std::string::npos);
}

TEST(AttachNothing, A32BitKernelIsNamed) {
  for (const auto& [machine, words] :
       {std::pair{"i686", "32-bit kernel: Linux 6.1.0-50-686-pae for i686"},
        std::pair{"x86_64", "no Linux kernel was found"}}) {
    Lab lab({.registers = false});
    std::ranges::fill(lab.forge().bytes(Gpa{kMiB}, 47 * kMiB), std::byte{0});
    // Across the pieces that a search takes.
    const Gpa at{kMiB + 4 * kMiB - 200};
    const auto put = [&](std::uint64_t field, std::string_view text) {
      std::memcpy(lab.forge().bytes(at + field * 65, text.size()).data(), text.data(), text.size());
    };
    put(0, "Linux");
    put(1, "(none)");
    put(2, "6.1.0-50-686-pae");
    put(3, "#1 SMP");
    put(4, machine);
    put(5, "(none)");
    const auto kernel = Kernel::attach(lab, {});
    ASSERT_FALSE(kernel.has_value());
    EXPECT_NE(kernel.error().message.find(words), std::string::npos) << kernel.error().message;
    EXPECT_FALSE(kernel.error().hint.empty());
  }
}

TEST(AttachNothing, AKernelWithoutKallsymsIsNamed) {
  Lab lab({});
  const auto tables = lab.text_physical() + Lab::kallsyms_offset();
  std::ranges::fill(lab.forge().bytes(tables, lab.image_size() - Lab::kallsyms_offset()),
                    std::byte{0});
  const Gpa at{36 * kMiB};
  const std::array<std::string_view, 6> name{"Linux", "lab", "7.0.31", "#1", "x86_64", "(none)"};
  for (std::size_t field = 0; field < name.size(); ++field) {
    std::memcpy(lab.forge().bytes(at + field * 65, name[field].size()).data(), name[field].data(),
                name[field].size());
  }
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_FALSE(kernel.has_value());
  EXPECT_EQ(kernel.error().code, Errc::unsupported);
  EXPECT_NE(kernel.error().message.find("Linux 7.0.31, and it was built without kallsyms"),
            std::string::npos)
      << kernel.error().message;
  EXPECT_NE(kernel.error().hint.find("CONFIG_KALLSYMS=y"), std::string::npos);
}

TEST(AttachWithoutBtf, SymbolsAreThereAndTypesAreSaidToBeMissing) {
  const Lab lab({.btf = false});
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_TRUE(kernel.has_value());
  EXPECT_FALSE((*kernel)->has_types());
  EXPECT_TRUE((*kernel)->symbol("init_task").has_value());
  EXPECT_FALSE((*kernel)->health().ok());
  EXPECT_EQ(check_of(**kernel, "types")->verdict, Verdict::not_known);
  EXPECT_EQ(check_of(**kernel, "memory map")->verdict, Verdict::passed);
  ASSERT_FALSE((*kernel)->health().warnings.empty());
  EXPECT_NE((*kernel)->health().warnings.front().find("BTF"), std::string::npos);
}

TEST(AttachWithoutData, TablesAreFoundByWhatTheyMapAndDataByWhatItHolds) {
  for (const auto& [order, form] :
       {std::pair{KallsymsOrder::to_6_3, KallsymsAddresses::based_percpu},
        std::pair{KallsymsOrder::from_6_4, KallsymsAddresses::based},
        std::pair{KallsymsOrder::from_7, KallsymsAddresses::self_relative}}) {
    for (const unsigned levels : {4U, 5U}) {
      const Lab lab({.seed = 5,
                     .levels = levels,
                     .user_half = true,
                     .order = order,
                     .form = form,
                     .data_symbols = false,
                     .registers = levels == 4});
      const auto kernel = Kernel::attach(lab, {});
      ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
      EXPECT_EQ((*kernel)->identity().text, lab.text());
      EXPECT_EQ((*kernel)->identity().text_physical, lab.text_physical());
      EXPECT_EQ((*kernel)->identity().direct_map, lab.direct_map());
      EXPECT_EQ((*kernel)->identity().levels, levels);
      EXPECT_EQ((*kernel)->identity().release, "6.9.0-lab");
      EXPECT_FALSE((*kernel)->per_cpu(Gva{1}, 0).has_value()) << "how many CPUs is not known";
      EXPECT_TRUE((*kernel)->identity().banner.ends_with("#1 SMP")) << (*kernel)->identity().banner;
      EXPECT_FALSE((*kernel)->lists_data());
      const auto map = check_of(**kernel, "memory map");
      ASSERT_TRUE(map.has_value());
      EXPECT_EQ(map->verdict, Verdict::not_known) << map->detail;
      EXPECT_EQ(map->detail, "kallsyms has no data: no iomem_resource, max_pfn");
      for (const auto& check : (*kernel)->health().checks)
        EXPECT_NE(check.verdict, Verdict::failed) << check.name << ": " << check.detail;
      EXPECT_FALSE((*kernel)->health().ok());
      EXPECT_TRUE(std::ranges::any_of((*kernel)->health().warnings, [](const auto& text) {
        return text.contains("CONFIG_KALLSYMS_ALL") && text.contains("linux_banner");
      }));
    }
  }
}

TEST(AttachUniprocessor, APerCpuVariableIsOneLikeOthers) {
  const Lab lab({.smp = false});
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
  EXPECT_EQ((*kernel)->cpu_count(), 1U);
  EXPECT_EQ((*kernel)->per_cpu(Gva{0x1234}, 0), Gva{0x1234});
  for (const auto& check : (*kernel)->health().checks)
    EXPECT_EQ(check.verdict, Verdict::passed) << check.name << ": " << check.detail;
}

TEST(AttachFaults, EveryFailingReadIsSurvivedAndTold) {
  Lab lab({.seed = 2, .symbols = 2'100});
  ASSERT_TRUE(Kernel::attach(lab, {}).has_value());
  lab.forge().fail_reads(0, 0);
  ASSERT_TRUE(Kernel::attach(lab, {}).has_value());
  const std::uint64_t reads = lab.forge().reads();
  for (std::uint64_t first = 1; first <= reads; first += first < 200 ? 1 : 37) {
    lab.forge().fail_reads(first, 1);
    const auto kernel = Kernel::attach(lab, {});
    if (!kernel) {
      EXPECT_FALSE(kernel.error().message.empty());
      continue;
    }
    EXPECT_EQ((*kernel)->identity().text, lab.text());
  }
}

TEST(AttachForged, ATaskListThatLoopsFailsTheSelfTest) {
  Lab lab({});
  // The fifth task leads back to the third.
  const auto& tasks = lab.tasks();
  lab.forge().put(lab.physical(tasks[5].address) + 64, (tasks[3].address + 64).value);
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_TRUE(kernel.has_value());
  EXPECT_FALSE((*kernel)->health().ok());
}

TEST(AttachInferredMap, IsHeldAgainstTheKernelsOwnTable) {
  const Lab right({.map_source = MapSource::inferred});
  const auto agreed = Kernel::attach(right, {});
  ASSERT_TRUE(agreed.has_value());
  ASSERT_TRUE(check_of(**agreed, "inferred map").has_value());
  EXPECT_EQ(check_of(**agreed, "inferred map")->verdict, Verdict::passed)
      << check_of(**agreed, "inferred map")->detail;

  const Lab wrong({.map_source = MapSource::inferred, .e820_end = 6 * kGiB});
  const auto refuted = Kernel::attach(wrong, {});
  ASSERT_TRUE(refuted.has_value());
  ASSERT_TRUE(check_of(**refuted, "inferred map").has_value());
  EXPECT_EQ(check_of(**refuted, "inferred map")->verdict, Verdict::failed);
  EXPECT_FALSE((*refuted)->health().ok());
  EXPECT_TRUE(std::ranges::any_of((*refuted)->health().warnings, [](const auto& text) {
    return text.contains("e820_table_firmware");
  }));

  const Lab plain({.e820_end = 6 * kGiB});
  const auto told = Kernel::attach(plain, {});
  ASSERT_TRUE(told.has_value());
  EXPECT_FALSE(check_of(**told, "inferred map").has_value()) << "QEMU's own word needs no second";
}

class Cache : public testing::Test {
 protected:
  Cache() { std::filesystem::remove_all(directory_); }
  ~Cache() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string file() const {
    return directory_ + "/0100000002000000030000000400000005000000.kernel";
  }
  static bool from_cache(const Kernel& kernel) {
    for (const auto& note : kernel.health().notes) {
      if (note.find("from the cache") != std::string::npos) return true;
    }
    return false;
  }
  const std::string directory_ = testing::TempDir() + "vitrine-cache-" + std::to_string(::getpid());
};

TEST_F(Cache, AKernelIsKeptAndFoundAgainAtAnotherPlace) {
  for (const auto form : {KallsymsAddresses::based_percpu, KallsymsAddresses::self_relative}) {
    std::filesystem::remove_all(directory_);
    const auto order =
        form == KallsymsAddresses::self_relative ? KallsymsOrder::from_7 : KallsymsOrder::from_6_4;
    const Lab first({.seed = 1, .order = order, .form = form});
    const auto cold = Kernel::attach(first, {directory_});
    ASSERT_TRUE(cold.has_value());
    EXPECT_FALSE(from_cache(**cold));
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      const Lab lab({.seed = seed,
                     .levels = seed % 2 == 0 ? 5U : 4U,
                     .order = order,
                     .form = form,
                     .registers = seed % 3 != 0});
      const auto warm = Kernel::attach(lab, {directory_});
      ASSERT_TRUE(warm.has_value());
      EXPECT_TRUE(from_cache(**warm)) << seed;
      expect_found(lab, **warm);
    }
  }
}

TEST_F(Cache, AnotherKernelUnderTheSameBuildIdIsRecoveredAnew) {
  const Lab first({.symbols = 2'200});
  ASSERT_TRUE(Kernel::attach(first, {directory_}).has_value());
  const Lab forged({.code = 2, .symbols = 2'300});  // the same note at the same place
  const auto kernel = Kernel::attach(forged, {directory_});
  ASSERT_TRUE(kernel.has_value());
  EXPECT_FALSE(from_cache(**kernel));
  expect_found(forged, **kernel);
}

/// One byte of the guest's own kallsyms or BTF is another: what was kept serves, and all is said.
TEST_F(Cache, AlteredTablesOfAKnownKernelAreReplacedAndTold) {
  for (const char* table : {"kallsyms", "BTF"}) {
    std::filesystem::remove_all(directory_);
    const Lab whole({});
    ASSERT_TRUE(Kernel::attach(whole, {directory_}).has_value());
    std::size_t replaced = 0;
    for (const std::uint64_t seed : {1, 2, 3}) {
      Lab lab({.seed = seed});
      const auto at = std::string_view(table) == "BTF" ? lab.btf_offset() : lab.kallsyms_offset();
      const std::uint64_t step = std::string_view(table) == "BTF" ? 60 : 3'000;
      for (std::uint64_t offset = 0; offset < 7 * step; offset += step) {
        const auto byte = lab.forge().bytes(lab.text_physical() + at + offset, 1);
        byte[0] ^= std::byte{0x41};
        const auto kernel = Kernel::attach(lab, {directory_});
        ASSERT_TRUE(kernel.has_value()) << table << ' ' << offset << ": " << kernel.error().message;
        EXPECT_TRUE(from_cache(**kernel));
        EXPECT_EQ((*kernel)->symbols().size(), lab.symbols().size());
        EXPECT_TRUE((*kernel)->has_types());
        const auto& health = (*kernel)->health();
        const bool said = std::ranges::any_of(health.checks, [&](const auto& check) {
          return check.name == table && check.verdict == Verdict::failed;
        });
        if (said) {
          ++replaced;
          EXPECT_FALSE(health.ok());
          EXPECT_TRUE(std::ranges::any_of(
              health.warnings, [](const auto& text) { return text.contains("ALTERED"); }));
        }
        byte[0] ^= std::byte{0x41};
        const auto healed = Kernel::attach(lab, {directory_});
        ASSERT_TRUE(healed.has_value());
        EXPECT_TRUE((*healed)->health().ok());
      }
    }
    EXPECT_GE(replaced, 12U) << table;  // the others are bytes beside the tables
  }
}

TEST_F(Cache, AlteredTypesWhoseKeptOnesAreGoneAreSaid) {
  Lab lab({});
  ASSERT_TRUE(Kernel::attach(lab, {directory_}).has_value());
  std::filesystem::remove(std::filesystem::path(file()).replace_extension(".btf"));
  lab.forge().bytes(lab.text_physical() + lab.btf_offset(), 1)[0] ^= std::byte{1};  // its magic
  const auto kernel = Kernel::attach(lab, {directory_});
  ASSERT_TRUE(kernel.has_value());
  EXPECT_FALSE((*kernel)->has_types());
  EXPECT_FALSE((*kernel)->health().ok());
  EXPECT_GE((*kernel)->health().warnings.size(), 2U);
}

TEST_F(Cache, AKernelsBuildIdOverOtherCodeServesNothingOfIt) {
  Lab lab({});
  ASSERT_TRUE(Kernel::attach(lab, {directory_}).has_value());
  Lab other({.code = 2});
  other.forge().bytes(other.text_physical() + other.btf_offset() + 40, 1)[0] ^= std::byte{1};
  const auto kernel = Kernel::attach(other, {directory_});
  ASSERT_TRUE(kernel.has_value());
  for (const auto& warning : (*kernel)->health().warnings)
    EXPECT_FALSE(warning.contains("serves instead")) << warning;
  EXPECT_FALSE((*kernel)->health().warnings.empty());
}

/// The guest's tables as they are before and after its symbols are taken out of them.
class Flipping final : public PassingMemory {
 public:
  Flipping(const PhysicalMemory& before, const PhysicalMemory& after)
      : PassingMemory(before), after_(after) {}
  void flip() { flipped_ = true; }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    return flipped_ ? after_.read(from, into) : inner().read(from, into);
  }
  std::size_t read_batch(std::span<BatchRead> batch) const override {
    return PhysicalMemory::read_batch(batch);
  }
  [[nodiscard]] Bytes window(Gpa, std::uint64_t) const noexcept override { return {}; }

 private:
  const PhysicalMemory& after_;
  bool flipped_ = false;
};

/// Another guest's symbols must not come under the hash of the tables this one shows afterwards.
TEST_F(Cache, TablesThatChangeAfterTheyWereTakenApartAreNotKeptAsTheOthers) {
  const Lab genuine({});
  Lab forged({});
  // A name of a symbol in the middle of the tables: one byte of one token.
  forged.forge().bytes(forged.text_physical() + Lab::kallsyms_offset() + 9'000, 1)[0] ^=
      std::byte{1};
  Flipping memory(forged.memory(), genuine.memory());
  const auto found = find_kernel(memory, {});
  ASSERT_TRUE(found.has_value()) << found.error().message;
  memory.flip();
  const KernelCache cache(directory_);
  ASSERT_TRUE(cache.keep(memory, *found, {}).has_value());
  std::string doubt;
  const auto kept = cache.find(genuine.memory(), {}, doubt);
  ASSERT_TRUE(kept.has_value());
  EXPECT_TRUE(kept->symbols_altered) << "they are not the genuine ones";
}

TEST_F(Cache, OldKernelsMakeRoomForNewOnes) {
  std::filesystem::create_directories(directory_);
  const auto start = std::filesystem::file_time_type::clock::now() - std::chrono::hours(2);
  for (int i = 0; i < 80; ++i) {
    const auto path = directory_ + "/" + std::to_string(100 + i);
    for (const auto* extension : {".kernel", ".btf"}) {
      std::fclose(std::fopen((path + extension).c_str(), "w"));
      std::filesystem::last_write_time(path + extension, start + std::chrono::seconds(i));
    }
  }
  ASSERT_TRUE(Kernel::attach(Lab({}), {directory_}).has_value());
  EXPECT_TRUE(std::filesystem::exists(file()));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/179.btf"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/116.kernel"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/116.btf"));
}

TEST_F(Cache, ADamagedFileIsNoticed) {
  const Lab lab({});
  ASSERT_TRUE(Kernel::attach(lab, {directory_}).has_value());
  const auto size = std::filesystem::file_size(file());
  for (const std::uint64_t at :
       {std::uint64_t{9}, std::uint64_t{100}, size / 3, size / 2, size - 1}) {
    const Lab fresh({});
    ASSERT_TRUE(Kernel::attach(fresh, {directory_}).has_value());
    std::FILE* out = std::fopen(file().c_str(), "r+b");
    ASSERT_NE(out, nullptr);
    std::fseek(out, static_cast<long>(at), SEEK_SET);
    const int byte = std::fgetc(out);
    std::fseek(out, static_cast<long>(at), SEEK_SET);
    std::fputc(byte ^ 0x5a, out);
    std::fclose(out);
    const auto kernel = Kernel::attach(lab, {directory_});
    ASSERT_TRUE(kernel.has_value());
    EXPECT_FALSE(from_cache(**kernel)) << at;
    expect_found(lab, **kernel);
  }
  std::filesystem::resize_file(file(), size / 2);
  const auto kernel = Kernel::attach(lab, {directory_});
  ASSERT_TRUE(kernel.has_value());
  EXPECT_FALSE(from_cache(**kernel));
}

TEST_F(Cache, ADirectoryThatCannotBeWrittenIsAWarning) {
  const Lab lab({});
  const auto kernel = Kernel::attach(lab, {"/proc/nowhere/vitrine"});
  ASSERT_TRUE(kernel.has_value());
  ASSERT_FALSE((*kernel)->health().warnings.empty());
}

}  // namespace
}  // namespace vitrine::linux
