// Output: where text goes; and Console: the two ends of it, with what they can show.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/escape.h"

namespace vitrine::cli {

class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  virtual ~Output() = default;

  /// @returns false once nobody reads any more (a closed pipe, a full disk): stop.
  virtual bool write(std::string_view text) = 0;
  virtual bool flush() { return true; }
  /// errno of the first write that failed; 0 if all went well. EPIPE is no mishap.
  [[nodiscard]] virtual int failed() const { return 0; }

  /// Paced, nothing waits for a reader: what it does not take stays here, up to what room() says.
  /// Paced no more, flush() waits for it again; a signal that InterruptGuard notes ends that.
  virtual void pace([[maybe_unused]] bool on) {}
  [[nodiscard]] virtual bool room([[maybe_unused]] std::size_t bytes) const { return true; }
};

/// Into a string: for tests, and for text made elsewhere.
class StringOutput final : public Output {
 public:
  bool write(std::string_view written) override {
    text += written;
    return true;
  }
  std::string text;
};

/// Into a file descriptor, which it does not own, 64 KiB at a time.
class FdOutput final : public Output {
 public:
  explicit FdOutput(int fd) : fd_(fd) {}
  ~FdOutput() override { flush(); }
  bool write(std::string_view text) override;
  bool flush() override;
  [[nodiscard]] int failed() const override { return failed_; }
  void pace(bool on) override { paced_ = on; }
  [[nodiscard]] bool room(std::size_t bytes) const override {
    return !paced_ || pending_.size() + bytes <= kMostPending;
  }
  static constexpr std::size_t kMostPending = 16 << 20;

 private:
  [[nodiscard]] std::size_t takes_at_once() const;

  int fd_;
  int failed_ = 0;
  bool paced_ = false;
  std::string pending_;
};

struct Console {
  Output& out;
  Output& err;
  bool interactive = false;  ///< out is a terminal
  unsigned width = 0;        ///< columns of the terminal; 0: no limit (not a terminal)
  bool colour = false;       ///< on out
  bool err_colour = false;
  Charset charset = Charset::utf8;

  /// `text` between the codes of a style, or plain where colour is off.
  [[nodiscard]] std::string dim(std::string_view text) const;
  [[nodiscard]] std::string bold(std::string_view text) const;

  /// A remark on stderr, in a line of its own, dim: "vitrine: reading web1".
  void remark(std::string_view text);
};

/// What the environment says: terminals, $COLUMNS, $NO_COLOR, $TERM, the locale.
[[nodiscard]] Console console_of_process(Output& out, Output& err);
[[nodiscard]] Charset charset_of_locale();

}  // namespace vitrine::cli
