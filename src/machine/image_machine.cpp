#include "machine/image_machine.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>

#include "format/elf.h"
#include "format/image_kind.h"
#include "format/lime.h"
#include "machine/dump_notes.h"
#include "machine/memory_layout.h"
#include "machine/packed_image.h"
#include "machine/size_words.h"
#include "memory/decoded_memory.h"
#include "memory/shared_mapping.h"

namespace vitrine {
namespace {

struct ImageParts {
  std::string path;
  std::unique_ptr<PhysicalMemory> memory;
  std::function<bool()> intact;  // the file is still as long as it was
  std::vector<x86::Registers> registers;
  std::string why_no_registers;
  std::optional<std::string> vmcoreinfo;
  MapSource map_source = MapSource::told;
  std::vector<std::string> layouts;
  std::vector<std::string> notes, warnings;
};

class ImageMachine final : public Machine {
 public:
  explicit ImageMachine(ImageParts parts)
      : parts_(std::move(parts)), name_(parts_.path.substr(parts_.path.rfind('/') + 1)) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] bool live() const noexcept override { return false; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return *parts_.memory; }
  [[nodiscard]] std::vector<std::string> notes() const override { return parts_.notes; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return parts_.warnings; }
  [[nodiscard]] bool alive() const noexcept override { return parts_.intact(); }
  [[nodiscard]] MapSource map_source() const noexcept override { return parts_.map_source; }
  [[nodiscard]] std::vector<std::string> layouts() const override { return parts_.layouts; }
  [[nodiscard]] std::optional<std::string> vmcoreinfo() const override { return parts_.vmcoreinfo; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    if (parts_.registers.empty())
      return std::unexpected(Problem(Errc::unsupported, parts_.why_no_registers));
    return parts_.registers;
  }

 private:
  ImageParts parts_;
  std::string name_;
};

class Opener {
 public:
  Opener(const std::string& path, std::size_t layout) : layout_(layout) { parts_.path = path; }

  Outcome<std::unique_ptr<Machine>> open() {
    auto file = open_for_reading(parts_.path);
    if (!file) return problem(file.error());
    file_ = std::move(*file);
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0) return problem(Error{Errc::io, 0, "fstat"});
    if (!S_ISREG(status.st_mode)) {
      return problem(Problem(Errc::unsupported,
                             fmt::format("{} is neither a plain file nor a machine", parts_.path)));
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    auto view = GuardedMapping::map(file_.get(), size_);
    if (!view) return problem(view.error());
    view_ = std::move(*view);

    const auto guess = format::guess_image(bytes().first(std::min<std::uint64_t>(size_, 512)));
    switch (guess.kind) {
      case format::ImageKind::other:
        return problem(
            Problem(Errc::unsupported,
                    fmt::format("{} is {}, which is not read here", parts_.path, guess.words),
                    std::string(guess.advice)));
      case format::ImageKind::elf:
        return open_elf();
      case format::ImageKind::lime:
        return open_lime();
      case format::ImageKind::kdump:
        return open_packed(open_kdump(parts_.path, std::move(file_), std::move(view_)));
      case format::ImageKind::avml:
        return open_packed(open_avml(parts_.path, std::move(file_), std::move(view_)));
      case format::ImageKind::raw:
        return open_raw();
    }
    return problem(Error{Errc::invalid, 0, "kind"});
  }

 private:
  using Opened = Outcome<std::unique_ptr<Machine>>;

  [[nodiscard]] Bytes bytes() const { return view_.bytes(); }

  static std::unexpected<Problem> problem(Problem what) { return std::unexpected(std::move(what)); }
  [[nodiscard]] std::unexpected<Problem> problem(const Error& error) const {
    if (error.code == Errc::not_found)
      return problem(Problem(error.code, fmt::format("there is no file {}", parts_.path)));
    if (error.code == Errc::denied) {
      return problem(Problem(error.code, fmt::format("no permission to read {}", parts_.path),
                             "run as its owner or as root"));
    }
    return problem(Problem(
        error.code, fmt::format("cannot read the image {}: {}", parts_.path, describe(error))));
  }
  Opened finish(std::vector<MapSegment> segments) {
    if (segments.empty())
      return problem(
          Problem(Errc::malformed, fmt::format("{} holds no guest memory", parts_.path)));
    auto map = MemoryMap::create(std::move(segments));
    if (!map) return problem(map.error());
    std::vector<FileDescriptor> files;
    files.push_back(std::move(file_));
    auto memory = SharedMapping::create(std::move(files), std::move(*map));
    if (!memory) return problem(memory.error());
    parts_.intact = [from = memory->get()] { return from->intact(); };
    parts_.memory = std::move(*memory);
    return std::make_unique<ImageMachine>(std::move(parts_));
  }

  Opened open_elf() {
    auto elf = format::parse_elf(bytes());
    if (!elf) return problem(elf.error());
    if (elf->type != format::kElfCore) {
      return problem(Problem(Errc::malformed,
                             fmt::format("{} is an ELF program, not a memory image", parts_.path),
                             "give a core: `dump-guest-memory FILE` in QEMU's monitor writes one"));
    }
    if (elf->machine != format::kElfMachine386 && elf->machine != format::kElfMachineX86_64) {
      return problem(Problem(Errc::unsupported,
                             fmt::format("{} is of another machine than x86", parts_.path)));
    }
    auto ranges = format::elf_ranges(*elf, size_);
    DumpNotes notes;
    for (const auto& [offset, size] : elf->notes) {
      if (const auto segment = slice(bytes(), offset, size)) {
        take_notes(notes, *segment, elf->machine == format::kElfMachineX86_64);
      } else {
        notes.warnings.emplace_back("the dump's notes lie beyond the end of the file");
      }
    }
    const bool of_a_process = notes.of_a_process;
    keep(std::move(notes));
    if (of_a_process) {
      return problem(Problem(
          Errc::unsupported,
          fmt::format("{} is the core of a process, not the memory of a machine", parts_.path),
          "give a core of the guest: `dump-guest-memory FILE` in QEMU's monitor writes one"));
    }
    if (!parts_.registers.empty()) {  // QEMU wrote it
      if (const auto unnamed = format::add_unnamed_ranges(ranges, *elf, size_); unnamed != 0) {
        parts_.notes.push_back(fmt::format(
            "{} that the dump's headers do not name were found between their neighbours",
            size_in_words(unnamed)));
        ranges.left_out_bytes = 0;
      }
    }
    std::vector<MapSegment> segments;
    std::uint64_t held = 0;
    for (const auto& one : ranges.ranges) {
      segments.push_back({one.range, 0, one.file_offset});
      held += one.range.size;
    }
    parts_.notes.push_back(fmt::format("RAM: ELF core {} ({})", parts_.path, size_in_words(held)));
    warn_missing(ranges.missing_bytes);
    if (ranges.left_out_bytes != 0) {
      parts_.warnings.push_back(fmt::format("{} of the guest's memory were left out of the dump",
                                            size_in_words(ranges.left_out_bytes)));
    }
    if (ranges.contradictory) {
      parts_.warnings.push_back(
          "the dump holds some pages twice, in different places; the first is used");
    }
    return finish(std::move(segments));
  }

  /// Registers and VMCOREINFO go into the machine.
  void keep(DumpNotes notes) {
    parts_.why_no_registers = notes.why_no_registers();
    parts_.registers = std::move(notes.registers);
    if (notes.vmcoreinfo) parts_.vmcoreinfo = std::move(notes.vmcoreinfo);
    parts_.warnings.insert(parts_.warnings.end(), notes.warnings.begin(), notes.warnings.end());
  }

  Opened open_packed(Outcome<PackedImage> image) {
    if (!image) return problem(std::move(image.error()));
    keep(std::move(image->notes));
    parts_.notes.push_back(std::move(image->words));
    for (auto& warning : image->warnings) parts_.warnings.push_back(std::move(warning));
    auto memory = std::make_unique<DecodedMemory>(std::move(image->pages));
    parts_.intact = [from = memory.get()] { return from->intact(); };
    parts_.memory = std::move(memory);
    return std::make_unique<ImageMachine>(std::move(parts_));
  }

  Opened open_lime() {
    const auto lime = format::parse_lime(bytes());
    if (!lime) return problem(lime.error());
    std::vector<MapSegment> segments;
    std::uint64_t held = 0;
    for (const auto& one : lime->ranges) {
      segments.push_back({one.range, 0, one.file_offset});
      held += one.range.size;
    }
    parts_.notes.push_back(
        fmt::format("RAM: LiME image {} ({})", parts_.path, size_in_words(held)));
    warn_missing(lime->missing_bytes);
    if (lime->stray_bytes != 0) {
      parts_.warnings.push_back(
          fmt::format("{} at the end of the image have no header and are left out",
                      size_in_words(lime->stray_bytes)));
    }
    parts_.why_no_registers = "a LiME image holds no registers";
    return finish(std::move(segments));
  }

  Opened open_raw() {
    if (size_ < kMiB) {
      return problem(Problem(Errc::malformed,
                             fmt::format("{} is no memory image: no known format, and only {} long",
                                         parts_.path, size_in_words(size_)),
                             "give an ELF core, a LiME file or raw memory"));
    }
    const auto usable = size_ / kPageSize * kPageSize;
    if (usable != size_) {
      parts_.warnings.push_back("the image does not end at a page: it may be cut short");
    }
    auto layouts = raw_layouts(usable);
    const auto chosen = judge(layouts, usable);
    for (const auto& layout : layouts) parts_.layouts.push_back(layout.words);
    if (layout_ >= layouts.size()) {
      return problem(
          Problem(Errc::invalid, fmt::format("{} can be read in {} ways; there is no number {}",
                                             parts_.path, layouts.size(), layout_)));
    }
    auto& layout = layouts[layout_];
    parts_.map_source = layout_ == 0 ? chosen : MapSource::inferred;
    parts_.notes.push_back(fmt::format("RAM: raw image {} ({}), read {}", parts_.path,
                                       size_in_words(usable), layout.words));
    if (parts_.map_source == MapSource::inferred && layouts.size() > 1) {
      parts_.warnings.push_back(fmt::format(
          "a raw image does not say where its bytes belong: {} readings are possible, this is {}",
          layouts.size(), layout.words));
    }
    parts_.why_no_registers = "a raw image holds no registers";
    return finish(std::move(layout.segments));
  }

  /// Orders the readings by the evidence in the image, and says how good it is.
  MapSource judge(std::vector<MemoryLayout>& layouts, std::uint64_t usable) {
    const auto low = bytes().first(std::min<std::uint64_t>(usable, kMiB));
    const auto table = format::find_e820(low);
    if (!table) return MapSource::inferred;
    // An address space that was saved whole holds the hole's bytes too: leave them out.
    Gpa low_end{0};
    for (const auto& entry : table->entries) {
      if (entry.type == format::E820Entry::kRam && entry.range.end().value <= 4 * kGiB)
        low_end = entry.range.end();
    }
    constexpr std::uint64_t kStep = 16 * kMiB;
    const auto hole = (low_end.value + kStep - 1) / kStep * kStep;
    if (usable > hole + 4 * kStep) {
      auto& whole = layouts.front();
      whole.segments = {{{Gpa{0}, hole}, 0, 0}};
      if (usable > 4 * kGiB)
        whole.segments.push_back({{Gpa{4 * kGiB}, usable - 4 * kGiB}, 0, 4 * kGiB});
      whole.words =
          fmt::format("as the address space itself, with a hole from {:#x} to 4 GiB", hole);
    }
    const auto agrees = [&](const MemoryLayout& layout) {
      std::vector<GpaRange> ranges;
      for (const auto& segment : layout.segments) ranges.push_back(segment.range);
      return compare_map(ranges, table->entries).agrees;
    };
    if (std::ranges::none_of(layouts, agrees) && hole < usable) {
      layouts.push_back(split_layout(hole, usable));  // max-ram-below-4g
    }
    const auto best = std::ranges::find_if(layouts, agrees);
    if (best != layouts.end()) std::rotate(layouts.begin(), best, best + 1);
    return agrees(layouts.front()) ? MapSource::verified : MapSource::inferred;
  }

  void warn_missing(std::uint64_t missing) {
    if (missing != 0) {
      parts_.warnings.push_back(
          fmt::format("the image is cut short: {} are missing at its end", size_in_words(missing)));
    }
  }

  ImageParts parts_;
  std::size_t layout_;
  FileDescriptor file_;
  GuardedMapping view_;
  std::uint64_t size_ = 0;
};

}  // namespace

Outcome<std::unique_ptr<Machine>> open_image(const std::string& path, std::size_t layout) {
  return Opener(path, layout).open();
}

}  // namespace vitrine
