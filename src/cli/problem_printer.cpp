#include "cli/problem_printer.h"

#include "cli/columns.h"

namespace vitrine::cli {

void print(const Problem& problem, Console& console) {
  console.out.flush();
  std::string text = "vitrine: " + escape(problem.message, console.charset) + "\n";
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
