// An environment whose guest is a few bytes: for tests of the interpreter.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "probe/environment.h"

namespace vitrine::probe {

class FakeEnvironment : public Environment {
 public:
  std::uint64_t base = 0x1000;
  std::string memory;  ///< at `base`
  std::map<unsigned, std::uint64_t> regs, moment_numbers, fields;
  std::map<unsigned, std::string> moment_texts;
  std::vector<std::vector<Value>> rows;  ///< of any view
  struct Emitted {
    unsigned site;
    std::vector<Value> values;
  };
  std::vector<Emitted> emitted;
  bool go_on = true;
  unsigned turns = 0;

  void turn() noexcept override { ++turns; }

  bool read(std::uint64_t at, MutableBytes into) noexcept override {
    if (at < base || at - base > memory.size() || memory.size() - (at - base) < into.size())
      return false;
    std::memcpy(into.data(), memory.data() + (at - base), into.size());
    return true;
  }
  bool read_physical(std::uint64_t at, MutableBytes into) noexcept override {
    return read(at + base, into);
  }
  std::optional<std::uint64_t> reg(unsigned index) noexcept override { return at(regs, index); }
  std::optional<std::uint64_t> moment(unsigned index) noexcept override {
    return at(moment_numbers, index);
  }
  std::optional<std::size_t> moment_text(unsigned index, std::span<char> into) noexcept override {
    const auto found = moment_texts.find(index);
    if (found == moment_texts.end()) return std::nullopt;
    return put(found->second, into);
  }
  std::optional<std::uint64_t> field(unsigned index) noexcept override { return at(fields, index); }
  std::optional<std::size_t> symbol(std::uint64_t address, std::span<char> into) noexcept override {
    if (address == 0) return std::nullopt;
    return put("symbol", into);
  }
  std::optional<std::uint64_t> per_cpu(std::uint64_t variable,
                                       std::uint64_t cpu) noexcept override {
    return variable + cpu * 0x100;
  }
  std::optional<bool> listed(std::uint64_t pid) noexcept override { return pid == 1; }
  void view_open(unsigned slot, unsigned) noexcept override { row_[slot] = 0; }
  bool view_next(unsigned slot) noexcept override { return ++row_[slot] <= rows.size(); }
  std::optional<std::uint64_t> column(unsigned slot, unsigned index) noexcept override {
    const auto& value = rows.at(row_[slot] - 1).at(index);
    return value.there ? std::optional(value.number) : std::nullopt;
  }
  std::optional<std::size_t> column_text(unsigned slot, unsigned index,
                                         std::span<char> into) noexcept override {
    const auto& value = rows.at(row_[slot] - 1).at(index);
    if (!value.there) return std::nullopt;
    return put(value.text, into);
  }
  bool emit(unsigned site, std::span<const ValueView> values) noexcept override {
    emitted.push_back({site, {values.begin(), values.end()}});
    return go_on;
  }

 private:
  static std::optional<std::uint64_t> at(const std::map<unsigned, std::uint64_t>& from,
                                         unsigned index) {
    const auto found = from.find(index);
    return found == from.end() ? std::nullopt : std::optional(found->second);
  }
  static std::size_t put(const std::string& text, std::span<char> into) {
    const auto size = std::min(text.size(), into.size());
    std::copy_n(text.begin(), size, into.begin());
    return size;
  }
  std::size_t row_[8] = {};
};

}  // namespace vitrine::probe
