// AgentExchange: requests to an agent and their answers, while its events come by the same socket.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "memory/file_descriptor.h"
#include "probe/agent/agent_link.h"

namespace vitrine::probe {

/// Threads: requests from any; receive(), kept(), answered() and ended() from the one that listens.
class AgentExchange {
 public:
  /// @param limit  how long a request waits for its answer
  explicit AgentExchange(AgentLink link, std::chrono::milliseconds limit = std::chrono::seconds(10))
      : link_(std::move(link)), limit_(limit) {}

  [[nodiscard]] const Welcome& welcome() const { return link_.welcome(); }

  /// Sends a request and waits for its answer. What comes in between is kept, or is the listener's.
  /// @returns invalid   the agent refuses it
  /// @returns vanished, timeout
  Outcome<Message> request(MessageKind kind, Bytes body, MessageKind answer,
                           FileDescriptor* descriptor = nullptr);
  Outcome<void> send(MessageKind kind, Bytes body) {
    const std::lock_guard lock(send_mutex_);
    return link_.send(kind, body);
  }

  /// Which thread receives from here on; none: whoever asks does.
  void listens(std::thread::id thread) { listener_.store(thread); }
  Outcome<AgentLink::Received> receive(AgentLink::Deadline until) { return link_.receive(until); }
  /// What came while the listener itself waited for an answer, one by one.
  [[nodiscard]] std::optional<AgentLink::Received> kept();
  /// The listener received what is no event.
  void answered(AgentLink::Received received);
  /// The agent is gone: nobody waits any more.
  void ended();

 private:
  /// Whether this answers a request that has given up waiting. The agent answers each, in order.
  [[nodiscard]] bool is_late(MessageKind kind);

  AgentLink link_;
  std::chrono::milliseconds limit_;
  std::atomic<std::thread::id> listener_;
  std::mutex send_mutex_;
  std::mutex request_mutex_;  ///< one request at a time
  std::deque<AgentLink::Received> later_;

  std::mutex answer_mutex_;
  std::condition_variable came_;
  std::optional<MessageKind> wanted_;
  std::deque<MessageKind> owed_;  ///< to those that gave up
  std::optional<AgentLink::Received> answer_;
  std::string refusal_;
  bool refused_ = false;
  bool gone_ = false;  ///< the agent
};

}  // namespace vitrine::probe
