// CaptureScreen: pictures one after the other, each a PPM with its time as a comment; one that
// shows the same as the last is left out.
#include <fmt/format.h>

#include "machine/screen.h"
#include "probe/streams/stream.h"

namespace vitrine::probe {
namespace {

class ScreenStream final : public Stream {
 public:
  ScreenStream(const Monitor& monitor, std::int64_t period_ns)
      : monitor_(monitor), period_ns_(period_ns) {}

  void pump(const StreamOut& out) override {
    const auto now = wall_now_ns();
    if (now < next_ns_) return;
    next_ns_ = now + period_ns_;
    auto qmp = monitor_.talk(std::chrono::milliseconds(100));
    auto picture =
        qmp ? take_picture(**qmp, PictureFormat::ppm) : std::unexpected(std::move(qmp.error()));
    if (!picture) {
      ++missed_;
      return;
    }
    if (*picture == last_ || !picture->starts_with("P6\n")) return;
    last_ = *std::move(picture);
    out(fmt::format("P6\n# {}\n{}", time_text(now), std::string_view(last_).substr(3)));
  }
  void finish(const StreamOut&) override {}
  [[nodiscard]] std::vector<std::string> losses() const override {
    if (missed_ == 0) return {};
    return {fmt::format("screen: {} pictures were not to be had when they were due", missed_)};
  }

 private:
  const Monitor monitor_;
  std::int64_t period_ns_, next_ns_ = 0;
  std::string last_;
  std::uint64_t missed_ = 0;
};

}  // namespace

Outcome<std::unique_ptr<Stream>> screen_stream(const Monitor& monitor,
                                               const vmipl::ProgramProbe& probe) {
  {
    auto qmp = TRY(monitor.talk());
    TRY(take_picture(*qmp, PictureFormat::ppm));  // refused now rather than never seen
  }
  return std::make_unique<ScreenStream>(
      monitor, static_cast<std::int64_t>(probe.arguments.at(0).number_value));
}

}  // namespace vitrine::probe
