#include "linux/system_ram.h"

#include <algorithm>

#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

constexpr std::size_t kMostResources = 4096;
constexpr std::uint64_t kSystemRam = 0x0100'0200;  // IORESOURCE_SYSRAM | IORESOURCE_MEM

struct ResourceFields {
  Field<std::uint64_t> start, end, flags;
  Field<Gva> sibling, child;
  Span span;

  static Outcome<ResourceFields> from(const TypeCatalogue& types) {
    ResourceFields fields;
    FieldBinder bind(types);
    bind(fields.start, "resource.start");
    bind(fields.end, "resource.end");
    bind(fields.flags, "resource.flags");
    bind(fields.sibling, "resource.sibling");
    bind(fields.child, "resource.child");
    TRY(bind.done());
    fields.span =
        Span::covering(fields.start, fields.end, fields.flags, fields.sibling, fields.child);
    return fields;
  }
};

class Collector {
 public:
  Collector(const VirtualMemory& memory, const ResourceFields& fields)
      : memory_(memory), f_(fields) {}

  /// The children of `parent`, and where they are no RAM, theirs.
  Result<void> children_of(Gva parent, unsigned depth) {
    Gva at = TRY(f_.child.read(memory_, parent));
    for (; at; at = TRY(f_.sibling.read(memory_, at))) {
      if (!is_kernel_pointer(at)) return fail(Errc::malformed, at.value, "resource.sibling");
      if (++seen_ > kMostResources) return fail(Errc::too_large, at.value, "iomem_resource");
      Snapshot copy(f_.span);
      TRY(copy.load(memory_, at));
      if ((TRY(f_.flags.read(copy)) & kSystemRam) != kSystemRam) {
        if (depth > 0) TRY(children_of(at, depth - 1));
        continue;
      }
      const auto start = TRY(f_.start.read(copy)), end = TRY(f_.end.read(copy));
      if (end < start || end == UINT64_MAX) return fail(Errc::malformed, at.value, "resource.end");
      ranges_.push_back({Gpa{start}, end - start + 1});
    }
    return {};
  }
  std::vector<GpaRange> ranges_;

 private:
  const VirtualMemory& memory_;
  const ResourceFields& f_;
  std::size_t seen_ = 0;
};

}  // namespace

Outcome<std::vector<GpaRange>> read_system_ram(const Kernel& kernel) {
  constexpr unsigned kDepth = 2;  // a virtio-mem device's region, and its blocks
  const Gva root = TRY(kernel.symbol("iomem_resource"));
  const auto fields = TRY(ResourceFields::from(kernel.types()));
  Collector collector(kernel.memory(), fields);
  if (auto done = collector.children_of(root, kDepth); !done)
    return std::unexpected(Problem(done.error()));
  if (collector.ranges_.empty())
    return std::unexpected(Problem(Errc::not_found, "iomem_resource has no RAM"));
  std::ranges::sort(collector.ranges_, {}, &GpaRange::start);
  return std::move(collector.ranges_);
}

}  // namespace vitrine::linux
