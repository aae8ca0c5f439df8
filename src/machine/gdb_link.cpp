#include "machine/gdb_link.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "machine/gdb_farewell.h"

namespace vitrine {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

struct Pair {
  FileDescriptor ours, its;
};
Outcome<Pair> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return std::unexpected(Problem(Errc::io, "no socket for the gdbstub"));
  }
  return Pair{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

/// Hands `its` to QEMU and opens the stub upon it. The guest is stopped after it.
Outcome<void> hand_over(Qmp& qmp, const std::string& label, const FileDescriptor& its) {
  TRY(qmp.execute_with_file("getfd", fmt::format(R"({{"fdname":{}}})", json_quoted(label)),
                            its.get()));
  TRY(qmp.execute(
      "chardev-add",
      fmt::format(
          R"({{"id":{0},"backend":{{"type":"socket","data":{{"addr":{{"type":"fd","data":{{"str":{0}}}}},"server":false}}}}}})",
          json_quoted(label))));
  const auto words = qmp.human(fmt::format("gdbserver chardev:{}", label));
  if (words && words->find("Waiting for gdb connection") != std::string::npos) return {};
  (void)qmp.execute("chardev-remove", fmt::format(R"({{"id":{}}})", json_quoted(label)));
  if (!words) return std::unexpected(words.error());
  return std::unexpected(Problem(
      Errc::unsupported,
      fmt::format("QEMU opens no gdbstub: {}", words->substr(0, words->find_first_of("\r\n")))));
}

}  // namespace

Outcome<void> gdbstub_is_free(Qmp& qmp) {
  const auto all = Json::parse(TRY(qmp.execute("query-chardev")), nullptr, false);
  if (!all.is_array())
    return std::unexpected(Problem(Errc::protocol, "query-chardev answered nonsense"));
  for (const auto& one : all) {
    const auto label = text_of(one, "label");
    if (label == "gdb") {
      return std::unexpected(
          Problem(Errc::unsupported,
                  fmt::format("the machine has a gdbstub open already ({}): someone debugs it",
                              text_of(one, "filename")),
                  "end that first: `gdbserver none` in its monitor"));
    }
    if (const auto named = OwnerMark::parse(label);
        named && named->what == "gdb" && named->owner.lives()) {
      return std::unexpected(
          Problem(Errc::unsupported,
                  fmt::format("another Vitrine (pid {}) holds its gdbstub", named->owner.pid),
                  "end that one first"));
    }
  }
  const auto status = Json::parse(TRY(qmp.execute("query-status")), nullptr, false);
  if (const auto word = text_of(status, "status"); word != "running") {
    return std::unexpected(Problem(
        Errc::unsupported,
        fmt::format("the machine does not run ({}): closing a gdbstub would let it run", word),
        "resume it first"));
  }
  return {};
}

void let_go(Qmp& qmp) {
  for (int i = 0; i < 10; ++i) {
    const auto status = qmp.execute("query-status");
    if (!status) return;
    const bool ours = status->find("\"debug\"") != std::string::npos ||
                      (i == 0 && status->find("\"paused\"") != std::string::npos);
    if (ours) (void)qmp.execute("cont");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Outcome<void> clear_gdbstub(Qmp& qmp) {
  auto pair = TRY(socket_pair());
  TRY(hand_over(qmp, OwnerMark::self().prefix() + "gdb", pair.its));
  pair.its.reset();
  const bool heard = farewell_to_gdbstub(pair.ours.get());
  TRY(qmp.human("gdbserver none"));
  let_go(qmp);
  if (!heard) return std::unexpected(Problem(Errc::protocol, "the gdbstub does not answer"));
  return {};
}

Outcome<std::unique_ptr<GdbLink>> GdbLink::open(const Monitor& monitor, Guardian& guardian) {
  auto qmp = TRY(monitor.talk());
  TRY(gdbstub_is_free(*qmp));
  auto pair = TRY(socket_pair());
  Undo undo;
  undo.gdb_socket = pair.ours.get();
  undo.commands.push_back({"human-monitor-command", R"({"command-line":"gdbserver none"})"});
  const auto promise = TRY(guardian.promise(undo));
  if (auto handed = hand_over(*qmp, OwnerMark::self().prefix() + "gdb", pair.its); !handed) {
    guardian.kept(promise);
    return std::unexpected(std::move(handed.error()));
  }
  return std::unique_ptr<GdbLink>(new GdbLink(monitor, guardian, std::move(pair.ours), promise));
}

GdbLink::~GdbLink() {
  const bool heard = farewell_to_gdbstub(socket_.get());
  if (auto qmp = monitor_.talk(); qmp && (*qmp)->human("gdbserver none")) {
    let_go(**qmp);
    if (!heard) (void)clear_gdbstub(**qmp);  // its breakpoints may still be there
    guardian_.kept(promise_);
  }  // else the guardian does it
}

}  // namespace vitrine
