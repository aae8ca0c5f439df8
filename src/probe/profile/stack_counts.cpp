#include "probe/profile/stack_counts.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrine::probe {
namespace {

void fold(const StackCounts::Node& node, const std::string& path, std::string& out) {
  if (node.own != 0 && !path.empty()) out += fmt::format("{} {}\n", path, node.own);
  for (const auto& [name, callee] : node.callees) {
    auto text = printable(name);
    std::ranges::replace(text, ';', ':');
    fold(callee, path.empty() ? text : path + ";" + text, out);
  }
}

}  // namespace

std::string printable(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      text += "\\\\";
    } else if (byte < 0x20 || byte > 0x7e) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text;
}

bool StackCounts::holds(const std::vector<std::string>& stack) const {
  const Node* at = &root_;
  for (const auto& name : stack) {
    const auto next = at->callees.find(name);
    if (next == at->callees.end()) return false;
    at = &next->second;
  }
  return at->own != 0;
}

void StackCounts::add(const std::vector<std::string>& stack, std::uint64_t count) {
  if (stack.empty() || count == 0) return;
  std::size_t text = 0;
  if (!holds(stack))
    for (const auto& name : stack) text += name.size();
  if (stack.size() > kMaxDepth || nodes_ + stack.size() > kMaxNodes || text > kMaxText - text_) {
    lost_ += count;
    return;
  }
  text_ += text;
  Node* at = &root_;
  at->total += count;
  for (const auto& name : stack) {
    const auto [node, added] = at->callees.try_emplace(name);
    nodes_ += added ? 1 : 0;
    at = &node->second;
    at->total += count;
  }
  at->own += count;
}

std::string StackCounts::folded() const {
  std::string out;
  fold(root_, {}, out);
  return out;
}

}  // namespace vitrine::probe
