#include "symptom/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace vitrine::symptom {
namespace {

namespace files = std::filesystem;

constexpr std::uint32_t kMagic = 0x31505456;  // "VTP1"

std::optional<PackFile::Kind> kind_of(const files::path& path) {
  const auto extension = path.extension();
  if (extension == ".vmi") return PackFile::Kind::symptoms;
  if (extension == ".yar" || extension == ".yara") return PackFile::Kind::patterns;
  if (path.filename() == "required.txt") return PackFile::Kind::required;
  return std::nullopt;
}

Outcome<PackFile> read(const files::path& path, PackFile::Kind kind) {
  std::error_code error;
  const auto size = files::file_size(path, error);
  if (error)
    return std::unexpected(
        Problem(Errc::io, fmt::format("{} cannot be read: {}", path.string(), error.message())));
  if (size > Pack::kMaxFileBytes)
    return std::unexpected(
        Problem(Errc::too_large, fmt::format("{} has {} bytes; a rule file has at most {}",
                                             path.string(), size, Pack::kMaxFileBytes)));
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in)
    return std::unexpected(Problem(Errc::io, fmt::format("{} cannot be read", path.string())));
  return PackFile{kind, path.string(), std::move(text).str()};
}

}  // namespace

Pack Pack::load(std::span<const std::string> paths) {
  Pack pack;
  const auto take = [&](const files::path& path, PackFile::Kind kind) {
    if (pack.files_.size() == kMaxFiles) {
      pack.problems_.emplace_back(
          Errc::too_large,
          fmt::format("more than {} rule files: {} is left out", kMaxFiles, path.string()));
      return;
    }
    auto file = read(path, kind);
    if (file) {
      pack.files_.push_back(*std::move(file));
    } else {
      pack.problems_.push_back(std::move(file.error()));
    }
  };
  for (const auto& each : paths) {
    std::error_code error;
    const files::path path(each);
    if (!files::is_directory(path, error)) {
      const auto kind = kind_of(path);
      if (!files::exists(path, error)) {
        pack.problems_.emplace_back(Errc::not_found, fmt::format("there is no {}", each));
      } else if (!kind) {
        pack.problems_.emplace_back(Errc::invalid, fmt::format("{} is no rule file", each),
                                    "rules are .vmi (symptoms) and .yar or .yara (patterns)");
      } else {
        take(path, *kind);
      }
      continue;
    }
    std::vector<files::path> found;
    for (files::directory_iterator entry(path, error), end; !error && entry != end;
         entry.increment(error)) {
      if (kind_of(entry->path()) && entry->is_regular_file(error)) found.push_back(entry->path());
    }
    if (error)
      pack.problems_.emplace_back(Errc::io,
                                  fmt::format("{} cannot be read: {}", each, error.message()));
    std::ranges::sort(found);
    for (const auto& one : found) take(one, *kind_of(one));
  }
  return pack;
}

void Pack::require(std::string_view process) {
  files_.push_back({PackFile::Kind::required, "--require", std::string(process) + "\n"});
}

std::vector<std::byte> Pack::to_bytes() const {
  std::vector<std::byte> out;
  const auto number = [&](std::uint32_t value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
  };
  const auto text = [&](std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    const auto bytes = bytes_of(value);
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  number(kMagic);
  number(static_cast<std::uint32_t>(files_.size()));
  for (const auto& file : files_) {
    number(static_cast<std::uint32_t>(file.kind));
    text(file.name);
    text(file.text);
  }
  return out;
}

Result<Pack> Pack::from_bytes(Bytes bytes) {
  std::uint64_t at = 0;
  const auto number = [&]() -> Result<std::uint32_t> {
    const auto value = vitrine::load<std::uint32_t>(bytes, at);
    if (!value) return fail(Errc::malformed, at, "a pack that is cut short");
    at += sizeof(std::uint32_t);
    return *value;
  };
  const auto text = [&]() -> Result<std::string> {
    const auto size = TRY(number());
    const auto part = slice(bytes, at, size);
    if (!part || size > kMaxFileBytes) return fail(Errc::malformed, at, "a pack that is cut short");
    at += size;
    return std::string(reinterpret_cast<const char*>(part->data()), part->size());
  };
  if (TRY(number()) != kMagic) return fail(Errc::unsupported, 0, "not a pack of this version");
  const auto count = TRY(number());
  if (count > kMaxFiles) return fail(Errc::too_large, count, "a pack's files");
  Pack pack;
  for (std::uint32_t i = 0; i < count; ++i) {
    PackFile file;
    const auto kind = TRY(number());
    if (kind > static_cast<std::uint32_t>(PackFile::Kind::required))
      return fail(Errc::malformed, kind, "a kind of rule file");
    file.kind = static_cast<PackFile::Kind>(kind);
    file.name = TRY(text());
    file.text = TRY(text());
    pack.files_.push_back(std::move(file));
  }
  if (at != bytes.size()) return fail(Errc::malformed, at, "bytes behind a pack");
  return pack;
}

std::string default_rules_folder() {
  std::vector<std::string> candidates;
  if (const char* chosen = std::getenv("VITRINE_RULES"); chosen != nullptr && *chosen != '\0')
    candidates.emplace_back(chosen);
  // Beside the program: build/bin/vitrine of a source tree, or PREFIX/bin/vitrine.
  std::error_code error;
  const auto program = files::read_symlink("/proc/self/exe", error);
  if (!error) {
    candidates.push_back((program.parent_path().parent_path().parent_path() / "rules").string());
    candidates.push_back((program.parent_path().parent_path() / "share/vitrine/rules").string());
  }
  candidates.emplace_back("/usr/share/vitrine/rules");
  for (const auto& candidate : candidates) {
    if (files::is_directory(candidate, error)) return candidate;
  }
  return {};
}

}  // namespace vitrine::symptom
