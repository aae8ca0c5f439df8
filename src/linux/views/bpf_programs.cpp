#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"
#include "linux/walk/xarray.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kId,
  kType,
  kName,
  kTag,
  kUid,
  kInstructions,
  kHelpers,
  kWritesUser,
  kOverrides,
  kSignals,
  kFunction,
  kJited,
  kAddress
};

constexpr Column kColumns[] = {
    {"id", ColumnType::integer, "as bpftool gives it (bpf_prog_aux.id)"},
    {"type", ColumnType::text, "kprobe, tracing, xdp ...: enum bpf_prog_type in small letters"},
    {"name", ColumnType::text, "as its loader called it, at most 15 bytes (bpf_prog_aux.name)"},
    {"tag", ColumnType::text, "hash of its instructions (bpf_prog.tag)"},
    {"uid", ColumnType::integer, "the user who loaded it (bpf_prog_aux.user)"},
    {"instructions", ColumnType::integer, "bpf_prog.len, as the verifier left it"},
    {"helpers", ColumnType::list, "the kernel's functions that it calls, each once",
     Column::hidden},
    {"writes_user", ColumnType::boolean,
     "it may write the memory of whatever process it runs in (bpf_probe_write_user)"},
    {"overrides", ColumnType::boolean,
     "it may skip a kernel function and give back a value in its place (bpf_override_return, or by "
     "its kind: fmod_ret)"},
    {"signals", ColumnType::boolean,
     "it may send a signal to whom it runs in (bpf_send_signal, _thread)", Column::hidden},
    {"function", ColumnType::text,
     "the kernel's function that it was made for (bpf_prog_aux.attach_func_name)", Column::hidden},
    {"jited", ColumnType::address, "its machine code (bpf_prog.bpf_func)", Column::hidden},
    {"address", ColumnType::address, "its struct bpf_prog", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "bpf_programs",
    .summary = "eBPF programs that are loaded, and what they may do to others",
    .columns = kColumns,
    .order = "by id",
    .key = "id",
};

constexpr std::size_t kMaxPrograms = 1U << 16;
constexpr std::uint32_t kMaxInstructions = 1U << 20;  // of one; 1M is the verifier's own bound
constexpr std::uint32_t kMaxAll = 4U << 20;  // instructions of all programs together, a reading
constexpr std::size_t kMaxHelpers = 64;
constexpr std::uint8_t kCall = 0x85;  // BPF_JMP | BPF_CALL
constexpr std::size_t kMaxFunction = 128;
constexpr std::uint32_t kModifyReturn = 26;  // BPF_MODIFY_RETURN, include/uapi/linux/bpf.h

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Gva table, std::uint32_t head)
      : kernel_(kernel), memory_(kernel.memory()), of_(kernel.types()), head_(table + head) {
    if (const auto found = kernel.types().find("bpf_prog_type")) {
      for (const auto& value : found->resolved().enumerators())
        types_.emplace_back(value.value, std::string(value.name));
    }
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    left_ = kMaxAll;
    const auto head = memory_.load<std::uint64_t>(head_);
    if (!head) return std::unexpected(Problem(head.error().code, "prog_idr cannot be read"));
    const auto walked = walk_xarray(memory_, XArrayLayout::of(kernel_.types()), *head, kMaxPrograms,
                                    [&](std::uint64_t id, std::uint64_t entry) {
                                      const Gva program{entry};
                                      if (!is_kernel_pointer(program)) return true;
                                      return give(rows, tally, id, program);
                                    });
    tally.truncated |= walked.truncated;
    if (walked.broken)
      tally.warnings.push_back(fmt::format("prog_idr breaks off: {}", describe(*walked.broken)));
    return tally;
  }

 private:
  bool give(RowSink& rows, Tally& tally, std::uint64_t id, Gva program) {
    const auto aux = of_.find("bpf_prog.aux"), type = of_.find("bpf_prog.type"),
               tag = of_.find("bpf_prog.tag"), length = of_.find("bpf_prog.len"),
               func = of_.find("bpf_prog.bpf_func"), name = of_.find("bpf_prog_aux.name"),
               user = of_.find("bpf_prog_aux.user"), uid = of_.find("user_struct.uid.val");
    rows.begin();
    rows.set(kId, static_cast<std::int64_t>(id));
    rows.set(kAddress, program.value);
    if (type) {
      if (const auto number = memory_.load<std::uint32_t>(program + *type))
        rows.set(kType, type_name(*number));
    }
    if (tag) rows.set(kTag, tag_at(program + *tag));
    if (func) rows.set(kJited, memory_.load<std::uint64_t>(program + *func).value_or(0));
    replaces_ = false;
    const Gva more{aux ? memory_.load<std::uint64_t>(program + *aux).value_or(0) : 0};
    if (is_kernel_pointer(more)) {
      if (name) {
        if (auto text = memory_.load_string(more + *name, 16)) rows.set(kName, *std::move(text));
      }
      made_for(rows, program, more);
      if (user && uid) {
        const Gva owner{memory_.load<std::uint64_t>(more + *user).value_or(0)};
        if (is_kernel_pointer(owner)) {
          if (const auto number = memory_.load<std::uint32_t>(owner + *uid))
            rows.set(kUid, std::int64_t{*number});
        }
      }
    }
    if (length) {
      const auto count = memory_.load<std::uint32_t>(program + *length).value_or(0);
      rows.set(kInstructions, std::int64_t{count});
      if (rows.wants_any(kHelpers, kWritesUser, kOverrides, kSignals))
        calls(rows, tally, program, count);
    }
    return rows.end();
  }

  /// A program that decides in a function's place is of a kind of its own. Functions that are there
  /// for nothing else (of HID-BPF) are no kernel functions that it skips.
  void made_for(RowSink& rows, Gva program, Gva aux) {
    const auto kind = of_.find("bpf_prog.expected_attach_type"),
               name = of_.find("bpf_prog_aux.attach_func_name");
    if (!kind || !name) return;
    const auto attached = memory_.load<std::uint32_t>(program + *kind);
    const Gva text{memory_.load<std::uint64_t>(aux + *name).value_or(0)};
    auto function = is_kernel_pointer(text, 1) ? memory_.load_string(text, kMaxFunction)
                                               : Result<std::string>(std::string());
    if (!attached || !function || function->empty()) return;
    replaces_ = *attached == kModifyReturn && !function->starts_with("hid_bpf_");
    rows.set(kFunction, *std::move(function));
  }

  /// What the program calls: the verifier has put the helper's distance from __bpf_call_base into
  /// each call.
  void calls(RowSink& rows, Tally& tally, Gva program, std::uint32_t count) {
    const auto code = of_.find("bpf_prog.insnsi"), plain = of_.find("bpf_prog.insns");
    const auto base = kernel_.symbols().find("__bpf_call_base");
    const auto at = code ? code : plain;
    if (!at || !base || count == 0) return;
    if (count > kMaxInstructions) {
      rows.doubt("more instructions than any program may have");
      tally.truncated = true;
      return;
    }
    if (count > left_) {
      rows.doubt("not looked at: all programs together have more instructions than are read");
      tally.truncated = true;
      return;
    }
    left_ -= count;
    std::vector<std::byte> text(std::size_t{count} * 8);
    if (!memory_.read(program + *at, text)) {
      rows.doubt("its instructions cannot be read");
      return;
    }
    std::vector<std::string> helpers;
    for (std::size_t i = 0; i + 8 <= text.size(); i += 8) {
      if (std::to_integer<std::uint8_t>(text[i]) != kCall) continue;
      if ((std::to_integer<unsigned>(text[i + 1]) >> 4) != 0) continue;  // its own, a kfunc
      const auto distance = load<std::int32_t>(text, i + 4).value_or(0);
      const Gva target = *base + static_cast<std::uint64_t>(std::int64_t{distance});
      const auto symbol = kernel_.symbols().nearest(target, 64);
      if (!symbol || symbol->address != target) continue;
      std::string called(symbol->name);
      if (std::ranges::find(helpers, called) == helpers.end() && helpers.size() < kMaxHelpers)
        helpers.push_back(std::move(called));
    }
    const auto any = [&](std::string_view what) {
      return std::ranges::any_of(helpers,
                                 [&](const std::string& one) { return one.starts_with(what); });
    };
    rows.set(kWritesUser, any("bpf_probe_write_user"));
    rows.set(kOverrides, replaces_ || any("bpf_override_return"));
    rows.set(kSignals, any("bpf_send_signal"));
    rows.set(kHelpers, std::move(helpers));
  }

  [[nodiscard]] std::string tag_at(Gva at) const {
    std::array<std::uint8_t, 8> bytes{};
    if (!memory_.read(at, std::as_writable_bytes(std::span(bytes)))) return {};
    std::string text;
    for (const auto byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
  }

  [[nodiscard]] std::string type_name(std::uint32_t number) const {
    for (const auto& [value, name] : types_) {
      if (value != static_cast<std::int64_t>(number)) continue;
      std::string text = name.starts_with("BPF_PROG_TYPE_") ? name.substr(14) : name;
      std::ranges::transform(text, text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      return text;
    }
    return fmt::format("{}", number);
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Offsets of_;
  Gva head_;
  std::uint32_t left_ = kMaxAll;
  bool replaces_ = false;  ///< the program of this row, by its kind
  std::vector<std::pair<std::int64_t, std::string>> types_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  const auto table = TRY(kernel.symbol("prog_idr"));
  Offsets of(kernel.types());
  const auto head = of.need("idr.idr_rt.xa_head");
  (void)of.need("bpf_prog.aux");
  if (of.missing()) return std::unexpected(*of.missing());
  return std::make_unique<Reader>(kernel, table, head);
}

}  // namespace

const View bpf_programs_view(kInfo, open);

}  // namespace vitrine::linux
