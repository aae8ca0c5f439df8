#include "symptom/finding.h"

#include <fmt/format.h>

#include <algorithm>

#include "symptom/json_text.h"
#include "vmipl/catalogue.h"

namespace vitrine::symptom {
namespace {

constexpr std::uint32_t kMagic = 0x31465456;  // "VTF1"

/// Writes or reads the same members in the same order.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  void operator()(const T& value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out_.insert(out_.end(), bytes, bytes + sizeof value);
  }
  void operator()(const std::string& text) { raw(bytes_of(text)); }
  void operator()(const std::vector<std::byte>& bytes) { raw(bytes); }
  void count(std::size_t number) { (*this)(static_cast<std::uint16_t>(number)); }

 private:
  void raw(Bytes bytes) {
    count(bytes.size());
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte>& out_;
};

class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  [[nodiscard]] Result<T> number() {
    const auto value = load<T>(bytes_, at_);
    if (!value) return fail(Errc::malformed, at_, "a finding that is cut short");
    at_ += sizeof(T);
    return *value;
  }
  [[nodiscard]] Result<Bytes> raw(std::size_t most) {
    const auto size = TRY(number<std::uint16_t>());
    if (size > most) return fail(Errc::too_large, at_, "a finding's part");
    const auto part = slice(bytes_, at_, size);
    if (!part) return fail(Errc::malformed, at_, "a finding that is cut short");
    at_ += size;
    return *part;
  }
  [[nodiscard]] Result<std::string> text() {
    const auto part = TRY(raw(Finding::kMaxText));
    return std::string(reinterpret_cast<const char*>(part.data()), part.size());
  }
  [[nodiscard]] Result<std::size_t> count(std::size_t most) {
    const auto number_of = TRY(number<std::uint16_t>());
    if (number_of > most) return fail(Errc::too_large, at_, "a finding's parts");
    return std::size_t{number_of};
  }
  [[nodiscard]] bool done() const { return at_ == bytes_.size(); }

 private:
  Bytes bytes_;
  std::uint64_t at_ = 0;
};

std::string cut(const std::string& text) { return text.substr(0, Finding::kMaxText); }

}  // namespace

std::string_view name(Severity severity) noexcept {
  const auto names = vmipl::severities();
  const auto index = static_cast<std::size_t>(severity);
  return index < names.size() ? names[index] : names.back();
}

std::string to_json(const Finding& finding) {
  std::string out = "{";
  std::vector<std::string_view> escaped;
  const auto key = [&](std::string_view name) {
    if (out.size() > 1) out += ',';
    out += fmt::format("\"{}\":", name);
  };
  const auto text = [&](std::string_view name, std::string_view value) {
    key(name);
    if (!append_json_text(out, value)) escaped.push_back(name);
  };
  text("symptom", finding.symptom);
  text("severity", name(finding.severity));
  text("technique", finding.technique);
  text("summary", finding.summary);
  text("message", finding.message);
  text("rule", finding.rule);
  key("pid");
  out += finding.pid ? fmt::format("{}", *finding.pid) : "null";
  text("process", finding.process);
  key("addresses");
  out += '[';
  for (std::size_t i = 0; i < finding.addresses.size(); ++i)
    out += fmt::format("{}\"{:#x}\"", i == 0 ? "" : ",", finding.addresses[i]);
  out += ']';
  key("symbols");
  out += '[';
  bool sound = true;
  for (std::size_t i = 0; i < finding.symbols.size(); ++i) {
    if (i > 0) out += ',';
    sound = append_json_text(out, finding.symbols[i]) && sound;
  }
  if (!sound) escaped.emplace_back("symbols");
  out += ']';
  key("bytes");
  out += '"';
  for (const auto byte : finding.bytes)
    out += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  out += '"';
  key("evidence");
  out += '{';
  sound = true;
  for (std::size_t i = 0; i < finding.evidence.size(); ++i) {
    if (i > 0) out += ',';
    sound = append_json_text(out, finding.evidence[i].first) && sound;
    out += ':';
    sound = append_json_text(out, finding.evidence[i].second) && sound;
  }
  if (!sound) escaped.emplace_back("evidence");
  out += '}';
  text("first_seen", json_time(finding.first_seen));
  text("last_seen", json_time(finding.last_seen));
  key("times");
  out += fmt::format("{}", finding.times);
  text("identity", fmt::format("{:016x}", finding.identity));
  if (!escaped.empty()) {
    key("escaped");
    out += '[';
    for (std::size_t i = 0; i < escaped.size(); ++i)
      out += fmt::format("{}\"{}\"", i == 0 ? "" : ",", escaped[i]);
    out += ']';
  }
  out += '}';
  return out;
}

std::vector<std::byte> save(const Finding& finding) {
  std::vector<std::byte> out;
  Writer write(out);
  write(kMagic);
  write(static_cast<std::uint8_t>(finding.severity));
  for (const auto* text : {&finding.symptom, &finding.technique, &finding.summary, &finding.message,
                           &finding.rule, &finding.process})
    write(cut(*text));
  write(static_cast<std::uint8_t>(finding.pid.has_value()));
  write(finding.pid.value_or(0));
  const auto some = [](const auto& items) { return std::min(items.size(), Finding::kMaxItems); };
  write.count(some(finding.addresses));
  for (std::size_t i = 0; i < some(finding.addresses); ++i) write(finding.addresses[i]);
  write.count(some(finding.symbols));
  for (std::size_t i = 0; i < some(finding.symbols); ++i) write(cut(finding.symbols[i]));
  write(std::vector<std::byte>(
      finding.bytes.begin(),
      finding.bytes.begin() +
          static_cast<std::ptrdiff_t>(std::min(finding.bytes.size(), Finding::kMaxBytes))));
  // The whole stays within kMaxFindingBytes: evidence that finds no room is left out.
  std::vector<std::pair<std::string, std::string>> kept;
  std::size_t room = kMaxFindingBytes - 64 - out.size();
  for (std::size_t i = 0; i < some(finding.evidence); ++i) {
    std::pair entry(cut(finding.evidence[i].first), cut(finding.evidence[i].second));
    const auto size = entry.first.size() + entry.second.size() + 4;
    if (size > room) break;
    room -= size;
    kept.push_back(std::move(entry));
  }
  write.count(kept.size());
  for (const auto& [column, value] : kept) {
    write(column);
    write(value);
  }
  write(finding.first_seen);
  write(finding.last_seen);
  write(finding.times);
  write(finding.identity);
  return out;
}

Result<Finding> load_finding(Bytes bytes) {
  if (bytes.size() > kMaxFindingBytes) return fail(Errc::too_large, bytes.size(), "a finding");
  Reader read(bytes);
  if (TRY(read.number<std::uint32_t>()) != kMagic)
    return fail(Errc::unsupported, 0, "not a finding of this version");
  Finding finding;
  const auto severity = TRY(read.number<std::uint8_t>());
  if (severity > static_cast<std::uint8_t>(Severity::critical))
    return fail(Errc::malformed, severity, "a severity that is none");
  finding.severity = static_cast<Severity>(severity);
  for (auto* text : {&finding.symptom, &finding.technique, &finding.summary, &finding.message,
                     &finding.rule, &finding.process})
    *text = TRY(read.text());
  const auto has_pid = TRY(read.number<std::uint8_t>());
  const auto pid = TRY(read.number<std::int64_t>());
  if (has_pid > 1 || (has_pid == 0 && pid != 0))
    return fail(Errc::malformed, has_pid, "a finding's pid");
  if (has_pid == 1) finding.pid = pid;
  finding.addresses.resize(TRY(read.count(Finding::kMaxItems)));
  for (auto& address : finding.addresses) address = TRY(read.number<std::uint64_t>());
  finding.symbols.resize(TRY(read.count(Finding::kMaxItems)));
  for (auto& symbol : finding.symbols) symbol = TRY(read.text());
  const auto raw = TRY(read.raw(Finding::kMaxBytes));
  finding.bytes.assign(raw.begin(), raw.end());
  finding.evidence.resize(TRY(read.count(Finding::kMaxItems)));
  for (auto& [column, value] : finding.evidence) {
    column = TRY(read.text());
    value = TRY(read.text());
  }
  finding.first_seen = TRY(read.number<std::int64_t>());
  finding.last_seen = TRY(read.number<std::int64_t>());
  finding.times = TRY(read.number<std::uint64_t>());
  finding.identity = TRY(read.number<std::uint64_t>());
  if (!read.done()) return fail(Errc::malformed, 0, "bytes behind a finding");
  return finding;
}

}  // namespace vitrine::symptom
