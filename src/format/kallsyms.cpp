#include "format/kallsyms.h"

#include <array>
#include <bit>
#include <optional>
#include <string>

#include "base/address.h"

namespace vitrine::format {
namespace {

constexpr std::size_t kTokens = 256;
constexpr std::uint64_t kMarkerStep = 256;        // one marker for so many names
constexpr std::uint64_t kMinNameSize = 2;         // a length and one token
constexpr std::uint64_t kMaxNameSize = 1024;      // more than KSYM_NAME_LEN (512) in any form
constexpr std::uint64_t kMaxTokenTable = 65536;   // the index is 16 bits wide
constexpr std::uint64_t kMinMarkers = 8;          // fewer than 2,048 symbols is no kernel
constexpr std::uint64_t kTurnNames = 16'384;      // walked over between two turns
constexpr std::uint64_t kTurnBytes = 64 * kKiB;   // looked at between two turns
constexpr std::uint64_t kMaxText = 256 * kMiB;    // of all names; kernels have 4 to 10
constexpr std::uint64_t kOneSearch = 32'000'000;  // of the work, spent around one token table
constexpr std::uint64_t kKernelHalf = 0xffff'8000'0000'0000;

// Every digit occurs in some symbol, and a character that occurs is a token of its
// own, in order of its code: "0", "1" ... "9", each with its NUL.
constexpr std::string_view kDigits("0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 19);
constexpr std::uint64_t kRisingLanes = 0x0003'0002'0001'0000;

constexpr std::array<std::uint64_t, 3> kIndexAlignments{8, 4, 2};

using TokenOffsets = std::array<std::uint16_t, kTokens>;

std::uint64_t align_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) & ~(to - 1);
}

std::uint32_t u32(Bytes bytes, std::uint64_t at) {
  return load<std::uint32_t>(bytes, at).value_or(0);
}

/// The offsets of 256 consecutive NUL-terminated strings; answers the end of the last.
std::optional<std::uint64_t> token_offsets(Bytes bytes, std::uint64_t tokens,
                                           TokenOffsets& offsets) {
  std::uint64_t at = tokens;
  for (auto& offset : offsets) {
    if (at - tokens >= kMaxTokenTable) return std::nullopt;
    offset = static_cast<std::uint16_t>(at - tokens);
    const auto text = load_string(bytes, at, kMaxNameSize);
    if (!text || text->empty()) return std::nullopt;
    at += text->size() + 1;
  }
  return at;
}

/// The index follows the table, aligned to 8 (to 6.x) or 4 (7.x), and repeats its offsets.
std::optional<std::uint64_t> find_index(Bytes bytes, std::uint64_t end,
                                        const TokenOffsets& offsets) {
  for (const std::uint64_t alignment : kIndexAlignments) {
    const std::uint64_t at = align_up(end, alignment);
    const auto index = slice(bytes, at, sizeof offsets);
    if (index && std::memcmp(index->data(), offsets.data(), sizeof offsets) == 0) return at;
  }
  return std::nullopt;
}

struct Name {
  std::uint64_t codes;  // where the token numbers start
  std::uint64_t size;   // how many
  [[nodiscard]] std::uint64_t end() const { return codes + size; }
};

/// One compressed name. Lengths above 127 take two bytes (from 6.1).
std::optional<Name> name_at(Bytes bytes, std::uint64_t at) {
  const auto low = load<std::uint8_t>(bytes, at);
  if (!low || *low == 0) return std::nullopt;
  if ((*low & 0x80) == 0) return Name{at + 1, *low};
  const auto high = load<std::uint8_t>(bytes, at + 1);
  if (!high || *high == 0 || (*high & 0x80) != 0) return std::nullopt;
  return Name{at + 2, (*low & 0x7fU) | static_cast<std::uint64_t>(*high) << 7};
}

/// Where each 256th name starts, from the first: 4 bytes each, until 4.20 8 (commit 80ffbaa5b1bd).
struct Markers {
  std::uint64_t at;
  std::uint64_t width;
  [[nodiscard]] std::uint64_t value(Bytes bytes, std::uint64_t i) const {
    return width == 4 ? u32(bytes, at + i * 4) : load<std::uint64_t>(bytes, at + i * 8).value_or(0);
  }
};

/// How many entries could be markers: rising by what 256 names can take.
std::uint64_t marker_run(Bytes bytes, const Markers& markers, std::uint64_t end) {
  std::uint64_t run = 1;
  for (; markers.at + (run + 1) * markers.width <= end; ++run) {
    const std::uint64_t step = markers.value(bytes, run) - markers.value(bytes, run - 1);
    if (step < kMarkerStep * kMinNameSize || step > kMarkerStep * kMaxNameSize) break;
  }
  return run;
}

/// Walks `count` names from `names`: each 256th must start where its marker says.
/// @returns the end of the last name.
std::optional<std::uint64_t> check_names(Bytes bytes, std::uint64_t names, std::uint64_t count,
                                         const Markers& markers, std::uint64_t& budget,
                                         const std::function<void()>& turn) {
  std::uint64_t at = names;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (budget == 0) return std::nullopt;
    if (--budget % kTurnNames == 0) turn();
    if (i % kMarkerStep == 0 && markers.value(bytes, i / kMarkerStep) != at - names) {
      return std::nullopt;
    }
    const auto name = name_at(bytes, at);
    if (!name || name->end() > markers.at) return std::nullopt;
    at = name->end();
  }
  return at;
}

struct Names {
  std::uint64_t start = 0, end = 0, count_at = 0;
  std::uint32_t count = 0;
};

/// The names end where the markers start; they start after their own count, which
/// stands 4 (7.x) or 8 bytes before them.
std::optional<Names> find_names(Bytes bytes, const Markers& markers, std::uint64_t run,
                                std::uint64_t& budget, const std::function<void()>& turn) {
  // What follows the last marker may look like a few more of them.
  constexpr std::uint64_t kSlack = 8;
  const auto plausible = [&](std::uint32_t count) {
    const std::uint64_t needs = (count + kMarkerStep - 1) / kMarkerStep;
    return count <= kKallsymsMaxCount && needs <= run && needs + kSlack > run;
  };
  const std::uint64_t most = markers.value(bytes, run - 1) + kMarkerStep * kMaxNameSize;
  const std::uint64_t least = markers.value(bytes, run - std::min(run, kSlack));
  const std::uint64_t from = std::max<std::uint64_t>(8, markers.at > most ? markers.at - most : 0);
  if (markers.at < least + 8) return std::nullopt;
  for (std::uint64_t start = (markers.at - least) & ~std::uint64_t{3}; start >= from; start -= 4) {
    if (start % kTurnBytes == 0) turn();
    for (const std::uint64_t distance : {4ULL, 8ULL}) {
      const std::uint32_t count = u32(bytes, start - distance);
      if (!plausible(count) || (distance == 8 && u32(bytes, start - 4) != 0)) continue;
      const auto end = check_names(bytes, start, count, markers, budget, turn);
      if (end && markers.at - *end < 8) return Names{start, *end, start - distance, count};
    }
  }
  return std::nullopt;
}

std::uint64_t entry_size(KallsymsAddresses form) {
  return form == KallsymsAddresses::absolute ? 8 : 4;
}

std::uint64_t decode_address(Bytes bytes, const KallsymsLayout& layout, std::uint64_t bytes_address,
                             std::uint32_t i) {
  const std::uint64_t at = layout.addresses + i * entry_size(layout.form);
  const std::uint32_t raw = u32(bytes, at);
  const auto extended = static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(raw)});
  switch (layout.form) {
    case KallsymsAddresses::absolute:
      return load<std::uint64_t>(bytes, at).value_or(0);
    case KallsymsAddresses::based:
      return layout.base + raw;
    case KallsymsAddresses::based_percpu:
      return (raw >> 31) == 0 ? raw : layout.base - 1 - extended;
    case KallsymsAddresses::self_relative:
      return bytes_address + at + extended;
  }
  return 0;
}

/// Takes the table of `form` at `at` into `layout` if it is sorted (kallsyms is, by
/// address) and plausible.
bool try_addresses(Bytes bytes, KallsymsLayout& layout, KallsymsAddresses form, std::uint64_t at,
                   std::uint64_t base) {
  KallsymsLayout trial = layout;
  trial.form = form;
  trial.addresses = at;
  trial.addresses_size = layout.count * entry_size(form);
  trial.base = base;
  if (!slice(bytes, at, trial.addresses_size)) return false;
  const auto address = [&](std::uint32_t i) {
    return decode_address(bytes, trial, kKernelHalf, i);
  };
  if (address(0) == address(layout.count - 1)) return false;
  for (std::uint32_t i = 1; i < layout.count; ++i) {
    if (address(i) < address(i - 1)) return false;
  }
  if (form == KallsymsAddresses::absolute && address(layout.count - 1) < kKernelHalf) return false;
  layout = trial;
  return true;
}

bool try_based(Bytes bytes, KallsymsLayout& layout, std::uint64_t at, std::uint64_t base_at) {
  const auto base = load<std::uint64_t>(bytes, base_at);
  if (!base || *base < kKernelHalf) return false;
  return try_addresses(bytes, layout, KallsymsAddresses::based, at, *base) ||
         try_addresses(bytes, layout, KallsymsAddresses::based_percpu, at, *base);
}

bool find_addresses(Bytes bytes, KallsymsLayout& layout, std::uint64_t count_at) {
  const std::uint64_t table = std::uint64_t{layout.count} * 4;
  // To 6.3: addresses, then the base, then the count.
  const std::uint64_t padded = align_up(table, 8);
  if (count_at >= padded + 8 && try_based(bytes, layout, count_at - 8 - padded, count_at - 8)) {
    return true;
  }
  if (count_at >= table * 2 &&
      try_addresses(bytes, layout, KallsymsAddresses::absolute, count_at - table * 2, 0)) {
    return true;
  }
  // From 6.4: after the token index.
  const std::uint64_t end = layout.token_index + sizeof(TokenOffsets);
  for (const std::uint64_t alignment : {8ULL, 4ULL}) {
    const std::uint64_t at = align_up(end, alignment);
    if (try_based(bytes, layout, at, align_up(at + table, 8))) return true;
  }
  for (const std::uint64_t alignment : {4ULL, 8ULL}) {
    const std::uint64_t at = align_up(end, alignment);
    if (try_addresses(bytes, layout, KallsymsAddresses::self_relative, at, 0)) return true;
    if (try_addresses(bytes, layout, KallsymsAddresses::absolute, at, 0)) return true;
  }
  return false;
}

/// 256 texts, and after them their index.
bool is_token_table(Bytes bytes, std::uint64_t tokens) {
  TokenOffsets offsets;
  const auto end = token_offsets(bytes, tokens, offsets);
  return end && find_index(bytes, *end, offsets).has_value();
}

/// The start of the token table whose "0" stands at `digits`. The index behind the table says where
/// it starts: one walk to the table's end, whatever stands before it.
std::optional<std::uint64_t> table_around(Bytes bytes, std::uint64_t digits) {
  std::uint64_t end = digits;
  for (std::size_t token = '0'; token < kTokens; ++token) {
    if (end - digits >= kMaxTokenTable) return std::nullopt;
    const auto text = load_string(bytes, end, kMaxNameSize);
    if (!text || text->empty()) return std::nullopt;
    // A character is one token, not two: memory full of digits ends here.
    if (token > '9' && text->size() == 1 && text->front() == '0') return std::nullopt;
    end += text->size() + 1;
  }
  for (const std::uint64_t alignment : kIndexAlignments) {
    const std::uint64_t index = align_up(end, alignment);
    const auto before = load<std::uint16_t>(bytes, index + '0' * sizeof(std::uint16_t));
    if (!before || *before > digits) continue;
    const std::uint64_t start = digits - *before;
    if (start % 4 == 0 && load<std::uint16_t>(bytes, index) == 0 && is_token_table(bytes, start))
      return start;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::uint64_t> find_token_tables(Bytes bytes) {
  std::vector<std::uint64_t> found;
  std::size_t last_checked = SIZE_MAX;  // a table is met in two words
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  const auto check = [&](std::size_t digits) {
    if (digits > bytes.size() || bytes.size() - digits < kDigits.size()) return;
    if (std::memcmp(text + digits, kDigits.data(), kDigits.size()) != 0) return;
    if (const auto start = table_around(bytes, digits)) found.push_back(*start);
  };
  // Any 19 bytes hold an aligned word of 8. Inside kDigits such a word has four
  // 16-bit lanes that rise by one, the digit in either byte of each: a few
  // instructions a word, where memmem() is ten times slower on memory full of zeros.
  for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text + at, sizeof word);
    const std::uint64_t even = word - kRisingLanes;
    const std::uint64_t odd = word - (kRisingLanes << 8);
    if (even != std::rotl(even, 16) && odd != std::rotl(odd, 16)) [[likely]]
      continue;
    const bool digit_first = even == std::rotl(even, 16);
    const std::uint64_t digit = (digit_first ? word : word >> 8) & 0xff;
    if (digit < '0' || digit > '6') continue;
    // The word's first digit is `digit`: "0" stands two bytes before for each step.
    const std::size_t back = (digit - '0') * 2;
    const std::size_t first = at + (digit_first ? 0 : 1);
    if (first < back) continue;
    const std::size_t digits = first - back;
    if (digits != last_checked) check(last_checked = digits);
  }
  return found;
}

Result<KallsymsLayout> parse_kallsyms(Bytes bytes, std::uint64_t tokens, std::uint64_t& work,
                                      const std::function<void()>& turn) {
  TokenOffsets offsets;
  const auto tokens_end = token_offsets(bytes, tokens, offsets);
  if (!tokens_end) return fail(Errc::not_found, tokens, "kallsyms_token_table");
  const auto index = find_index(bytes, *tokens_end, offsets);
  if (!index) return fail(Errc::not_found, *tokens_end, "kallsyms_token_index");

  KallsymsLayout layout{.tokens = tokens, .token_index = *index};
  bool names_found = false;
  std::uint64_t budget = std::min(work, kOneSearch);
  work -= budget;  // what is left of it is given back
  for (std::uint64_t at = tokens & ~std::uint64_t{3}; at >= 16 && budget > 0; at -= 4) {
    if (at % kTurnBytes == 0) turn();
    if (u32(bytes, at - 4) != 0) continue;
    Markers markers{at - 4, 4};
    std::uint64_t run = marker_run(bytes, markers, tokens);
    if (run < kMinMarkers) {
      markers.width = 8;
      run = marker_run(bytes, markers, tokens);
    }
    if (run < kMinMarkers) continue;
    budget -= std::min(budget, kMarkerStep * kMaxNameSize / 4);  // what find_names() tries at most
    const auto names = find_names(bytes, markers, run, budget, turn);
    if (!names) continue;
    names_found = true;
    layout.names = names->start;
    layout.names_size = names->end - names->start;
    layout.markers = markers.at;
    layout.count = names->count;
    if (find_addresses(bytes, layout, names->count_at)) {
      work += budget;
      return layout;
    }
  }
  work += budget;
  if (names_found) return fail(Errc::malformed, layout.names, "kallsyms_offsets");
  return fail(Errc::not_found, tokens, "kallsyms_names");
}

Result<void> for_each_symbol(
    Bytes bytes, const KallsymsLayout& layout, std::uint64_t bytes_address,
    const std::function<void(std::uint64_t, char, std::string_view)>& visit) {
  TokenOffsets offsets;
  if (!token_offsets(bytes, layout.tokens, offsets)) {
    return fail(Errc::malformed, layout.tokens, "kallsyms_token_table");
  }
  std::array<std::string_view, kTokens> tokens;
  for (std::size_t i = 0; i < kTokens; ++i) {
    tokens[i] = load_string(bytes, layout.tokens + offsets[i], kMaxNameSize).value_or("?");
  }
  if (layout.count > kKallsymsMaxCount)
    return fail(Errc::too_large, layout.count, "kallsyms_num_syms");
  if (layout.addresses_size < layout.count * entry_size(layout.form) ||
      !slice(bytes, layout.addresses, layout.addresses_size)) {
    return fail(Errc::out_of_bounds, layout.addresses, "kallsyms_offsets");
  }

  std::string text;
  std::uint64_t all = 0;
  std::uint64_t at = layout.names;
  for (std::uint32_t i = 0; i < layout.count; ++i) {
    const auto name = name_at(bytes, at);
    const auto codes = name ? slice(bytes, name->codes, name->size) : std::nullopt;
    if (!codes) return fail(Errc::malformed, at, "kallsyms_names");
    text.clear();
    for (const auto code : *codes) {
      text += tokens[std::to_integer<std::size_t>(code)];
      if (text.size() > kMaxNameSize) return fail(Errc::malformed, at, "kallsyms_names");
    }
    all += text.size();
    if (all > kMaxText) return fail(Errc::too_large, all, "kallsyms_names");
    at = name->end();
    // The first character is the symbol's type.
    visit(decode_address(bytes, layout, bytes_address, i), text.front(),
          std::string_view(text).substr(1));
  }
  return {};
}

}  // namespace vitrine::format
