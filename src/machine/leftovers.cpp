#include "machine/leftovers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "machine/gdb_link.h"
#include "machine/log_marker.h"

namespace vitrine {
namespace {

using Json = nlohmann::json;

struct Found {
  std::string name, what;
  OwnerMark owner;
  bool object = false;  ///< else a character device
};

void collect(const Json& list, const char* key, bool object, std::vector<Found>& into) {
  if (!list.is_array()) return;
  for (const auto& one : list) {
    if (!one.is_object()) continue;
    const auto name = one.find(key);
    if (name == one.end() || !name->is_string()) continue;
    const auto text = name->get<std::string>();
    const auto named = OwnerMark::parse(text);
    if (!named || named->owner.lives()) continue;
    into.push_back({text, std::string(named->what), named->owner, object});
  }
}

Outcome<std::vector<Found>> find(Qmp& qmp) {
  std::vector<Found> found;
  collect(Json::parse(TRY(qmp.execute("qom-list", R"({"path":"/objects"})")), nullptr, false),
          "name", true, found);
  collect(Json::parse(TRY(qmp.execute("query-chardev")), nullptr, false), "label", false, found);
  return found;
}

Outcome<std::string> clear(Qmp& qmp, const Found& one) {
  const auto whose = fmt::format("of a Vitrine that was killed (pid {})", one.owner.pid);
  if (!one.object && one.what == "gdb") {
    TRY(clear_gdbstub(qmp));
    return fmt::format("cleared the breakpoints and the gdbstub {}; the machine goes on", whose);
  }
  if (const auto marker = LogMarker::parse(one.what); one.object && marker) {
    for (const auto& [command, arguments] : marker->undo()) (void)qmp.execute(command, arguments);
    TRY(qmp.execute("object-del", fmt::format(R"({{"id":{}}})", json_quoted(one.name))));
    return fmt::format("switched off the trace events {}, and sent QEMU's log back", whose);
  }
  TRY(qmp.execute(one.object ? "object-del" : "chardev-remove",
                  fmt::format(R"({{"id":{}}})", json_quoted(one.name))));
  return fmt::format("removed {} {}", one.name, whose);
}

}  // namespace

Outcome<std::vector<std::string>> clear_leftovers(const Monitor& monitor) {
  // Its guardian may be at it: it takes some tenths of a second.
  for (int patience = 20;; --patience) {
    auto qmp = TRY(monitor.talk());
    const auto found = TRY(find(*qmp));
    if (found.empty()) return std::vector<std::string>{};
    if (patience > 0) {
      qmp.reset();  // the guardian needs the socket
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    std::vector<std::string> words;
    for (const auto& one : found) words.push_back(TRY(clear(*qmp, one)));
    return words;
  }
}

}  // namespace vitrine
