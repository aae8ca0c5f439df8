#include "evidence/verify.h"

#include <fmt/format.h>

#include <map>

#include "evidence/reader.h"
#include "evidence/schema.h"

namespace vitrine::evidence {
namespace {

constexpr std::int64_t kClockJumpNs = 2'000'000'000;

class Verifier {
 public:
  Verifier(Report& report, const std::optional<Anchor>& anchor)
      : report_(report), anchor_(anchor) {}

  void fault(std::uint64_t sequence, std::string words) {
    ++faults_;
    if (report_.faults.size() < kMostFaults) report_.faults.push_back({sequence, std::move(words)});
  }

  void entry(const StoredEntry& stored) {
    const auto& link = stored.link;
    const auto n = link.sequence;
    ++report_.entries;
    if (n != expected_) {
      fault(n, n == expected_ + 1 ? fmt::format("entry {} is missing", expected_)
                                  : fmt::format("entries {} to {} are missing", expected_, n - 1));
    } else if (link.previous != report_.head.hash) {
      fault(n,
            fmt::format("entry {}: it does not follow entry {}: the chain is broken between them",
                        n, n - 1));
    }
    const auto kind = static_cast<std::uint8_t>(stored.entry.kind);
    if (kind == 0 || kind > kKinds) fault(n, fmt::format("entry {}: there is no kind {}", n, kind));
    const bool hashed = hash_of(stored.entry, n, link.previous) == link.hash;
    const bool signed_ = verifies(report_.key, link.hash, link.signature);
    if (!hashed && signed_) {
      fault(n, fmt::format("entry {}: its content is not what was hashed and signed", n));
    } else if (!hashed) {
      fault(n, fmt::format("entry {}: neither its hash nor its signature fits its content", n));
    } else if (!signed_) {
      fault(n, fmt::format("entry {}: hashed anew, but not signed by this key", n));
    }
    clocks(stored.entry.moment, n);
    if (anchor_ && n == anchor_->sequence && link.hash != anchor_->hash) {
      fault(n,
            fmt::format("entry {}: it is not the entry that the anchor names: rewritten since", n));
    }
    expected_ = n + 1;
    report_.head = {n, link.hash};
  }

  void finish() {
    if (anchor_ && anchor_->sequence > report_.head.sequence) {
      fault(0, fmt::format(
                   "the store ends at entry {}, the anchor names entry {}: its tail was cut off",
                   report_.head.sequence, anchor_->sequence));
    }
    if (faults_ > report_.faults.size()) {
      report_.faults.push_back({0, fmt::format("and {} more", faults_ - report_.faults.size())});
    }
  }

 private:
  void clocks(const Moment& moment, std::uint64_t n) {
    if (before_ && before_->boot == moment.boot) {
      const auto passed = moment.monotonic_ns - before_->monotonic_ns;
      const auto shown = moment.wall_ns - before_->wall_ns;
      if (passed < 0) {
        fault(n, fmt::format("entry {}: it claims to be older than the one before it", n));
      } else if (shown - passed > kClockJumpNs || passed - shown > kClockJumpNs) {
        report_.remarks.push_back(fmt::format(
            "before entry {} the wall clock jumped by {:+.1f} s against the monotonic clock", n,
            static_cast<double>(shown - passed) / 1e9));
      }
    }
    before_ = moment;
  }

  Report& report_;
  const std::optional<Anchor>& anchor_;
  std::uint64_t expected_ = 1;
  std::size_t faults_ = 0;
  std::optional<Moment> before_;
};

Outcome<void> check_file(const Database& database, Verifier& verifier) {
  auto check = database.prepare("PRAGMA integrity_check(20)");
  if (!check) return std::unexpected(check.error());
  while (true) {
    const auto more = check->step();
    if (!more) {
      verifier.fault(0, more.error().message);
      break;
    }
    if (!*more) break;
    if (check->bytes(0) != "ok")
      verifier.fault(0, fmt::format("the file is damaged: {}", check->bytes(0)));
  }
  std::map<std::string, std::string, std::less<>> found;
  auto schema = TRY(database.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"));
  while (TRY(schema.step())) found.emplace(schema.bytes(0), schema.bytes(1));
  for (const auto& object : kSchema) {
    const auto at = found.find(object.name);
    if (at == found.end()) {
      verifier.fault(
          0, fmt::format("the rule or table '{}' has been removed from the store", object.name));
    } else if (at->second != object.sql) {
      verifier.fault(0, fmt::format("the rule or table '{}' has been changed", object.name));
    }
    if (at != found.end()) found.erase(at);
  }
  for (const auto& [name, sql] : found)
    verifier.fault(0, fmt::format("'{}' does not belong into a store", name));
  return {};
}

}  // namespace

Outcome<Report> verify(const std::string& path, const std::optional<PublicKey>& key,
                       const std::optional<Anchor>& anchor) {
  const auto reader = TRY(Reader::open(path));
  Report report{.guest = reader.guest(),
                .key = key.value_or(reader.named_key()),
                .key_from_outside = key.has_value()};
  Verifier verifier(report, anchor);
  if (key && *key != reader.named_key())
    verifier.fault(0, "the store names another key than the one it is verified with");
  TRY(check_file(reader.database(), verifier));
  const auto done = reader.read(0, [&](const StoredEntry& stored) {
    verifier.entry(stored);
    return true;
  });
  if (!done)
    verifier.fault(0, fmt::format("reading ended after entry {}: {}", report.head.sequence,
                                  done.error().message));
  verifier.finish();
  return report;
}

}  // namespace vitrine::evidence
