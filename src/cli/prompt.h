// Prompt: what becomes of each entry of `vitrine repl`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/line_editor.h"
#include "cli/session.h"
#include "probe/kernel_ports.h"
#include "probe/source_settings.h"
#include "vmipl/entry.h"

namespace vitrine::cli {

class Prompt {
 public:
  /// Of a session with a kernel. All must outlive it. `words`: --allow-writes, --allow-control,
  /// --poll.
  Prompt(Context& context, Session& session, const Arguments& words,
         probe::SourceSettings settings);

  /// Runs what was typed and prints what comes of it; problems are told, none ends the prompt.
  /// @returns false  the user wants to leave
  bool enter(const std::string& text);

  [[nodiscard]] LineEditor::Completions complete(std::string_view before_cursor) const;
  /// The signal that ended the entry that ran last; 0: none.
  [[nodiscard]] int ended_by() const { return ended_by_; }
  /// True while every entry so far was well.
  [[nodiscard]] bool all_well() const { return all_well_; }

 private:
  bool command(std::string_view text);
  void language(const std::string& text);
  void run(const vmipl::Entry& entry);
  [[nodiscard]] const linux::Kernel& kernel() const { return *session_.guest().kernel(); }
  void tell(const Problem& problem);

  Context& context_;
  Session& session_;
  const Arguments& words_;
  const probe::SourceSettings settings_;
  std::unique_ptr<probe::KernelPorts> ports_;  ///< of the kernel that the session has
  std::vector<std::string> declarations_;
  bool all_well_ = true;
  int ended_by_ = 0;
};

}  // namespace vitrine::cli
