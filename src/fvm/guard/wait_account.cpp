#include "fvm/guard/wait_account.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

namespace vitrine::fvm {
namespace {

std::string_view read_start(const FileDescriptor& file, std::span<char> into) {
  const auto got = ::pread(file.get(), into.data(), into.size(), 0);
  return {into.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

}  // namespace

std::optional<ThreadSample> parse_thread_sample(std::string_view schedstat, std::string_view stat) {
  ThreadSample sample;
  const auto* const end = schedstat.data() + schedstat.size();
  const auto ran = std::from_chars(schedstat.data(), end, sample.ran_ns);
  if (ran.ec != std::errc() || ran.ptr == end || *ran.ptr != ' ') return std::nullopt;
  const auto waited = std::from_chars(ran.ptr + 1, end, sample.waited_ns);
  if (waited.ec != std::errc() || waited.ptr == end || *waited.ptr != ' ') return std::nullopt;
  const auto name = stat.rfind(") ");
  if (name == std::string_view::npos || name + 2 >= stat.size()) return std::nullopt;
  sample.state = stat[name + 2];
  return sample;
}

std::chrono::nanoseconds ThreadWait::see(const ThreadSample& sample, Time now) {
  if (!last_) {
    before_ns_ = sample.waited_ns;
    told_ = blocked_ = {};
    since_.reset();
  }
  const bool still = last_ == sample;
  if (still && sample.state == 'D') blocked_ += now - looked_;
  if (sample.state != 'R')
    since_.reset();
  else if (!still || !since_)
    since_ = now;
  last_ = sample;
  looked_ = now;
  const auto waits = std::chrono::nanoseconds(sample.waited_ns - before_ns_) + blocked_ +
                     (since_ ? now - *since_ : std::chrono::nanoseconds(0));
  const auto more = std::max(waits - told_, std::chrono::nanoseconds(0));
  told_ += more;
  return more;
}

std::optional<ThreadSample> WaitAccount::sample(std::size_t thread) const {
  std::array<char, 128> account;
  std::array<char, 512> state;
  return parse_thread_sample(read_start(files_[2 * thread], account),
                             read_start(files_[2 * thread + 1], state));
}

std::chrono::nanoseconds WaitAccount::waited(Time now) {
  resting_ = false;
  std::chrono::nanoseconds most{};
  for (std::size_t i = 0; i < threads_.size(); ++i)
    if (const auto one = sample(i)) most = std::max(most, threads_[i].see(*one, now));
  return most;
}

void WaitAccount::rest() {
  if (resting_ && !threads_.empty()) return;
  threads_.assign(files_.size() / 2, {});
  resting_ = true;
}

std::string WaitAccount::words() const {
  std::string words;
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const auto one = sample(i);
    if (!words.empty()) words += ", ";
    words += one ? fmt::format("{} after {:.0f} ms of CPU and {:.0f} ms of waiting for one",
                               one->state, static_cast<double>(one->ran_ns) / 1e6,
                               static_cast<double>(one->waited_ns) / 1e6)
                 : std::string("gone");
  }
  return words.empty() ? words : fmt::format("; its threads, so the kernel: {}", words);
}

}  // namespace vitrine::fvm
