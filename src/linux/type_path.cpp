#include "linux/type_path.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "base/edit_distance.h"
#include "linux/type_format.h"

namespace vitrine::linux {
namespace {

using btf::Kind;
using btf::Type;

constexpr std::size_t kMaxCandidates = 16;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::unexpected<Problem> no(Errc code, std::string message, std::string hint = {}) {
  return std::unexpected(Problem{code, std::move(message), std::move(hint)});
}

/// Collects a compound's member names, those of anonymous members included.
void nearest_member(const Type& compound, std::string_view name, int depth, int& budget,
                    std::size_t& best, std::string_view& nearest) {
  if (depth > 16) return;
  for (const btf::Member& member : compound.members()) {
    if (budget-- <= 0) return;
    if (member.name.empty()) {
      const Type inner = member.type.resolved();
      if (inner.is_compound()) nearest_member(inner, name, depth + 1, budget, best, nearest);
    } else if (const auto distance = edit_distance(name, member.name, best); distance < best) {
      best = distance;
      nearest = member.name;
    }
  }
}

std::string hint_for(const Type& compound, std::string_view name) {
  std::size_t best = std::max<std::size_t>(2, name.size() / 2) + 1;
  std::string_view nearest;
  int budget = 10'000;
  nearest_member(compound, name, 0, budget, best, nearest);
  return nearest.empty() ? "" : fmt::format("nearest: {}", nearest);
}

class Walk {
 public:
  Walk(const TypeCatalogue& types, std::string_view text) : types_(types), text_(text) {}

  Outcome<void> from(Type root, std::size_t at) {
    at_ = at;
    type_ = root;
    while (at_ < text_.size()) {
      if (text_[at_] == '[') {
        TRY(index());
      } else {
        const bool arrow = text_[at_] == '-';
        at_ += arrow ? 2 : 1;
        TRY(member(arrow));
      }
    }
    route_.size =
        route_.bit_width != 0 ? (route_.bit_shift + route_.bit_width + 7u) / 8 : type_.size();
    if (offset_ > std::numeric_limits<std::uint32_t>::max()) return too_far();
    route_.offset = static_cast<std::uint32_t>(offset_);
    return {};
  }

  Type type_;
  Route route_;

 private:
  std::string_view done() const { return text_.substr(0, step_); }
  std::unexpected<Problem> too_far() const {
    return no(Errc::unsupported, fmt::format("{}: more than 4 GiB into its object", text_));
  }

  Outcome<void> member(bool arrow) {
    step_ = at_ - (arrow ? 2 : 1);
    const std::size_t from = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    const auto name = text_.substr(from, at_ - from);
    Type here = type_.resolved();
    if (arrow) {
      if (here.kind() != Kind::pointer) {
        return no(Errc::not_found,
                  fmt::format("{}: {} is not a pointer but {}", text_, done(), type_name(type_)),
                  fmt::format("write {}.{}", done(), name));
      }
      TRY(hop());
      here = type_.resolved();
    } else if (here.kind() == Kind::pointer) {
      return no(Errc::not_found, fmt::format("{}: {} is a pointer", text_, done()),
                fmt::format("write {}->{}", done(), name));
    }
    here = types_.defined(here);
    if (!here.is_compound()) {
      return no(Errc::not_found,
                fmt::format("{}: {} is {}, which has no members", text_, done(), type_name(type_)));
    }
    const auto found = here.find_member(name);
    if (!found && found.error().code != Errc::not_found)
      return std::unexpected(Problem(found.error()));
    if (!found) {
      return no(Errc::not_found,
                fmt::format("{}: {} has no member {}", text_, type_name(here), name),
                hint_for(here, name));
    }
    offset_ += found->bit_offset / 8;
    route_.bit_width = 0;
    route_.bit_shift = 0;
    if (found->is_bit_field()) {
      if (found->bit_width > 64)
        return no(Errc::unsupported, fmt::format("{}: a bit field of more than 64 bits", text_));
      route_.bit_shift = static_cast<std::uint8_t>(found->bit_offset % 8);
      route_.bit_width = static_cast<std::uint8_t>(found->bit_width);
    }
    type_ = found->type;
    return {};
  }

  Outcome<void> index() {
    step_ = at_;
    const std::size_t close = text_.find(']', at_);
    std::uint64_t number = 0;
    for (const char digit : text_.substr(at_ + 1, close - at_ - 1)) {
      number = number * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    at_ = close + 1;
    const Type here = type_.resolved();
    if (here.kind() == Kind::array) {
      if (here.count() != 0 && number >= here.count()) {
        return no(Errc::out_of_bounds,
                  fmt::format("{}: {} has {} elements", text_, done(), here.count()));
      }
      type_ = here.target();
    } else if (here.kind() == Kind::pointer) {
      TRY(hop());
    } else {
      return no(Errc::not_found,
                fmt::format("{}: {} is not an array but {}", text_, done(), type_name(type_)));
    }
    // Each factor is below 2^62, or this refuses it, so nothing wraps.
    const std::uint64_t size = types_.defined(type_.resolved()).size();
    if (size == 0 && number != 0) {
      return no(Errc::unsupported,
                fmt::format("{}: the size of {} is not known", text_, type_name(type_)));
    }
    if (size > std::numeric_limits<std::uint32_t>::max()) return too_far();
    offset_ += number * size;
    if (offset_ > std::numeric_limits<std::uint32_t>::max()) return too_far();
    return {};
  }

  /// Follows the pointer at the present place.
  Outcome<void> hop() {
    if (route_.hop_count == Route::kMaxHops) {
      return no(Errc::unsupported,
                fmt::format("{}: more than {} pointers", text_, Route::kMaxHops));
    }
    if (offset_ > std::numeric_limits<std::uint32_t>::max()) return too_far();
    const Type pointee = type_.resolved().target();
    if (pointee.resolved().is_void() || pointee.resolved().kind() == Kind::function_prototype) {
      return no(Errc::not_found,
                fmt::format("{}: {} is {}: nothing to step into", text_, done(), type_name(type_)));
    }
    route_.hops[route_.hop_count++] = static_cast<std::uint32_t>(offset_);
    offset_ = 0;
    type_ = pointee;
    return {};
  }

  const TypeCatalogue& types_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t step_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace

Result<Gva> Route::follow(const VirtualMemory& memory, Gva object, const char* what) const {
  Gva at = object;
  for (std::uint8_t i = 0; i < hop_count; ++i) {
    const Gva place = at + hops[i];
    const auto pointer = memory.load<std::uint64_t>(place);
    if (!pointer) return fail(pointer.error().code, place.value, what);
    if (*pointer == 0) return fail(Errc::not_found, place.value, what);
    at = Gva{*pointer};
  }
  return at + offset;
}

Outcome<MemberPath> MemberPath::compile(const TypeCatalogue& types, std::string_view text) {
  if (text.size() > 1024 || !is_path(text)) {
    return no(Errc::invalid, fmt::format("not a path: {}", text.substr(0, 100)),
              "paths look like task_struct.mm->exe_file, or task_struct.signal->rlim[7].rlim_cur");
  }
  const std::size_t end = std::min(text.find_first_of(".[-"), text.size());
  const auto name = text.substr(0, end);
  auto candidates = types.find_all(name);
  if (candidates.empty()) return std::unexpected(types.type(name).error());

  // A kernel has a handful of one name at most; a forged one may have a hundred thousand.
  if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);

  std::optional<Problem> problem;
  for (const Type& root : candidates) {
    Walk walk(types, text);
    if (auto done = walk.from(root, end); !done) {
      if (!problem) problem = std::move(done.error());
      continue;
    }
    MemberPath path;
    path.text_ = text;
    path.root_ = root;
    path.type_ = walk.type_;
    path.route_ = walk.route_;
    return path;
  }
  return std::unexpected(std::move(*problem));
}

}  // namespace vitrine::linux
