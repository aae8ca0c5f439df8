#include "cli/problem_printer.h"

#include "cli/columns.h"

namespace vitrine::cli {

void print(const Problem& problem, Console& console) {
  console.out.flush();
  // Several lines (a refusal for each probe) go under each other; all else is shown, not obeyed.
  std::string text = "vitrine: ";
  std::string_view rest = problem.message;
  for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    text += escape(rest.substr(0, end), console.charset) + "\n         ";
    rest.remove_prefix(end + 1);
  }
  text += escape(rest, console.charset) + "\n";
  for (const auto& line : split(problem.hint, '\n')) {
    text += "  " + escape(line, console.charset) + "\n";
  }
  console.err.write(text);
  console.err.flush();
}

Status status_of(const Problem& problem) noexcept {
  return problem.code == Errc::invalid ? Status::misused : Status::failed;
}

}  // namespace vitrine::cli
