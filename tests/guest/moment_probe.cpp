// Every value of the moment for every process, by the numbers of its layout alone: one JSON object
// a line, for run_test.py to compare with the views.
#include <fmt/format.h>

#include <array>

#include "linux/kernel.h"
#include "linux/tasks.h"
#include "machine/open.h"
#include "probe/moment_fill.h"
#include "vmipl/catalogue.h"
#include "x86/address_space.h"

namespace {

using namespace vitrine;

class Memory final : public probe::MomentMemory {
 public:
  explicit Memory(const linux::Kernel& kernel) : kernel_(kernel) {}
  bool kernel(std::uint64_t address, MutableBytes into) noexcept override {
    return kernel_.memory().read(Gva{address}, into).has_value();
  }
  bool user(std::uint64_t pgd, std::uint64_t address, MutableBytes into) noexcept override {
    const auto table = kernel_.memory().translate(Gva{pgd});
    if (!table) return false;
    const x86::AddressSpace space(kernel_.ram(),
                                  x86::PageRoot{table->address, kernel_.identity().levels});
    return space.read(Gva{address}, into).has_value();
  }

 private:
  const linux::Kernel& kernel_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto machine = open_machine(argv[1]);
  if (!machine) return fmt::print(stderr, "{}\n", machine.error().message), 1;
  auto kernel = linux::Kernel::attach(**machine, {});
  if (!kernel) return fmt::print(stderr, "{}\n", kernel.error().message), 1;
  const auto filled = probe::fill_moment_layout(**kernel);
  for (const auto& name : filled.missing) fmt::print(stderr, "missing: {}\n", name);
  Memory memory(**kernel);
  probe::MomentReader reader(filled.layout, memory);
  const auto tasks = linux::TaskList::open(**kernel);
  if (!tasks) return fmt::print(stderr, "{}\n", tasks.error().message), 1;
  std::array<char, 8192> text;
  for (const auto& task : tasks->processes().tasks) {
    std::string line = "{";
    for (unsigned i = 0; i < vmipl::moments().size(); ++i) {
      const auto& moment = vmipl::moments()[i];
      if (!reader.knows(i)) continue;
      line += fmt::format("{}\"{}.{}\":", line.size() == 1 ? "" : ",", moment.group, moment.name);
      if (moment.type == vmipl::ValueType::text) {
        const auto size = reader.text(i, task.address.value, text);
        // Latin-1, as the guest's own account is.
        if (!size) {
          line += "null";
          continue;
        }
        line += '"';
        for (std::size_t k = 0; k < *size; ++k)
          line += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[k]));
        line += '"';
      } else {
        const auto value = reader.number(i, task.address.value);
        line += value ? fmt::format("{}", static_cast<std::int64_t>(*value)) : "null";
      }
    }
    fmt::print("{}}}\n", line);
  }
  // Whom each CPU runs, by its index alone.
  for (std::uint32_t i = 0; i < filled.layout.cpus; ++i) {
    const auto cpu = reader.cpu({.index = i});
    const auto current = cpu ? reader.current(*cpu) : std::nullopt;
    fmt::print("{{\"cpu\":{},\"number\":{},\"current\":{}}}\n", i,
               cpu ? static_cast<int>(cpu->number) : -1,
               current ? static_cast<int>(reader.tid(*current).value_or(-2)) : -1);
  }
}
