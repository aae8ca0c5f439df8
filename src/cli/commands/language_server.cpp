// vitrine language-server: what editors ask about scripts, over standard input and output.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "cli/commands/families.h"
#include "cli/kernel_choice.h"
#include "cli/language_server/message_reader.h"
#include "cli/language_server/server.h"
#include "symptom/view_cache.h"

namespace vitrine::cli {
namespace {

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto kernel = TRY(KernelChoice::open(context, words));
  const auto ports = kernel.ports();
  // A pack of symptoms has a view more than a script: what must run.
  const symptom::RuleViews rule_views(*ports.views);
  auto rules = ports;
  rules.views = &rule_views;
  LanguageServer server(ports, rules);
  auto& console = context.console;
  if (::isatty(STDIN_FILENO) == 1)
    console.remark("an editor speaks to this over standard input; see editors/README.md");
  MessageReader reader;
  std::array<char, 65536> buffer;
  while (!server.ended()) {
    console.out.flush();
    if (console.out.failed() != 0) return Status::done;  // the dispatcher says what is to be said
    const auto count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return std::unexpected(Problem(
          Errc::io, std::string("standard input could not be read: ") + std::strerror(errno)));
    if (count == 0) break;
    reader.feed({buffer.data(), static_cast<std::size_t>(count)});
    while (!server.ended()) {
      const auto message = reader.next();
      if (!message) break;
      if (!message->trouble.empty()) {
        console.out.write(framed(LanguageServer::unreadable(message->trouble)));
        continue;
      }
      for (const auto& answer : server.handle(message->body)) console.out.write(framed(answer));
    }
  }
  // LSP: an exit without a shutdown before it is a failure; so is an editor that went away.
  return server.ended() && server.shut_down() ? Status::done : Status::failed;
}

}  // namespace

Command language_server_command() {
  auto options = kernel_options();
  options.push_back({"--stdio", "", "by standard input and output, which is the only way"});
  return {
      .name = "language-server",
      .group = "Language",
      .summary = "what editors ask about scripts",
      .options = std::move(options),
      .description =
          "Speaks the Language Server Protocol over standard input and output: diagnostics with "
          "their fixes, completion, hover, go to definition, formatting. editors/README.md says "
          "how editors start it.\n"
          "With --vm or --kernel, symbols and types are that kernel's, as with check.\n"
          "Exit status: 0, the editor shut it down; 1, it went away without.",
      .examples = {"vitrine language-server", "vitrine language-server --kernel web1.kernel"},
      .run = run};
}

}  // namespace vitrine::cli
