#include "machine/gdb_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace vitrine {
namespace {

constexpr auto kAnswer = std::chrono::milliseconds(5000);
constexpr std::size_t kPacket = 2000;  // QEMU's PacketSize is 4096

std::unexpected<Problem> problem(Errc code, std::string message) {
  return std::unexpected(Problem(code, std::move(message)));
}

}  // namespace

Outcome<void> GdbClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return problem(Errc::vanished, "the gdbstub's connection is closed");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Outcome<std::optional<std::string>> GdbClient::receive(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  std::array<char, 16384> piece;
  for (bool read = false;; read = true) {
    auto packet = frames_.next();
    if (!packet) return problem(Errc::protocol, "the gdbstub answered nonsense");
    if (*packet) {
      TRY(send("+"));
      return std::move(*packet);
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())
            .count();
    if (read && left <= 0) return std::optional<std::string>{};  // it talks, but of nothing
    pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
    const int events = ::poll(&ready, 1, left > 0 ? static_cast<int>(left) : 0);
    if (events == 0) return std::optional<std::string>{};
    if (events < 0) continue;
    const auto got = ::recv(socket_, piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return problem(Errc::vanished, "the gdbstub's connection is closed: the machine is gone");
    frames_.feed(std::string_view(piece.data(), static_cast<std::size_t>(got)));
  }
}

Outcome<std::string> GdbClient::ask(std::string_view text) {
  TRY(send(gdb_frame(text)));
  auto answer = TRY(receive(kAnswer));
  if (!answer) return problem(Errc::timeout, "the gdbstub does not answer");
  return *std::move(answer);
}

Outcome<void> GdbClient::want_ok(std::string_view text, const char* what) {
  TRY(send(gdb_frame(text)));
  const auto packet = TRY(receive(kAnswer));
  if (!packet) return problem(Errc::timeout, "the gdbstub does not answer");
  const auto& answer = *packet;
  if (answer.size() == 2 && answer.starts_with('O')) return {};  // "OK"; errors have three letters
  return problem(Errc::unsupported,
                 fmt::format("the gdbstub refused {} ({})", what,
                             answer.empty() ? "not known there" : answer.substr(0, 20)));
}

Outcome<std::string> GdbClient::file(std::string_view name) {
  // QEMU fills each answer but the last; one that comes in crumbs is no description.
  constexpr int kMostPieces = 1024;
  std::string text;
  for (int pieces = 0; pieces < kMostPieces && text.size() < 1024 * 1024; ++pieces) {
    const auto answer =
        TRY(ask(fmt::format("qXfer:features:read:{}:{:x},{:x}", name, text.size(), kPacket)));
    const auto piece = parse_gdb_piece(answer);
    if (!piece) return problem(Errc::protocol, "the gdbstub does not describe its registers");
    text += piece->text;
    if (piece->last) return text;
    if (piece->text.empty()) break;
  }
  return problem(Errc::protocol, "the gdbstub's description of its registers has no end");
}

Outcome<std::unique_ptr<GdbClient>> GdbClient::begin(int socket) {
  std::unique_ptr<GdbClient> client(new GdbClient(socket));
  // No "multiprocess": then thread ids are plain and D means all.
  (void)TRY(client->ask("qSupported:xmlRegisters=i386"));
  if (!parse_gdb_stop(TRY(client->ask("?"))))
    return problem(Errc::protocol, "what answers is no gdbstub");
  for (auto answer = TRY(client->ask("qfThreadInfo")); client->threads_.size() < 4096;
       answer = TRY(client->ask("qsThreadInfo"))) {
    const auto threads = parse_gdb_threads(answer);
    if (!threads) return problem(Errc::protocol, "the gdbstub does not list its CPUs");
    if (threads->last) break;
    client->threads_.insert(client->threads_.end(), threads->ids.begin(), threads->ids.end());
  }
  if (client->threads_.empty()) return problem(Errc::protocol, "the gdbstub lists no CPU");
  std::vector<std::string> features;
  for (const auto& name : GdbRegisters::includes(TRY(client->file("target.xml"))))
    features.push_back(TRY(client->file(name)));
  auto layout = GdbRegisters::parse(features);
  if (!layout)
    return problem(Errc::protocol, "the gdbstub's registers are not those of an x86-64 machine");
  client->layout_ = *std::move(layout);
  return client;
}

Outcome<void> GdbClient::select(const std::string& thread) {
  if (selected_ == thread) return {};
  TRY(want_ok("Hg" + thread, "a CPU"));
  selected_ = thread;
  return {};
}

Outcome<x86::Registers> GdbClient::registers(const std::string& thread) {
  TRY(select(thread));
  const auto bytes = gdb_bytes(TRY(ask("g")));
  if (!bytes) return problem(Errc::protocol, "the gdbstub's registers are no hexadecimal text");
  auto registers = layout_.decode(*bytes);
  if (!registers) return problem(Errc::protocol, "the gdbstub tells too few registers");
  return *registers;
}

Outcome<void> GdbClient::write_register(const std::string& thread, std::string_view name,
                                        std::uint64_t value) {
  const auto place = layout_.find(name);
  if (!place) return problem(Errc::unsupported, fmt::format("the gdbstub cannot write {}", name));
  TRY(select(thread));
  std::array<std::byte, 8> bytes;
  std::memcpy(bytes.data(), &value, sizeof value);
  return want_ok(fmt::format("P{:x}={}", place->number,
                             gdb_hex(Bytes(bytes).first(std::min<std::size_t>(place->size, 8)))),
                 "a register");
}

Outcome<void> GdbClient::write_memory(const std::string& thread, Gva at, Bytes bytes) {
  TRY(select(thread));
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min<std::size_t>(bytes.size(), 1024));
    TRY(want_ok(fmt::format("M{:x},{:x}:{}", at.value, part.size(), gdb_hex(part)),
                "a write to memory"));
    at += part.size();
    bytes = bytes.subspan(part.size());
  }
  return {};
}

Outcome<void> GdbClient::write_physical(Gpa at, Bytes bytes) {
  TRY(want_ok("Qqemu.PhyMemMode:1", "physical memory"));
  const auto written = write_memory(threads_.front(), Gva{at.value}, bytes);
  TRY(want_ok("Qqemu.PhyMemMode:0", "virtual memory"));
  return written;
}

Outcome<void> GdbClient::insert(Point kind, Gva at, std::uint64_t length) {
  return want_ok(fmt::format("Z{},{:x},{:x}", static_cast<char>(kind), at.value, length),
                 "a breakpoint");
}

Outcome<void> GdbClient::remove(Point kind, Gva at, std::uint64_t length) {
  return want_ok(fmt::format("z{},{:x},{:x}", static_cast<char>(kind), at.value, length),
                 "to remove a breakpoint");
}

Outcome<void> GdbClient::resume() { return send(gdb_frame("vCont;c")); }

Outcome<std::optional<GdbStop>> GdbClient::wait(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    auto packet = TRY(receive(std::max(left, std::chrono::milliseconds(0))));
    if (!packet) return std::optional<GdbStop>{};
    if (auto stop = parse_gdb_stop(*packet)) {
      selected_ = stop->thread;  // QEMU chooses the CPU that stopped
      return stop;
    }
    if (left.count() <= 0) return std::optional<GdbStop>{};
  }
}

Outcome<GdbStop> GdbClient::step(const std::string& thread) {
  TRY(send(gdb_frame("vCont;s:" + thread)));
  auto stop = TRY(wait(kAnswer));
  if (!stop) return problem(Errc::timeout, "a single step does not end");
  return *std::move(stop);
}

Outcome<GdbStop> GdbClient::interrupt() {
  TRY(send("\x03"));
  auto stop = TRY(wait(kAnswer));
  if (!stop) return problem(Errc::timeout, "the machine does not stop");
  return *std::move(stop);
}

Outcome<void> GdbClient::interrupt_silently() { return send("\x03"); }

Outcome<void> GdbClient::settle() {
  constexpr int kMostPackets = 1000;
  for (int packets = 0; TRY(receive(std::chrono::milliseconds(20))); ++packets) {
    if (packets == kMostPackets) return problem(Errc::protocol, "the gdbstub talks without end");
  }
  selected_.clear();
  if (!parse_gdb_stop(TRY(ask("?")))) return problem(Errc::protocol, "the gdbstub lost the thread");
  return {};
}

}  // namespace vitrine
