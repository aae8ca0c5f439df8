#include "probe/user_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace vitrine::probe {
namespace {

std::string words_of(const linux::UserFrame& frame) {
  if (!frame.symbol.empty() || frame.file.empty()) return frame.symbol;
  const auto file = std::string_view(frame.file).substr(frame.file.rfind('/') + 1);
  if (frame.file.front() == '[') return frame.file;  // [vdso]: not a file with a place in it
  return fmt::format("[{}+{:#x}]", file, frame.offset);
}

}  // namespace

std::uint64_t UserFrames::frame(const linux::UserFrame& frame) {
  const auto address = frame.address.value;
  if (frame_address(address) != address || is_kernel_frame(address)) return address;
  auto name = words_of(frame);
  if (name.empty()) return address;
  const std::lock_guard lock(mutex_);
  if (count_ >= kMaxNames && !names_.contains(address)) return address;
  auto& known = names_[address];
  const auto at = static_cast<std::size_t>(std::ranges::find(known, name) - known.begin());
  if (at == known.size()) {
    if (count_ >= kMaxNames || known.size() >= kMaxOfOne) return address;
    known.push_back(std::move(name));
    ++count_;
  }
  return address | (at + 1) << kFrameAddressBits;
}

std::string UserFrames::name(std::uint64_t frame) const {
  const auto which = is_kernel_frame(frame) ? 0 : frame >> kFrameAddressBits;
  if (which == 0) return {};
  const std::lock_guard lock(mutex_);
  const auto known = names_.find(frame_address(frame));
  return known == names_.end() || which > known->second.size() ? std::string()
                                                               : known->second[which - 1];
}

std::string stack_text(const std::vector<linux::UserFrame>& frames, UserFrames* names) {
  std::string out;
  for (const auto& frame : frames) {
    const auto word = names != nullptr ? names->frame(frame) : frame.address.value;
    out.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return out;
}

}  // namespace vitrine::probe
