// Reporter: the one place from which anything leaves an FVM.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

#include "fvm/verdict/message.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// Writes frames to the verdict channel: a SEQPACKET socket or a virtio-serial port, a frame
/// a write. Blocks while the other side does not read: an FVM that nobody hears has nothing
/// better to do.
/// Threads: any, in the order in which they come: whoever has much to say does not keep another
/// from saying that he lives.
class Reporter {
 public:
  explicit Reporter(FileDescriptor channel) : channel_(std::move(channel)) {}

  /// @returns false  the channel is closed: there is no guard any more.
  bool report(FrameType type, const symptom::Finding& finding, std::uint64_t generation);
  bool report(const Heartbeat& heartbeat, std::uint64_t generation);
  bool report(const Completion& completion, std::uint64_t generation);
  /// A kernel was attached to: everything that stands is reported anew from here on.
  bool begin(std::string_view kernel, std::uint64_t generation);
  bool note(std::string_view text, std::uint64_t generation);

  [[nodiscard]] bool closed() const noexcept { return closed_; }

 private:
  bool send(FrameType type, Bytes bytes, std::uint64_t generation);

  FileDescriptor channel_;
  std::mutex next_, mutex_;  ///< who is next waits in the first for the second
  std::uint64_t next_number_ = 1;
  std::atomic<bool> closed_{false};
};

}  // namespace vitrine::fvm
