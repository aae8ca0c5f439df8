#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/kernel_code.h"
#include "linux/patch_sites.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "x86/instruction.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kKind, kFunction, kTarget, kOwner, kRegion, kAddress, kBytes };

constexpr Column kColumns[] = {
    {"kind", ColumnType::text,
     "entry: a function's first bytes are none that the kernel writes there; leaves: code goes to "
     "other code where no table "
     "of the kernel tells of it; static key: neither its nop nor its jump; changed: not as it was "
     "at first sight"},
    {"function", ColumnType::text, "where: symbol and offset"},
    {"target", ColumnType::address, "where it leads; absent: nowhere else"},
    {"owner", ColumnType::text, "whose code is there"},
    {"region", ColumnType::text, "kernel, or the module"},
    {"address", ColumnType::address, "of the bytes; of `changed`: of their page"},
    {"bytes", ColumnType::text, "those that stand there, in hexadecimal"},
};

constexpr ViewInfo kInfo = {
    .name = "code_changes",
    .summary =
        "code of the kernel and its modules that is not what the kernel says must be there "
        "(alternatives, static keys, "
        "ftrace, static calls, kprobes are what it says); within one engine also what changed "
        "since the first look",
    .columns = kColumns,
    .order = "by region, then address",
    .key = "kind address",
};

constexpr std::uint64_t kMaxText = 256 * kMiB, kMaxTextInAll = kGiB;
constexpr std::uint64_t kPiece = 256 * kKiB;  // of text, at a time
constexpr std::size_t kMaxRows = 4096;
constexpr std::size_t kShownBytes = 16;
constexpr std::uint64_t kMaxFunction = 64 * kKiB;
constexpr std::uint64_t kLongestInstruction = 15;
constexpr std::array<std::uint8_t, 5> kNops[] = {{0x0f, 0x1f, 0x44, 0x00, 0x00},
                                                 {0x66, 0x66, 0x66, 0x66, 0x90},
                                                 {0x3e, 0x8d, 0x74, 0x26, 0x00},
                                                 {0x66, 0x66, 0x66, 0x90, 0x66}};

bool is_nop(Bytes code) {
  return std::ranges::any_of(kNops, [&](const auto& nop) {
    return code.size() >= 5 && std::memcmp(code.data(), nop.data(), 5) == 0;
  });
}

/// What may stand before a function's ftrace site: nothing, endbr64, or one that was sealed.
bool is_entry_prefix(Bytes code) {
  constexpr std::array<std::uint8_t, 4> kAllowed[] = {{0xf3, 0x0f, 0x1e, 0xfa},
                                                      {0x66, 0x0f, 0x1f, 0x00},
                                                      {0x0f, 0x1f, 0x40, 0xd6},
                                                      {0x0f, 0x1f, 0x40, 0x00}};
  if (code.empty()) return true;
  if (code.size() == 4) {
    return std::ranges::any_of(kAllowed, [&](const auto& allowed) {
      return std::memcmp(code.data(), allowed.data(), 4) == 0;
    });
  }
  return false;
}

/// A piece of a region's text, and as much around it as a judgement on the piece needs: the whole
/// text of a kernel, twice, would be more memory than all else together.
struct Piece {
  std::string region;  // "kernel", the module
  Gva start;
  std::uint64_t size = 0;
  Gva window;                       // where the text below begins
  std::vector<std::byte> text;      // as it stands
  std::vector<std::byte> original;  // with the kernel's own patches undone

  [[nodiscard]] bool in_kernel() const { return region == "kernel"; }
  [[nodiscard]] std::size_t offset(Gva at) const { return at - window; }
  [[nodiscard]] Bytes text_at(Gva at) const { return Bytes(text).subspan(offset(at)); }
};

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel) : kernel_(kernel), memory_(kernel.memory()) {}

  Outcome<Tally> read(RowSink& rows) override {
    auto code = TRY(KernelCode::read(kernel_));
    const auto sites = PatchSites::read(kernel_, code);
    code_ = &code;
    sites_ = &sites;
    rows_ = &rows;
    given_ = 0;
    tally_ = {};
    tally_.truncated = code.truncated();
    tally_.warnings = sites.warnings();
    std::map<std::pair<std::string, Gva>, std::vector<std::uint64_t>> baseline;
    std::map<std::pair<std::string, Gva>, std::uint64_t> sound;
    const auto layout = layout_of(code, sites);
    bool go_on = true;
    std::uint64_t left = kMaxTextInAll;
    const auto one = [&](const std::string& name, Gva start, std::uint64_t size) {
      if (size == 0) return;
      if (size > std::min(kMaxText, left)) {
        tally_.truncated = true;
        return;
      }
      left -= size;
      // What was sound, and has not changed, is sound.
      const auto key = std::pair(name, start);
      const auto known = sound_.find(key);
      const auto kept = baseline_.find(key);
      if (known != sound_.end() && kept != baseline_.end() &&
          hash_in_pieces(start, size, layout) == known->second) {
        sound.emplace(key, known->second);
        baseline.emplace(key, kept->second);
        return;
      }
      const auto told = given_;
      auto hash = layout;
      std::vector<std::uint64_t> pages;
      for (std::uint64_t at = 0; go_on && at < size; at += kPiece) {
        const auto piece = load_piece(name, start, size, at);
        if (!piece) return;
        hash = XXH3_64bits_withSeed(piece->text_at(piece->start).data(), piece->size, hash);
        hash_pages(*piece, pages);
        go_on = entries(*piece) && keys(*piece) && leaving(*piece);
      }
      go_on = go_on && compared(name, start, std::move(pages), baseline);
      if (go_on && given_ == told) sound.emplace(key, hash);
    };
    one("kernel", code.text_start(), code.text_end() - code.text_start());
    for (const Module& module : code.modules()) {
      if (!go_on) break;
      if (module.state != ModuleState::live) continue;
      one(module.name, module.parts[kModuleText].start, module.parts[kModuleText].size);
    }
    // A module that went takes its baseline with it.
    if (go_on) baseline_ = std::move(baseline);
    sound_ = std::move(sound);
    code_ = nullptr;
    return std::move(tally_);
  }

 private:
  /// All that a judgement on text depends on besides the text: whose code lies where, and what may
  /// be patched.
  static std::uint64_t layout_of(const KernelCode& code, const PatchSites& sites) {
    std::uint64_t hash = 1;
    const auto add = [&](std::uint64_t a, std::uint64_t b, std::uint64_t c) {
      const std::array<std::uint64_t, 4> all{hash, a, b, c};
      hash = XXH3_64bits(all.data(), sizeof all);
    };
    for (const auto& range : code.known())
      add(range.start.value, range.size, static_cast<std::uint64_t>(range.owner));
    for (const auto& range : code.rest())
      add(range.start.value, range.size, static_cast<std::uint64_t>(range.owner));
    for (const auto& site : sites.sites())
      add(site.at.value, site.size, site.target().value ^ static_cast<std::uint64_t>(site.kind));
    return hash;
  }

  /// Hashes of pieces, hashed together.
  [[nodiscard]] std::optional<std::uint64_t> hash_in_pieces(Gva start, std::uint64_t size,
                                                            std::uint64_t seed) {
    std::vector<std::byte> piece;
    for (std::uint64_t at = 0; at < size; at += kPiece) {
      piece.resize(std::min<std::uint64_t>(kPiece, size - at));
      if (!memory_.read(start + at, piece)) return std::nullopt;
      seed = XXH3_64bits_withSeed(piece.data(), piece.size(), seed);
    }
    return seed;
  }

  /// The piece at `at` of a region. What cannot be read is told, and the region not judged.
  std::optional<Piece> load_piece(const std::string& region, Gva start, std::uint64_t size,
                                  std::uint64_t at) {
    Piece piece{region, start + at, std::min(kPiece, size - at), {}, {}, {}};
    const auto before = std::min(at, kMaxFunction);
    const auto after = std::min(kLongestInstruction, size - at - piece.size);
    piece.window = piece.start - before;
    piece.text.resize(before + piece.size + after);
    if (auto done = memory_.read(piece.window, piece.text); !done) {
      tally_.warnings.push_back(fmt::format("the text of {}: {}", region, describe(done.error())));
      return std::nullopt;
    }
    piece.original = piece.text;
    sites_->undo(piece.window, piece.original);
    return piece;
  }

  bool give(const char* kind, const std::string& region, Gva at, std::optional<Gva> target) {
    if (++given_ > kMaxRows) {
      tally_.truncated = true;
      return false;
    }
    auto& rows = *rows_;
    rows.begin();
    rows.set(kKind, std::string(kind));
    rows.set(kFunction, code_->symbol_at(at));
    if (target) {
      rows.set(kTarget, target->value);
      rows.set(kOwner, code_->where(*target).text);
    }
    rows.set(kRegion, region);
    rows.set(kAddress, at.value);
    rows.set(kBytes, hexadecimal_at(memory_, at, kShownBytes));
    return rows.end();
  }

  /// Code is patched while we look: what is wrong must be wrong twice.
  template <class Wrong>
  [[nodiscard]] bool again(Gva at, Wrong&& wrong) const {
    std::array<std::byte, 16> now;
    return memory_.read(at, now).has_value() && wrong(Bytes(now));
  }

  [[nodiscard]] const SymbolTable& symbols_of(const Piece& piece) const {
    return piece.in_kernel() ? kernel_.symbols() : kernel_.module_symbols();
  }

  /// Every function's entry that ftrace knows: its nop, or a call to ftrace, and endbr64 before it.
  bool entries(const Piece& piece) {
    for (const auto& site : sites_->within(piece.start, piece.size)) {
      if (site.kind != PatchSite::Kind::ftrace) continue;
      const auto code = piece.text_at(site.at);
      if (code.size() < 5) continue;
      const auto wrong = [&](Bytes bytes) {
        return !is_nop(bytes) && !calls_ftrace(site.at, bytes) && !probed(site.at, bytes);
      };
      if (wrong(code) && again(site.at, wrong)) {
        if (!give("entry", piece.region, site.at, jump_target(site.at, code))) return false;
      }
      const auto symbol = symbols_of(piece).nearest(site.at, 16);
      if (!symbol || symbol->address < piece.window || symbol->address == site.at) continue;
      const auto from = piece.text_at(symbol->address);
      const auto before = from.first(site.at - symbol->address);
      if (is_entry_prefix(before) || probed(symbol->address, before)) continue;
      if (!give("entry", piece.region, symbol->address, jump_target(symbol->address, from)))
        return false;
    }
    return true;
  }

  [[nodiscard]] static std::optional<Gva> jump_target(Gva at, Bytes bytes) {
    const auto op = load<std::uint8_t>(bytes, 0).value_or(0);
    if (op != 0xe8 && op != 0xe9) return std::nullopt;
    return at + 5 +
           static_cast<std::uint64_t>(std::int64_t{load<std::int32_t>(bytes, 1).value_or(0)});
  }

  [[nodiscard]] bool calls_ftrace(Gva at, Bytes bytes) const {
    const auto target = jump_target(at, bytes);
    if (!target || load<std::uint8_t>(bytes, 0) != 0xe8) return false;
    const CodeRange* range = code_->find(*target);
    if (range == nullptr) return false;
    if (range->owner == CodeOwner::ftrace || range->owner == CodeOwner::bpf) return true;
    if (range->owner != CodeOwner::kernel) return false;
    const auto name = code_->symbol_at(*target);
    return name.starts_with("ftrace_") || name.starts_with("__fentry__") ||
           name.starts_with("__pfx_ftrace_");
  }

  /// A kprobe's breakpoint or jump, where there is one; ftrace's own breakpoint passes in no time.
  [[nodiscard]] bool probed(Gva at, Bytes bytes) const {
    const auto op = load<std::uint8_t>(bytes, 0).value_or(0);
    return (op == 0xcc || op == 0xe9) &&
           std::ranges::any_of(sites_->within(at, 1), [](const PatchSite& site) {
             return site.kind == PatchSite::Kind::kprobe;
           });
  }

  bool keys(const Piece& piece) {
    for (const auto& site : sites_->within(piece.start, piece.size)) {
      if (site.kind != PatchSite::Kind::static_key) continue;
      const auto code = piece.text_at(site.at);
      if (code.size() < 5) continue;
      const auto wrong = [&](Bytes bytes) {
        const auto op = load<std::uint8_t>(bytes, 0).value_or(0);
        if (op == 0xeb)
          return site.at + 2 +
                     static_cast<std::uint64_t>(
                         std::int64_t{load<std::int8_t>(bytes, 1).value_or(0)}) !=
                 site.target();
        if (op == 0xe9) return jump_target(site.at, bytes) != site.target();
        return !is_nop(bytes) && load<std::uint16_t>(bytes, 0) != 0x9066 && !probed(site.at, bytes);
      };
      if (!wrong(code) || !again(site.at, wrong)) continue;
      if (!give("static key", piece.region, site.at, jump_target(site.at, code))) return false;
    }
    return true;
  }

  /// Code that goes where only patched code goes: out of the kernel's text, to code that is not
  /// its.
  bool leaving(const Piece& piece) {
    const Bytes text = piece.original;
    const auto first = piece.offset(piece.start);
    // The longest work without a read: whoever counts our reads is to see that we move.
    (void)memory_.load<std::uint64_t>(piece.start);
    for (std::size_t i = first; i < first + piece.size && i + 10 <= text.size(); ++i) {
      const Gva at = piece.window + i;
      const auto op = std::to_integer<std::uint8_t>(text[i]);
      Gva target;
      if (op == 0xe8 || op == 0xe9) {
        target = *jump_target(at, text.subspan(i));
      } else if (op == 0x0f && (std::to_integer<unsigned>(text[i + 1]) & 0xf0) == 0x80) {
        target =
            at + 6 +
            static_cast<std::uint64_t>(std::int64_t{load<std::int32_t>(text, i + 2).value_or(0)});
      } else if (op == 0x68 && std::to_integer<unsigned>(text[i + 5]) == 0xc3) {  // push, ret
        target = Gva{
            static_cast<std::uint64_t>(std::int64_t{load<std::int32_t>(text, i + 1).value_or(0)})};
      } else if ((op & 0xf8) == 0xb8 && i > 0 &&
                 (std::to_integer<unsigned>(text[i - 1]) & 0xf8) == 0x48) {  // mov $imm64
        target = Gva{load<std::uint64_t>(text, i + 1).value_or(0)};
      } else if (op == 0xc7 && i > 0 && (std::to_integer<unsigned>(text[i - 1]) & 0xf8) == 0x48 &&
                 (std::to_integer<unsigned>(text[i + 1]) & 0xf8) == 0xc0) {  // mov $imm32
        target = Gva{
            static_cast<std::uint64_t>(std::int64_t{load<std::int32_t>(text, i + 2).value_or(0)})};
      } else {
        continue;
      }
      if (code_->in_kernel_text(target) || target.value < 0xff00'0000'0000'0000) continue;
      const CodeRange* range = code_->find(target);
      if (range == nullptr || range->owner == CodeOwner::unused) continue;
      // Modules call each other and, with an immediate, whom they please; nobody calls the unknown.
      if (!piece.in_kernel() && range->owner != CodeOwner::unknown) continue;
      if (range->owner == CodeOwner::kernel) continue;
      const Gva start = (op & 0xf8) == 0xb8 || op == 0xc7 ? at - 1 : at;
      if (!starts_instruction(piece, start)) continue;
      if (!give("leaves", piece.region, start, target)) return false;
    }
    return true;
  }

  [[nodiscard]] bool starts_instruction(const Piece& piece, Gva at) const {
    const auto symbol = symbols_of(piece).nearest(at, kMaxFunction);
    if (!symbol || symbol->address < piece.window) return true;  // better one too many
    // Sites were zeroed in `original`; the text itself has whole instructions there.
    return x86::is_instruction_start(piece.text_at(symbol->address), at - symbol->address);
  }

  /// Page by page, what the kernel may patch left out.
  static void hash_pages(const Piece& piece, std::vector<std::uint64_t>& pages) {
    const auto own = Bytes(piece.original).subspan(piece.offset(piece.start), piece.size);
    for (std::size_t at = 0; at < own.size(); at += kPageSize)
      pages.push_back(
          XXH3_64bits(own.data() + at, std::min<std::size_t>(kPageSize, own.size() - at)));
  }

  /// Against the first look of this reader.
  bool compared(const std::string& region, Gva start, std::vector<std::uint64_t> hashes,
                std::map<std::pair<std::string, Gva>, std::vector<std::uint64_t>>& baseline) {
    const auto key = std::pair(region, start);
    const auto known = baseline_.find(key);
    if (known == baseline_.end() || known->second.size() != hashes.size()) {
      baseline.emplace(key, std::move(hashes));
      return true;
    }
    for (std::size_t page = 0; page < hashes.size(); ++page) {
      if (hashes[page] == known->second[page]) continue;
      const auto wrong = [&](Bytes) { return true; };
      if (again(start + page * kPageSize, wrong) &&
          !give("changed", region, start + page * kPageSize, std::nullopt))
        return false;
    }
    baseline.emplace(key, known->second);  // what was seen first stays what must be there
    return true;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  const KernelCode* code_ = nullptr;
  const PatchSites* sites_ = nullptr;
  RowSink* rows_ = nullptr;
  Tally tally_;
  std::size_t given_ = 0;
  std::map<std::pair<std::string, Gva>, std::vector<std::uint64_t>> baseline_;  // of the first look
  std::map<std::pair<std::string, Gva>, std::uint64_t>
      sound_;  // regions of which nothing was to be told
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  TRY(kernel.symbol("_etext"));
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View code_changes_view(kInfo, open);

}  // namespace vitrine::linux
