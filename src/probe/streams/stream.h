// Stream: one running stream probe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "machine/guardian.h"
#include "machine/monitor.h"
#include "machine/network_cards.h"
#include "machine/trace_line.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// Where a stream's bytes go. Those of one call belong together.
using StreamOut = std::function<void(std::string_view)>;

class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  /// Leaves the machine as it was.
  virtual ~Stream() = default;

  /// Hands on what has come. Called every 10 ms.
  virtual void pump(const StreamOut& out) = 0;
  /// A line of QEMU's trace, for those that asked for it, and that it was seen now.
  virtual void line([[maybe_unused]] const TraceLine& line, [[maybe_unused]] std::int64_t wall_ns,
                    [[maybe_unused]] const StreamOut& out) {}
  /// The end: takes the tap away, then hands on what is left.
  virtual void finish(const StreamOut& out) = 0;
  /// Of what did not get through, a sentence each.
  [[nodiscard]] virtual std::vector<std::string> losses() const { return {}; }
};

/// "2026-11-25T19:12:01.123456Z"
[[nodiscard]] std::string time_text(std::int64_t wall_ns);
[[nodiscard]] std::int64_t wall_now_ns();

[[nodiscard]] Outcome<std::unique_ptr<Stream>> network_stream(const Monitor& monitor,
                                                              Guardian& guardian,
                                                              const vmipl::ProgramProbe& probe);
[[nodiscard]] std::unique_ptr<Stream> keyboard_stream();
[[nodiscard]] std::unique_ptr<Stream> console_stream();
[[nodiscard]] std::unique_ptr<Stream> disk_stream();
[[nodiscard]] Outcome<std::unique_ptr<Stream>> screen_stream(const Monitor& monitor,
                                                             const vmipl::ProgramProbe& probe);

/// The cards that an argument means: one by its address, or all.
/// @returns not_found  the machine has no such card; the hint lists those it has
[[nodiscard]] Outcome<std::vector<NetworkCard>> cards_meant(Qmp& qmp,
                                                            const vmipl::ProgramProbe& probe);

}  // namespace vitrine::probe
