#include "linux/views/code_changes.h"

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

constexpr std::uint64_t kMaxText = 256 * kMiB;
constexpr std::uint64_t kPiece = 256 * kKiB;  // of text, at a time
constexpr std::size_t kMaxRows = 4096;
constexpr std::size_t kShownBytes = 16;
constexpr std::uint64_t kMaxFunction = 64 * kKiB;
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

struct Region {
  std::string name;  // "kernel", the module
  Gva start;
  std::vector<std::byte> text;      // as it stands
  std::vector<std::byte> original;  // with the kernel's own patches undone
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
    const auto one = [&](const std::string& name, Gva start, std::uint64_t size) {
      Region region{name, start, {}, {}};
      if (size == 0 || size > kMaxText) return;
      // What was sound, and has not changed, is sound: it is read piece by piece, and not kept.
      const auto key = std::pair(name, start);
      const auto known = sound_.find(key);
      const auto kept = baseline_.find(key);
      if (known != sound_.end() && kept != baseline_.end() &&
          hash_in_pieces(start, size, layout) == known->second) {
        sound.emplace(key, known->second);
        baseline.emplace(key, kept->second);
        return;
      }
      if (!load_text(region, size)) return;
      const auto hash = hash_of(region.text, layout);
      const auto told = given_;
      go_on =
          go_on && entries(region) && keys(region) && leaving(region) && compared(region, baseline);
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
      add(site.at.value, site.size, site.target.value ^ static_cast<std::uint64_t>(site.kind));
    return hash;
  }

  /// Hashes of pieces, hashed together: hash_in_pieces() says the same without the whole text.
  static std::uint64_t hash_of(Bytes text, std::uint64_t seed) {
    for (std::size_t at = 0; at < text.size(); at += kPiece) {
      const auto piece = text.subspan(at, std::min<std::size_t>(kPiece, text.size() - at));
      seed = XXH3_64bits_withSeed(piece.data(), piece.size(), seed);
    }
    return seed;
  }

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

  bool load_text(Region& region, std::uint64_t size) {
    region.text.resize(size);
    if (auto done = memory_.read(region.start, region.text); !done) {
      tally_.warnings.push_back(
          fmt::format("the text of {}: {}", region.name, describe(done.error())));
      return false;
    }
    region.original = region.text;
    sites_->undo(region.start, region.original);
    return true;
  }

  bool give(const char* kind, const Region& region, Gva at, std::optional<Gva> target) {
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
    rows.set(kRegion, region.name);
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

  /// Every function's entry that ftrace knows: its nop, or a call to ftrace, and endbr64 before it.
  bool entries(const Region& region) {
    const SymbolTable& symbols =
        region.name == "kernel" ? kernel_.symbols() : kernel_.module_symbols();
    for (const auto& site : sites_->within(region.start, region.text.size())) {
      if (site.kind != PatchSite::Kind::ftrace) continue;
      const auto at = site.at - region.start;
      if (at + 5 > region.text.size()) continue;
      const auto wrong = [&](Bytes bytes) {
        return !is_nop(bytes) && !calls_ftrace(site.at, bytes) && !probed(site.at, bytes);
      };
      if (wrong(Bytes(region.text).subspan(at)) && again(site.at, wrong)) {
        const auto target = jump_target(site.at, Bytes(region.text).subspan(at));
        if (!give("entry", region, site.at, target)) return false;
      }
      const auto symbol = symbols.nearest(site.at, 16);
      if (!symbol || symbol->address < region.start || symbol->address == site.at) continue;
      const auto from = symbol->address - region.start;
      const auto before = Bytes(region.text).subspan(from, site.at - symbol->address);
      if (is_entry_prefix(before) || probed(symbol->address, before)) continue;
      if (!give("entry", region, symbol->address,
                jump_target(symbol->address, Bytes(region.text).subspan(from))))
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

  bool keys(const Region& region) {
    for (const auto& site : sites_->within(region.start, region.text.size())) {
      if (site.kind != PatchSite::Kind::static_key) continue;
      const auto at = site.at - region.start;
      if (at + 5 > region.text.size()) continue;
      const auto wrong = [&](Bytes bytes) {
        const auto op = load<std::uint8_t>(bytes, 0).value_or(0);
        if (op == 0xeb)
          return site.at + 2 +
                     static_cast<std::uint64_t>(
                         std::int64_t{load<std::int8_t>(bytes, 1).value_or(0)}) !=
                 site.target;
        if (op == 0xe9) return jump_target(site.at, bytes) != site.target;
        return !is_nop(bytes) && load<std::uint16_t>(bytes, 0) != 0x9066 && !probed(site.at, bytes);
      };
      if (!wrong(Bytes(region.text).subspan(at)) || !again(site.at, wrong)) continue;
      if (!give("static key", region, site.at,
                jump_target(site.at, Bytes(region.text).subspan(at))))
        return false;
    }
    return true;
  }

  /// Code that goes where only patched code goes: out of the kernel's text, to code that is not
  /// its.
  bool leaving(const Region& region) {
    const Bytes text = region.original;
    const bool in_kernel = region.name == "kernel";
    for (std::size_t i = 0; i + 10 <= text.size(); ++i) {
      // The longest work without a read: whoever counts our reads is to see that we move.
      if (i % kPiece == 0) (void)memory_.load<std::uint64_t>(region.start + i);
      const auto op = std::to_integer<std::uint8_t>(text[i]);
      Gva target;
      if (op == 0xe8 || op == 0xe9) {
        target = *jump_target(region.start + i, text.subspan(i));
      } else if (op == 0x0f && (std::to_integer<unsigned>(text[i + 1]) & 0xf0) == 0x80) {
        target =
            region.start + i + 6 +
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
      if (!in_kernel && range->owner != CodeOwner::unknown) continue;
      if (range->owner == CodeOwner::kernel) continue;
      const std::size_t start = (op & 0xf8) == 0xb8 || op == 0xc7 ? i - 1 : i;
      if (!starts_instruction(region, start)) continue;
      if (!give("leaves", region, region.start + start, target)) return false;
    }
    return true;
  }

  [[nodiscard]] bool starts_instruction(const Region& region, std::size_t offset) const {
    const SymbolTable& symbols =
        region.name == "kernel" ? kernel_.symbols() : kernel_.module_symbols();
    const auto symbol = symbols.nearest(region.start + offset, kMaxFunction);
    if (!symbol || symbol->address < region.start) return true;  // better one too many
    // Sites were zeroed in `original`; the text itself has whole instructions there.
    const auto from = symbol->address - region.start;
    return x86::is_instruction_start(Bytes(region.text).subspan(from), offset - from);
  }

  /// Against the first look of this reader: page by page, what the kernel may patch left out.
  bool compared(const Region& region,
                std::map<std::pair<std::string, Gva>, std::vector<std::uint64_t>>& baseline) {
    std::vector<std::uint64_t> hashes;
    for (std::size_t at = 0; at < region.original.size(); at += kPageSize) {
      hashes.push_back(XXH3_64bits(region.original.data() + at,
                                   std::min<std::size_t>(kPageSize, region.original.size() - at)));
    }
    const auto key = std::pair(region.name, region.start);
    const auto known = baseline_.find(key);
    if (known == baseline_.end() || known->second.size() != hashes.size()) {
      baseline.emplace(key, std::move(hashes));
      return true;
    }
    for (std::size_t page = 0; page < hashes.size(); ++page) {
      if (hashes[page] == known->second[page]) continue;
      const auto wrong = [&](Bytes) { return true; };
      if (again(region.start + page * kPageSize, wrong) &&
          !give("changed", region, region.start + page * kPageSize, std::nullopt))
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

class CodeChangesView final : public View {
 public:
  [[nodiscard]] const ViewInfo& info() const noexcept override { return kInfo; }
  [[nodiscard]] Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) const override {
    TRY(kernel.symbol("_etext"));
    return std::make_unique<Reader>(kernel);
  }
};

}  // namespace

const View& code_changes_view() noexcept {
  static const CodeChangesView view;
  return view;
}

}  // namespace vitrine::linux
