#include "fvm/relay/qmp_relay.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <nlohmann/json.hpp>
#include <string_view>

#include "fvm/relay/patient_worker.h"
#include "machine/json_frame.h"
#include "memory/send_with_files.h"

namespace vitrine::fvm {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::string_view kGreeting = R"({"QMP":{"version":{},"capabilities":[]}})";
constexpr std::size_t kMostFiles = 8;  ///< that came and belong to no command yet

std::string dump(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

Outcome<void> send_line(int socket, std::string text) {
  text += '\n';
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto sent = send_with_files(socket, std::as_bytes(std::span(rest)), {});
    if (sent >= 0)
      rest.remove_prefix(static_cast<std::size_t>(sent));
    else if (errno == EAGAIN) {
      pollfd ready{socket, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR)
      return std::unexpected(Problem(Errc::vanished, "the guard is gone"));
  }
  return {};
}

/// Bytes and files from the client. @returns false  it closed its end
bool receive(int socket, std::string& buffer, std::deque<FileDescriptor>& files) {
  std::array<char, 16384> piece;
  iovec where{piece.data(), piece.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFiles)> control;
  msghdr message{};
  message.msg_iov = &where;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  do {
    pollfd ready{socket, POLLIN, 0};
    ::poll(&ready, 1, -1);
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && (errno == EINTR || errno == EAGAIN));
  if (got <= 0) return false;
  buffer.append(piece.data(), static_cast<std::size_t>(got));
  for (auto& file : take_files(message)) files.push_back(std::move(file));
  return true;
}

Json error_answer(std::string_view words) {
  return {{"error", {{"class", "GenericError"}, {"desc", words}}}};
}
Json empty_answer() { return {{"return", Json::object()}}; }

class Relay {
 public:
  Relay(MonitorPort& port, std::chrono::milliseconds patience) : port_(port), patience_(patience) {}

  /// What the client is told. `files`: what came with the commands and belongs to none yet.
  Json answer(Json command, std::deque<FileDescriptor>& files) {
    command.erase("id");
    const auto name = command.value("execute", Json());
    if (!name.is_string()) return error_answer("a command has a name: {\"execute\": ...}");
    if (name == "qmp_capabilities") return empty_answer();
    if (name == "getfd") {
      if (files.empty()) return error_answer("no file came with it");
      file_ = std::move(files.front());
      files.pop_front();
      return empty_answer();
    }
    if (name == "dump-guest-memory") return begin_dump();
    if (name == "query-dump") return {{"return", {{"status", dump_words()}}}};
    const auto text =
        worker_.run([&port = port_, line = dump(command)] { return port.run(line); }, patience_);
    if (!text)
      return error_answer(dump_ && *dump_ == Dump::active
                              ? "its memory is being written into a file"
                              : text.error().message);
    auto answer = Json::parse(*text, nullptr, false);
    if (!answer.is_object() || (!answer.contains("return") && !answer.contains("error")))
      return error_answer("the machine's manager answered nonsense");
    answer.erase("id");
    return answer;
  }

 private:
  enum class Dump { none, active, completed, failed };

  Json begin_dump() {
    if (!file_) return error_answer("no file was given for it");
    auto state = std::make_shared<std::atomic<Dump>>(Dump::active);
    const auto file = std::make_shared<FileDescriptor>(std::move(file_));
    const auto begun = worker_.run(
        [&port = port_, file, state] {
          auto done = port.dump(file->get());
          *state = done ? Dump::completed : Dump::failed;
          return done;
        },
        kBegin);
    if (!begun && (*state == Dump::failed || begun.error().code != Errc::timeout))
      return error_answer(begun.error().message);
    dump_ = std::move(state);
    return empty_answer();
  }

  [[nodiscard]] const char* dump_words() const {
    switch (dump_ ? dump_->load() : Dump::none) {
      case Dump::active:
        return "active";
      case Dump::completed:
        return "completed";
      case Dump::failed:
        return "failed";
      case Dump::none:
        break;
    }
    return "none";
  }

  static constexpr std::chrono::milliseconds kBegin{50};  ///< until what cannot begin has failed

  MonitorPort& port_;
  std::chrono::milliseconds patience_;
  PatientWorker worker_;
  FileDescriptor file_;  ///< for the next dump
  std::shared_ptr<std::atomic<Dump>> dump_;
};

}  // namespace

Outcome<void> relay_qmp(FileDescriptor client, MonitorPort& port,
                        std::chrono::milliseconds patience) {
  Relay relay(port, patience);
  std::string buffer;
  std::deque<FileDescriptor> files;
  if (!send_line(client.get(), std::string(kGreeting))) return {};
  while (receive(client.get(), buffer, files)) {
    if (files.size() > kMostFiles)
      return std::unexpected(Problem(Errc::protocol, "more files than commands"));
    while (true) {
      JsonFrame frame;
      const auto end = frame.feed(buffer);
      if (end == 0) break;
      auto command = Json::parse(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(end),
                                 nullptr, false);
      buffer.erase(0, end);
      if (!command.is_object())
        return std::unexpected(Problem(Errc::protocol, "what came is no command of QMP"));
      const auto id = command.value("id", Json());
      auto answer = relay.answer(std::move(command), files);
      if (!id.is_null()) answer["id"] = id;
      if (!send_line(client.get(), dump(answer))) return {};
    }
    if (buffer.size() > kLongestCommand)
      return std::unexpected(Problem(Errc::protocol, "a command without an end"));
  }
  return {};
}

}  // namespace vitrine::fvm
