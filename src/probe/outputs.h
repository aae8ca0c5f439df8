// Outputs: where a script's text goes: the standard output, channels, files.
//
// A write that fails costs its record, never the run: it is counted, told once when it begins, and
// again at the end. Files are opened before anything starts, and emptied once all has started.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "vmipl/program.h"

namespace vitrine::probe {

struct OutputOptions {
  /// Standard output. @returns false: nobody reads any more; the run is to end.
  std::function<bool(std::string_view)> standard;
  /// What was written to the standard output goes out now, if it did not. May be empty.
  std::function<bool()> flush;
  /// There is room for so many bytes more without waiting for a reader. Empty: always.
  std::function<bool(std::size_t)> room;
  /// Nothing happens any more: from here on a slow reader is waited for. May be empty.
  std::function<void()> patient;
  /// A sentence for people, beside the output.
  std::function<void(std::string_view)> remark;
  /// Channels that go to files: name without #, path.
  std::map<std::string, std::string> channel_files;
  bool json = false;  ///< lines are whole objects: no prefixes
};

/// What did not get out.
struct OutputLoss {
  std::string output;  ///< "#exec", "/tmp/x", "standard output"
  std::uint64_t records = 0;
  std::string reason;  ///< of the first: "No space left on device"
};

/// Threads: all calls at any time.
class Outputs {
 public:
  explicit Outputs(OutputOptions options);
  Outputs(const Outputs&) = delete;
  Outputs& operator=(const Outputs&) = delete;
  ~Outputs();

  /// Opens what the program writes to, beside what is open; changes no file yet.
  /// @returns denied, io ...  which output, and why
  [[nodiscard]] Outcome<void> open(const vmipl::Program& program);
  /// Empties the files that open() opened anew, and forgets those that no program uses.
  void commit(const vmipl::Program& program);

  /// One record's text to output `output` of the program. @returns false: it was lost
  bool write(const vmipl::Program& program, std::uint16_t output, std::string_view text);
  /// To the standard output, on a line of its own.
  bool write_line(std::string_view text);
  /// A sentence for people, beside the output.
  void remark(std::string_view words);

  void flush();
  /// The events are over: what follows waits for its reader.
  void wait_for_reader();

  /// The reader of the standard output is gone.
  [[nodiscard]] bool closed() const;
  [[nodiscard]] std::vector<OutputLoss> losses() const;
  /// True if the records of this output go to a file.
  [[nodiscard]] bool is_file(const vmipl::Program& program, std::uint16_t output) const;

 private:
  struct File;
  [[nodiscard]] std::string path_of(const vmipl::Output& output) const;
  bool to_standard(std::string_view stream, std::string_view text);
  /// Counts what has no room, and says so once.
  [[nodiscard]] bool has_room(std::size_t bytes);

  OutputOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<File>> files_;  ///< by path
  std::string open_line_;  ///< the stream whose line on the standard output has no end yet
  bool in_line_ = false;
  bool closed_ = false;
  std::uint64_t standard_lost_ = 0;  ///< the reader went away
  std::uint64_t standard_slow_ = 0;  ///< the reader was too slow
};

}  // namespace vitrine::probe
