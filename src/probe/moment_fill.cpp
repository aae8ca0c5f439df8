#include "probe/moment_fill.h"

#include <initializer_list>

#include "linux/field_value.h"
#include "linux/type_catalogue.h"
#include "linux/type_path.h"

namespace vitrine::probe {
namespace {

std::optional<std::uint32_t> offset_of(const linux::TypeCatalogue& types, std::string_view path) {
  // What a type that is not there might have been called instead is a look at all types.
  if (!types.find(path.substr(0, path.find('.')))) return std::nullopt;
  const auto found = linux::MemberPath::compile(types, path);
  if (!found || found->route().hop_count != 0) return std::nullopt;
  return found->route().offset;
}

}  // namespace

FilledMoment fill_moment_layout(const linux::Kernel& kernel) {
  FilledMoment filled;
  auto& layout = filled.layout;
  const auto& types = kernel.types();
  const auto member = [&](std::uint32_t& into, std::initializer_list<std::string_view> paths) {
    for (const auto path : paths) {
      if (const auto offset = offset_of(types, path)) {
        into = *offset;
        return;
      }
    }
    filled.missing.emplace_back(*(paths.end() - 1));
  };
#define X(name, ...) member(layout.name, {__VA_ARGS__});
  VITRINE_MOMENT_MEMBERS(X)
#undef X
  const auto& symbols = kernel.symbols();
  const auto symbol = [&](std::string_view name) -> std::uint64_t {
    const auto found = symbols.find(name);
    return found ? found->value : 0;
  };
  layout.per_cpu_offsets = symbol("__per_cpu_offset");
  if (layout.per_cpu_offsets == 0) {
    layout.uniprocessor = kernel.per_cpu(Gva{}, 0).has_value() ? 1 : 0;
    if (layout.uniprocessor == 0) filled.missing.emplace_back("__per_cpu_offset");
  }
  // As the direct map has it: the agent reads that without a walk, and this one at each event.
  if (layout.per_cpu_offsets != 0 && kernel.identity().direct_map.value != 0)
    layout.per_cpu_offsets += kernel.identity().direct_map.value +
                              kernel.identity().text_physical.value - kernel.identity().text.value;
  // 6.2 to 6.14 keep it in a structure of the hottest variables (e57ef2ed97c1, 46e8fff6d45f).
  layout.current_task = symbol("current_task");
  if (layout.current_task == 0 && symbol("pcpu_hot") != 0)
    layout.current_task =
        symbol("pcpu_hot") + offset_of(types, "pcpu_hot.current_task").value_or(0);
  if (layout.current_task == 0) filled.missing.emplace_back("current_task");
  if (const auto init = symbol("init_pid_ns")) {
    if (const auto reaper = offset_of(types, "pid_namespace.child_reaper"))
      layout.init_reaper = init + *reaper;
  }
  layout.direct_map = kernel.identity().direct_map.value;
  layout.cpus = kernel.cpu_count();
  if (const auto kind = types.find_enumerator("PIDTYPE_SID"))
    layout.session_kind = static_cast<std::uint32_t>(*kind);
  if (const auto size = types.size_of("upid")) layout.upid_size = static_cast<std::uint32_t>(*size);
  // As linux/tasks_time.h finds the timekeeper.
  const auto core = symbol("tk_core") != 0 ? symbol("tk_core") : symbol("timekeeper_data");
  const auto real = offset_of(types, "timekeeper.offs_real");
  const auto boot = offset_of(types, "timekeeper.offs_boot");
  if (core != 0 && real && boot) {
    const auto place = offset_of(types, "tk_data.timekeeper");
    layout.offset_real = core + place.value_or(8) + *real;
    layout.offset_boot = core + place.value_or(8) + *boot;
  } else {
    filled.missing.emplace_back("timekeeper.offs_real");
  }
  return filled;
}

}  // namespace vitrine::probe
