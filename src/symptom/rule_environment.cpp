#include "symptom/rule_environment.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "linux/kernel.h"
#include "probe/view_value.h"
#include "probe/words.h"
#include "vmipl/catalogue.h"

namespace vitrine::symptom {
namespace {

constexpr std::size_t npos = static_cast<std::size_t>(-1);

std::optional<std::size_t> put(std::string_view text, std::span<char> into) {
  const auto size = std::min(text.size(), into.size());
  std::memcpy(into.data(), text.data(), size);
  return size;
}

std::string symbol_text(const linux::Kernel& kernel, std::uint64_t address) {
  const Gva at{address};
  const auto& symbols = kernel.symbols();
  const auto end = symbols.find("_end");
  if (end && at < *end && symbols.nearest(at)) return linux::symbolize(symbols, at);
  return linux::symbolize(kernel.module_symbols(), at);
}

std::vector<std::byte> from_hexadecimal(std::string_view text) {
  std::vector<std::byte> bytes;
  const auto digit = [](char c) -> int {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i + 1 < text.size() && bytes.size() < Finding::kMaxBytes; i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return {};
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return bytes;
}

bool is_word_of(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const auto end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

}  // namespace

RuleEnvironment::RuleEnvironment(const vmipl::Program& program, std::string file, ViewCache& views,
                                 Report report, std::function<void()> turn)
    : program_(program),
      file_(std::move(file)),
      views_(views),
      report_(std::move(report)),
      turn_(std::move(turn)) {
  for (const auto& use : program.views) {
    const auto* info = find_info(use.view);
    std::vector<std::size_t> places;
    for (const auto& name : use.columns) {
      std::size_t place = npos;
      for (std::size_t i = 0; info != nullptr && i < info->columns.size(); ++i)
        if (info->columns[i].name == name) place = i;
      places.push_back(place);
    }
    columns_.push_back(std::move(places));
  }
}

void RuleEnvironment::begin(unsigned probe, std::int64_t now) {
  probe_ = probe;
  now_ = now;
  slots_ = {};
  opened_ = 0;
  complete_ = true;
}

bool RuleEnvironment::read(std::uint64_t va, MutableBytes into) noexcept {
  return views_.kernel().memory().read(Gva{va}, into).has_value();
}

bool RuleEnvironment::read_physical(std::uint64_t gpa, MutableBytes into) noexcept {
  return views_.kernel().ram().read(Gpa{gpa}, into).has_value();
}

std::optional<std::uint64_t> RuleEnvironment::moment(unsigned index) noexcept {
  const auto moments = vmipl::moments();
  if (index < moments.size() && moments[index].group.empty() && moments[index].name == "now")
    return static_cast<std::uint64_t>(now_);
  return std::nullopt;
}

std::optional<std::size_t> RuleEnvironment::symbol(std::uint64_t address,
                                                   std::span<char> into) noexcept {
  return put(symbol_text(views_.kernel(), address), into);
}

std::optional<std::uint64_t> RuleEnvironment::per_cpu(std::uint64_t variable,
                                                      std::uint64_t cpu) noexcept {
  if (cpu >= views_.kernel().cpu_count()) return std::nullopt;
  const auto at = views_.kernel().per_cpu(Gva{variable}, static_cast<unsigned>(cpu));
  if (!at) return std::nullopt;
  return at->value;
}

std::optional<bool> RuleEnvironment::listed(std::uint64_t pid) noexcept {
  return views_.listed(static_cast<std::int64_t>(pid));
}

void RuleEnvironment::view_open(unsigned slot, unsigned use) noexcept {
  if (slot >= slots_.size() || use >= program_.views.size()) return;
  const auto& rows = views_.read(program_.views[use].view);
  complete_ = complete_ && rows.complete;
  slots_[slot] = {&rows, 0, ++opened_};
  slot_use_[slot] = use;
}

bool RuleEnvironment::view_next(unsigned slot) noexcept {
  if (slot >= slots_.size() || slots_[slot].rows == nullptr) return false;
  auto& at = slots_[slot];
  if (at.next >= at.rows->rows.size()) {
    at = {};
    return false;
  }
  ++at.next;
  return true;
}

const linux::Value* RuleEnvironment::value(unsigned slot, unsigned index) const {
  if (slot >= slots_.size() || !slots_[slot].on_row()) return nullptr;
  const auto& places = columns_[slot_use_[slot]];
  if (index >= places.size() || places[index] == npos) return nullptr;
  const auto& row = slots_[slot].rows->rows[slots_[slot].next - 1];
  return places[index] < row.size() ? &row[places[index]] : nullptr;
}

std::optional<std::uint64_t> RuleEnvironment::column(unsigned slot, unsigned index) noexcept {
  return probe::number_of(value(slot, index));
}

std::optional<std::size_t> RuleEnvironment::column_text(unsigned slot, unsigned index,
                                                        std::span<char> into) noexcept {
  return probe::text_of(value(slot, index), into);
}

/// The rows that are open when a rule reports are what it reports of.
void RuleEnvironment::add_evidence(Finding& finding, std::string& key) const {
  std::vector<const Slot*> open;
  for (const auto& slot : slots_)
    if (slot.on_row()) open.push_back(&slot);
  std::ranges::sort(open, {}, [](const Slot* slot) { return slot->opened; });
  for (const Slot* slot : open) {
    const auto& info = *slot->rows->info;
    const auto& row = slot->rows->rows[slot->next - 1];
    for (std::size_t i = 0; i < info.columns.size() && i < row.size(); ++i) {
      const auto& column = info.columns[i];
      if (std::holds_alternative<linux::Missing>(row[i])) continue;
      auto text = evidence_text(row[i], column.type);
      if (is_word_of(info.key, column.name)) key += fmt::format("{}={}\n", column.name, text);
      if (text.size() > Finding::kMaxText) text.resize(Finding::kMaxText);
      if (const auto* number = std::get_if<std::int64_t>(&row[i]);
          number != nullptr && !finding.pid && (column.name == "pid" || column.name == "tgid"))
        finding.pid = *number;
      if (finding.process.empty() && (column.name == "name" || column.name == "process") &&
          info.name != "hidden_modules" && info.name != "kernel_code") {
        if (const auto* name = std::get_if<std::string>(&row[i]))
          finding.process = name->substr(0, 256);
      }
      if (column.type == linux::ColumnType::address &&
          finding.addresses.size() < Finding::kMaxItems) {
        if (const auto* address = std::get_if<std::uint64_t>(&row[i]))
          finding.addresses.push_back(*address);
      }
      const bool names = column.name == "symbol" || column.name == "function" ||
                         column.name == "symbols" || column.name == "table";
      if (names) {
        if (const auto* list = std::get_if<std::vector<std::string>>(&row[i])) {
          for (const auto& item : *list)
            if (finding.symbols.size() < Finding::kMaxItems)
              finding.symbols.push_back(item.substr(0, Finding::kMaxText));
        } else if (!text.empty() && finding.symbols.size() < Finding::kMaxItems) {
          finding.symbols.push_back(text);
        }
      }
      if (column.name == "bytes" && finding.bytes.empty()) finding.bytes = from_hexadecimal(text);
      if (finding.evidence.size() < Finding::kMaxItems)
        finding.evidence.emplace_back(column.name, std::move(text));
    }
  }
  if (!finding.pid) finding.process.clear();
}

bool RuleEnvironment::emit(unsigned site, std::span<const probe::ValueView> values) noexcept {
  turn_();
  if (site >= program_.sites.size()) return true;
  const auto& at = program_.sites[site];
  if (at.symptom.empty()) return true;  // not a Report: loading refused it
  Finding finding;
  finding.symptom = at.symptom;
  finding.severity =
      static_cast<Severity>(std::min<std::uint64_t>(at.numbers.empty() ? 2 : at.numbers[0], 4));
  for (const auto& symptom : program_.symptoms) {
    if (symptom.name != at.symptom) continue;
    finding.technique = symptom.technique;
    finding.summary = symptom.text;
  }
  finding.rule = fmt::format("{}:{}", file_, at.line);
  std::vector<probe::Value> owned(values.begin(), values.end());
  probe::TextRules rules;
  // The guest's bytes stay as they are: whoever prints escapes them.
  rules.escape = [](std::string_view bytes) { return std::string(bytes); };
  rules.symbol = [this](std::uint64_t address) { return symbol_text(views_.kernel(), address); };
  finding.message = probe::format_text(at.format, owned, at.types, probe::complete(rules));
  while (!finding.message.empty() && finding.message.back() == '\n') finding.message.pop_back();
  if (finding.message.size() > Finding::kMaxText) finding.message.resize(Finding::kMaxText);
  std::string key;
  add_evidence(finding, key);
  for (std::size_t i = 0; i < at.types.size() && i < owned.size(); ++i) {
    if (!owned[i].there) continue;
    if (at.types[i] == vmipl::ValueType::address && finding.addresses.size() < Finding::kMaxItems &&
        std::ranges::find(finding.addresses, owned[i].number) == finding.addresses.end())
      finding.addresses.push_back(owned[i].number);
    if (at.types[i] == vmipl::ValueType::bytes && finding.bytes.empty()) {
      const auto bytes =
          bytes_of(owned[i].text).first(std::min(owned[i].text.size(), Finding::kMaxBytes));
      finding.bytes.assign(bytes.begin(), bytes.end());
    }
  }
  if (key.empty()) key = finding.message;
  key.insert(0, finding.symptom + "\n");
  finding.identity = XXH3_64bits(key.data(), key.size());
  report_(std::move(finding));
  return true;
}

}  // namespace vitrine::symptom
