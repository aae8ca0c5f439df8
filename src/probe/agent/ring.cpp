#include "probe/agent/ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "probe/record.h"

namespace vitrine::probe {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr std::size_t kFrame = 8;  // the length, padded

std::size_t padded(std::size_t size) { return (size + kFrame - 1) & ~(kFrame - 1); }

Problem io(const char* what) { return {Errc::io, std::string(what) + ": " + std::strerror(errno)}; }

}  // namespace

RingMemory::RingMemory(RingMemory&& other) noexcept { *this = std::move(other); }

RingMemory& RingMemory::operator=(RingMemory&& other) noexcept {
  if (this != &other) {
    if (mapped_ != nullptr) ::munmap(mapped_, count_ * stride());
    memory_ = std::move(other.memory_);
    mapped_ = std::exchange(other.mapped_, nullptr);
    count_ = std::exchange(other.count_, 0);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

RingMemory::~RingMemory() {
  if (mapped_ != nullptr) ::munmap(mapped_, count_ * stride());
}

Outcome<RingMemory> RingMemory::create(std::size_t rings, std::size_t size) {
  if (rings == 0 || rings > kMaxRings || size < 4096 || (size & (size - 1)) != 0) {
    return std::unexpected(Problem(Errc::invalid, "no such size of a ring"));
  }
  RingMemory made;
  made.count_ = rings;
  made.size_ = size;
  const auto total = rings * made.stride();
  made.memory_ = FileDescriptor(::memfd_create("vitrine-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made.memory_) return std::unexpected(io("memfd_create"));
  if (::ftruncate(made.memory_.get(), static_cast<off_t>(total)) != 0)
    return std::unexpected(io("ftruncate"));
  if (::fcntl(made.memory_.get(), F_ADD_SEALS, kSeals) != 0) return std::unexpected(io("seals"));
  void* at = ::mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_SHARED, made.memory_.get(), 0);
  if (at == MAP_FAILED) return std::unexpected(io("mmap"));
  made.mapped_ = static_cast<std::byte*>(at);
  for (std::size_t i = 0; i < rings; ++i) {
    auto* head = new (made.mapped_ + i * made.stride()) RingHead;
    head->magic = kRingMagic;
    head->version = kRingVersion;
    head->size = size;
  }
  return made;
}

Outcome<RingMemory> RingMemory::open(FileDescriptor memory, std::size_t rings) {
  const auto malformed = [](const char* why) {
    return std::unexpected(Problem(Errc::malformed, why));
  };
  if (rings == 0 || rings > kMaxRings) return malformed("no such number of rings");
  struct stat status{};
  if (!memory || ::fstat(memory.get(), &status) != 0 || status.st_size <= 0)
    return malformed("no memory of rings");
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals)
    return malformed("the rings' memory could shrink under us");
  const auto total = static_cast<std::size_t>(status.st_size);
  if (total % rings != 0 || total / rings <= kRingData)
    return malformed("the rings' memory has another size");
  RingMemory made;
  made.count_ = rings;
  made.size_ = total / rings - kRingData;
  if ((made.size_ & (made.size_ - 1)) != 0 || made.size_ < 4096)
    return malformed("the rings' memory has another size");
  void* at = ::mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) return std::unexpected(io("mmap"));
  made.mapped_ = static_cast<std::byte*>(at);
  made.memory_ = std::move(memory);
  for (std::size_t i = 0; i < rings; ++i) {
    const auto* head = made.head(i);
    if (head->magic != kRingMagic || head->version != kRingVersion || head->size != made.size_)
      return malformed("these are no rings of this version");
  }
  return made;
}

RingHead* RingMemory::head(std::size_t ring) const {
  return reinterpret_cast<RingHead*>(mapped_ + ring * stride());
}
std::byte* RingMemory::data(std::size_t ring) const {
  return mapped_ + ring * stride() + kRingData;
}

RingWriter::RingWriter(const RingMemory& memory, std::size_t ring)
    : head_(memory.head(ring)), data_(memory.data(ring)), size_(memory.ring_size()) {}

void RingWriter::copy_in(std::uint64_t at, const void* from, std::size_t size) noexcept {
  const auto place = at & (size_ - 1);
  const auto first = std::min<std::uint64_t>(size, size_ - place);
  std::memcpy(data_ + place, from, first);
  if (first < size) std::memcpy(data_, static_cast<const std::byte*>(from) + first, size - first);
}

bool RingWriter::write(Bytes record) noexcept {
  const std::uint64_t needed = kFrame + padded(record.size());
  const std::uint64_t used = written_ - head_->taken.load(std::memory_order_acquire);
  if (used > size_ || needed > size_ - used) {
    count_lost();
    return false;
  }
  const std::uint64_t length = record.size();
  copy_in(written_, &length, sizeof length);
  copy_in(written_ + kFrame, record.data(), record.size());
  written_ += needed;
  head_->written.store(written_, std::memory_order_release);
  return true;
}

bool RingWriter::filling() const noexcept {
  return written_ - head_->taken.load(std::memory_order_relaxed) >= size_ / 4;
}

RingReader::RingReader(const RingMemory& memory, std::size_t ring)
    : head_(memory.head(ring)),
      data_(memory.data(ring)),
      size_(memory.ring_size()),
      taken_(head_->taken.load(std::memory_order_relaxed)) {}

void RingReader::copy_out(std::uint64_t at, void* into, std::size_t size) const noexcept {
  const auto place = at & (size_ - 1);
  const auto first = std::min<std::uint64_t>(size, size_ - place);
  std::memcpy(into, data_ + place, first);
  if (first < size) std::memcpy(static_cast<std::byte*>(into) + first, data_, size - first);
}

RingReader::Took RingReader::take(std::vector<std::byte>& into) {
  if (broken_) return Took::broken;
  const std::uint64_t used = head_->written.load(std::memory_order_acquire) - taken_;
  if (used == 0) return Took::nothing;
  std::uint64_t length = 0;
  broken_ = used > size_ || used < kFrame || used % kFrame != 0;
  if (!broken_) {
    copy_out(taken_, &length, sizeof length);
    broken_ = length > kMaxRecord || kFrame + padded(length) > used;
  }
  if (broken_) return Took::broken;
  into.resize(length);
  copy_out(taken_ + kFrame, into.data(), length);
  taken_ += kFrame + padded(length);
  head_->taken.store(taken_, std::memory_order_release);
  return Took::record;
}

}  // namespace vitrine::probe
