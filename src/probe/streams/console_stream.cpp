// CaptureConsole: what a machine's only serial port sends, byte for byte.
#include "probe/streams/stream.h"

namespace vitrine::probe {
namespace {

// Registers of a 16550 UART. Source: PC16550D data sheet, table 2.
enum Register : std::uint64_t { kTransmit = 0, kLineControl = 3 };
constexpr std::uint64_t kDivisorLatch = 0x80;

class ConsoleStream final : public Stream {
 public:
  void line(const TraceLine& line, std::int64_t, const StreamOut&) override {
    if (line.kind != TraceLine::serial_write) return;
    if (line.address == kLineControl) divisor_ = (line.value & kDivisorLatch) != 0;
    // While the divisor latch is open, register 0 is the divisor's low byte.
    if (line.address == kTransmit && !divisor_) bytes_ += static_cast<char>(line.value);
  }
  void pump(const StreamOut& out) override {
    if (bytes_.empty()) return;
    out(bytes_);
    bytes_.clear();
  }
  void finish(const StreamOut& out) override { pump(out); }

 private:
  bool divisor_ = false;
  std::string bytes_;
};

}  // namespace

std::unique_ptr<Stream> console_stream() { return std::make_unique<ConsoleStream>(); }

}  // namespace vitrine::probe
