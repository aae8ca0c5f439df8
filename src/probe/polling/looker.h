// Looker: takes looks at a kernel.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/view.h"
#include "probe/polling/look.h"

namespace vitrine::probe {

struct LookFor {
  bool processes = false;
  bool modules = false;
  std::vector<bool> columns;  ///< of the view `processes`, wanted beside those that a look needs
};

class Looker {
 public:
  /// `kernel` must outlive this. @returns as View::open()
  [[nodiscard]] static Outcome<Looker> open(linux::Kernel& kernel, LookFor wanted);

  /// Errors as ViewReader::read(). Cost: some microseconds a process; nothing to the guest.
  [[nodiscard]] Outcome<Look> look();

 private:
  explicit Looker(linux::Kernel& kernel) : kernel_(&kernel) {}

  linux::Kernel* kernel_;
  LookFor wanted_;
  std::unique_ptr<linux::ViewReader> processes_;
  linux::Query query_;
  linux::Field<std::uint32_t> exec_id_32_;
  linux::Field<std::uint64_t> exec_id_64_;
  std::optional<Gva> total_forks_;
};

}  // namespace vitrine::probe
