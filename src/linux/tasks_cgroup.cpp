#include "linux/tasks_cgroup.h"

#include <fmt/core.h>

#include <algorithm>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {

namespace {

constexpr std::size_t kMaxDepth = 1024;       // cgroup.max.depth has no limit of its own; paths do
constexpr std::size_t kMaxHierarchies = 64;   // at most one for each controller, and named ones
constexpr std::size_t kMaxBytes = 16 * kKiB;  // of a path; /proc shows those below PATH_MAX
constexpr std::size_t kMaxPaths = 16'384;
constexpr std::uint32_t kOnline = 2;  // CSS_ONLINE

}  // namespace

Outcome<CgroupNames> CgroupNames::open(const Kernel& kernel) {
  CgroupNames names(kernel.memory());
  FieldBinder bind(kernel.types());
  bind(names.default_group_, "css_set.dfl_cgrp");
  bind(names.links_, "css_set.cgrp_links");
  bind(names.link_group_, "cgrp_cset_link.cgrp");
  bind(names.link_node_, "cgrp_cset_link.cgrp_link");
  bind(names.node_, "cgroup.kn");
  bind(names.root_, "cgroup.root");
  bind(names.flags_, "cgroup.self.flags");
  bind(names.parent_, {"kernfs_node.__parent", "kernfs_node.parent"});  // 6.15 (633488947ef6)
  bind(names.name_, "kernfs_node.name");
  bind(names.hierarchy_, "cgroup_root.hierarchy_id");
  bind(names.root_name_, "cgroup_root.name");
  bind(names.mask_, "cgroup_root.subsys_mask");
  bind(names.controller_, "cgroup_subsys.legacy_name");
  TRY(bind.done());
  names.controllers_ = kernel.symbols().find("cgroup_subsys").value_or(Gva{});
  names.visible_ = kernel.symbols().find("cgrp_dfl_visible").value_or(Gva{});
  return names;
}

Result<std::string> CgroupNames::path_of(Gva cgroup) const {
  if (const auto known = paths_.find(cgroup); known != paths_.end()) return known->second;
  std::vector<std::string> parts;
  std::size_t bytes = 0;
  Gva node = TRY(node_.read(*memory_, cgroup));
  for (;;) {
    const auto parent = TRY(parent_.read(*memory_, node));
    if (!parent) break;  // the root, whose name is empty
    if (parts.size() == kMaxDepth) return fail(Errc::cycle, node.value, "kernfs_node.parent");
    parts.push_back(TRY(name_.read(*memory_, node)));
    bytes += parts.back().size() + 1;
    if (bytes > kMaxBytes) return fail(Errc::too_large, node.value, "cgroup path");
    node = parent;
  }
  std::string path;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    path += '/';
    path += *part;
  }
  if (parts.empty()) path += '/';
  if ((TRY(flags_.read(*memory_, cgroup)) & kOnline) == 0) path += " (deleted)";
  if (paths_.size() >= kMaxPaths) paths_.clear();
  paths_.emplace(cgroup, path);
  return path;
}

Result<std::string> CgroupNames::unified(Gva css_set) const {
  return path_of(TRY(default_group_.read(*memory_, css_set)));
}

std::string CgroupNames::controllers_of(Gva root) const {
  std::string text;
  const auto mask = mask_.read(*memory_, root);
  for (unsigned bit = 0; controllers_ && mask && bit < 32; ++bit) {
    if ((*mask >> bit & 1) == 0) continue;
    const auto controller = memory_->load<Gva>(controllers_ + 8 * std::uint64_t{bit});
    const auto name = controller ? controller_.read(*memory_, *controller)
                                 : Result<std::string>(fail(Errc::not_found));
    if (!text.empty()) text += ',';
    text += name ? std::string_view(*name) : std::string_view("?");
  }
  if (const auto name = root_name_.read(*memory_, root); name && !name->empty()) {
    if (!text.empty()) text += ',';
    text += "name=";
    text += *name;
  }
  return text;
}

Result<std::vector<std::string>> CgroupNames::all(Gva css_set) const {
  std::vector<std::pair<std::int32_t, std::string>> lines;
  const auto unified_group = TRY(default_group_.read(*memory_, css_set));
  bool shown = true;
  if (visible_) shown = memory_->load<std::uint8_t>(visible_).value_or(1) != 0;
  std::optional<Error> failed;
  const auto walked = walk_list(*memory_, links_.in(css_set), kMaxHierarchies, [&](Gva node) {
    const auto line = [&]() -> Result<void> {
      const auto group = TRY(link_group_.read(*memory_, link_node_.owner(node)));
      const bool is_unified = group == unified_group;
      if (is_unified && !shown) return {};
      const auto root = TRY(root_.read(*memory_, group));
      const auto number = TRY(hierarchy_.read(*memory_, root));
      lines.emplace_back(number,
                         fmt::format("{}:{}:{}", number, is_unified ? "" : controllers_of(root),
                                     TRY(path_of(group))));
      return {};
    }();
    if (!line) failed = line.error();
    return !failed;
  });
  if (walked.broken) failed = walked.broken;
  if (failed) return std::unexpected(*failed);
  std::ranges::sort(lines, std::greater{}, &std::pair<std::int32_t, std::string>::first);
  std::vector<std::string> out;
  for (auto& [number, line] : lines) out.push_back(std::move(line));
  return out;
}

}  // namespace vitrine::linux
