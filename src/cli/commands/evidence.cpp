// vitrine evidence: what was found and done, listed, shown, and checked for tampering.
#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/commands/families.h"
#include "cli/evidence_stores.h"
#include "cli/fixed_view.h"
#include "evidence/reader.h"
#include "evidence/verify.h"
#include "symptom/finding.h"

namespace vitrine::cli {
namespace {

using evidence::StoredEntry;
using linux::Column;
using linux::ColumnType;
using Json = nlohmann::ordered_json;

enum : std::size_t { kGuest, kEntry, kTime, kKind, kSubject, kSeverity, kWords, kKey, kHash };

constexpr Column kColumns[] = {
    {"guest", ColumnType::text, "whose evidence"},
    {"entry", ColumnType::integer, "its number in the guest's chain"},
    {"time", ColumnType::time, "when it was written, by the host's wall clock"},
    {"kind", ColumnType::text, "finding, gone, action, watcher, loss"},
    {"subject", ColumnType::text, "the symptom, the action, the watcher"},
    {"severity", ColumnType::text, "info, low, medium, high, critical; of findings"},
    {"words", ColumnType::text, "what is said of it"},
    {"key", ColumnType::text, "findings with the same key are the same finding", Column::hidden},
    {"hash", ColumnType::text, "of this entry and so of all before it", Column::hidden},
};
constexpr linux::ViewInfo kInfo = {"evidence", "what was found and done", kColumns,
                                   "by guest and entry", "guest entry"};

std::string words_of(const evidence::Entry& entry) {
  const auto body = Json::parse(entry.body, nullptr, false);
  if (!body.is_object()) return {};
  const auto found = body.find("words");
  return found != body.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::filesystem::path state_of(const Arguments& words) {
  const auto said = words.value("--state");
  return said ? std::filesystem::path(*said) : default_state_folder();
}

/// The store named by the second word, or all.
Outcome<std::vector<std::filesystem::path>> stores_of(const Arguments& words) {
  if (words.operands.size() < 2) return evidence_stores(state_of(words));
  auto store = TRY(evidence_store(state_of(words), words.operands[1]));
  return std::vector{std::move(store)};
}

Outcome<Status> list(Context& context, const Arguments& words) {
  const auto stores = TRY(stores_of(words));
  return run_fixed_view(kInfo, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto& path : stores) {
      const auto reader = TRY(evidence::Reader::open(path));
      bool more = true;
      TRY(reader.read(1, [&](const StoredEntry& stored) {
        const auto& entry = stored.entry;
        rows.begin();
        rows.set(kGuest, reader.guest());
        rows.set(kEntry, static_cast<std::int64_t>(stored.link.sequence));
        rows.set(kTime, entry.moment.wall_ns);
        rows.set(kKind, std::string(name(entry.kind)));
        rows.set(kSubject, entry.subject);
        if (entry.kind == evidence::Kind::finding)
          rows.set(kSeverity,
                   std::string(symptom::name(static_cast<symptom::Severity>(entry.severity))));
        rows.set(kWords, words_of(entry));
        rows.set(kKey, entry.key);
        rows.set(kHash, evidence::hexadecimal(stored.link.hash));
        more = rows.end();
        return more;
      }));
      if (!more) break;
    }
    return {};
  });
}

Json json_of(const StoredEntry& stored) {
  const auto& entry = stored.entry;
  auto body = Json::parse(entry.body, nullptr, false);
  return {{"entry", stored.link.sequence},
          {"kind", name(entry.kind)},
          {"guest", entry.guest},
          {"subject", entry.subject},
          {"severity", symptom::name(static_cast<symptom::Severity>(entry.severity))},
          {"time", evidence::words(entry.moment)},
          {"wall_ns", entry.moment.wall_ns},
          {"monotonic_ns", entry.moment.monotonic_ns},
          {"boot", evidence::hexadecimal(entry.moment.boot)},
          {"key", entry.key},
          {"body", body.is_discarded() ? Json(evidence::hexadecimal(entry.body)) : std::move(body)},
          {"previous", evidence::hexadecimal(stored.link.previous)},
          {"hash", evidence::hexadecimal(stored.link.hash)},
          {"signature", evidence::hexadecimal(stored.link.signature)}};
}

std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', true, Json::error_handler_t::replace) + "\n";
}

Outcome<Status> show(Context& context, const Arguments& words) {
  if (words.operands.size() < 3) {
    return std::unexpected(
        Problem(Errc::invalid, "which entry of which store?", "vitrine evidence show web1 7"));
  }
  const auto& number = words.operands[2];
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), sequence);
  if (error != std::errc() || end != number.data() + number.size()) {
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("\"{}\" is no entry's number", number)));
  }
  const auto store = TRY(evidence_store(state_of(words), words.operands[1]));
  const auto reader = TRY(evidence::Reader::open(store));
  // ASCII alone: a guest's names cannot drive the terminal.
  const auto entry = TRY(reader.entry(sequence));
  context.console.out.write(dump(json_of(entry), words.has("--json") ? -1 : 2));
  return Status::done;
}

Outcome<std::string> file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return std::unexpected(Problem(Errc::not_found, fmt::format("{} cannot be read", path)));
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

/// The key by the words, or the one that the supervisor published beside the stores.
Outcome<std::optional<evidence::PublicKey>> key_for(const Arguments& words,
                                                    const std::filesystem::path& store) {
  auto path = words.value("--public-key");
  if (!path) {
    const auto published = store.parent_path().parent_path().parent_path() / "keys" /
                           (store.parent_path().filename().string() + ".pub");
    std::error_code error;
    if (!std::filesystem::exists(published, error)) return std::nullopt;
    path = published.string();
  }
  const auto text = TRY(file_text(*path));
  const auto key = evidence::parse_public_key(text);
  if (!key)
    return std::unexpected(Problem(
        Errc::invalid, fmt::format("{} holds no public key (64 hexadecimal digits)", *path)));
  return key;
}

Outcome<std::optional<evidence::Anchor>> anchor_of(const Arguments& words) {
  const auto text = words.value("--anchor");
  if (!text) return std::nullopt;
  const auto colon = text->find(':');
  std::uint64_t sequence = 0;
  const auto number = std::string_view(*text).substr(0, colon);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), sequence);
  const auto hash = colon == std::string::npos
                        ? std::nullopt
                        : evidence::parse_hash(std::string_view(*text).substr(colon + 1));
  if (error != std::errc() || end != number.data() + number.size() || !hash) {
    return std::unexpected(
        Problem(Errc::invalid, "an anchor is NUMBER:HASH, as verify and vitrined's log print it"));
  }
  return evidence::Anchor{sequence, *hash};
}

void print_report(Context& context, const std::string& path, const evidence::Report& report,
                  bool json) {
  const auto head =
      fmt::format("{}:{}", report.head.sequence, evidence::hexadecimal(report.head.hash));
  if (json) {
    Json line = {{"store", path},
                 {"guest", report.guest},
                 {"sound", report.sound()},
                 {"entries", report.entries},
                 {"head", head},
                 {"public_key", evidence::hexadecimal(report.key)},
                 {"key_from_outside", report.key_from_outside},
                 {"faults", Json::array()},
                 {"remarks", report.remarks}};
    for (const auto& fault : report.faults)
      line["faults"].push_back({{"entry", fault.sequence}, {"words", fault.words}});
    context.console.out.write(dump(line));
    return;
  }
  const auto safe = [&](std::string_view text) { return escape(text, context.console.charset); };
  context.console.out.write(
      fmt::format("{}: {} of {}: {}\n", safe(path),
                  report.entries == 1 ? "1 entry" : fmt::format("{} entries", report.entries),
                  safe(report.guest), report.sound() ? "sound" : "NOT SOUND"));
  for (const auto& fault : report.faults)
    context.console.out.write(fmt::format("  {}\n", safe(fault.words)));
  for (const auto& remark : report.remarks)
    context.console.out.write(fmt::format("  note: {}\n", safe(remark)));
  context.console.out.write(fmt::format("  anchor: {}\n", head));
  if (!report.key_from_outside) {
    context.console.out.write(
        "  note: checked with the key that the store itself names; whoever wrote it anew passes. "
        "Give --public-key\n");
  }
}

Outcome<Status> verify(Context& context, const Arguments& words) {
  bool sound = true;
  const auto anchor = TRY(anchor_of(words));
  const auto stores = TRY(stores_of(words));
  if (anchor && stores.size() != 1) {
    return std::unexpected(Problem(Errc::invalid, "an anchor belongs to one store: name it"));
  }
  for (const auto& path : stores) {
    const auto key = TRY(key_for(words, path));
    const auto report = TRY(evidence::verify(path, key, anchor));
    print_report(context, path, report, words.has("--json"));
    sound = sound && report.sound();
  }
  return sound ? Status::done : Status::failed;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto& action = words.operands.front();
  if (action == "list") return list(context, words);
  if (action == "show") return show(context, words);
  if (action == "verify") return verify(context, words);
  return std::unexpected(Problem(Errc::invalid,
                                 fmt::format("evidence has no action \"{}\"", action),
                                 "there are list, show and verify"));
}

std::vector<Option> options() {
  auto all = fixed_view_options();
  all.push_back({"--state", "DIR",
                 "vitrined's state folder (else $VITRINE_STATE, else /var/lib/vitrine)",
                 Words::path});
  all.push_back({"--public-key", "FILE", "verify: the key, from outside the store's own folder",
                 Words::path});
  all.push_back({"--anchor", "NUMBER:HASH",
                 "verify: a head that was logged elsewhere; a tail cut off since is told",
                 Words::text});
  return all;
}

}  // namespace

Command evidence_command() {
  return {.name = "evidence",
          .group = "Guard",
          .summary = "what was found and done: list, show, verify",
          .operands = {{.name = "ACTION", .choices = {"list", "show", "verify"}},
                       {"STORE", Words::path, true},
                       {"ENTRY", Words::number, true}},
          .options = options(),
          .description =
              "Each guarded guest has a store of its own: findings, actions and what became of its "
              "watchers, "
              "append-only, each entry chained to the one before it and signed. STORE is its path, "
              "or the guest's "
              "name; without it, all of them. verify says what is wrong and at which entry, and "
              "ends with status 1; "
              "the anchor that it prints is worth keeping elsewhere, because only an anchor shows "
              "that the end of a "
              "store was cut off.",
          .examples = {"vitrine evidence list", "vitrine evidence show web1 7",
                       "vitrine evidence verify web1",
                       "vitrine evidence verify copy.db --public-key web1.pub --anchor 41:9f..."},
          .run = run};
}

}  // namespace vitrine::cli
