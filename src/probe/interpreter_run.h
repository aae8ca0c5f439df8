// What a firing has while the interpreter's loop runs: its registers, its room for texts, its
// budget. Internal to interpreter.cpp, whose loop it serves.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "probe/interpreter.h"

namespace vitrine::probe {

struct Interpreter::Run {
  Interpreter& self;
  Environment& environment;
  const vmipl::Program& program;
  std::uint64_t budget;                                 ///< what is left until the next turn()
  std::uint64_t rest;                                   ///< and after it
  std::array<std::int32_t, vmipl::kMaxViewSlots> uses;  ///< of each slot; -1: not open

  /// The next slice of the budget. False: it is spent.
  bool turn() noexcept {
    if (rest == 0) return false;
    environment.turn();
    const auto slice = std::min(rest, kSlice);
    budget += slice;
    rest -= slice;
    return true;
  }
  /// False: the budget is spent.
  bool pay(std::uint64_t cost) noexcept {
    while (budget < cost) {
      if (turn()) continue;
      budget = 0;
      return false;
    }
    budget -= cost;
    return true;
  }
  [[nodiscard]] std::span<char> room(unsigned text) const noexcept {
    return {self.room_.get() + std::size_t{text} * kTextRoom, kTextRoom};
  }
  void drop(unsigned text) noexcept { self.text_there_[text] = 0; }
  void put(unsigned text, std::string_view value) noexcept {
    self.texts_[text] = value;
    self.text_there_[text] = 1;
  }
  void put(unsigned text, std::optional<std::size_t> size) noexcept {
    if (!size)
      drop(text);
    else
      put(text, std::string_view(room(text).data(), std::min(*size, kTextRoom)));
  }
  void put_number(unsigned number, std::optional<std::uint64_t> value) noexcept {
    self.there_[number] = value.has_value();
    self.numbers_[number] = value.value_or(0);
  }

  /// A value whose bytes stand in another register's room is copied: that may be written again.
  void copy_text(unsigned to, unsigned from) noexcept {
    if (to == from) return;
    if (self.text_there_[from] == 0) return drop(to);
    const auto text = self.texts_[from];
    const auto source = room(from);
    if (text.data() >= source.data() && text.data() < source.data() + source.size() &&
        !text.empty()) {
      std::memcpy(room(to).data(), text.data(), text.size());
      put(to, std::string_view(room(to).data(), text.size()));
    } else {
      put(to, text);
    }
  }

  [[nodiscard]] std::optional<std::uint64_t> read_number(std::uint64_t address, unsigned bytes,
                                                         bool physical) noexcept {
    std::uint64_t value = 0;
    const MutableBytes into(reinterpret_cast<std::byte*>(&value), bytes);
    if (!(physical ? environment.read_physical(address, into) : environment.read(address, into)))
      return std::nullopt;
    return value;
  }

  /// Up to the NUL or `most` bytes, page by page: what lies behind the NUL need not be there.
  [[nodiscard]] std::optional<std::size_t> read_string(std::uint64_t address, std::uint64_t most,
                                                       std::span<char> into) noexcept {
    most = std::min<std::uint64_t>(most, vmipl::kMaxTextBytes);
    std::size_t have = 0;
    while (have < most) {
      const std::uint64_t at = address + have;
      const auto chunk =
          static_cast<std::size_t>(std::min<std::uint64_t>({most - have, 4096 - at % 4096, 256}));
      if (!environment.read(at, std::as_writable_bytes(into.subspan(have, chunk))))
        return std::nullopt;
      if (const void* nul = std::memchr(into.data() + have, 0, chunk))
        return static_cast<std::size_t>(static_cast<const char*>(nul) - into.data());
      have += chunk;
    }
    return have;
  }

  /// The keys of a map instruction, or nothing if one is missing.
  [[nodiscard]] std::optional<Keys> keys(const vmipl::Instruction& at) noexcept {
    for (unsigned i = 0; i < at.c; ++i) {
      auto& key = self.operands_[i];
      if (!operand(program.operands[static_cast<std::size_t>(at.imm) + i], key))
        return std::nullopt;
    }
    return Keys(self.operands_.data(), at.c);
  }
  bool operand(vmipl::Operand from, ValueView& into) noexcept {
    const auto index = from.index();
    if (from.is_text()) {
      into = self.text_there_[index] != 0 ? ValueView::of(self.texts_[index])
                                          : ValueView::missing(true);
    } else {
      into =
          self.there_[index] != 0 ? ValueView::of(self.numbers_[index]) : ValueView::missing(false);
    }
    return into.there;
  }
  bool leave(unsigned index) noexcept {
    const auto& site = program.sites[index];
    for (std::size_t i = 0; i < site.operands.size(); ++i)
      (void)operand(site.operands[i], self.operands_[i]);
    return environment.emit(
        index, std::span<const ValueView>(self.operands_.data(), site.operands.size()));
  }
  /// The column is one of the view that the slot really holds, and of that type.
  [[nodiscard]] bool column_fits(const vmipl::Instruction& at, bool textual) const noexcept {
    const auto use = uses[at.b];
    if (use < 0) return false;
    const auto& types = program.views[static_cast<std::size_t>(use)].types;
    return static_cast<std::size_t>(at.imm) < types.size() &&
           vmipl::is_textual(types[static_cast<std::size_t>(at.imm)]) == textual;
  }

  Firing::End go(const vmipl::ProgramProbe& probe) noexcept;
};

}  // namespace vitrine::probe
