#include "linux/kernel_cache.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "linux/code_sample.h"
#include "linux/identity.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMagic = 0x354e'4c4b'5254'5631;  // changes with the format
constexpr std::size_t kMaxKept = 64;                     // kernels, the newest
constexpr std::uint64_t kMaxFile = 256 * kMiB;
constexpr std::uint64_t kMaxDirectory = kGiB;  // all files together, the newest first
constexpr std::size_t kMaxAlike = 256;         // places that are asked for more than a build id
constexpr std::uint64_t kTextAlign = 2 * kMiB;
constexpr std::uint64_t kMaxText = 96 * kMiB;  // from _text to an interrupt handler
constexpr std::uint64_t kSomeText = 2 * kMiB;  // of a kernel that does not say where its code ends
constexpr std::size_t kNoteSize = 36;          // of the build id's note, what is compared

/// The first bytes of a file. Then come entries, index and names.
struct Header {
  std::uint64_t magic = kMagic;
  std::uint64_t content_hash = 0;  // of all that follows this field
  std::uint64_t note_offset = 0;   // of the build id, from _text
  std::array<std::byte, kNoteSize> note{};
  std::uint64_t root_offset = 0;  // of init_top_pgt, from _text
  std::uint64_t text = 0;         // _text as it ran when kept
  std::array<ImageRange, 3> kallsyms{};
  std::uint64_t kallsyms_hash = 0;
  std::uint64_t entries_size = 0, index_size = 0, names_size = 0;
  std::uint64_t types_hash = 0;  // of the file beside this one; 0: there is none
  CodeSample code;
};
constexpr std::size_t kHashed = offsetof(Header, note_offset);

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool write_all(int file, const void* from, std::size_t size) {
  const auto* at = static_cast<const char*>(from);
  while (size > 0) {
    const auto done = ::write(file, at, size);
    if (done <= 0) return false;
    at += done;
    size -= static_cast<std::size_t>(done);
  }
  return true;
}

/// The file appears whole or not at all; errno says why not.
bool write_file(const std::string& path, Bytes content) {
  const std::string temporary = fmt::format("{}.{}", path, ::gettid());
  const File file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return false;
  if (write_all(file.get(), content.data(), content.size()) &&
      ::rename(temporary.c_str(), path.c_str()) == 0)
    return true;
  const int reason = errno;
  ::unlink(temporary.c_str());
  errno = reason;
  return false;
}

/// A hash over the guest's own kallsyms.
std::optional<std::uint64_t> hash_kallsyms(const PhysicalMemory& ram, Gpa text,
                                           const std::array<ImageRange, 3>& ranges) {
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                 XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::array<std::byte, 64 * kKiB> buffer;
  for (const auto& range : ranges) {
    if (range.size > kMaxFile) return std::nullopt;
    for (std::uint64_t done = 0; done < range.size; done += buffer.size()) {
      const auto part = MutableBytes(buffer).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), range.size - done)));
      if (!ram.read(text + range.offset + done, part)) return std::nullopt;
      XXH3_64bits_update(state.get(), part.data(), part.size());
    }
  }
  return XXH3_64bits_digest(state.get());
}

/// Where the kernel's build id stands in its image: the note, from _text.
std::optional<std::uint64_t> find_note(const PhysicalMemory& ram, const FoundKernel& kernel) {
  const auto start = kernel.symbols.find("__start_notes");
  const auto stop = kernel.symbols.find("__stop_notes");
  if (!start || !stop || *stop - *start > 64 * kKiB) return std::nullopt;
  const std::uint64_t offset = *start - kernel.place.text;
  std::vector<std::byte> notes(*stop - *start);
  if (!ram.read(kernel.place.text_physical + offset, notes)) return std::nullopt;
  const auto note = find_build_id_note(notes);
  if (!note || note->offset + kNoteSize > notes.size()) return std::nullopt;
  return offset + note->offset;
}

std::string types_path(const std::string& kernel_path) {
  return std::filesystem::path(kernel_path).replace_extension(".btf").string();
}

struct Kept {
  std::string path;
  Header header;
};

/// The files of kernels, newest first.
std::vector<std::string> paths_in(const std::string& directory) {
  std::vector<std::pair<std::filesystem::file_time_type, std::string>> dated;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != ".kernel") continue;
    std::error_code gone;
    dated.emplace_back(at->last_write_time(gone), at->path().string());
  }
  std::ranges::sort(dated, std::greater{});
  std::vector<std::string> paths;
  for (auto& [time, path] : dated) paths.push_back(std::move(path));
  return paths;
}

/// Removes the oldest where there are too many: a guest names its kernel, so it can have any
/// number kept, one at each attach.
void prune(const std::string& directory) {
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  for (const auto& path : paths_in(directory)) {
    for (const auto& file : {path, types_path(path)}) {
      std::error_code none;
      if (const auto size = std::filesystem::file_size(file, none); !none) bytes += size;
    }
    if (++count <= kMaxKept && bytes <= kMaxDirectory) continue;
    ::unlink(path.c_str());
    ::unlink(types_path(path).c_str());
  }
}

/// The newest files of ours, their headers read.
std::vector<Kept> list(const std::string& directory) {
  auto paths = paths_in(directory);
  if (paths.size() > kMaxKept) paths.resize(kMaxKept);
  std::vector<Kept> kept;
  for (auto& path : paths) {
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat status{};
    Kept one{std::move(path), {}};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (status.st_uid != ::geteuid()) continue;
    if (::pread(file.get(), &one.header, sizeof one.header, 0) != sizeof one.header) continue;
    if (one.header.magic == kMagic) kept.push_back(std::move(one));
  }
  return kept;
}

/// The file's symbols, its hash checked, moved to where the kernel runs now.
std::optional<SymbolTable> load_symbols(const Kept& kept, Gva text) {
  const File file(::open(kept.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return std::nullopt;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const Header& header = kept.header;
  if (size < sizeof(Header) || size > kMaxFile || header.entries_size > size ||
      header.index_size > size || header.names_size > size ||
      size != sizeof(Header) + header.entries_size + header.index_size + header.names_size) {
    return std::nullopt;
  }
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(size);
  if (::pread(file.get(), buffer.get(), size, 0) != static_cast<ssize_t>(size)) return std::nullopt;
  if (std::memcmp(buffer.get(), &header, sizeof header) != 0) return std::nullopt;
  if (XXH3_64bits(buffer.get() + kHashed, size - kHashed) != header.content_hash)
    return std::nullopt;
  const Bytes all(buffer.get() + sizeof(Header), size - sizeof(Header));
  const auto names = all.subspan(header.entries_size + header.index_size);
  auto table = SymbolTable::from_raw({all.first(header.entries_size),
                                      all.subspan(header.entries_size, header.index_size),
                                      {reinterpret_cast<const char*>(names.data()), names.size()}},
                                     text.value - header.text);
  if (!table) return std::nullopt;
  return std::move(*table);
}

/// How much of a kept kernel's code stands at `text`.
double likeness(const PhysicalMemory& ram, Gpa text, const Header& header) {
  return header.code.likeness(CodeSample::take(ram, text, header.code.text_size));
}

/// Calls `visit` with each place where a kernel's text could start.
template <class Visit>
void each_text(const PhysicalMemory& ram, std::span<const TextHint> hints, const Visit& visit) {
  for (const TextHint& hint : hints) {
    const std::uint64_t inside = hint.physical.value;
    for (std::uint64_t at = inside & ~(kTextAlign - 1); inside - at < kMaxText; at -= kTextAlign) {
      if (visit(Gpa{at})) return;
      if (at == 0) break;
    }
  }
  if (!hints.empty()) return;
  for (const auto& range : ram.ram()) {
    const std::uint64_t first = (range.start.value + kTextAlign - 1) & ~(kTextAlign - 1);
    for (std::uint64_t at = first; at < range.end().value; at += kTextAlign) {
      if (visit(Gpa{at})) return;
    }
  }
}

}  // namespace

KernelCache::KernelCache(std::string directory) : directory_(std::move(directory)) {}

std::optional<CachedKernel> KernelCache::find(const PhysicalMemory& ram,
                                              std::span<const TextHint> hints,
                                              std::string& doubt) const {
  if (directory_.empty()) return std::nullopt;
  std::optional<CachedKernel> found;
  const auto all = list(directory_);
  std::size_t left = kMaxAlike;
  each_text(ram, hints, [&](Gpa text) {
    for (const auto& kept : all) {
      std::array<std::byte, kNoteSize> note;
      if (!ram.read(text + kept.header.note_offset, note) || note != kept.header.note) continue;
      if (left == 0) return true;
      --left;
      const auto place = find_text_mapping(ram, text, text + kept.header.root_offset);
      if (!place || (!hints.empty() && !runs_at(ram, *place, hints))) continue;
      const bool altered =
          hash_kallsyms(ram, text, kept.header.kallsyms) != kept.header.kallsyms_hash;
      if (altered && likeness(ram, text, kept.header) < CodeSample::kSame) {
        doubt = fmt::format(
            "{} has this kernel's build id but other symbols and other code: recovered anew",
            kept.path);
        continue;
      }
      auto symbols = load_symbols(kept, place->text);
      if (!symbols) {
        doubt = fmt::format("{} is damaged: recovered anew", kept.path);
        continue;
      }
      found = CachedKernel{.kernel = {*place,
                                      std::move(*symbols),
                                      kept.header.kallsyms,
                                      kept.header.kallsyms_hash,
                                      "its build id, from the cache",
                                      {}},
                           .path = kept.path,
                           .symbols_altered = altered,
                           .types_hash = kept.header.types_hash,
                           .text_size = kept.header.code.text_size};
      return true;
    }
    return false;
  });
  return found;
}

double KernelCache::code_likeness(const PhysicalMemory& ram, const CachedKernel& cached) const {
  const File file(::open(cached.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  Header header;
  if (file.get() < 0 || ::pread(file.get(), &header, sizeof header, 0) != sizeof header) return 0;
  return likeness(ram, cached.kernel.place.text_physical, header);
}

std::uint64_t hash_types(Bytes types) noexcept {
  return types.empty() ? 0 : std::max<std::uint64_t>(XXH3_64bits(types.data(), types.size()), 1);
}

std::optional<std::vector<std::byte>> KernelCache::types(const CachedKernel& cached) const {
  if (cached.types_hash == 0) return std::nullopt;
  const File file(::open(types_path(cached.path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return std::nullopt;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (status.st_uid != ::geteuid() || size > kMaxFile) return std::nullopt;
  std::vector<std::byte> blob(size);
  if (::pread(file.get(), blob.data(), size, 0) != static_cast<ssize_t>(size)) return std::nullopt;
  if (hash_types(blob) != cached.types_hash) return std::nullopt;
  return blob;
}

Outcome<void> KernelCache::keep(const PhysicalMemory& ram, const FoundKernel& kernel,
                                Bytes types) const {
  const auto note = find_note(ram, kernel);
  const auto root = kernel.symbols.find("init_top_pgt");
  // What was found, not listed, is vouched for by no hash.
  if (directory_.empty() || !note || !root || !kernel.unlisted.empty()) return {};
  Header header;
  header.note_offset = *note;
  header.root_offset = *root - kernel.place.text;
  header.text = kernel.place.text.value;
  header.kallsyms = kernel.kallsyms;
  TRY(ram.read(kernel.place.text_physical + *note, header.note));
  const std::string id = find_build_id(header.note);
  if (id.empty()) return {};
  header.kallsyms_hash = kernel.kallsyms_hash;
  header.types_hash = hash_types(types);
  const auto code_end = kernel.symbols.find("_etext");
  const std::uint64_t code_size =
      code_end && *code_end > kernel.place.text ? *code_end - kernel.place.text : kSomeText;
  header.code = CodeSample::take(ram, kernel.place.text_physical, std::min(code_size, kMaxText));
  const auto raw = kernel.symbols.raw();
  header.entries_size = raw.entries.size();
  header.index_size = raw.index.size();
  header.names_size = raw.names.size();

  std::vector<std::byte> content(sizeof header);
  content.insert(content.end(), raw.entries.begin(), raw.entries.end());
  content.insert(content.end(), raw.index.begin(), raw.index.end());
  const auto names = bytes_of(raw.names);
  content.insert(content.end(), names.begin(), names.end());
  std::memcpy(content.data(), &header, sizeof header);
  header.content_hash = XXH3_64bits(content.data() + kHashed, content.size() - kHashed);
  std::memcpy(content.data(), &header, sizeof header);
  if (content.size() > kMaxFile) return {};  // no kernel is so large; it would not be read again

  const auto cannot = [&](const char* what) {
    return std::unexpected(Problem(errno == EACCES ? Errc::denied : Errc::io,
                                   fmt::format("the kernel was not cached: {} {}: {}", what,
                                               directory_, std::strerror(errno))));
  };
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(directory_).parent_path(), error);
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return cannot("cannot make");
  const std::string path = fmt::format("{}/{}.kernel", directory_, id);
  // The types first: a kernel's file says that they are there.
  if (!types.empty() && !write_file(types_path(path), types)) return cannot("cannot write in");
  if (!write_file(path, content)) return cannot("cannot write in");
  prune(directory_);
  return {};
}

}  // namespace vitrine::linux
