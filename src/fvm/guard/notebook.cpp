#include "fvm/guard/notebook.h"

#include <fmt/format.h>

namespace vitrine::fvm {

bool Notebook::append(const evidence::Entry& entry) {
  const auto done = store_.append(entry);
  if (done) {
    trouble_.clear();
    return true;
  }
  if (done.error().code == Errc::invalid) {  // no time will make it fit
    ++lost_;
    return true;
  }
  trouble_ = done.error().message;
  return false;
}

void Notebook::write(evidence::Kind kind, std::string subject, std::string body, std::string key,
                     std::uint8_t severity) {
  evidence::Entry entry{.kind = kind,
                        .moment = evidence::now(boot_),
                        .guest = guest_,
                        .subject = std::move(subject),
                        .severity = severity,
                        .key = std::move(key),
                        .body = std::move(body)};
  if (waiting_.empty() && append(entry)) return;
  if (waiting_.size() >= kMostWaiting || waiting_bytes_ + entry.body.size() > kMostWaitingBytes) {
    ++lost_;
    return;
  }
  waiting_bytes_ += entry.body.size();
  waiting_.push_back(std::move(entry));
}

void Notebook::tick(Time now) {
  if ((waiting_.empty() && lost_ == 0) || now < again_) return;
  while (!waiting_.empty()) {
    if (!append(waiting_.front())) {
      again_ = now + std::chrono::milliseconds(500);
      return;
    }
    waiting_bytes_ -= waiting_.front().body.size();
    waiting_.pop_front();
  }
  if (lost_ == 0) return;
  evidence::Entry loss{
      .kind = evidence::Kind::loss,
      .moment = evidence::now(boot_),
      .guest = guest_,
      .subject = "evidence",
      .body = fmt::format(R"({{"words":"{0} entries could not be kept","entries":{0}}})", lost_)};
  if (append(loss)) lost_ = 0;
}

}  // namespace vitrine::fvm
