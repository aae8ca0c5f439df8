#include "symptom/patterns/pattern_rules.h"

#include <fmt/format.h>
#include <hs/hs.h>
#include <yara.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace vitrine::symptom {
namespace {

constexpr std::size_t kMaxAtom = 16;
constexpr std::size_t kLongestLiteral = 256;
constexpr std::size_t kMaxStates = 1U << 22;

/// YARA's own start and end, counted by itself.
struct Library {
  Library() { yr_initialize(); }
  ~Library() { yr_finalize(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

struct Literal {
  std::string bytes;
  bool caseless = false;
  bool whole = false;  ///< the string itself; else a piece of one, which may reach further
  auto operator<=>(const Literal&) const = default;
};
constexpr std::size_t kBytesKept = 32;  // matches whose bytes are kept

class YaraRules final : public PatternRules {
 public:
  YaraRules() = default;
  ~YaraRules() override {
    if (scratch_ != nullptr) hs_free_scratch(scratch_);
    if (database_ != nullptr) hs_free_database(database_);
    if (rules_ != nullptr) yr_rules_destroy(rules_);
  }

  bool build(const std::vector<Source>& sources, std::vector<std::string>& problems) {
    std::vector<const Source*> sound;
    for (const auto& source : sources) {
      // A compiler that met an error is spent: each source is tried alone first.
      YR_RULES* alone = compile_into({&source}, &problems);
      if (alone == nullptr) continue;
      yr_rules_destroy(alone);
      sound.push_back(&source);
    }
    if (sound.empty()) return false;
    rules_ = fitted(compile_into(sound, &problems));
    if (rules_ == nullptr) return false;
    collect_literals();
    return build_matcher(problems);
  }

  void announce(Bytes bytes, const Announce& at) override {
    if (database_ == nullptr || bytes.empty() || bytes.size() > (1U << 30)) return;
    struct Use {
      const Announce& at;
      const std::vector<std::int64_t>& before;
      const std::vector<std::int64_t>& after;
    } use{at, before_, after_};
    (void)hs_scan(
        database_, reinterpret_cast<const char*>(bytes.data()), static_cast<unsigned>(bytes.size()),
        0, scratch_,
        [](unsigned id, unsigned long long, unsigned long long to, unsigned, void* context) {
          const auto& told = *static_cast<const Use*>(context);
          const auto end = static_cast<std::int64_t>(to);
          told.at(to - 1, end - told.before[id], end + told.after[id]);
          return 0;
        },
        &use);
  }
  std::size_t overlap() const override { return longest_ > 0 ? longest_ - 1 : 0; }
  bool needs_everything() const override { return everything_; }
  bool needs_zeros() const override { return zeros_; }
  std::size_t size() const override { return rules_ == nullptr ? 0 : rules_->num_rules; }

  Outcome<std::vector<PatternHit>> scan(const std::vector<PatternBlock>& blocks,
                                        int seconds) override {
    Walk walk{&blocks, 0, {}};
    YR_MEMORY_BLOCK_ITERATOR iterator{};
    iterator.context = &walk;
    iterator.first = [](YR_MEMORY_BLOCK_ITERATOR* self) {
      static_cast<Walk*>(self->context)->next = 0;
      return next_block(self);
    };
    iterator.next = next_block;
    iterator.file_size = nullptr;
    iterator.last_error = ERROR_SUCCESS;
    std::vector<PatternHit> hits;
    const int status = yr_rules_scan_mem_blocks(rules_, &iterator, 0, matched, &hits, seconds);
    if (status == ERROR_SCAN_TIMEOUT)
      return std::unexpected(
          Problem(Errc::timeout, fmt::format("the patterns took longer than {} s", seconds)));
    if (status != ERROR_SUCCESS)
      return std::unexpected(
          Problem(Errc::io, fmt::format("YARA failed with its error {}", status)));
    return hits;
  }

 private:
  struct Walk {
    const std::vector<PatternBlock>* blocks;
    std::size_t next;
    YR_MEMORY_BLOCK block;
  };

  static YR_MEMORY_BLOCK* next_block(YR_MEMORY_BLOCK_ITERATOR* self) {
    auto& walk = *static_cast<Walk*>(self->context);
    self->last_error = ERROR_SUCCESS;
    if (walk.next == walk.blocks->size()) return nullptr;
    const auto& block = (*walk.blocks)[walk.next++];
    walk.block.size = block.bytes.size();
    walk.block.base = block.base;
    walk.block.context = const_cast<std::byte*>(block.bytes.data());
    walk.block.fetch_data = [](YR_MEMORY_BLOCK* given) {
      return static_cast<const uint8_t*>(given->context);
    };
    return &walk.block;
  }

  static Severity severity_of(std::string_view text) {
    for (int i = 0; i <= static_cast<int>(Severity::critical); ++i)
      if (name(static_cast<Severity>(i)) == text) return static_cast<Severity>(i);
    return Severity::medium;
  }

  static int matched(YR_SCAN_CONTEXT* context, int message, void* data, void* user) {
    if (message != CALLBACK_MSG_RULE_MATCHING) return CALLBACK_CONTINUE;
    auto& hits = *static_cast<std::vector<PatternHit>*>(user);
    auto* rule = static_cast<YR_RULE*>(data);
    PatternHit hit;
    hit.rule = rule->identifier;
    YR_META* meta = nullptr;
    yr_rule_metas_foreach(rule, meta) {
      if (meta->type != META_TYPE_STRING) continue;
      const std::string_view key = meta->identifier;
      if (key == "severity") hit.severity = severity_of(meta->string);
      if (key == "technique") hit.technique = meta->string;
      if (key == "description") hit.summary = meta->string;
    }
    YR_STRING* string = nullptr;
    yr_rule_strings_foreach(rule, string) {
      YR_MATCH* match = nullptr;
      yr_string_matches_foreach(context, string, match) {
        ++hit.match_count;
        if (hit.matches.size() == kMaxMatches) continue;
        const auto* bytes = reinterpret_cast<const std::byte*>(match->data);
        const auto kept = hit.matches.size() < kBytesKept
                              ? std::min<std::size_t>(static_cast<std::size_t>(match->data_length),
                                                      Finding::kMaxBytes)
                              : std::size_t{0};
        hit.matches.push_back({hit.rule, string->identifier,
                               static_cast<std::uint64_t>(match->base + match->offset),
                               std::vector<std::byte>(bytes, bytes + kept),
                               static_cast<std::uint64_t>(match->match_length)});
      }
    }
    hits.push_back(std::move(hit));
    return CALLBACK_CONTINUE;
  }

  static YR_RULES* compile_into(const std::vector<const Source*>& sources,
                                std::vector<std::string>* problems) {
    YR_COMPILER* compiler = nullptr;
    if (yr_compiler_create(&compiler) != ERROR_SUCCESS) return nullptr;
    struct Told {
      std::vector<std::string>* problems;
      std::string name;
    } told{problems, {}};
    yr_compiler_set_callback(
        compiler,
        [](int level, const char*, int line, const YR_RULE*, const char* text, void* user) {
          const auto& to = *static_cast<Told*>(user);
          if (level == YARA_ERROR_LEVEL_ERROR)
            to.problems->push_back(fmt::format("{}:{}: {}", to.name, line, text));
        },
        &told);
    YR_RULES* rules = nullptr;
    bool sound = true;
    for (std::size_t i = 0; i < sources.size() && sound; ++i) {
      told.name = sources[i]->name;
      sound = yr_compiler_add_string(compiler, sources[i]->text.c_str(),
                                     fmt::format("file{}", i).c_str()) == 0;
    }
    if (sound && yr_compiler_get_rules(compiler, &rules) != ERROR_SUCCESS) rules = nullptr;
    yr_compiler_destroy(compiler);
    return rules;
  }

  /// The same rules in memory that they fill: the compiler leaves each of its dozen arenas at a
  /// MiB at least, which is more than all else that an engine holds. As they were if that fails.
  static YR_RULES* fitted(YR_RULES* rules) {
    if (rules == nullptr) return nullptr;
    struct Bytes {
      std::string text;
      std::size_t read = 0;
    } bytes;
    YR_STREAM stream{};
    stream.user_data = &bytes;
    stream.write = [](const void* from, std::size_t size, std::size_t count, void* user) {
      static_cast<Bytes*>(user)->text.append(static_cast<const char*>(from), size * count);
      return count;
    };
    stream.read = [](void* into, std::size_t size, std::size_t count, void* user) {
      auto& all = *static_cast<Bytes*>(user);
      const auto whole =
          size == 0 ? std::size_t{0} : std::min(count, (all.text.size() - all.read) / size);
      std::memcpy(into, all.text.data() + all.read, whole * size);
      all.read += whole * size;
      return whole;
    };
    YR_RULES* loaded = nullptr;
    if (yr_rules_save_stream(rules, &stream) != ERROR_SUCCESS ||
        yr_rules_load_stream(&stream, &loaded) != ERROR_SUCCESS)
      return rules;
    yr_rules_destroy(rules);
    return loaded;
  }

  void add(std::string bytes, bool caseless, bool whole) {
    if (bytes.empty()) {
      everything_ = true;
      return;
    }
    if (bytes.size() > kLongestLiteral) {
      bytes.resize(kLongestLiteral);
      whole = false;
    }
    if (std::ranges::all_of(bytes, [](char c) { return c == 0; })) zeros_ = true;
    longest_ = std::max(longest_, bytes.size());
    literals_.insert({std::move(bytes), caseless, whole});
  }

  /// Plain strings as they are; of all others the atoms, which stand in YARA's automaton.
  void collect_literals() {
    std::set<const YR_STRING*> plain;
    YR_RULE* rule = nullptr;
    yr_rules_foreach(rules_, rule) {
      YR_STRING* string = nullptr;
      yr_rule_strings_foreach(rule, string) {
        constexpr unsigned kOther =
            STRING_FLAGS_XOR | STRING_FLAGS_BASE64 | STRING_FLAGS_BASE64_WIDE | STRING_FLAGS_REGEXP;
        if (!STRING_IS_LITERAL(string) || (string->flags & kOther) != 0 || string->length < 4)
          continue;
        const std::string bytes(reinterpret_cast<const char*>(string->string),
                                static_cast<std::size_t>(string->length));
        const bool caseless = STRING_IS_NO_CASE(string) != 0;
        if (STRING_IS_WIDE(string)) {
          std::string wide;
          for (const char c : bytes) {
            wide += c;
            wide += '\0';
          }
          add(wide, caseless, true);
        }
        if (STRING_IS_ASCII(string) || STRING_IS_HEX(string) || !STRING_IS_WIDE(string))
          add(bytes, caseless, true);
        plain.insert(string);
      }
    }
    collect_atoms(plain);
  }

  void collect_atoms(const std::set<const YR_STRING*>& plain) {
    struct Step {
      std::uint32_t state;
      std::string path;
    };
    std::vector<Step> left{{YR_AC_ROOT_STATE, {}}};
    std::size_t states = 0;
    while (!left.empty() && states++ < kMaxStates) {
      const Step step = std::move(left.back());
      left.pop_back();
      if (const auto first = rules_->ac_match_table[step.state]; first != 0) {
        const YR_AC_MATCH* match = &rules_->ac_match_pool[first - 1];
        bool wanted = false;
        for (std::size_t i = 0; match != nullptr && i < (1U << 16) && !wanted;
             ++i, match = match->next)
          wanted = !plain.contains(match->string);
        if (wanted) add(step.path, false, false);
      }
      if (step.path.size() == kMaxAtom) continue;
      for (unsigned byte = 0; byte < 256; ++byte) {
        const auto transition = rules_->ac_transition_table[step.state + byte + 1];
        if (YR_AC_INVALID_TRANSITION(transition, byte + 1)) continue;
        left.push_back({static_cast<std::uint32_t>(YR_AC_NEXT_STATE(transition)),
                        step.path + static_cast<char>(byte)});
      }
    }
    if (!left.empty()) everything_ = true;
  }

  bool build_matcher(std::vector<std::string>& problems) {
    if (literals_.empty()) return true;
    std::vector<const char*> texts;
    std::vector<unsigned> flags, ids;
    std::vector<std::size_t> lengths;
    for (const auto& literal : literals_) {
      ids.push_back(static_cast<unsigned>(texts.size()));
      texts.push_back(literal.bytes.data());
      lengths.push_back(literal.bytes.size());
      flags.push_back(literal.caseless ? HS_FLAG_CASELESS : 0U);
      // Two bytes more on each side: whether a word ends there (`fullword`) is asked of them.
      const auto reach = static_cast<std::int64_t>(literal.whole ? 2 : kReach);
      before_.push_back(static_cast<std::int64_t>(literal.bytes.size()) + reach);
      after_.push_back(reach);
    }
    hs_compile_error_t* error = nullptr;
    const auto status = hs_compile_lit_multi(texts.data(), flags.data(), ids.data(), lengths.data(),
                                             static_cast<unsigned>(texts.size()), HS_MODE_BLOCK,
                                             nullptr, &database_, &error);
    if (status != HS_SUCCESS) {
      problems.push_back(fmt::format(
          "the patterns' strings cannot be prepared ({}): everything is given to YARA, slowly",
          error != nullptr ? error->message : "no reason"));
      hs_free_compile_error(error);
      everything_ = true;
      database_ = nullptr;
      return true;
    }
    return hs_alloc_scratch(database_, &scratch_) == HS_SUCCESS;
  }

  Library library_;
  YR_RULES* rules_ = nullptr;
  hs_database_t* database_ = nullptr;
  hs_scratch_t* scratch_ = nullptr;
  std::set<Literal> literals_;
  std::size_t longest_ = 0;
  std::vector<std::int64_t> before_, after_;  // of each literal
  bool everything_ = false, zeros_ = false;
};

}  // namespace

std::unique_ptr<PatternRules> PatternRules::compile(const std::vector<Source>& sources,
                                                    std::vector<std::string>& problems) {
  auto rules = std::make_unique<YaraRules>();
  if (!rules->build(sources, problems)) return nullptr;
  return rules;
}

}  // namespace vitrine::symptom
