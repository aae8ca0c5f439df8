#include "probe/maps.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>

#include "probe/aggregation.h"
#include "probe/block_heap.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kLongestKey = 16 * 1024;  ///< bytes, as written below

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const auto product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// A multiply-and-fold hash with two secret factors, eight bytes a step.
std::uint64_t hash(const std::byte* data, std::size_t size, const std::uint64_t (&secret)[2]) {
  std::uint64_t h = secret[0] ^ size;
  for (; size >= 8; data += 8, size -= 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    h = mix(h ^ word, secret[1]);
  }
  if (size != 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, size);
    h = mix(h ^ word, secret[1]);
  }
  return mix(h, secret[0] | 1);
}

}  // namespace

// A table of 8-byte slots (half of the hash, number of the entry + 1), linear probing, at most half
// full; entries of one size; a heap of blocks by powers of two for keys and texts.
class LocalMaps::Table {
 public:
  Table(vmipl::MapInfo info, MapLimits limits)
      : info_(std::move(info)), limits_(limits), aggregation_(info_) {
    entry_words_ = kHeadWords + aggregation_.words();
    limits_.entries = std::bit_ceil(std::max<std::uint32_t>(limits_.entries, 1));
  }

  [[nodiscard]] bool open() {
    if (::getrandom(secret_, sizeof secret_, 0) != sizeof secret_) return false;
    for (auto& part : secret_) part |= 1;
    return slots_.open(std::size_t{limits_.entries} * 2 * 8) &&
           entries_.open(std::size_t{limits_.entries} * entry_words_ * 8) &&
           heap_.open(std::max<std::size_t>(limits_.text_bytes, kPage));
  }

  struct Key {
    const std::byte* data = nullptr;
    std::size_t size = 0;
    std::uint64_t hash = 0;
  };

  /// Writes the keys as bytes: numbers as eight, texts with their length before them.
  [[nodiscard]] bool encode(Keys keys, std::span<std::byte> into, Key& key) const noexcept {
    std::memset(into.data(), 0, kInlineKey);  // short keys are compared as whole words
    std::size_t at = 0;
    for (const auto& part : keys) {
      const std::uint64_t word = part.textual ? part.text.size() : part.number;
      const std::size_t more = part.textual ? part.text.size() : 0;
      if (into.size() - at < 8 || into.size() - at - 8 < more) return false;
      std::memcpy(into.data() + at, &word, 8);
      at += 8;
      if (more != 0) std::memcpy(into.data() + at, part.text.data(), more);
      at += more;
    }
    key = {into.data(), at, vitrine::probe::hash(into.data(), at, secret_)};
    return true;
  }

  /// Calls `act(words of the value)` under the lock; makes the entry if `make`.
  template <class Act>
  bool with(Keys keys, bool make, Act&& act) noexcept {
    std::byte room[kLongestKey];  // NOLINT: not zeroed on purpose
    Key key;
    if (!encode(keys, room, key)) {
      if (make) {
        const std::lock_guard lock(mutex_);
        ++lost_;
      }
      return false;
    }
    const std::lock_guard lock(mutex_);
    std::uint64_t* entry = find(key);
    if (entry == nullptr) {
      if (!make) return false;
      entry = insert(key);
      if (entry == nullptr) {
        ++lost_;
        return false;
      }
    }
    act(entry + kHeadWords);
    return true;
  }

  void remove(Keys keys) noexcept {
    std::byte room[kLongestKey];  // NOLINT
    Key key;
    if (!encode(keys, room, key)) return;
    const std::lock_guard lock(mutex_);
    const auto slot = find_slot(key);
    if (slot == kNone) return;
    const auto number = entry_number(slot);
    release(number);
    // The slots behind move up, so that no search ends at a hole.
    auto hole = slot;
    for (auto next = (hole + 1) & mask();; next = (next + 1) & mask()) {
      const auto word = slot_words()[next];
      if (word == 0) break;
      const auto home = (word >> 32) & mask();
      if (((next - home) & mask()) >= ((next - hole) & mask())) {
        slot_words()[hole] = word;
        hole = next;
      }
    }
    slot_words()[hole] = 0;
    --used_;
  }

  void clear() noexcept {
    const std::lock_guard lock(mutex_);
    if (slots_touched_) std::memset(slots_.data(), 0, slots_.size());
    slots_touched_ = false;
    used_ = 0;
    fresh_ = 0;
    free_entry_ = 0;
    heap_.clear();
  }

  [[nodiscard]] std::uint64_t length() noexcept {
    const std::lock_guard lock(mutex_);
    return used_;
  }
  [[nodiscard]] std::uint64_t lost() noexcept {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

  // ---- values, under the lock
  void set_text(std::uint64_t* value, std::string_view text) noexcept {
    if (text.size() > kTextLimit) {
      ++lost_;
      return;
    }
    const auto size = static_cast<std::uint32_t>(text.size());
    const auto before = static_cast<std::uint32_t>(value[0]);
    const auto room = static_cast<std::uint32_t>(value[0] >> 32);  // class + 1; 0: none
    auto block = before;
    if (room == 0 || (std::size_t{16} << (room - 1)) < size) {
      unsigned kind = 0;
      const auto more = heap_.take(std::max<std::uint32_t>(size, 1), kind);
      if (!more) {
        ++lost_;
        return;
      }
      if (room != 0) heap_.give(before, room - 1);
      block = *more;
      value[0] = (std::uint64_t{kind} + 1) << 32 | block;
    }
    if (size != 0) std::memcpy(heap_.at(block), text.data(), size);
    value[1] = size;
  }
  [[nodiscard]] std::string_view text(const std::uint64_t* value) const {
    if (value[0] >> 32 == 0) return {};
    return {reinterpret_cast<const char*>(heap_.at(static_cast<std::uint32_t>(value[0]))),
            static_cast<std::size_t>(value[1])};
  }
  [[nodiscard]] std::vector<MapRow> snapshot() {
    // Copied under the lock, taken apart after it: a guest that waits for the lock waits for a
    // copy.
    std::vector<std::uint64_t> slots, entries;
    std::vector<std::byte> heap;
    {
      const std::lock_guard lock(mutex_);
      if (used_ == 0) return {};
      slots.assign(slot_words(), slot_words() + std::size_t{limits_.entries} * 2);
      entries.assign(entry(0), entry(0) + std::size_t{fresh_} * entry_words_);
      heap.assign(heap_.begin(), heap_.end());
    }
    std::vector<MapRow> rows;
    for (const auto word : slots) {
      if (word == 0) continue;
      const auto* from =
          entries.data() + std::size_t{static_cast<std::uint32_t>(word) - 1} * entry_words_;
      MapRow row;
      const auto* key =
          from[1] <= kInlineKey
              ? reinterpret_cast<const std::byte*>(from + 2)
              : heap.data() + std::size_t{static_cast<std::uint32_t>(from[0])} * BlockHeap::kUnit;
      for (const auto type : info_.keys) {
        std::uint64_t first = 0;
        std::memcpy(&first, key, 8);
        key += 8;
        if (!vmipl::is_textual(type)) {
          row.keys.emplace_back(ValueView::of(first));
          continue;
        }
        row.keys.emplace_back(ValueView::of(
            std::string_view(reinterpret_cast<const char*>(key), static_cast<std::size_t>(first))));
        key += first;
      }
      const auto* value = from + kHeadWords;
      if (aggregation_.none()) {
        if (vmipl::is_textual(info_.value)) {
          row.value = ValueView::of(std::string_view());
          if (value[0] >> 32 != 0)
            row.value.text.assign(
                reinterpret_cast<const char*>(heap.data()) +
                    std::size_t{static_cast<std::uint32_t>(value[0])} * BlockHeap::kUnit,
                static_cast<std::size_t>(value[1]));
        } else {
          row.value = ValueView::of(value[0]);
        }
      } else {
        row.count = value[0];
        row.sum = value[1];
        row.least = value[2];
        row.greatest = value[3];
        row.buckets.assign(value + Aggregation::kStatWords,
                           value + Aggregation::kStatWords + aggregation_.buckets());
      }
      rows.push_back(std::move(row));
    }
    return rows;
  }

  /// The rows come out of another process.
  [[nodiscard]] bool fits(const MapRow& row) const {
    return std::ranges::equal(row.keys, info_.keys, [](const Value& key, vmipl::ValueType type) {
      return key.there && key.textual == vmipl::is_textual(type);
    });
  }
  void restore(const std::vector<MapRow>& rows, std::uint64_t lost) {
    clear();
    for (const auto& row : rows) {
      if (!fits(row)) {
        ++lost;
        continue;
      }
      std::vector<ValueView> keys;
      for (const auto& key : row.keys) keys.push_back(key.view());
      with(keys, true, [&](std::uint64_t* value) {
        if (aggregation_.none()) {
          if (vmipl::is_textual(info_.value))
            set_text(value, row.value.text);
          else
            value[0] = row.value.number;
          return;
        }
        value[0] = row.count;
        value[1] = row.sum;
        value[2] = row.least;
        value[3] = row.greatest;
        std::copy_n(row.buckets.begin(), std::min(row.buckets.size(), aggregation_.buckets()),
                    value + Aggregation::kStatWords);
      });
    }
    const std::lock_guard lock(mutex_);
    lost_ += lost;
  }

  [[nodiscard]] const Aggregation& aggregation() const { return aggregation_; }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;
  static constexpr std::size_t kInlineKey = 16;  ///< bytes of a key that fit into its entry
  /// Block of the key | its class << 32; size of the key; the key itself, if it is short.
  static constexpr std::size_t kHeadWords = 4;
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kTextLimit = 64 * 1024;

  [[nodiscard]] std::uint64_t* slot_words() const {
    return reinterpret_cast<std::uint64_t*>(slots_.data());
  }
  [[nodiscard]] std::size_t mask() const { return std::size_t{limits_.entries} * 2 - 1; }
  [[nodiscard]] std::uint64_t* entry(std::size_t number) const {
    return reinterpret_cast<std::uint64_t*>(entries_.data()) + number * entry_words_;
  }
  [[nodiscard]] std::size_t entry_number(std::size_t slot) const {
    return static_cast<std::uint32_t>(slot_words()[slot]) - 1;
  }

  [[nodiscard]] std::size_t find_slot(const Key& key) const noexcept {
    const auto half = key.hash >> 32;
    for (auto slot = static_cast<std::size_t>(half) & mask();; slot = (slot + 1) & mask()) {
      const auto word = slot_words()[slot];
      if (word == 0) return kNone;
      if (word >> 32 != half) continue;
      const auto* at = entry(static_cast<std::uint32_t>(word) - 1);
      if (at[1] != key.size) continue;
      if (key.size <= kInlineKey) {
        std::uint64_t words[2];
        std::memcpy(words, key.data, sizeof words);
        if (words[0] == at[2] && words[1] == at[3]) return slot;
      } else if (std::memcmp(heap_.at(static_cast<std::uint32_t>(at[0])), key.data, key.size) ==
                 0) {
        return slot;
      }
    }
  }
  [[nodiscard]] std::uint64_t* find(const Key& key) const noexcept {
    const auto slot = find_slot(key);
    return slot == kNone ? nullptr : entry(entry_number(slot));
  }
  [[nodiscard]] std::uint64_t* insert(const Key& key) noexcept {
    if (used_ == limits_.entries) return nullptr;
    unsigned kind = 0;
    std::optional<std::uint32_t> block = 0;
    if (key.size > kInlineKey) {
      block = heap_.take(static_cast<std::uint32_t>(key.size), kind);
      if (!block) return nullptr;
      std::memcpy(heap_.at(*block), key.data, key.size);
    }
    std::size_t number = 0;
    if (free_entry_ != 0) {
      number = free_entry_ - 1;
      free_entry_ = entry(number)[0];
    } else {
      number = fresh_++;
    }
    auto* at = entry(number);
    std::memset(at, 0, entry_words_ * 8);
    at[0] = std::uint64_t{kind} << 32 | *block;
    at[1] = key.size;
    if (key.size <= kInlineKey) std::memcpy(at + 2, key.data, kInlineKey);
    const auto half = key.hash >> 32;
    auto slot = static_cast<std::size_t>(half) & mask();
    while (slot_words()[slot] != 0) slot = (slot + 1) & mask();
    slot_words()[slot] = half << 32 | (number + 1);
    slots_touched_ = true;
    ++used_;
    return at;
  }
  void release(std::size_t number) noexcept {
    auto* at = entry(number);
    if (at[1] > kInlineKey)
      heap_.give(static_cast<std::uint32_t>(at[0]), static_cast<unsigned>(at[0] >> 32));
    if (aggregation_.none() && vmipl::is_textual(info_.value) && at[kHeadWords] >> 32 != 0) {
      heap_.give(static_cast<std::uint32_t>(at[kHeadWords]),
                 static_cast<unsigned>(at[kHeadWords] >> 32) - 1);
    }
    at[0] = free_entry_;
    free_entry_ = number + 1;
  }

  vmipl::MapInfo info_;
  MapLimits limits_;
  Aggregation aggregation_;
  std::size_t entry_words_ = 0;
  std::uint64_t secret_[2] = {};
  std::mutex mutex_;
  Reserve slots_, entries_;
  BlockHeap heap_;
  std::size_t used_ = 0, fresh_ = 0;
  std::uint64_t free_entry_ = 0;  ///< number + 1
  bool slots_touched_ = false;
  std::uint64_t lost_ = 0;
};

LocalMaps::~LocalMaps() = default;

Outcome<std::unique_ptr<LocalMaps>> LocalMaps::create(const std::vector<vmipl::MapInfo>& maps,
                                                      MapLimits limits) {
  std::unique_ptr<LocalMaps> made(new LocalMaps);
  for (const auto& map : maps) {
    auto table = std::make_unique<Table>(map, limits);
    if (!table->open())
      return std::unexpected(Problem(Errc::io, "there is no address space for the map @" + map.name,
                                     "fewer maps, or a larger limit (ulimit -v)"));
    made->tables_.push_back(std::move(table));
  }
  return made;
}

std::optional<std::uint64_t> LocalMaps::get(unsigned map, Keys keys) noexcept {
  std::optional<std::uint64_t> out;
  auto& table = *tables_[map];
  table.with(keys, false,
             [&](const std::uint64_t* value) { out = table.aggregation().number(value); });
  return out;
}

std::optional<std::size_t> LocalMaps::get_text(unsigned map, Keys keys,
                                               std::span<char> into) noexcept {
  std::optional<std::size_t> out;
  auto& table = *tables_[map];
  table.with(keys, false, [&](const std::uint64_t* value) {
    const auto text = table.text(value);
    out = std::min(text.size(), into.size());
    std::copy_n(text.begin(), *out, into.begin());
  });
  return out;
}

void LocalMaps::set(unsigned map, Keys keys, std::uint64_t value) noexcept {
  tables_[map]->with(keys, true, [&](std::uint64_t* into) { into[0] = value; });
}
void LocalMaps::set_text(unsigned map, Keys keys, std::string_view value) noexcept {
  auto& table = *tables_[map];
  table.with(keys, true, [&](std::uint64_t* into) { table.set_text(into, value); });
}
void LocalMaps::add(unsigned map, Keys keys, std::uint64_t value) noexcept {
  tables_[map]->with(keys, true, [&](std::uint64_t* into) { into[0] += value; });
}
void LocalMaps::update(unsigned map, Keys keys, std::uint64_t value) noexcept {
  auto& table = *tables_[map];
  table.with(keys, true, [&](std::uint64_t* into) { table.aggregation().update(into, value); });
}
void LocalMaps::count_many(unsigned map, Keys keys, std::uint64_t value,
                           std::uint64_t times) noexcept {
  auto& table = *tables_[map];
  if (times == 0) return;
  table.with(keys, true, [&](std::uint64_t* into) {
    table.aggregation().update(into, value);
    into[0] += times - 1;  // how many, and their sum
    into[1] += value * (times - 1);
  });
}
void LocalMaps::remove(unsigned map, Keys keys) noexcept { tables_[map]->remove(keys); }
void LocalMaps::clear(unsigned map) noexcept { tables_[map]->clear(); }
std::uint64_t LocalMaps::length(unsigned map) noexcept { return tables_[map]->length(); }
std::vector<MapRow> LocalMaps::snapshot(unsigned map) { return tables_[map]->snapshot(); }
void LocalMaps::restore(unsigned map, const SavedMap& saved) {
  tables_[map]->restore(saved.rows, saved.lost);
}
std::uint64_t LocalMaps::lost(unsigned map) { return tables_[map]->lost(); }

}  // namespace vitrine::probe
