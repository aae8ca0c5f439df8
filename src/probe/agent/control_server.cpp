#include "probe/agent/control_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "memory/listening.h"
#include "memory/send_with_files.h"
#include "vmipl/program.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kReadAtOnce = 64 * 1024;
constexpr int kSendLimitMs = 2000;
constexpr std::size_t kMostNotes = 64;  // that wait for a controller who is slow

Problem io(std::string_view what, const std::string& path) {
  return {Errc::io, fmt::format("{} {}: {}", what, path, std::strerror(errno))};
}

Outcome<void> private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return std::unexpected(io("cannot make", path));
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::unexpected(io("cannot look at", path));
  if (!S_ISDIR(status.st_mode))
    return std::unexpected(Problem(Errc::denied, fmt::format("{} is no directory", path)));
  if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    return std::unexpected(
        Problem(Errc::denied, fmt::format("{} is open to others; the agent's socket needs a "
                                          "directory of mode 0700 of its own user",
                                          path)));
  }
  return {};
}

std::optional<ucred> peer_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer;
}

}  // namespace

ControlServer::~ControlServer() { stop(); }

Outcome<void> ControlServer::start(const std::string& directory) {
  TRY(private_directory(directory));
  path_ = fmt::format("{}/agent-{}.sock", directory, ::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path)
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("{} is too long for a socket's name", path_)));
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  listener_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  wake_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener_ || !wake_) return std::unexpected(io("no socket for", path_));
  (void)::unlink(
      path_.c_str());  // of an earlier process with this pid; the directory is ours alone
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return std::unexpected(io("cannot bind", path_));
  (void)::chmod(path_.c_str(), 0600);
  if (::listen(listener_.get(), 8) != 0) return std::unexpected(io("cannot listen on", path_));
  waiting_.resize(engine_.max_vcpus());
  // QEMU's signals are its own threads' business.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

void ControlServer::stop() {
  if (!thread_.joinable()) return;
  ending_.store(true);
  const std::uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) return;
  thread_.join();
  (void)::unlink(path_.c_str());
}

void ControlServer::serve() {
  bool deaf = false;
  while (!ending_.load()) {
    std::array<pollfd, 3> sockets = {pollfd{wake_.get(), POLLIN, 0},
                                     pollfd{deaf ? -1 : listener_.get(), POLLIN, 0},
                                     pollfd{client_.get(), POLLIN, 0}};
    if (::poll(sockets.data(), client_ ? 3 : 2, deaf ? kDeafMs : -1) < 0 && errno != EINTR) break;
    deaf = false;
    if (sockets[0].revents != 0) tell_notes();
    if (client_ && sockets[2].revents != 0 && !receive()) let_go();
    if ((sockets[1].revents & POLLIN) != 0) deaf = !accept_one();
  }
}

/// What nobody could wait for.
void ControlServer::tell_notes() {
  std::uint64_t times = 0;
  (void)!::read(wake_.get(), &times, sizeof times);
  std::vector<std::vector<std::byte>> notes;
  {
    const std::lock_guard lock(notes_mutex_);
    notes.swap(notes_);
  }
  for (const auto& note : notes) (void)send(MessageKind::note, note);
}

/// @returns false  there is no descriptor for who comes
bool ControlServer::accept_one() {
  FileDescriptor caller(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!caller) return !has_no_room(errno);
  std::string why;
  const auto peer = peer_of(caller.get());
  // The same user, or root.
  if (!peer || (peer->uid != 0 && peer->uid != ::geteuid()))
    why = "this user may not control the machine";
  if (client_) why = fmt::format("another controller has this machine: process {}", controller_);
  if (!why.empty()) {
    const auto frame = encode_frame(MessageKind::refused, bytes_of(why));
    (void)::send(caller.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return true;
  }
  client_ = std::move(caller);
  controller_ = peer->pid;
  input_.clear();
  {
    const std::lock_guard lock(hold_mutex_);
    connected_ = true;
  }
  Welcome welcome;
  welcome.pid = static_cast<std::uint32_t>(::getpid());
  welcome.vcpus = engine_.vcpus();
  const auto& api = engine_.api();
  welcome.plugin_api = static_cast<std::uint32_t>(api.version);
  if (api.memory_value != nullptr) welcome.can |= Welcome::memory_values;
  if (api.run_on_cpu != nullptr && api.cpu != nullptr) welcome.can |= Welcome::run_on_cpu;
  if (api.run_alone != nullptr && api.cpu != nullptr) welcome.can |= Welcome::run_alone;
  if (api.write_memory != nullptr || api.debug_memory != nullptr)
    welcome.can |= Welcome::write_code;
  if (api.write_register != nullptr || api.cpu != nullptr) welcome.can |= Welcome::write_registers;
  if (api.physical != nullptr && api.physical_address != nullptr) welcome.can |= Welcome::physical;
  (void)send(MessageKind::welcome, encode(welcome));
  return true;
}

void ControlServer::let_go() {
  {
    const std::lock_guard lock(hold_mutex_);
    connected_ = false;
    for (auto& waiting : waiting_) waiting.token = 0;
  }
  released_.notify_all();
  {
    const std::lock_guard lock(send_mutex_);
    client_.reset();
  }
  input_.clear();
  {
    const std::lock_guard lock(notes_mutex_);
    notes_.clear();  // not the next one's
  }
  (void)engine_.switch_to(nullptr);
  engine_.forget_previous();
  generation_ = previous_generation_ = loads_ = 0;
}

Outcome<void> ControlServer::change(std::unique_ptr<RunningProgram> next) {
  // A virtual CPU that is held would keep the others from standing still: it goes on now, and
  // the host, which has the event, runs its block beside it.
  {
    const std::lock_guard lock(hold_mutex_);
    changing_ = true;
  }
  released_.notify_all();
  const bool loads = next != nullptr;
  auto done = engine_.switch_to(std::move(next));
  {
    const std::lock_guard lock(hold_mutex_);
    changing_ = false;
  }
  if (!done) return done;
  if (generation_ != 0) previous_generation_ = generation_;
  generation_ = loads ? ++loads_ : 0;
  return done;
}

bool ControlServer::receive() {
  const auto before = input_.size();
  input_.resize(before + kReadAtOnce);
  const auto got = ::recv(client_.get(), input_.data() + before, kReadAtOnce, MSG_DONTWAIT);
  input_.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
  if (got == 0) return false;
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  std::size_t at = 0;
  while (input_.size() - at >= kFrameHead) {
    const auto head = decode_frame_head(Bytes(input_).subspan(at, kFrameHead));
    if (!head) {
      refuse(head.error().code == Errc::unsupported
                 ? fmt::format("the agent speaks version {} of the protocol", kAgentProtocol)
                 : "this is no message of the agent's protocol");
      return false;
    }
    if (input_.size() - at - kFrameHead < head->length) break;
    if (!handle(head->kind, Bytes(input_).subspan(at + kFrameHead, head->length))) return false;
    at += kFrameHead + head->length;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(at));
  return true;
}

bool ControlServer::handle(MessageKind kind, Bytes body) {
  switch (kind) {
    case MessageKind::load:
      load(body);
      return true;
    case MessageKind::unload:
      if (auto done = change(nullptr); !done)
        refuse(done.error().message);
      else
        (void)send(MessageKind::unloaded, {});
      return true;
    case MessageKind::map:
      map(body);
      return true;
    case MessageKind::release:
      release(body);
      return true;
    case MessageKind::write:
      write(body);
      return true;
    case MessageKind::ram:
      ram(body);
      return true;
    case MessageKind::aim:
      aim(body);
      return true;
    case MessageKind::losses:
      (void)send(MessageKind::losses_reply,
                 encode(engine_.running() != nullptr    ? engine_.running()->losses()
                        : engine_.previous() != nullptr ? engine_.previous()->losses()
                                                        : AgentLosses{}));
      return true;
    default:
      refuse("the agent knows no such message");
      return false;
  }
}

void ControlServer::load(Bytes body) {
  Loaded answer;
  auto plan = decode_plan(body);
  if (!plan) {
    answer.why = fmt::format("the plan is none: {}", plan.error().what);
    (void)send(MessageKind::loaded, encode(answer));
    return;
  }
  auto program =
      RunningProgram::create(std::move(*plan), engine_.api(), engine_.max_vcpus(), *this);
  if (!program) {
    answer.why = program.error().message;
    (void)send(MessageKind::loaded, encode(answer));
    return;
  }
  (*program)->generation = loads_ + 1;
  const FileDescriptor rings(::fcntl((*program)->rings().descriptor(), F_DUPFD_CLOEXEC, 3));
  answer.rings = static_cast<std::uint32_t>((*program)->rings().count());
  if (auto done = change(std::move(*program)); !done) {
    answer.why = done.error().message;
    (void)send(MessageKind::loaded, encode(answer));
    return;
  }
  answer.ok = true;
  (void)send(MessageKind::loaded, encode(answer), rings.get());
}

void ControlServer::map(Bytes body) {
  auto request = decode_message<MapRequest>(body);
  auto* program = !request                                      ? nullptr
                  : request->generation == 0                    ? engine_.running()
                  : request->generation == generation_          ? engine_.running()
                  : request->generation == previous_generation_ ? engine_.previous()
                                                                : nullptr;
  if (!request || program == nullptr || request->map >= program->program().maps.size())
    return refuse("no such map");
  const auto& info = program->program().maps[request->map];
  const bool needs_keys = request->operation < MapRequest::clear;
  bool fits = !needs_keys || request->keys.size() == info.keys.size();
  for (std::size_t i = 0; fits && needs_keys && i < info.keys.size(); ++i)
    fits = request->keys[i].there && request->keys[i].textual == vmipl::is_textual(info.keys[i]);
  const bool textual = info.aggregate == vmipl::Aggregate::none && vmipl::is_textual(info.value);
  using Operation = MapRequest::Operation;
  switch (request->operation) {
    case Operation::get:
    case Operation::set:
    case Operation::add:
      fits = fits && !textual;
      break;
    case Operation::get_text:
    case Operation::set_text:
      fits = fits && textual;
      break;
    case Operation::update:
      fits = fits && info.aggregate != vmipl::Aggregate::none;
      break;
    default:
      break;
  }
  if (!fits) return refuse("the map has other keys or values");
  std::vector<ValueView> keys;
  for (const auto& key : request->keys) keys.push_back(key.view());
  auto& maps = program->maps();
  const auto number = request->value.number;
  MapReply reply;
  reply.there = true;
  switch (request->operation) {
    case Operation::get: {
      const auto value = maps.get(request->map, keys);
      reply.there = value.has_value();
      reply.number = value.value_or(0);
      break;
    }
    case Operation::get_text: {
      reply.text.resize(2 * vmipl::kMaxTextBytes);
      const auto size = maps.get_text(request->map, keys, reply.text);
      reply.there = size.has_value();
      reply.text.resize(size.value_or(0));
      break;
    }
    case Operation::set:
      maps.set(request->map, keys, number);
      break;
    case Operation::set_text:
      maps.set_text(request->map, keys, request->value.text);
      break;
    case Operation::add:
      maps.add(request->map, keys, number);
      break;
    case Operation::update:
      maps.update(request->map, keys, number);
      break;
    case Operation::remove:
      maps.remove(request->map, keys);
      break;
    case Operation::clear:
      maps.clear(request->map);
      break;
    case Operation::length:
      reply.number = maps.length(request->map);
      break;
    case Operation::snapshot:
      reply.rows = maps.snapshot(request->map);
      break;
    case Operation::lost:
      reply.number = maps.lost(request->map);
      break;
    case Operation::count_:
      break;
  }
  (void)send(MessageKind::map_reply, encode(reply));
}

void ControlServer::ram(Bytes body) {
  const auto ranges = decode_message<std::vector<AgentRam>>(body);
  if (!ranges || engine_.running() == nullptr) return refuse("no such RAM, or no program");
  if (const auto left_out = engine_.running()->ram().update(*ranges); left_out != 0)
    return refuse(fmt::format("{} ranges of RAM do not lie in this process", left_out));
  (void)send(MessageKind::ram_known, {});
}

void ControlServer::aim(Bytes body) {
  auto aims = decode_message<std::vector<AgentAim>>(body);
  const auto* program = engine_.running();
  if (!aims || program == nullptr) return refuse("no such places, or no program");
  const auto& probes = program->plan().probes;
  std::size_t places = 0;
  for (const auto& aim : *aims) {
    if (aim.index >= probes.size() || probes[aim.index].probe == AgentProbe::kNone)
      return refuse("the program has no such probe");
    places += aim.sites.size() + aim.ranges.size();
  }
  if (places > kMaxAgentSites) return refuse("too many places");
  engine_.aim(*std::move(aims));
  // Whoever waits for the host asks QEMU when it goes on; else it is any CPU.
  bool held = false;
  {
    const std::lock_guard lock(hold_mutex_);
    held = std::ranges::any_of(waiting_, [](const Waiting& one) { return one.token != 0; });
  }
  if (!held) engine_.nudge();
  (void)send(MessageKind::aimed, {});
}

void ControlServer::write(Bytes body) {
  auto message = decode_message<HeldWrite>(body);
  {
    const std::lock_guard lock(hold_mutex_);
    if (message && message->vcpu < waiting_.size() && message->token != 0) {
      auto& waiting = waiting_[message->vcpu];
      if (waiting.token == message->token && !waiting.released && !waiting.write) {
        waiting.write = std::move(*message);
        released_.notify_all();
        return;  // the CPU's thread answers
      }
    }
  }
  refuse("no virtual CPU is held for this write");
}

void ControlServer::release(Bytes body) {
  auto message = decode_message<Release>(body);
  if (!message || message->vcpu >= waiting_.size()) return;
  {
    const std::lock_guard lock(hold_mutex_);
    auto& waiting = waiting_[message->vcpu];
    if (waiting.token != message->token || waiting.released)
      return;  // it is not waited for any more
    waiting.release = std::move(*message);
    waiting.released = true;
  }
  released_.notify_all();
}

std::optional<Release> ControlServer::hold(Held& held, std::uint32_t limit_ms,
                                           const HeldWriter& write) noexcept {
  auto release = await_release(held, limit_ms, write);
  // What the host changed meanwhile is there before this CPU's next block.
  engine_.reset_if_wanted();
  return release;
}

std::optional<Release> ControlServer::await_release(Held& held, std::uint32_t limit_ms,
                                                    const HeldWriter& write) noexcept {
  if (held.vcpu >= waiting_.size()) return std::nullopt;
  bool goes_on = false;
  {
    const std::lock_guard lock(hold_mutex_);
    if (!connected_) return std::nullopt;
    // Programs change: the host gets the event and the CPU goes on.
    goes_on = changing_;
    waiting_[held.vcpu] = {goes_on ? 0 : held.token, false, {}, {}};
  }
  if (!send(MessageKind::held, encode(held))) return std::nullopt;
  if (goes_on) return Release{};
  std::unique_lock lock(hold_mutex_);
  auto& waiting = waiting_[held.vcpu];
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(limit_ms);
  bool done = false;
  for (;;) {
    done = released_.wait_until(
        lock, until, [&] { return waiting.released || waiting.write || !connected_ || changing_; });
    if (!waiting.write) break;
    const auto wanted = std::exchange(waiting.write, std::nullopt);
    lock.unlock();
    if (write(*wanted))
      (void)send(MessageKind::wrote, {});
    else
      refuse("QEMU does not write there");
    lock.lock();
  }
  waiting.token = 0;
  if (changing_ && !waiting.released) return Release{};
  if (!done || !waiting.released) return std::nullopt;
  return std::move(waiting.release);
}

bool ControlServer::note(const AgentNote& note) noexcept {
  auto body = encode(note);
  if (send(MessageKind::note, body, -1, Patience::none)) return true;
  {
    const std::lock_guard lock(hold_mutex_);
    if (!connected_) return false;
  }
  {
    const std::lock_guard lock(notes_mutex_);
    if (notes_.size() >= kMostNotes) return false;
    notes_.push_back(std::move(body));
  }
  const std::uint64_t one = 1;
  return ::write(wake_.get(), &one, sizeof one) > 0;
}

bool ControlServer::send(MessageKind kind, Bytes body, int descriptor, Patience patience) noexcept {
  const auto frame = encode_frame(kind, body);
  std::unique_lock lock(send_mutex_, std::defer_lock);
  if (patience == Patience::some)
    lock.lock();
  else if (!lock.try_lock())
    return false;
  if (!client_) return false;
  std::size_t sent = 0;
  while (sent < frame.size()) {
    const std::size_t files = descriptor >= 0 && sent == 0 ? 1 : 0;
    const auto done = send_with_files(client_.get(), Bytes(frame).subspan(sent),
                                      {&descriptor, files}, MSG_DONTWAIT);
    if (done > 0) {
      sent += static_cast<std::size_t>(done);
      continue;
    }
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno != EAGAIN) return false;
    if (sent == 0 && patience == Patience::none) return false;
    // The controller does not read. A little patience, then it is cut off: what was sent in part
    // cannot be taken back.
    pollfd socket{client_.get(), POLLOUT, 0};
    if (::poll(&socket, 1, kSendLimitMs) <= 0) {
      (void)::shutdown(client_.get(), SHUT_RDWR);
      return false;
    }
  }
  return true;
}

}  // namespace vitrine::probe
