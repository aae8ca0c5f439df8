#include "fvm/guard/notebook.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine::fvm {

void Notebook::write(evidence::Kind kind, std::string subject, std::string body, std::string key,
                     std::uint8_t severity) {
  evidence::Entry entry{.kind = kind,
                        .moment = evidence::now(boot_),
                        .guest = guest_,
                        .subject = std::move(subject),
                        .severity = severity,
                        .key = std::move(key),
                        .body = std::move(body)};
  // What no time will make fit, or what there is no room for even here, is counted.
  if (!evidence::Store::fits(entry) || waiting_.size() >= kMostWaiting ||
      waiting_bytes_ + entry.body.size() > kMostWaitingBytes) {
    ++lost_;
    return;
  }
  waiting_bytes_ += entry.body.size();
  waiting_.push_back(std::move(entry));
}

bool Notebook::flush() {
  std::size_t done = 0;
  while (done < waiting_.size()) {
    const auto some = std::min(kMostAtOnce, waiting_.size() - done);
    if (auto written = store_.append_all(std::span(waiting_).subspan(done, some)); !written) {
      trouble_ = std::move(written.error().message);
      break;
    }
    for (std::size_t i = done; i < done + some; ++i) waiting_bytes_ -= waiting_[i].body.size();
    done += some;
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  if (!waiting_.empty()) return false;
  trouble_.clear();
  if (lost_ == 0) return true;
  const evidence::Entry loss{
      .kind = evidence::Kind::loss,
      .moment = evidence::now(boot_),
      .guest = guest_,
      .subject = "evidence",
      .body = fmt::format(R"({{"words":"{0} entries could not be kept","entries":{0}}})", lost_)};
  if (!store_.append(loss)) return false;
  lost_ = 0;
  return true;
}

void Notebook::tick(Time now) {
  if ((waiting_.empty() && lost_ == 0) || now < again_) return;
  if (!flush()) again_ = now + std::chrono::milliseconds(500);
}

}  // namespace vitrine::fvm
