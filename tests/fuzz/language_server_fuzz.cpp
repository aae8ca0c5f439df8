// An editor's bytes, in two pieces, through the language server: the message reader, JSON, and
// what is answered about an open script. The bytes are also that script.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/language_server/answers.h"
#include "cli/language_server/message_reader.h"
#include "cli/language_server/server.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vitrine::cli;
  constexpr std::size_t kLongest = 4096;
  if (size > kLongest) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const vitrine::vmipl::Ports ports;
  LanguageServer server(ports, ports);
  (void)server.handle(R"({"id":1,"method":"initialize"})");
  MessageReader reader;
  for (const auto piece : {bytes.substr(0, size / 2), bytes.substr(size / 2)}) {
    reader.feed(piece);
    // At most one message a byte: it always gets on.
    for (std::size_t i = 0; const auto message = reader.next(); ++i) {
      if (i > size) abort();
      if (!message->trouble.empty()) continue;
      for (const auto& answer : server.handle(message->body)) {
        if (nlohmann::json::parse(answer, nullptr, false).is_discarded()) abort();
      }
    }
  }
  const Document document("fuzz.vmi", std::string(bytes), ports, ports);
  if (size == 0) return 0;
  const EditorPosition place{data[0] % 8U, data[size - 1]};
  const auto offset = offset_of(document.source(), place);
  if (offset > size) abort();
  (void)completion_json(document, place);
  (void)hover_json(document, place);
  (void)definition_json("a", document, place);
  (void)actions_json("a", document, {0, 0}, place);
  return 0;
}
