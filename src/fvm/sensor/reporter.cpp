#include "fvm/sensor/reporter.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vitrine::fvm {

bool Reporter::report(FrameType type, const symptom::Finding& finding, std::uint64_t generation) {
  return send(type, symptom::save(finding), generation);
}
bool Reporter::report(const Heartbeat& heartbeat, std::uint64_t generation) {
  return send(FrameType::heartbeat, save(heartbeat), generation);
}
bool Reporter::report(const Completion& completion, std::uint64_t generation) {
  return send(FrameType::complete, save(completion), generation);
}
bool Reporter::begin(std::string_view kernel, std::uint64_t generation) {
  return send(FrameType::begin, bytes_of(kernel.substr(0, kPartBytes)), generation);
}
bool Reporter::note(std::string_view text, std::uint64_t generation) {
  return send(FrameType::note, bytes_of(text.substr(0, kPartBytes)), generation);
}

bool Reporter::send(FrameType type, Bytes bytes, std::uint64_t generation) {
  std::unique_lock next(next_);
  const std::scoped_lock lock(mutex_);
  next.unlock();
  if (closed_) return false;
  for (const auto& frame : frames_of(type, bytes, generation, next_number_)) {
    const auto encoded = encode(frame);
    std::size_t done = 0;
    while (done < encoded.size()) {
      const auto wrote = ::write(channel_.get(), encoded.data() + done, encoded.size() - done);
      if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (wrote <= 0) {
        closed_ = true;
        return false;
      }
      done += static_cast<std::size_t>(wrote);
    }
  }
  return true;
}

}  // namespace vitrine::fvm
