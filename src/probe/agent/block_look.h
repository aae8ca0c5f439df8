// BlockLook: whether a block that needs the host would do anything at an event.
//
// Such a block holds its virtual CPU until the host has run it: a hundred times what its predicate
// costs where the event happens. So the block is run here first, with what the CPU has at hand,
// doing nothing: where that run comes to its end, the host need not be asked.
#pragma once

#include "probe/interpreter.h"

namespace vitrine::probe {

class BlockLook final : private Environment, private MapStore {
 public:
  /// All must outlive this. Cost: an interpreter's memory, some 400 KiB.
  BlockLook(const vmipl::Program& program, Environment& here, MapStore& maps);

  /// False only if all that decided was there to be read, and the block then ends without an
  /// output, an action, a view or a change of a map. Changes nothing.
  [[nodiscard]] bool may_act(unsigned probe) noexcept;

 private:
  template <class T>
  [[nodiscard]] T known(T value) noexcept {
    // What is missing here the host may know.
    if (!value) asked_ = true;
    return value;
  }

  bool read(std::uint64_t va, MutableBytes into) noexcept override {
    return known(here_.read(va, into));
  }
  bool read_physical(std::uint64_t gpa, MutableBytes into) noexcept override {
    return known(here_.read_physical(gpa, into));
  }
  std::optional<std::uint64_t> reg(unsigned i) noexcept override { return known(here_.reg(i)); }
  std::optional<std::uint64_t> moment(unsigned i) noexcept override {
    return known(here_.moment(i));
  }
  std::optional<std::size_t> moment_text(unsigned i, std::span<char> into) noexcept override {
    return known(here_.moment_text(i, into));
  }
  std::optional<std::uint64_t> field(unsigned i) noexcept override { return known(here_.field(i)); }
  std::optional<std::size_t> field_text(unsigned i, std::span<char> into) noexcept override {
    return known(here_.field_text(i, into));
  }
  std::optional<std::size_t> symbol(std::uint64_t, std::span<char>) noexcept override {
    return known(std::optional<std::size_t>());
  }
  std::optional<std::uint64_t> per_cpu(std::uint64_t variable,
                                       std::uint64_t cpu) noexcept override {
    return known(here_.per_cpu(variable, cpu));
  }
  std::optional<bool> listed(std::uint64_t) noexcept override {
    return known(std::optional<bool>());
  }
  void view_open(unsigned, unsigned) noexcept override { asked_ = true; }
  bool emit(unsigned, std::span<const ValueView>) noexcept override {
    asked_ = true;
    return false;  // the rest need not be run
  }

  std::optional<std::uint64_t> get(unsigned map, Keys keys) noexcept override {
    return maps_.get(map, keys);
  }
  std::optional<std::size_t> get_text(unsigned map, Keys keys,
                                      std::span<char> into) noexcept override {
    return maps_.get_text(map, keys, into);
  }
  std::uint64_t length(unsigned map) noexcept override { return maps_.length(map); }
  void set(unsigned, Keys, std::uint64_t) noexcept override { asked_ = true; }
  void set_text(unsigned, Keys, std::string_view) noexcept override { asked_ = true; }
  void add(unsigned, Keys, std::uint64_t) noexcept override { asked_ = true; }
  void update(unsigned, Keys, std::uint64_t) noexcept override { asked_ = true; }
  void remove(unsigned, Keys) noexcept override { asked_ = true; }
  void clear(unsigned) noexcept override { asked_ = true; }
  // No firing asks for these.
  std::vector<MapRow> snapshot(unsigned) override { return {}; }
  std::uint64_t lost(unsigned) override { return 0; }
  void restore(unsigned, const SavedMap&) override {}

  Environment& here_;
  MapStore& maps_;
  Interpreter interpreter_;
  bool asked_ = false;
};

}  // namespace vitrine::probe
