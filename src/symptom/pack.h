// Pack: the rules of a guard, as files: VMI-PL symptoms and YARA patterns.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/problem.h"

namespace vitrine::symptom {

struct PackFile {
  enum class Kind : std::uint8_t {
    symptoms /* .vmi */,
    patterns /* .yar, .yara */,
    required /* required.txt */
  } kind = Kind::symptoms;
  std::string name;  ///< as diagnostics show it
  std::string text;
};

/// Files alone: nothing is compiled here, as that takes the guest's kernel (Engine::create()).
class Pack {
 public:
  static constexpr std::size_t kMaxFiles = 1024;
  static constexpr std::size_t kMaxFileBytes = 4 << 20;

  /// Reads `.vmi`, `.yar`, `.yara` and `required.txt` of each folder (not of folders within), or
  /// each file named, in order of name. What cannot be read is told in problems(); the rest is
  /// loaded.
  [[nodiscard]] static Pack load(std::span<const std::string> paths);

  /// One file more: an FVM's image has its pack within itself.
  void add(PackFile file) { files_.push_back(std::move(file)); }
  /// Processes that must run, by name: what `required.txt` holds, a line each.
  void require(std::string_view process);

  [[nodiscard]] const std::vector<PackFile>& files() const { return files_; }
  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }
  /// All of it as one blob, for an image; from_bytes() gives the same pack.
  [[nodiscard]] std::vector<std::byte> to_bytes() const;
  [[nodiscard]] static Result<Pack> from_bytes(Bytes bytes);

 private:
  std::vector<PackFile> files_;
  std::vector<Problem> problems_;
};

/// Where the pack that comes with Vitrine lies: $VITRINE_RULES, `rules` beside the build folder
/// that the program runs from, share/vitrine/rules beside its bin: the first there is; empty: none.
[[nodiscard]] std::string default_rules_folder();

}  // namespace vitrine::symptom
