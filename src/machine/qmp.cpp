#include "machine/qmp.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "machine/json_frame.h"
#include "memory/send_with_files.h"

namespace vitrine {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

// QEMU's longest honest answer here, `info mtree -f` of a large machine, stays far below.
constexpr std::size_t kLongestAnswer = 32 * 1024 * 1024;
constexpr std::size_t kMostEvents = 100'000;
constexpr std::size_t kMostAtOnce = 2 * kLongestAnswer;  // events too, while one answer is awaited
constexpr std::size_t kDeepest = 100;  // objects in objects: writing them out again recurses

std::unexpected<Problem> problem(Errc code, std::string message, std::string hint = {}) {
  return std::unexpected(Problem(code, std::move(message), std::move(hint)));
}

int milliseconds_until(Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

struct Qmp::Answer {
  Json value;
};

QmpEndpoint qmp_endpoint(std::string_view text) {
  QmpEndpoint endpoint;
  endpoint.shown = text;
  if (text.starts_with("tcp:")) {
    const auto rest = text.substr(4);
    const auto colon = rest.rfind(':');
    endpoint.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) endpoint.port = rest.substr(colon + 1);
    if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
      endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
    }
    return endpoint;
  }
  if (text.starts_with("unix:")) text.remove_prefix(5);
  endpoint.path = text;
  return endpoint;
}

Outcome<std::unique_ptr<Qmp>> Qmp::adopt(FileDescriptor socket, Timeouts timeouts) {
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    return problem(Errc::io, "the QMP connection cannot be used");
  }
  std::unique_ptr<Qmp> qmp(new Qmp(std::move(socket), timeouts));
  TRY(qmp->greet());
  return qmp;
}

Outcome<void> Qmp::greet() {
  taken_ = 0;
  const auto greeting = TRY(receive(Clock::now() + timeouts_.greeting)).value;
  const auto qmp = greeting.find("QMP");
  if (qmp == greeting.end() || !qmp->is_object()) {
    return problem(Errc::protocol, "the socket is not a QMP monitor");
  }
  if (const auto version = qmp->find("version"); version != qmp->end() && version->is_object()) {
    if (const auto qemu = version->find("qemu"); qemu != version->end() && qemu->is_object()) {
      const auto part = [&](const char* key) -> long long {
        const auto found = qemu->find(key);
        return found != qemu->end() && found->is_number_integer() ? found->get<long long>() : 0;
      };
      version_ = fmt::format("{}.{}.{}", part("major"), part("minor"), part("micro"));
    }
  }
  TRY(execute("qmp_capabilities"));
  return {};
}

Outcome<std::uint64_t> Qmp::send(std::string_view command, std::string_view arguments,
                                 int descriptor) {
  const auto id = next_id_++;
  std::string message =
      fmt::format(R"({{"execute":{},"id":{})", Json(std::string(command)).dump(), id);
  if (!arguments.empty()) message += fmt::format(R"(,"arguments":{})", arguments);
  message += "}\n";

  const auto until = Clock::now() + timeouts_.answer;
  std::string_view rest = message;
  while (!rest.empty()) {
    const auto sent = send_with_files(socket_.get(), std::as_bytes(std::span(rest)),
                                      {&descriptor, descriptor >= 0 ? 1U : 0U});
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
      descriptor = -1;  // it went with the first bytes
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return problem(Errc::vanished, "the QMP connection was closed");
    pollfd ready{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&ready, 1, milliseconds_until(until)) == 0) {
      return problem(Errc::timeout, "the QMP monitor takes no more commands");
    }
  }
  return id;
}

Outcome<Qmp::Answer> Qmp::receive(Deadline until) {
  JsonFrame frame;
  std::size_t seen = 0;
  while (true) {
    if (const auto end = frame.feed(std::string_view(buffer_).substr(seen)); end != 0) {
      if (frame.deepest() > kDeepest)
        return problem(Errc::protocol, "the QMP monitor answered nonsense");
      Answer answer{Json::parse(buffer_.begin(),
                                buffer_.begin() + static_cast<std::ptrdiff_t>(seen + end), nullptr,
                                false)};
      buffer_.erase(0, seen + end);
      if (!answer.value.is_object())
        return problem(Errc::protocol, "the QMP monitor answered nonsense");
      return answer;
    }
    seen = buffer_.size();
    if (seen > kLongestAnswer)
      return problem(Errc::protocol, "the QMP monitor's answer has no end");

    pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int events = ::poll(&ready, 1, milliseconds_until(until));
    if (events == 0) return problem(Errc::timeout, "the QMP monitor does not answer");
    std::array<char, 65536> piece;
    const auto got = events < 0 ? -1 : ::recv(socket_.get(), piece.data(), piece.size(), 0);
    if (got == 0) return problem(Errc::vanished, "the QMP connection was closed");
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return problem(Errc::vanished, "the QMP connection broke");
    }
    buffer_.append(piece.data(), static_cast<std::size_t>(got));
    taken_ += static_cast<std::size_t>(got);
    if (taken_ > kMostAtOnce)
      return problem(Errc::protocol, "the QMP monitor talks without end and does not answer");
  }
}

Outcome<Qmp::Answer> Qmp::answer_to(std::uint64_t id) {
  const auto until = Clock::now() + timeouts_.answer;
  taken_ = 0;
  for (std::size_t skipped = 0; skipped < kMostEvents; ++skipped) {
    auto answer = TRY(receive(until));
    const auto own = answer.value.find("id");
    if (own == answer.value.end() || *own != id) continue;  // an event, or a late answer
    if (const auto error = answer.value.find("error"); error != answer.value.end()) {
      const bool unknown = error->is_object() && text_of(*error, "class") == "CommandNotFound";
      const auto words = error->is_object() ? text_of(*error, "desc") : std::string();
      return problem(unknown ? Errc::unsupported : Errc::invalid,
                     fmt::format("QEMU refused: {}", words.substr(0, 500)));
    }
    const auto value = answer.value.find("return");
    if (value == answer.value.end())
      return problem(Errc::protocol, "the QMP monitor answered nonsense");
    return Answer{std::move(*value)};
  }
  return problem(Errc::protocol, "the QMP monitor sends events without end");
}

Outcome<std::string> Qmp::execute(std::string_view command, std::string_view arguments) {
  const auto id = TRY(send(command, arguments));
  const auto answer = TRY(answer_to(id));
  return answer.value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Outcome<std::string> Qmp::execute_with_file(std::string_view command, std::string_view arguments,
                                            int descriptor) {
  int family = 0;
  socklen_t size = sizeof family;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 ||
      family != AF_UNIX) {
    return problem(Errc::unsupported,
                   "this QMP monitor is reached by TCP, which carries no open files",
                   "give the machine a QMP socket of kind unix");
  }
  const auto id = TRY(send(command, arguments, descriptor));
  const auto answer = TRY(answer_to(id));
  return answer.value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Outcome<std::string> Qmp::human(std::string_view line) {
  const std::string lines[] = {std::string(line)};
  auto answers = TRY(human(lines));
  return std::move(answers.front());
}

Outcome<std::vector<std::string>> Qmp::human(std::span<const std::string> lines) {
  // Few enough at a time that neither side's socket buffer can fill while both write.
  constexpr std::size_t kInFlight = 32;
  std::vector<std::string> answers;
  for (std::size_t done = 0; done < lines.size();) {
    std::vector<std::uint64_t> ids;
    for (; done < lines.size() && ids.size() < kInFlight; ++done) {
      const auto arguments =
          Json{{"command-line", lines[done]}}.dump(-1, ' ', false, Json::error_handler_t::replace);
      ids.push_back(TRY(send("human-monitor-command", arguments)));
    }
    for (const auto id : ids) {
      auto answer = TRY(answer_to(id));
      if (!answer.value.is_string())
        return problem(Errc::protocol, "the human monitor answered nonsense");
      answers.push_back(answer.value.get<std::string>());
    }
  }
  return answers;
}

}  // namespace vitrine
