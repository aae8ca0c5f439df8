#include "format/lzo.h"

#include <cstring>

namespace vitrine::format {
namespace {

class Decoder {
 public:
  Decoder(Bytes stream, MutableBytes into) : stream_(stream), into_(into) {}

  Result<void> run() {
    if (const auto first = byte(0); first > 17) {
      ++at_;
      const auto count = static_cast<std::size_t>(first - 17);
      if (!literals(count)) return broken();
      literals_ = count < 4 ? count : 4;
    }
    while (true) {
      if (at_ >= stream_.size()) return broken();
      const auto code = byte(at_++);
      if (code < 16 && literals_ == 0) {
        if (!literals(length(code, 15) + 3)) return broken();
        literals_ = 4;
        continue;
      }
      std::size_t count = 0, distance = 0, trailing = code & 3U;
      if (code < 16) {
        const auto far = literals_ == 4;
        count = far ? 3 : 2;
        distance = (std::size_t{byte(at_++)} << 2) + (code >> 2U) + (far ? 2049 : 1);
      } else if (code < 64) {
        const bool small = code >= 32;
        count = small ? length(code & 31U, 31) + 2 : length(code & 7U, 7) + 2;
        const auto low = byte(at_), high = byte(at_ + 1);
        at_ += 2;
        trailing = low & 3U;
        distance = std::size_t{high} << 6 | low >> 2U;
        distance += small ? 1 : 16384 + (std::size_t{code & 8U} << 11);
        if (!small && distance == 16384) {  // the end
          if (at_ != stream_.size() || done_ != into_.size()) return broken();
          return {};
        }
      } else {
        count = code < 128 ? 3 + (code >> 5U & 1U) : 5 + (code >> 5U & 3U);
        distance = (std::size_t{byte(at_++)} << 3) + (code >> 2U & 7U) + 1;
      }
      if (!again(count, distance) || !literals(trailing)) return broken();
      literals_ = trailing;
    }
  }

 private:
  [[nodiscard]] std::unexpected<Error> broken() const {
    return fail(Errc::malformed, at_, "LZO stream");
  }
  /// Behind the end there are zeros: whoever took one is told by at_.
  [[nodiscard]] std::uint8_t byte(std::size_t at) const {
    return at < stream_.size() ? std::to_integer<std::uint8_t>(stream_[at]) : std::uint8_t{0};
  }
  std::size_t length(std::size_t bits, std::size_t most) {
    if (bits != 0) return bits;
    std::size_t sum = most;
    while (at_ < stream_.size()) {
      const auto next = byte(at_++);
      if (next != 0) return sum + next;
      sum += 255;
    }
    return sum;
  }
  bool literals(std::size_t count) {
    if (at_ > stream_.size() || count > stream_.size() - at_ || count > into_.size() - done_)
      return false;
    if (count != 0) std::memcpy(into_.data() + done_, stream_.data() + at_, count);
    at_ += count;
    done_ += count;
    return true;
  }
  bool again(std::size_t count, std::size_t distance) {
    if (at_ > stream_.size() || distance > done_ || count > into_.size() - done_) return false;
    for (; count != 0; --count, ++done_) into_[done_] = into_[done_ - distance];  // may overlap
    return true;
  }

  Bytes stream_;
  MutableBytes into_;
  std::size_t at_ = 0, done_ = 0;
  std::size_t literals_ = 0;  // copied by the last instruction; 4 for more
};

}  // namespace

Result<void> decode_lzo(Bytes stream, MutableBytes into) { return Decoder(stream, into).run(); }

}  // namespace vitrine::format
