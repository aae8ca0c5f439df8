// vitrine fmt: scripts in the one canonical form.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/commands/families.h"
#include "cli/problem_printer.h"
#include "cli/script_text.h"
#include "vmipl/format_script.h"
#include "vmipl/render.h"

namespace vitrine::cli {
namespace {

Problem trouble(std::string_view path, std::string_view what, int error) {
  return {Errc::io, fmt::format("{}: {}: {}", path, what, std::strerror(error))};
}

/// The whole file or nothing of it: written beside it, then put in its place. A link stays one.
Outcome<void> replace(const std::string& path, std::string_view text) {
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error).string();
  if (error) return std::unexpected(trouble(path, "could not be found again", error.value()));
  struct ::stat before{};
  if (::stat(real.c_str(), &before) != 0)
    return std::unexpected(trouble(path, "could not be read", errno));
  if (::access(real.c_str(), W_OK) != 0)
    return std::unexpected(trouble(path, "could not be written", errno));
  auto beside = real + ".XXXXXX";
  const int fd = ::mkostemp(beside.data(), O_CLOEXEC);
  if (fd < 0) return std::unexpected(trouble(path, "could not be written", errno));
  std::size_t done = 0;
  int failed = 0;
  while (done < text.size() && failed == 0) {
    const auto count = ::write(fd, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) failed = errno;
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  if (failed == 0 && ::fchmod(fd, before.st_mode & 07777) != 0) failed = errno;
  if (failed == 0 && ::fsync(fd) != 0) failed = errno;
  if (::close(fd) != 0 && failed == 0) failed = errno;
  if (failed == 0 && ::rename(beside.c_str(), real.c_str()) != 0) failed = errno;
  if (failed == 0) return {};
  ::unlink(beside.c_str());
  return std::unexpected(trouble(path, "could not be written", failed));
}

/// @returns failed if it does not parse, or (with --check) is not in canonical form.
Outcome<Status> format_one(Context& context, const std::string& path, bool check) {
  const auto source = TRY(read_script(path));
  vmipl::Diagnostics diagnostics;
  const auto formatted = vmipl::format_script(source, diagnostics);
  if (!formatted) {
    vmipl::RenderOptions options{.colour = context.console.err_colour};
    if (context.console.width != 0) options.width = context.console.width;
    context.console.err.write(vmipl::render_text(source, diagnostics, options));
    return Status::failed;
  }
  const bool same = *formatted == source.text();
  if (check) {
    if (!same) context.console.out.write(source.name() + "\n");
    return same ? Status::done : Status::failed;
  }
  if (path == "-") {
    context.console.out.write(*formatted);
  } else if (!same) {
    TRY(replace(path, *formatted));
  }
  return Status::done;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  auto paths = words.operands;
  if (paths.empty()) paths.emplace_back("-");
  auto status = Status::done;
  for (const auto& path : paths) {
    const auto done = format_one(context, path, words.has("--check"));
    if (!done) print(done.error(), context.console);  // the others are put into form all the same
    if (!done || *done == Status::failed) status = Status::failed;
  }
  return status;
}

}  // namespace

Command fmt_command() {
  return {
      .name = "fmt",
      .group = "Language",
      .summary = "put scripts into the one canonical form",
      .operands = {{.name = "SCRIPT", .words = Words::path, .optional = true, .repeated = true}},
      .options = {{"--check", "", "change nothing; name those not in canonical form, and fail"}},
      .description =
          "Files are changed in place, whole or not at all; without a file, or for -, standard "
          "input goes to standard output. Comments are kept, the meaning never changes, and "
          "formatting twice changes nothing more.\n"
          "Exit status: 0, all are in canonical form now; 1, one has mistakes or could not be "
          "written, or (--check) is not in canonical form.",
      .examples = {"vitrine fmt trace.vmi", "vitrine fmt --check rules/*.vmi",
                   "vitrine fmt < trace.vmi"},
      .run = run};
}

}  // namespace vitrine::cli
