#include "probe/agent/agent_exchange.h"

namespace vitrine::probe {

using Clock = std::chrono::steady_clock;

bool AgentExchange::is_late(MessageKind kind) {
  if (owed_.empty() || (kind != owed_.front() && kind != MessageKind::refused)) return false;
  owed_.pop_front();
  return true;
}

Outcome<Message> AgentExchange::request(MessageKind kind, Bytes body, MessageKind answer,
                                        FileDescriptor* descriptor) {
  const std::lock_guard one_at_a_time(request_mutex_);
  const auto until = Clock::now() + limit_;
  const auto words = [](const Message& message) {
    return std::string(reinterpret_cast<const char*>(message.body.data()), message.body.size());
  };
  const auto listener = listener_.load();
  if (listener == std::thread::id() || listener == std::this_thread::get_id()) {
    TRY(send(kind, body));
    for (;;) {
      auto come = link_.receive(until);
      const std::lock_guard lock(answer_mutex_);
      if (!come) {
        if (come.error().code == Errc::timeout) owed_.push_back(answer);
        return std::unexpected(std::move(come).error());
      }
      auto received = std::move(*come);
      if (is_late(received.message.kind)) continue;
      if (received.message.kind == MessageKind::refused)
        return std::unexpected(Problem(Errc::invalid, words(received.message)));
      if (received.message.kind != answer) {
        later_.push_back(std::move(received));
        continue;
      }
      if (descriptor != nullptr) *descriptor = std::move(received.descriptor);
      return std::move(received.message);
    }
  }
  std::unique_lock lock(answer_mutex_);
  if (gone_) return std::unexpected(Problem(Errc::vanished, "the agent is gone"));
  wanted_ = answer;
  answer_.reset();
  refused_ = false;
  lock.unlock();
  TRY(send(kind, body));
  lock.lock();
  const bool done = came_.wait_until(lock, until, [&] { return answer_ || refused_ || gone_; });
  wanted_.reset();
  if (gone_) return std::unexpected(Problem(Errc::vanished, "the agent is gone"));
  if (!done) {
    owed_.push_back(answer);
    return std::unexpected(Problem(Errc::timeout, "the agent does not answer"));
  }
  if (refused_) return std::unexpected(Problem(Errc::invalid, refusal_));
  if (descriptor != nullptr) *descriptor = std::move(answer_->descriptor);
  return std::move(answer_->message);
}

std::optional<AgentLink::Received> AgentExchange::kept() {
  if (later_.empty()) return std::nullopt;
  auto first = std::move(later_.front());
  later_.pop_front();
  return first;
}

void AgentExchange::answered(AgentLink::Received received) {
  const std::lock_guard lock(answer_mutex_);
  if (is_late(received.message.kind)) return;
  if (wanted_ && received.message.kind == *wanted_) {
    answer_ = std::move(received);
  } else if (wanted_ && received.message.kind == MessageKind::refused) {
    refusal_.assign(reinterpret_cast<const char*>(received.message.body.data()),
                    received.message.body.size());
    refused_ = true;
  }
  came_.notify_all();
}

void AgentExchange::ended() {
  {
    const std::lock_guard lock(answer_mutex_);
    gone_ = true;
  }
  came_.notify_all();
}

}  // namespace vitrine::probe
