#include "linux/kernel_log.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr std::size_t kMaxRecords = 4U << 20;
constexpr int kAttempts = 4;
constexpr std::uint64_t kChunk = 64;  // records
constexpr std::uint64_t kMaxVmcoreinfo = 16 * kKiB;

// Source: kernel/printk/printk_ringbuffer.h.
constexpr std::uint64_t kIdMask = ~std::uint64_t{0} >> 2;
enum State : std::uint8_t { kReserved, kCommitted, kFinalized, kReusable };
constexpr std::uint64_t kEmptyLine = 3;  // NO_LPOS, since 6.9 EMPTY_LINE_LPOS: a line without text
constexpr std::uint8_t kLogCont = 8;
constexpr std::uint64_t kBlockIdSize = 8;

struct Ring {
  std::uint64_t count_bits, descs, infos, head, tail, size_bits, data;
  [[nodiscard]] std::uint64_t index(std::uint64_t id) const {
    return id & ((std::uint64_t{1} << count_bits) - 1);
  }
};

Result<Ring> read_ring(const VirtualMemory& memory, const LogLayout& layout, Gva at) {
  std::vector<std::byte> bytes(layout.ring_size);
  TRY(memory.read(at, bytes));
  const auto word = [&](std::uint32_t offset) {
    return load<std::uint64_t>(bytes, offset).value_or(0);
  };
  const auto half = [&](std::uint32_t offset) {
    return load<std::uint32_t>(bytes, offset).value_or(0);
  };
  const Ring ring{.count_bits = half(layout.count_bits),
                  .descs = word(layout.descs),
                  .infos = word(layout.infos),
                  .head = word(layout.head_id) & kIdMask,
                  .tail = word(layout.tail_id) & kIdMask,
                  .size_bits = half(layout.size_bits),
                  .data = word(layout.data)};
  if (ring.count_bits == 0 || ring.count_bits > 27 || ring.size_bits < 4 || ring.size_bits > 32) {
    return fail(Errc::malformed, at.value, "printk_ringbuffer");
  }
  return ring;
}

struct Descriptor {
  std::uint64_t state_var, begin, next;
  [[nodiscard]] std::uint64_t id() const { return state_var & kIdMask; }
  [[nodiscard]] State state() const { return static_cast<State>(state_var >> 62); }
};

/// Descriptors, infos and texts of some records that lie side by side, each read at once.
///
/// What was read of a record holds if its descriptor is the same before and after, as
/// desc_read() has it; that is as true of many as of one.
class Reader {
 public:
  Reader(const VirtualMemory& memory, const LogLayout& layout, Ring ring)
      : memory_(memory), layout_(layout), ring_(ring) {}

  /// Reads the descriptors and infos from that of `id` on; `count` must not cross the end of the
  /// ring.
  Result<void> load_records(std::uint64_t id, std::uint64_t count) {
    first_ = ring_.index(id);
    piece_.reset();
    infos_.resize(count * layout_.info_size);
    TRY(load_descriptors(count, descriptors_));
    return memory_.read(Gva{ring_.infos} + first_ * layout_.info_size, infos_);
  }
  /// Reads the descriptors again: to be called when the texts have been read.
  Result<void> check_records() {
    return load_descriptors(descriptors_.size() / layout_.desc_size, again_);
  }
  [[nodiscard]] bool changed(std::uint64_t id) const {
    return at(descriptors_, id).state_var != at(again_, id).state_var;
  }

  [[nodiscard]] Descriptor descriptor(std::uint64_t id) const { return at(descriptors_, id); }

  /// @returns not_found  the record's text is gone
  Result<LogRecord> record(std::uint64_t id) {
    const auto info =
        Bytes(infos_).subspan((ring_.index(id) - first_) * layout_.info_size, layout_.info_size);
    const auto field_text = [&](std::uint32_t offset, std::uint64_t size) {
      const auto bytes = slice(info, offset, size);
      if (!bytes) return std::string();
      const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
      return std::string(text.substr(0, text.find('\0')));
    };
    LogRecord record;
    record.sequence = load<std::uint64_t>(info, layout_.seq).value_or(0);
    record.time_ns = load<std::uint64_t>(info, layout_.ts_nsec).value_or(0);
    record.facility = load<std::uint8_t>(info, layout_.facility).value_or(0);
    const auto flags_level =
        load<std::uint8_t>(info, layout_.flags_level).value_or(0);  // flags: 5, level: 3
    record.level = static_cast<std::uint8_t>(flags_level >> 5);
    record.continued = (flags_level & kLogCont) != 0;
    record.caller = load<std::uint32_t>(info, layout_.caller_id).value_or(0);
    if (layout_.caller_id2) record.caller2 = load<std::uint32_t>(info, *layout_.caller_id2);
    if (layout_.comm) record.comm = field_text(*layout_.comm, layout_.comm_size);
    record.subsystem = field_text(layout_.subsystem, layout_.subsystem_size);
    record.device = field_text(layout_.device, layout_.device_size);
    if (ring_.index(record.sequence) != ring_.index(id))
      record.doubt = "sequence does not fit its place";
    TRY(text(id, load<std::uint16_t>(info, layout_.text_len).value_or(0), record));
    return record;
  }

 private:
  Result<void> load_descriptors(std::uint64_t count, std::vector<std::byte>& into) {
    into.resize(count * layout_.desc_size);
    return memory_.read(Gva{ring_.descs} + first_ * layout_.desc_size, into);
  }

  [[nodiscard]] Descriptor at(const std::vector<std::byte>& from, std::uint64_t id) const {
    const auto start = (ring_.index(id) - first_) * layout_.desc_size;
    const auto word = [&](std::uint32_t offset) {
      return load<std::uint64_t>(from, start + offset).value_or(0);
    };
    return {word(layout_.state_var), word(layout_.begin), word(layout_.next)};
  }

  Result<void> text(std::uint64_t id, std::uint16_t length, LogRecord& record) {
    const auto desc = descriptor(id);
    if ((desc.begin & 1) != 0 && (desc.next & 1) != 0) {  // no data block
      if (desc.begin == kEmptyLine && desc.next == kEmptyLine) return {};
      return fail(Errc::not_found, desc.begin, "the record's text");
    }
    const std::uint64_t size = std::uint64_t{1} << ring_.size_bits;
    const auto index = [&](std::uint64_t position) { return position & (size - 1); };
    const auto wraps = [&](std::uint64_t position) { return position >> ring_.size_bits; };
    // A block that would cross the end of the ring lies whole at its start. One that ends
    // exactly there counts as crossing until 6.18, but then its `next` says so, too.
    const bool wrapped = wraps(desc.begin) != wraps(desc.next - 1);
    const std::uint64_t block = wrapped ? 0 : index(desc.begin);
    const std::uint64_t bytes = wrapped ? index(desc.next) : desc.next - desc.begin;
    if (bytes < kBlockIdSize || bytes > size - block || desc.begin % kBlockIdSize != 0 ||
        (wrapped && wraps(desc.begin + size) != wraps(desc.next))) {
      record.doubt = "its text block is malformed";
      return {};
    }
    std::uint64_t owner = 0;
    TRY(read_data(block, writable_bytes_of(owner)));
    if ((owner & kIdMask) != id) {
      record.doubt = "its text block belongs to another record";
      return {};
    }
    record.text.resize(std::min<std::uint64_t>(length, bytes - kBlockIdSize));
    return read_data(block + kBlockIdSize,
                     std::as_writable_bytes(std::span(record.text.data(), record.text.size())));
  }

  /// Bytes of the text ring, by pages of it: the texts of neighbours are neighbours.
  Result<void> read_data(std::uint64_t from, MutableBytes into) {
    const std::uint64_t page_size = std::min(kPageSize, std::uint64_t{1} << ring_.size_bits);
    while (!into.empty()) {
      const auto page = from / page_size * page_size;
      if (piece_ != page) {
        piece_.reset();
        bytes_.resize(page_size);
        TRY(memory_.read(Gva{ring_.data} + page, bytes_));
        piece_ = page;
      }
      const auto some = std::min<std::uint64_t>(into.size(), page + page_size - from);
      std::memcpy(into.data(), bytes_.data() + (from - page), some);
      into = into.subspan(some);
      from += some;
    }
    return {};
  }

  const VirtualMemory& memory_;
  const LogLayout& layout_;
  Ring ring_;
  std::uint64_t first_ = 0;  // index of the first record loaded
  std::vector<std::byte> descriptors_, again_, infos_;
  std::optional<std::uint64_t> piece_;  // of the text ring, from its start
  std::vector<std::byte> bytes_;
};

/// One line of vmcoreinfo: "OFFSET(printk_info.seq)=0".
std::optional<std::uint64_t> vmcoreinfo_number(std::string_view text, std::string_view key) {
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = text.substr(at, end - at);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == '=') {
      std::uint64_t value = 0;
      const auto* first = line.data() + key.size() + 1;
      const auto* last = line.data() + line.size();
      if (std::from_chars(first, last, value).ec == std::errc{} && value < kMiB) return value;
      return std::nullopt;
    }
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace

bool LogLayout::plausible() const {
  return ring_size >= 64 && ring_size <= 4 * kKiB && desc_size >= 24 && desc_size <= 1 * kKiB &&
         info_size >= 32 && info_size <= 4 * kKiB;
}

Outcome<LogLayout> LogLayout::find(const TypeCatalogue& types) {
  Offsets of(types);
  LogLayout layout;
  layout.ring_size = of.need_size("printk_ringbuffer");
  layout.count_bits = of.need("printk_ringbuffer.desc_ring.count_bits");
  layout.descs = of.need("printk_ringbuffer.desc_ring.descs");
  layout.infos = of.need("printk_ringbuffer.desc_ring.infos");
  layout.head_id = of.need("printk_ringbuffer.desc_ring.head_id");
  layout.tail_id = of.need("printk_ringbuffer.desc_ring.tail_id");
  layout.size_bits = of.need("printk_ringbuffer.text_data_ring.size_bits");
  layout.data = of.need("printk_ringbuffer.text_data_ring.data");
  layout.desc_size = of.need_size("prb_desc");
  layout.state_var = of.need("prb_desc.state_var");
  layout.begin = of.need("prb_desc.text_blk_lpos.begin");
  layout.next = of.need("prb_desc.text_blk_lpos.next");
  layout.info_size = of.need_size("printk_info");
  layout.seq = of.need("printk_info.seq");
  layout.ts_nsec = of.need("printk_info.ts_nsec");
  layout.text_len = of.need("printk_info.text_len");
  layout.facility = of.need("printk_info.facility");
  layout.flags_level = of.need("printk_info.level");
  layout.caller_id = of.need("printk_info.caller_id");
  layout.subsystem = of.need("printk_info.dev_info.subsystem");
  layout.subsystem_size = of.size("printk_info.dev_info.subsystem");
  layout.device = of.need("printk_info.dev_info.device");
  layout.device_size = of.size("printk_info.dev_info.device");
  layout.caller_id2 = of.find("printk_info.caller_id2");
  layout.comm = of.find("printk_info.comm");
  layout.comm_size = of.size("printk_info.comm");
  if (of.missing()) return std::unexpected(*of.missing());
  if (!layout.plausible()) {
    return std::unexpected(
        Problem(Errc::implausible, "this kernel's struct printk_ringbuffer is not one"));
  }
  return layout;
}

Outcome<LogLayout> LogLayout::parse(std::string_view vmcoreinfo) {
  std::string missing;
  const auto number = [&](const char* key) -> std::uint32_t {
    const auto value = vmcoreinfo_number(vmcoreinfo, key);
    if (!value && missing.empty()) missing = key;
    return static_cast<std::uint32_t>(value.value_or(0));
  };
  LogLayout layout;
  const auto descs = number("OFFSET(printk_ringbuffer.desc_ring)");
  const auto text = number("OFFSET(printk_ringbuffer.text_data_ring)");
  const auto block = number("OFFSET(prb_desc.text_blk_lpos)");
  const auto device = number("OFFSET(printk_info.dev_info)");
  layout.ring_size = number("SIZE(printk_ringbuffer)");
  layout.count_bits = descs + number("OFFSET(prb_desc_ring.count_bits)");
  layout.descs = descs + number("OFFSET(prb_desc_ring.descs)");
  layout.infos = descs + number("OFFSET(prb_desc_ring.infos)");
  layout.head_id = descs + number("OFFSET(prb_desc_ring.head_id)");
  layout.tail_id = descs + number("OFFSET(prb_desc_ring.tail_id)");
  layout.size_bits = text + number("OFFSET(prb_data_ring.size_bits)");
  layout.data = text + number("OFFSET(prb_data_ring.data)");
  layout.desc_size = number("SIZE(prb_desc)");
  layout.state_var = number("OFFSET(prb_desc.state_var)");
  layout.begin = block + number("OFFSET(prb_data_blk_lpos.begin)");
  layout.next = block + number("OFFSET(prb_data_blk_lpos.next)");
  layout.info_size = number("SIZE(printk_info)");
  layout.seq = number("OFFSET(printk_info.seq)");
  layout.ts_nsec = number("OFFSET(printk_info.ts_nsec)");
  layout.text_len = number("OFFSET(printk_info.text_len)");
  // Not told, but fixed since 5.10: u16 text_len; u8 facility; u8 flags: 5, level: 3.
  layout.facility = layout.text_len + 2;
  layout.flags_level = layout.text_len + 3;
  layout.caller_id = number("OFFSET(printk_info.caller_id)");
  layout.subsystem = device + number("OFFSET(dev_printk_info.subsystem)");
  layout.subsystem_size = number("LENGTH(printk_info_subsystem)");
  layout.device = device + number("OFFSET(dev_printk_info.device)");
  layout.device_size = number("LENGTH(printk_info_device)");
  if (!missing.empty()) {
    return std::unexpected(
        Problem(Errc::not_found, "the kernel's vmcoreinfo does not tell " + missing));
  }
  if (!layout.plausible()) {
    return std::unexpected(
        Problem(Errc::implausible, "the ring buffer in the kernel's vmcoreinfo is not one"));
  }
  return layout;
}

Outcome<LogLayout> LogLayout::of(const Kernel& kernel) {
  if (kernel.has_types()) return find(kernel.types());
  const auto data = TRY(kernel.symbol("vmcoreinfo_data"));
  const Gva from{TRY(kernel.memory().load<std::uint64_t>(data))};
  const auto text = TRY(kernel.memory().load_string(from, kMaxVmcoreinfo));
  return parse(text);
}

namespace {

/// One reading of a log: what it has given so far, and what it has counted.
class LogWalk {
 public:
  LogWalk(Reader& reader, LogReading& reading, const std::function<bool(const LogRecord&)>& visit)
      : reader_(reader), reading_(reading), visit_(visit) {}

  /// Gives the records `id` to `id + count - 1`, which lie side by side.
  /// @returns false  no more are wanted
  bool run(std::uint64_t id, std::uint64_t count) {
    while (count > 0) {
      const auto sound = load(id, count);
      for (std::uint64_t n = 0; n < sound; ++n, ++id, --count) {
        if (!give(id, records_[n])) return false;
      }
      if (count == 0) break;
      // This one changed under us, or keeps its neighbours from being read.
      if (!one_by_one(id)) return false;
      ++id;
      --count;
    }
    return true;
  }

 private:
  /// Reads records into records_. @returns how many, from the first, have not changed meanwhile
  std::uint64_t load(std::uint64_t id, std::uint64_t count) {
    records_.clear();
    error_.reset();
    auto done = reader_.load_records(id, count);
    for (std::uint64_t n = 0; done && n < count; ++n) {
      const auto desc = reader_.descriptor(id + n);
      const bool finalized = desc.id() == ((id + n) & kIdMask) && desc.state() == kFinalized;
      records_.push_back(finalized ? reader_.record(id + n) : fail(Errc::invalid));
    }
    if (done) done = reader_.check_records();
    if (!done) {
      error_ = done.error();
      return 0;
    }
    std::uint64_t sound = 0;
    while (sound < count && !reader_.changed(id + sound)) ++sound;
    return sound;
  }

  bool one_by_one(std::uint64_t id) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      if (load(id, 1) == 1) return give(id, records_[0]);
      if (error_) {
        unreadable(*error_);
        return true;
      }
      ++reading_.retries;
    }
    ++reading_.lost;
    return true;
  }

  bool give(std::uint64_t id, const Result<LogRecord>& found) {
    const auto desc = reader_.descriptor(id);
    if (desc.id() != (id & kIdMask)) {
      ++reading_.lost;
    } else if (desc.state() == kReserved || desc.state() == kCommitted) {
      ++reading_.unfinished;
    } else if (desc.state() == kReusable) {
      // Old records before the first that is left are no loss: a ring forgets.
      if (before_) ++reading_.lost;
    } else if (!found && found.error().code == Errc::not_found) {
      ++reading_.lost;
    } else if (!found) {
      unreadable(found.error());
    } else {
      LogRecord record = *found;
      if (before_ && record.sequence <= *before_) record.doubt = "sequence goes back";
      before_ = record.sequence;
      return visit_(record);
    }
    return true;
  }

  void unreadable(const Error& error) {
    ++reading_.unreadable;
    if (!reading_.unreadable_why) reading_.unreadable_why = error;
  }

  Reader& reader_;
  LogReading& reading_;
  const std::function<bool(const LogRecord&)>& visit_;
  std::vector<Result<LogRecord>> records_;
  std::optional<Error> error_;  // why records_ could not be read
  std::optional<std::uint64_t> before_;
};

}  // namespace

Result<LogReading> read_log(const VirtualMemory& memory, const LogLayout& layout, Gva at,
                            const std::function<bool(const LogRecord&)>& visit) {
  const Ring ring = TRY(read_ring(memory, layout, at));
  Reader reader(memory, layout, ring);
  LogReading reading;
  const std::uint64_t size = std::uint64_t{1} << ring.count_bits;
  std::uint64_t count = ((ring.head - ring.tail) & kIdMask) + 1;
  // Head and tail are not of one moment; what the head has overrun is gone.
  if (count > size) count = size;
  if (count > kMaxRecords) {
    reading.truncated = true;
    count = kMaxRecords;
  }
  LogWalk walk(reader, reading, visit);
  std::uint64_t id = ring.head - (count - 1);
  while (count > 0) {
    const auto some = std::min({count, kChunk, size - ring.index(id)});
    if (!walk.run(id, some)) break;
    id += some;
    count -= some;
  }
  return reading;
}

std::string log_level_name(unsigned level) {
  static constexpr std::array<const char*, 8> kNames = {"emerg", "alert",  "crit", "err",
                                                        "warn",  "notice", "info", "debug"};
  return level < kNames.size() ? kNames[level] : fmt::format("{}", level);
}

std::string log_facility_name(unsigned facility) {
  static constexpr std::array<const char*, 12> kNames = {"kern", "user",   "mail",     "daemon",
                                                         "auth", "syslog", "lpr",      "news",
                                                         "uucp", "cron",   "authpriv", "ftp"};
  if (facility < kNames.size()) return kNames[facility];
  if (facility >= 16 && facility < 24) return fmt::format("local{}", facility - 16);
  return fmt::format("{}", facility);
}

}  // namespace vitrine::linux
