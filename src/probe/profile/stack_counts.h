// StackCounts: how often which stack was seen: what a profile is.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::probe {

/// Stacks as paths from the outermost frame to the innermost.
class StackCounts {
 public:
  /// Frames of one stack, distinct frames in all, and bytes of the names in all distinct stacks
  /// together: programs name their functions as they like. What is beyond is counted as lost().
  static constexpr std::size_t kMaxDepth = 512;
  static constexpr std::size_t kMaxNodes = 1u << 20;
  static constexpr std::size_t kMaxText = 128u << 20;

  struct Node {
    std::uint64_t total = 0;  ///< samples in this frame and in what it called
    std::uint64_t own = 0;    ///< samples in this frame itself
    std::map<std::string, Node, std::less<>> callees;
  };

  /// Counts one stack, outermost frame first. Names may hold any bytes.
  void add(const std::vector<std::string>& stack, std::uint64_t count = 1);

  [[nodiscard]] const Node& root() const { return root_; }
  [[nodiscard]] std::uint64_t total() const { return root_.total; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

  /// "outer;inner;innermost 42", a line a stack, in order of names: what flame graph tools read.
  /// In names, ';' becomes ':' and what is not printable ASCII \xNN.
  [[nodiscard]] std::string folded() const;

 private:
  [[nodiscard]] bool holds(const std::vector<std::string>& stack) const;

  Node root_;
  std::size_t nodes_ = 0, text_ = 0;
  std::uint64_t lost_ = 0;
};

/// A frame's name with what is not printable ASCII as \xNN, a backslash as two.
[[nodiscard]] std::string printable(std::string_view name);

}  // namespace vitrine::probe
