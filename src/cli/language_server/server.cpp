#include "cli/language_server/server.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "cli/language_server/answers.h"
#include "cli/version.h"

namespace vitrine::cli {
namespace {

using Json = nlohmann::json;

// JSON-RPC 2.0 and LSP 3.17.
enum ErrorCode : int {
  kParseError = -32700,
  kInvalidRequest = -32600,
  kMethodNotFound = -32601,
  kInvalidParams = -32602,
  kNotInitialized = -32002,
};

std::string text_of(const Json& message) {
  // What a client sent comes back in places: bytes that are no UTF-8 must not throw.
  return message.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json error_json(const Json& id, ErrorCode code, std::string_view words) {
  return {{"jsonrpc", "2.0"},
          {"id", id},
          {"error", {{"code", static_cast<int>(code)}, {"message", std::string(words)}}}};
}

/// A member at the end of a path of objects; null if one is missing.
const Json* at(const Json& json, std::initializer_list<const char*> path) {
  const auto* here = &json;
  for (const auto* name : path) {
    if (!here->is_object()) return nullptr;
    const auto found = here->find(name);
    if (found == here->end()) return nullptr;
    here = &*found;
  }
  return here;
}

const std::string* string_at(const Json& json, std::initializer_list<const char*> path) {
  const auto* found = at(json, path);
  return found != nullptr ? found->get_ptr<const std::string*>() : nullptr;
}

std::optional<EditorPosition> position_at(const Json& json,
                                          std::initializer_list<const char*> path) {
  const auto* position = at(json, path);
  if (position == nullptr) return std::nullopt;
  EditorPosition out;
  const auto take = [&](const char* name, std::uint32_t& into) {
    const auto* number = at(*position, {name});
    if (number == nullptr || !number->is_number_unsigned()) return false;
    const auto value = number->get<std::uint64_t>();
    into = value > UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(value);
    return true;
  };
  if (!take("line", out.line) || !take("character", out.character)) return std::nullopt;
  return out;
}

/// "file:///a/trace.vmi" as "trace.vmi": for messages alone.
std::string name_of(std::string_view uri) {
  return std::string(uri.substr(uri.rfind('/') == std::string_view::npos ? 0 : uri.rfind('/') + 1));
}

Json capabilities() {
  return {{"positionEncoding", "utf-16"},
          {"textDocumentSync", {{"openClose", true}, {"change", 1}}},
          {"completionProvider", {{"triggerCharacters", Json::array({".", "@", "#", "("})}}},
          {"hoverProvider", true},
          {"definitionProvider", true},
          {"documentFormattingProvider", true},
          {"codeActionProvider", {{"codeActionKinds", Json::array({"quickfix"})}}}};
}

}  // namespace

/// One message, and what it brings about.
struct LanguageServer::Turn {
  const Json& params;
  Json id;
  std::vector<std::string>& out;

  void answer(Json result) const {
    out.push_back(text_of({{"jsonrpc", "2.0"}, {"id", id}, {"result", std::move(result)}}));
  }
  void refuse(ErrorCode code, std::string_view words) const {
    out.push_back(text_of(error_json(id, code, words)));
  }
  void tell(std::string_view method, Json what) const {
    out.push_back(text_of(
        {{"jsonrpc", "2.0"}, {"method", std::string(method)}, {"params", std::move(what)}}));
  }
};

std::string LanguageServer::unreadable(std::string_view why) {
  return text_of(error_json(nullptr, kParseError, why));
}

void LanguageServer::publish(Turn& turn, const std::string& uri) const {
  const auto document = documents_.find(uri);
  turn.tell(
      "textDocument/publishDiagnostics",
      {{"uri", uri},
       {"diagnostics",
        document == documents_.end() ? Json::array() : diagnostics_json(uri, document->second)}});
}

void LanguageServer::notification(Turn& turn, std::string_view method) {
  if (method == "exit") {
    ended_ = true;
    return;
  }
  if (!initialized_ || shut_down_) return;
  const auto* uri = string_at(turn.params, {"textDocument", "uri"});
  if (uri == nullptr) return;
  const auto take = [&](std::string text) {
    documents_.insert_or_assign(*uri, Document(name_of(*uri), std::move(text), ports_, rules_));
    publish(turn, *uri);
  };
  if (method == "textDocument/didOpen") {
    if (const auto* text = string_at(turn.params, {"textDocument", "text"})) take(*text);
  } else if (method == "textDocument/didChange") {
    // The whole text each time, as we asked for; the last one counts.
    const auto* changes = at(turn.params, {"contentChanges"});
    if (changes == nullptr || !changes->is_array() || changes->empty()) return;
    if (changes->back().is_object() && changes->back().contains("range")) return;
    if (const auto* text = string_at(changes->back(), {"text"})) take(*text);
  } else if (method == "textDocument/didClose") {
    documents_.erase(*uri);
    publish(turn, *uri);
  }
}

void LanguageServer::request(Turn& turn, std::string_view method) {
  if (shut_down_) return turn.refuse(kInvalidRequest, "the server was shut down");
  if (method == "initialize") {
    if (initialized_) return turn.refuse(kInvalidRequest, "initialize was sent before");
    initialized_ = true;
    return turn.answer({{"capabilities", capabilities()},
                        {"serverInfo", {{"name", "vitrine"}, {"version", kVersion}}}});
  }
  if (!initialized_) return turn.refuse(kNotInitialized, "initialize comes first");
  if (method == "shutdown") {
    shut_down_ = true;
    return turn.answer(nullptr);
  }
  const bool known = method == "textDocument/completion" || method == "textDocument/hover" ||
                     method == "textDocument/definition" || method == "textDocument/formatting" ||
                     method == "textDocument/codeAction";
  if (!known) return turn.refuse(kMethodNotFound, fmt::format("there is no method {}", method));
  const auto* uri = string_at(turn.params, {"textDocument", "uri"});
  if (uri == nullptr) return turn.refuse(kInvalidParams, "params.textDocument.uri is missing");
  const auto found = documents_.find(*uri);
  if (found == documents_.end()) return turn.refuse(kInvalidParams, "this document is not open");
  const auto& document = found->second;
  if (method == "textDocument/formatting") return turn.answer(formatting_json(document));
  if (method == "textDocument/codeAction") {
    const auto begin = position_at(turn.params, {"range", "start"}),
               end = position_at(turn.params, {"range", "end"});
    if (!begin || !end) return turn.refuse(kInvalidParams, "params.range is no range");
    return turn.answer(actions_json(*uri, document, *begin, *end));
  }
  const auto position = position_at(turn.params, {"position"});
  if (!position) return turn.refuse(kInvalidParams, "params.position is no position");
  if (method == "textDocument/completion") return turn.answer(completion_json(document, *position));
  if (method == "textDocument/hover") return turn.answer(hover_json(document, *position));
  turn.answer(definition_json(*uri, document, *position));
}

std::vector<std::string> LanguageServer::handle(std::string_view message) {
  std::vector<std::string> out;
  // What is deeper than any message of LSP is left out as it is read.
  constexpr int kDeepest = 64;
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth < kDeepest; };
  const auto json = Json::parse(message, shallow, false);
  if (json.is_discarded()) return {unreadable("this message is no JSON")};
  if (!json.is_object())
    return {text_of(error_json(nullptr, kInvalidRequest, "this message is no object"))};
  const auto* method = string_at(json, {"method"});
  const auto* id = at(json, {"id"});
  const bool bad_id = id != nullptr && !id->is_string() && !id->is_number_integer();
  if (method == nullptr || bad_id) {
    // An answer to a question of ours would be none; we ask nothing.
    if (method == nullptr && (json.contains("result") || json.contains("error"))) return out;
    return {text_of(error_json(nullptr, kInvalidRequest, "this message is no request"))};
  }
  static const Json kNothing = Json::object();
  const auto* params = at(json, {"params"});
  Turn turn{params != nullptr ? *params : kNothing, id != nullptr ? *id : Json(nullptr), out};
  if (id == nullptr)
    notification(turn, *method);
  else
    request(turn, *method);
  return out;
}

}  // namespace vitrine::cli
