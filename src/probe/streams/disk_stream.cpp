// CaptureDisk: reads and writes of the disks, a line each: when, what, where, how much.
#include <fmt/format.h>

#include "probe/streams/stream.h"

namespace vitrine::probe {
namespace {

class DiskStream final : public Stream {
 public:
  void line(const TraceLine& line, std::int64_t wall_ns, const StreamOut&) override {
    if (line.kind != TraceLine::block_read && line.kind != TraceLine::block_write) return;
    lines_ += fmt::format("{}  {}  {:>14}  {:>10}\n", time_text(wall_ns),
                          line.kind == TraceLine::block_read ? "read " : "write", line.address,
                          line.value);
  }
  void pump(const StreamOut& out) override {
    if (lines_.empty()) return;
    out(lines_);
    lines_.clear();
  }
  void finish(const StreamOut& out) override { pump(out); }

 private:
  std::string lines_;
};

}  // namespace

std::unique_ptr<Stream> disk_stream() { return std::make_unique<DiskStream>(); }

}  // namespace vitrine::probe
