// CaptureKeyboardInput: keys with their time, name, scan codes and text.
#include <fmt/format.h>

#include <optional>

#include "machine/key_text.h"
#include "probe/streams/stream.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMostCodes = 192;  ///< bytes of their text: no key has as many

class KeyboardStream final : public Stream {
 public:
  void line(const TraceLine& line, std::int64_t wall_ns, const StreamOut& out) override {
    if (line.kind == TraceLine::key) {
      flush(out);
      key_.emplace(Key{wall_ns, std::string(line.name), line.down, {}});
      quiet_ = 0;
    } else if (line.kind == TraceLine::scan_code) {
      if (!key_)
        key_.emplace(Key{wall_ns, {}, true, {}});  // codes without a key: the device's own answers
      key_->codes += fmt::format("{}{:02x}", key_->codes.empty() ? "" : " ", line.value);
      quiet_ = 0;
      if (key_->codes.size() > kMostCodes) flush(out);  // the guest may make its device talk on
    }
  }
  void pump(const StreamOut& out) override {
    if (key_ && ++quiet_ > 1) flush(out);  // its scan codes have come too
    if (!typed_.empty() && wall_now_ns() - last_ns_ > 2'000'000'000) say_typed(out);
  }
  void finish(const StreamOut& out) override {
    flush(out);
    say_typed(out);
  }

 private:
  struct Key {
    std::int64_t wall_ns;
    std::string name;
    bool down;
    std::string codes;
  };

  void flush(const StreamOut& out) {
    if (!key_) return;
    const auto key = *std::move(key_);
    key_.reset();
    if (key.name.empty()) {
      out(fmt::format("{}  -     {:<16} {:<14}\n", time_text(key.wall_ns), "", key.codes));
      return;
    }
    const auto text = text_.key(key.name, key.down);
    std::string shown;
    for (const char c : text) shown += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
    out(fmt::format("{}  {:<4}  {:<16} {:<14} {}\n", time_text(key.wall_ns),
                    key.down ? "down" : "up", key.name, key.codes.empty() ? "-" : key.codes,
                    shown.empty() ? "-" : shown));
    if (text.empty()) return;
    last_ns_ = key.wall_ns;
    if (text == "\n") return say_typed(out, true);
    typed_ += text;
    if (typed_.size() > 4096) say_typed(out);
  }

  /// A line of what was typed up to an Enter, or to a rest of 2 s.
  void say_typed(const StreamOut& out, bool always = false) {
    if (typed_.empty() && !always) return;
    out(fmt::format("{}  typed {}\n", time_text(last_ns_), typed_));
    typed_.clear();
  }

  KeyText text_;
  std::optional<Key> key_;
  std::string typed_;
  std::int64_t last_ns_ = 0;
  int quiet_ = 0;
};

}  // namespace

std::unique_ptr<Stream> keyboard_stream() { return std::make_unique<KeyboardStream>(); }

}  // namespace vitrine::probe
