// A dump in makedumpfile's flattened form: pieces in the order of their writing, each with
// the place in the dump where it belongs, for targets that cannot seek. QEMU's
// `dump-guest-memory -z/-l/-s` writes nothing else.
#pragma once

#include <cstdint>
#include <map>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

/// The dump as it would lie if it had been written in place. A view: `file` must outlive it.
class Flattened {
 public:
  /// Follows the pieces through a flattened file; any other file is taken as it is.
  /// Where pieces overlap the later counts. Cost: 16 bytes read per piece.
  /// @returns malformed    a piece that says a negative place or size
  /// @returns unsupported  another type or version of the form
  /// @returns too_large    more than 2^22 pieces
  [[nodiscard]] static Result<Flattened> open(Bytes file);

  /// Bytes up to the end of the last piece.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// True if the file ends before the mark that ends the form.
  [[nodiscard]] bool cut_short() const noexcept { return cut_short_; }

  /// What no piece covers is zeros, as in a file with holes.
  /// @returns out_of_bounds  beyond size()
  [[nodiscard]] Result<void> read(std::uint64_t from, MutableBytes into) const;

 private:
  struct Piece {
    std::uint64_t size = 0;
    std::uint64_t file_offset = 0;
  };
  void put(std::uint64_t at, Piece piece);

  Bytes file_;
  std::map<std::uint64_t, Piece> pieces_;  // by place, without overlap
  std::uint64_t size_ = 0;
  bool cut_short_ = false;
};

inline constexpr std::string_view kFlattenedMagic{"makedumpfile\0", 13};

}  // namespace vitrine::format
