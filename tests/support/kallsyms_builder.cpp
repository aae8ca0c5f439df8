#include "support/kallsyms_builder.h"

#include <array>
#include <cstring>
#include <set>

namespace vitrine::test {
namespace {

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& bytes) : bytes_(bytes) {}
  void align(std::size_t to) {
    while (bytes_.size() % to != 0) bytes_.push_back({});
  }
  template <class T>
  void put(T value) {
    const auto at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  void text(const std::string& text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
  }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte>& bytes_;
};

/// A character that occurs is a token of its own; the free codes hold words.
std::array<std::string, 256> choose_tokens(const std::vector<BuiltSymbol>& symbols) {
  std::set<unsigned char> used;
  for (const auto& symbol : symbols) {
    used.insert(static_cast<unsigned char>(symbol.type));
    for (const char c : symbol.name) used.insert(static_cast<unsigned char>(c));
  }
  std::array<std::string, 256> tokens;
  int words = 0;
  for (unsigned code = 0; code < 256; ++code) {
    tokens[code] = used.contains(static_cast<unsigned char>(code))
                       ? std::string(1, static_cast<char>(code))
                       : "word_" + std::to_string(words++);
  }
  return tokens;
}

}  // namespace

BuiltKallsyms build_kallsyms(const std::vector<BuiltSymbol>& symbols, KallsymsOrder order,
                             format::KallsymsAddresses form, std::uint64_t base,
                             std::uint64_t start) {
  using enum format::KallsymsAddresses;
  BuiltKallsyms built;
  Writer out(built.bytes);
  out.text(std::string(512, 'x'));  // something before
  const std::size_t alignment = order == KallsymsOrder::from_7 ? 4 : 8;
  const auto tokens = choose_tokens(symbols);

  const auto write_addresses = [&] {
    out.align(alignment);
    for (const auto& symbol : symbols) {
      switch (form) {
        case absolute:
          out.put(symbol.address);
          break;
        case based:
          out.put(static_cast<std::uint32_t>(symbol.address - base));
          break;
        case based_percpu:
          out.put(static_cast<std::uint32_t>(
              symbol.address < 1U << 31 ? symbol.address : base - 1 - symbol.address));
          break;
        case self_relative:
          out.put(static_cast<std::uint32_t>(symbol.address - (start + out.size())));
          break;
      }
    }
    if (form == based || form == based_percpu) {
      out.align(8);
      out.put(base);
    }
  };
  const auto write_seqs = [&] {
    out.align(alignment);
    for (std::size_t i = 0; i < symbols.size() * 3; ++i) out.put(static_cast<std::uint8_t>(i * 7));
  };

  const bool wide = order == KallsymsOrder::to_4_19;  // counts and markers of 64 bits
  const bool old =
      wide || order == KallsymsOrder::to_6_3 || order == KallsymsOrder::from_6_2_with_seqs;
  if (old) write_addresses();
  out.align(alignment);
  out.put(static_cast<std::uint32_t>(symbols.size()));
  out.align(alignment);
  const std::size_t names = out.size();
  std::vector<std::uint32_t> markers;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (i % 256 == 0) markers.push_back(static_cast<std::uint32_t>(out.size() - names));
    const std::string text = symbols[i].type + symbols[i].name;
    if (text.size() < 128) {
      out.put(static_cast<std::uint8_t>(text.size()));
    } else {
      out.put(static_cast<std::uint8_t>(0x80 | (text.size() & 0x7f)));
      out.put(static_cast<std::uint8_t>(text.size() >> 7));
    }
    out.text(text);  // each character is its own token
  }
  out.align(alignment);
  for (const auto marker : markers) {
    out.put(marker);
    if (wide) out.put(std::uint32_t{0});
  }
  if (order == KallsymsOrder::from_6_2_with_seqs) write_seqs();
  out.align(alignment);
  built.tokens = out.size();
  std::vector<std::uint16_t> index;
  for (const auto& token : tokens) {
    index.push_back(static_cast<std::uint16_t>(out.size() - built.tokens));
    out.text(token);
    out.put('\0');
  }
  out.align(alignment);
  for (const auto offset : index) out.put(offset);
  if (!old) {
    write_addresses();
    write_seqs();
  }
  out.text(std::string(64, '\0'));
  return built;
}

std::vector<BuiltSymbol> make_symbols(std::size_t count, std::uint64_t text) {
  std::vector<BuiltSymbol> symbols;
  for (std::size_t i = 0; i < count; ++i) {
    std::string name = "do_thing_" + std::to_string(i * 7919 % 100'000) + "_0123456789";
    if (i % 1000 == 999) name += std::string(200, 'r');  // longer than 127: two bytes of length
    symbols.push_back({text + i * 16, i % 3 == 0 ? 'T' : 't', std::move(name)});
  }
  symbols[0].name = "_text";
  return symbols;
}

}  // namespace vitrine::test
