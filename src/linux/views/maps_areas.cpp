#include "linux/views/maps_areas.h"

#include "linux/kernel.h"
#include "linux/tasks.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux::maps {

AreaFinder::AreaFinder(const Kernel& kernel)
    : memory_(&kernel.memory()), ahead_(&kernel.read_ahead()) {}

Outcome<AreaFinder> AreaFinder::open(const Kernel& kernel) {
  AreaFinder f(kernel);
  const auto& types = kernel.types();
  FieldBinder bind(types);
  bind(f.first_, "mm_struct.mmap");
  bind(f.next_, "vm_area_struct.vm_next");
  bind(f.tree_, "mm_struct.mm_mt.ma_root");
  bind(f.start_, "vm_area_struct.vm_start");
  bind(f.end_, "vm_area_struct.vm_end");
  bind(f.mm_, "vm_area_struct.vm_mm");
  bind(f.flags_, "vm_area_struct.vm_flags");
  bind(f.page_offset_, "vm_area_struct.vm_pgoff");
  bind(f.file_, "vm_area_struct.vm_file");
  bind(f.operations_, "vm_area_struct.vm_ops");
  bind(f.private_data_, "vm_area_struct.vm_private_data");
  bind(f.anonymous_name_, "vm_area_struct.anon_name");
  TRY(bind.done());
  if (!f.tree_.exists() && !(f.first_.exists() && f.next_.exists())) {
    return std::unexpected(Problem(
        Errc::not_found, "mm_struct has neither mm_mt nor mmap: where its areas hang is unknown"));
  }
  if (const auto shared = Embedded::from(types, "vm_area_struct.shared");
      shared && f.anonymous_name_.exists()) {
    f.name_shares_ = f.anonymous_name_.field().offset() == shared->offset();
  }
  const auto place = [&](std::uint64_t& offset, unsigned* count, PathName name) {
    if (const auto member = Embedded::from(types, name)) {
      offset = member->offset().value_or(offset);
      if (count != nullptr) *count = static_cast<unsigned>(member->count());
    }
  };
  place(f.maple_.range_pivots, nullptr, "maple_range_64.pivot");
  place(f.maple_.range_slots, &f.maple_.range_count, "maple_range_64.slot");
  place(f.maple_.arange_pivots, nullptr, "maple_arange_64.pivot");
  place(f.maple_.arange_slots, &f.maple_.arange_count, "maple_arange_64.slot");
  f.span_ = Span::covering(f.start_, f.end_, f.mm_, f.flags_, f.page_offset_, f.file_,
                           f.operations_, f.private_data_, f.anonymous_name_);
  return f;
}

Result<Area> AreaFinder::read(Gva at) const {
  Snapshot copy(span_);
  TRY(copy.load(*memory_, at));
  Area area{.at = at,
            .start = TRY(start_.read(copy)),
            .end = TRY(end_.read(copy)),
            .flags = TRY(flags_.read(copy)),
            .page_offset = TRY(page_offset_.read(copy)),
            .file = TRY(file_.read(copy)),
            .operations = TRY(operations_.read(copy)),
            .private_data = TRY(private_data_.read(copy))};
  if (!name_shares_ || !area.file) {
    area.anonymous_name = TRY(anonymous_name_.read(copy)).value_or(Gva{});
  }
  return area;
}

Result<void> AreaFinder::add(Areas& found, Gva mm, Gva at, std::optional<Gva> first,
                             std::optional<Gva> last) const {
  if (!is_kernel_pointer(at)) return fail(Errc::malformed, at.value, "vm_area_struct");
  const auto area = TRY(read(at));
  if (TRY(mm_.read(*memory_, at)) != mm) return fail(Errc::torn, at.value, "vm_area_struct.vm_mm");
  const bool fits = (!first || area.start == *first) && (!last || area.end == *last + 1);
  const bool ordered = found.areas.empty() || found.areas.back().end <= area.start;
  if (!fits || !ordered || area.end <= area.start) {
    return fail(Errc::torn, at.value, "vm_area_struct.vm_start");
  }
  found.areas.push_back(area);
  return {};
}

Areas AreaFinder::find_once(Gva mm) const {
  Areas found;
  std::optional<Error> refused;
  const auto keep = [&](Gva area, std::optional<Gva> first, std::optional<Gva> last) {
    if (auto added = add(found, mm, area, first, last); !added) refused = added.error();
    return !refused;
  };
  Walked walked;
  if (tree_.exists()) {
    const auto root = tree_.field().read(*memory_, mm);
    if (!root) {
      found.broken = root.error();
      return found;
    }
    walked = walk_maple_tree(*memory_, maple_, root->value, kMaxAreas,
                             [&](std::uint64_t first, std::uint64_t last, std::uint64_t entry) {
                               return keep(Gva{entry}, Gva{first}, Gva{last});
                             });
  } else {
    const auto first = first_.field().read(*memory_, mm);
    if (!first) {
      found.broken = first.error();
      return found;
    }
    walked = walk_chain(*memory_, *first, next_.field().offset().value_or(0), kMaxAreas,
                        [&](Gva area) { return keep(area, std::nullopt, std::nullopt); });
  }
  found.truncated = walked.truncated;
  found.broken = refused ? refused : walked.broken;
  return found;
}

Areas AreaFinder::find(Gva mm) const {
  std::size_t retries = 0;
  std::optional<ReadAhead::In> again;
  for (;;) {
    if (retries > 0) again.emplace(*ahead_, ReadAhead::Stage::anew);
    auto found = find_once(mm);
    if (!found.broken || retries + 1 == TaskList::kTries) {
      found.retries = retries;
      return found;
    }
    ++retries;
  }
}

}  // namespace vitrine::linux::maps
