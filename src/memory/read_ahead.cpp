#include "memory/read_ahead.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vitrine {
namespace {

constexpr std::uint64_t kLine = 64;
constexpr std::size_t kMaxPages = 65'536;
constexpr unsigned kKeepUnused = 16;   // looks
constexpr unsigned kMostRenewals = 4;  // of the second readings, in one look

/// The lines that [offset, offset + size) of a page touches, a bit each.
constexpr std::uint64_t lines_of(std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t first = offset / kLine;
  const std::uint64_t count = (offset + size - 1) / kLine - first + 1;
  return (count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) << first;
}

constexpr std::uint64_t slot_of(std::uint64_t page, std::size_t slots) {
  return (page * 0x9e37'79b9'7f4a'7c15) >> 32 & (slots - 1);
}

}  // namespace

void ReadPlan::clear() { *this = ReadPlan(); }

ReadPlan::Page* ReadPlan::find(std::uint64_t number) noexcept {
  if (slots_.empty()) return nullptr;
  for (auto slot = slot_of(number, slots_.size());; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot] == 0) return nullptr;
    auto& page = pages_[slots_[slot] - 1];
    if (page.number == number) return &page;
  }
}

void ReadPlan::lay_out() {
  std::size_t place = 0;
  // Stage by stage, so that one fetch fills one stretch of the copy.
  for (std::size_t stage = 0; stage < kStages; ++stage) {
    for (auto& page : pages_) {
      auto& piece = page.pieces[stage];
      piece = {};
      const auto lines = page.wanted[stage];
      if (lines == 0) continue;
      const auto first = static_cast<unsigned>(std::countr_zero(lines));
      const auto end = 64 - static_cast<unsigned>(std::countl_zero(lines));
      const std::size_t size = (end - first) * kLine;
      if (place + size > ReadAhead::kMaxCopy) continue;
      piece = {.place = static_cast<std::uint32_t>(place),
               .first = static_cast<std::uint8_t>(first),
               .end = static_cast<std::uint8_t>(end)};
      place += size;
    }
  }
  copy_size_ = place;
  if (copy_size_ > copy_room_) {
    copy_room_ = copy_size_ + copy_size_ / 4;
    copy_ = std::make_unique_for_overwrite<std::byte[]>(copy_room_);
  }
  slots_.assign(std::bit_ceil(pages_.size() * 2 + 1), 0);
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    auto slot = slot_of(pages_[i].number, slots_.size());
    while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = static_cast<std::uint32_t>(i + 1);
  }
}

ReadAhead::Look::Look(const ReadAhead& memory, ReadPlan& plan)
    : memory_(memory), mine_(memory.plan_ == nullptr) {
  if (mine_) memory_.begin(plan);
}

ReadAhead::Look::~Look() {
  if (mine_) memory_.end();
}

void ReadAhead::begin(ReadPlan& plan) const {
  const auto ranges = ram();
  if (ranges.empty() || !inner().window(ranges.front().start, 1).empty()) return;
  plan_ = &plan;
  stage_ = Stage::objects;
  missed_ = false;
  renewals_ = 0;
  for (std::size_t stage = 0; stage < ReadPlan::kStages; ++stage) fetch(stage);
}

void ReadAhead::fetch(std::size_t stage) const {
  std::vector<BatchRead> batch;
  std::vector<ReadPlan::Piece*> pieces;
  batch.reserve(plan_->pages_.size());
  pieces.reserve(plan_->pages_.size());
  for (auto& page : plan_->pages_) {
    auto& piece = page.pieces[stage];
    if (piece.end == 0) continue;
    batch.push_back(
        {Gpa{page.number * kPageSize + piece.first * kLine},
         MutableBytes(plan_->copy_.get() + piece.place, (piece.end - piece.first) * kLine)});
    pieces.push_back(&piece);
  }
  if (!batch.empty()) inner().read_batch(batch);
  for (std::size_t i = 0; i < batch.size(); ++i) pieces[i]->there = batch[i].ok;
}

void ReadAhead::end() const noexcept {
  if (plan_ == nullptr) return;
  auto& plan = *plan_;
  plan_ = nullptr;
  stage_ = Stage::objects;
  const bool drop = ++plan.looks_ >= kKeepUnused;
  if (plan.missed_.empty() && !drop) return;
  if (drop) {
    plan.looks_ = 0;
    for (auto& page : plan.pages_) {
      page.wanted = page.used;
      page.used = {};
    }
    std::erase_if(plan.pages_, [](const ReadPlan::Page& page) {
      return std::ranges::all_of(page.wanted, [](std::uint64_t lines) { return lines == 0; });
    });
  }
  plan.pages_.insert(plan.pages_.end(), plan.missed_.begin(), plan.missed_.end());
  plan.missed_.clear();
  std::ranges::sort(plan.pages_, {}, &ReadPlan::Page::number);
  std::size_t kept = 0;
  for (const auto& page : plan.pages_) {
    if (kept > 0 && plan.pages_[kept - 1].number == page.number) {
      for (std::size_t stage = 0; stage < ReadPlan::kStages; ++stage) {
        plan.pages_[kept - 1].wanted[stage] |= page.wanted[stage];
        plan.pages_[kept - 1].used[stage] |= page.used[stage];
      }
    } else if (kept < kMaxPages) {
      plan.pages_[kept++] = page;
    }
  }
  plan.pages_.resize(kept);
  plan.lay_out();
}

Result<void> ReadAhead::read(Gpa from, MutableBytes into) const {
  if (plan_ == nullptr) return inner().read(from, into);
  while (!into.empty()) {
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>(kPageSize - from.value % kPageSize, into.size()));
    TRY(read_in_page(from, into.first(size)));
    into = into.subspan(size);
    from += size;
  }
  return {};
}

Result<void> ReadAhead::read_in_page(Gpa from, MutableBytes into) const {
  const std::uint64_t number = from.value / kPageSize;
  const std::uint64_t offset = from.value % kPageSize;
  const std::uint64_t lines = lines_of(offset, into.size());
  auto* page = plan_->find(number);
  const auto serve = [&](Stage stage) {
    const auto& piece = page->pieces[static_cast<std::size_t>(stage)];
    const std::uint64_t start = piece.first * kLine;
    if (!piece.there || offset < start || offset + into.size() > piece.end * kLine) return false;
    page->used[static_cast<std::size_t>(stage)] |= lines;
    std::memcpy(into.data(), plan_->copy_.get() + piece.place + (offset - start), into.size());
    return true;
  };
  switch (stage_) {
    case Stage::anew:
      missed_ = true;
      return inner().read(from, into);
    case Stage::again:
      // What was missed came later than the second readings: fetch those once more.
      if (missed_ && !plan_->pages_.empty() && renewals_ < kMostRenewals) {
        fetch(static_cast<std::size_t>(Stage::again));
        missed_ = false;
        ++renewals_;
      }
      if (page != nullptr && !missed_ && serve(Stage::again)) return {};
      break;
    // What was fetched for the anchors does for the objects too: it is only earlier.
    case Stage::anchors:
      if (page != nullptr && serve(Stage::anchors)) return {};
      break;
    case Stage::objects:
      if (page != nullptr && (serve(Stage::objects) || serve(Stage::anchors))) return {};
      break;
  }
  // A second reading in earnest comes after all that it vouches for: nothing is missed by it.
  if (stage_ != Stage::again) missed_ = true;
  TRY(inner().read(from, into));
  const auto stage = static_cast<std::size_t>(stage_);
  if (page != nullptr && (page->wanted[stage] & lines) == lines) {
    page->used[stage] |= lines;
  } else if (plan_->missed_.size() < kMaxPages) {
    auto& missed = plan_->missed_.emplace_back();
    missed.number = number;
    missed.wanted[stage] = missed.used[stage] = lines;
  }
  return {};
}

std::size_t ReadAhead::read_batch(std::span<BatchRead> batch) const {
  if (plan_ == nullptr) return inner().read_batch(batch);
  return PhysicalMemory::read_batch(batch);
}

}  // namespace vitrine
