#include "cli/process_tree.h"

#include <algorithm>
#include <unordered_map>

namespace vitrine::cli {
namespace {

constexpr std::size_t kDeepest = 64;

struct Strokes {
  std::string_view branch, last, pass, blank;
};

constexpr Strokes kLines = {"├─ ", "└─ ", "│  ", "   "};
constexpr Strokes kAscii = {"|- ", "`- ", "|  ", "   "};

class Drawing {
 public:
  Drawing(const std::vector<TreeProcess>& processes, Charset charset)
      : processes_(processes), strokes_(charset == Charset::utf8 ? kLines : kAscii) {
    std::unordered_map<std::int64_t, std::size_t> by_pid;
    for (std::size_t i = 0; i < processes.size(); ++i) by_pid.emplace(processes[i].pid, i);
    children_.resize(processes.size());
    drawn_.resize(processes.size(), false);
    for (std::size_t i = 0; i < processes.size(); ++i) {
      const auto parent = by_pid.find(processes[i].parent);
      // pid 0, the idle task, is everybody's ancestor and mostly no row of its own.
      if (parent == by_pid.end() || parent->second == i) {
        roots_.push_back(i);
      } else {
        children_[parent->second].push_back(i);
      }
    }
    const auto by_number = [&](std::size_t a, std::size_t b) {
      return processes[a].pid < processes[b].pid;
    };
    std::ranges::sort(roots_, by_number);
    for (auto& list : children_) std::ranges::sort(list, by_number);
  }

  std::vector<std::string> all() && {
    for (const auto root : roots_) draw(root, "");
    std::vector<std::size_t> rest;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      if (!drawn_[i]) rest.push_back(i);
    }
    std::ranges::sort(rest, {}, [&](std::size_t i) { return processes_[i].pid; });
    for (const auto member : rest) draw(member, "  ? its parents form a ring");
    return std::move(lines_);
  }

  std::vector<std::string> from(std::int64_t pid) && {
    const auto at = std::ranges::find(processes_, pid, &TreeProcess::pid);
    if (at != processes_.end()) draw(static_cast<std::size_t>(at - processes_.begin()), "");
    return std::move(lines_);
  }

 private:
  struct Pending {
    std::size_t index;
    std::size_t depth;
    bool last;
  };

  /// Not by recursion: a guest decides how deep its tree is.
  void draw(std::size_t root, std::string_view remark) {
    if (drawn_[root]) return;
    std::vector<Pending> pending{{root, 0, true}};
    drawn_[root] = true;
    std::vector<std::string_view> margin;
    while (!pending.empty()) {
      const auto [index, depth, last] = pending.back();
      pending.pop_back();
      std::string line;
      const auto level = std::min(depth, kDeepest);
      margin.resize(level);
      if (level > 0) {
        for (std::size_t i = 0; i + 1 < level; ++i) line += margin[i];
        line += last ? strokes_.last : strokes_.branch;
        margin[level - 1] = last ? strokes_.blank : strokes_.pass;
      }
      line += processes_[index].label;
      if (depth == 0) line += remark;
      lines_.push_back(std::move(line));
      bool is_last = true;
      for (auto child = children_[index].rbegin(); child != children_[index].rend(); ++child) {
        if (drawn_[*child]) continue;
        drawn_[*child] = true;
        pending.push_back({*child, depth + 1, is_last});
        is_last = false;
      }
    }
  }

  const std::vector<TreeProcess>& processes_;
  Strokes strokes_;
  std::vector<std::vector<std::size_t>> children_;
  std::vector<std::size_t> roots_;
  std::vector<bool> drawn_;
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> draw_tree(const std::vector<TreeProcess>& processes, std::int64_t root,
                                   Charset charset) {
  Drawing drawing(processes, charset);
  return root != 0 ? std::move(drawing).from(root) : std::move(drawing).all();
}

}  // namespace vitrine::cli
