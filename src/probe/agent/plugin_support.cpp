#include "probe/agent/plugin_support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/elf_symbols.h"
#include "memory/file_descriptor.h"

namespace vitrine::probe {

std::optional<std::string_view> cannot_load_agent(const std::string& program) {
  const FileDescriptor file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return std::nullopt;
  const auto symbols = format::ElfSymbols::read(
      [&](std::uint64_t offset, MutableBytes into) -> Result<void> {
        const auto got = ::pread(file.get(), into.data(), into.size(), static_cast<off_t>(offset));
        if (got < 0 || static_cast<std::size_t>(got) != into.size())
          return fail(Errc::io, offset, "read");
        return {};
      },
      static_cast<std::uint64_t>(status.st_size));
  if (!symbols || symbols->source().empty() || symbols->incomplete()) return std::nullopt;
  if (symbols->has(kSince91)) return std::nullopt;
  if (symbols->has(kOfAnyPlugins)) return "it is older than QEMU 9.1";
  return "it is built without plugins";
}

}  // namespace vitrine::probe
