// Kernels configured otherwise than distributions do, as views see them.
#include <gtest/gtest.h>

#include <algorithm>

#include "linux/kernel.h"
#include "linux/tasks_memory.h"
#include "linux/view.h"
#include "support/lab.h"

namespace vitrine::linux {
namespace {

using test::Lab;

class Rows final : public RowSink {
 public:
  explicit Rows(const ViewInfo& info) : RowSink(info, {}), info_(info) {}
  std::vector<std::vector<Value>> rows;

  [[nodiscard]] const Value& of(std::string_view column) const {
    const auto at = std::ranges::find(info_.columns, column, &Column::name);
    return rows.front()[static_cast<std::size_t>(at - info_.columns.begin())];
  }

 private:
  bool row(std::span<const Value> values, std::string_view /*doubt*/) override {
    rows.emplace_back(values.begin(), values.end());
    return true;
  }
  const ViewInfo& info_;
};

bool missing(const ViewReader& reader, std::string_view column, std::string_view reason) {
  const auto all = reader.missing_columns();
  return std::ranges::any_of(all, [&](const MissingColumns& one) {
    return (column.empty() ? one.columns.empty() : one.about(column)) &&
           one.reason.contains(reason);
  });
}

TEST(UnusualKernels, WithoutVariablesTheTableOfInterruptsIsTheOneThatCpusUse) {
  const View& view = *find_view("interrupts");
  const Lab lab({.data_symbols = false});
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_TRUE(kernel.has_value()) << kernel.error().message;
  auto reader = view.open(**kernel);
  ASSERT_TRUE(reader.has_value()) << reader.error().message;
  Rows rows(view.info());
  ASSERT_TRUE((*reader)->read(rows).has_value());
  EXPECT_EQ(rows.rows.size(), 256U);
  EXPECT_EQ(rows.doubtful(), 0U);
  EXPECT_TRUE(missing(**reader, "", "idt_table"));

  // Where variables are listed, its absence is no kernel's way; without registers none is known.
  const Lab listed({});
  const auto other = Kernel::attach(listed, {});
  ASSERT_TRUE(other.has_value());
  EXPECT_FALSE(view.open(**other).has_value());
  const Lab dumb({.data_symbols = false, .registers = false});
  const auto image = Kernel::attach(dumb, {});
  ASSERT_TRUE(image.has_value());
  EXPECT_FALSE(view.open(**image).has_value());
}

TEST(UnusualKernels, NamesStandWhereAShuffledNamespaceHasThem) {
  const View& view = *find_view("kernel");
  const Lab lab({});
  const auto kernel = Kernel::attach(lab, {});
  ASSERT_TRUE(kernel.has_value());
  auto reader = view.open(**kernel);
  ASSERT_TRUE(reader.has_value());
  EXPECT_FALSE(missing(**reader, "hostname", ""));
  Rows rows(view.info());
  ASSERT_TRUE((*reader)->read(rows).has_value());
  EXPECT_EQ(rows.of("hostname"), Value(std::string("lab-host")));

  const Lab without({.data_symbols = false});
  const auto other = Kernel::attach(without, {});
  ASSERT_TRUE(other.has_value());
  auto unknowing = view.open(**other);
  ASSERT_TRUE(unknowing.has_value());
  for (const auto* column : {"hostname", "version", "domainname"})
    EXPECT_TRUE(missing(**unknowing, column, "no symbol init_uts_ns")) << column;
  EXPECT_TRUE(missing(**unknowing, "jiffies", "no symbol jiffies_64"));
  EXPECT_FALSE(missing(**unknowing, "release", ""));
}

TEST(UnusualKernels, CountersOfAKernelForOneCpuHaveNoPerCpuHalves) {
  for (const bool smp : {true, false}) {
    Lab lab({.smp = smp});
    const auto kernel = Kernel::attach(lab, {});
    ASSERT_TRUE(kernel.has_value());
    const auto fields = MemoryFields::open(**kernel);
    ASSERT_TRUE(fields.has_value()) << fields.error().message;
    const Gva mm = lab.text() + Lab::free_offset();
    for (std::uint64_t i = 0; i < 4; ++i)
      lab.forge().put(lab.physical(mm) + Lab::counters_offset() + i * (smp ? 16 : 8),
                      std::int64_t{10} << i);
    Snapshot copy(fields->span());
    ASSERT_TRUE(copy.load((*kernel)->memory(), mm).has_value());
    const auto resident = fields->resident(copy);
    ASSERT_TRUE(resident.has_value()) << smp;
    EXPECT_EQ(resident->total, std::int64_t{(10 + 20 + 80) * kPageSize}) << smp;
    EXPECT_EQ(resident->shared, std::int64_t{(10 + 80) * kPageSize}) << smp;
  }
}

}  // namespace
}  // namespace vitrine::linux
