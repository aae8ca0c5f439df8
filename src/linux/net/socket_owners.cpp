#include "linux/net/socket_owners.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>

#include "linux/kernel.h"
#include "linux/net/net_namespaces.h"
#include "linux/walk/walk.h"

namespace vitrine::linux::net {

Outcome<SocketOwners> SocketOwners::open(const Kernel& kernel) {
  SocketOwners owners;
  owners.kernel_ = &kernel;
  owners.tasks_ = TRY(TaskList::open(kernel));
  owners.socket_operations_ = TRY(kernel.symbol("socket_file_ops"));
  FieldBinder bind(kernel.types());
  bind(owners.comm_, "task_struct.comm");
  bind(owners.files_, "task_struct.files");
  bind(owners.table_, "files_struct.fdt");
  bind(owners.max_descriptors_, "fdtable.max_fds");
  bind(owners.descriptors_, "fdtable.fd");
  bind(owners.open_bits_, "fdtable.open_fds");
  bind(owners.operations_, "file.f_op");
  bind(owners.private_data_, "file.private_data");
  bind(owners.sock_, "socket.sk");
  bind(owners.allocated_, "socket_alloc.socket");
  bind(owners.inode_number_, "socket_alloc.vfs_inode.i_ino");
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));
  owners.file_span_ = Span::covering(owners.operations_, owners.private_data_);
  return owners;
}

void SocketOwners::read(Tally& tally) {
  by_sock_.clear();
  by_inode_.clear();
  descriptors_left_ = kMaxInAll;
  owners_left_ = kMaxOwners;
  const auto listing = tasks_->processes();
  listing.note_in(tally);
  for (const auto& task : listing.tasks) {
    read_process(task, tally);
    if (descriptors_left_ != 0 && owners_left_ != 0) continue;
    tally.truncated = true;
    tally.warnings.push_back(
        "owners: more descriptors than are looked at: some sockets have owners that are not shown");
    break;
  }
  const auto in_order = [](std::vector<SocketOwner>& owners) {
    std::ranges::sort(owners, {}, [](const SocketOwner& o) { return std::pair(o.pid, o.fd); });
  };
  for (auto& entry : by_sock_) in_order(entry.second);
  for (auto& entry : by_inode_) in_order(entry.second);
}

void SocketOwners::read_process(TaskRef task, Tally& tally) {
  const auto& memory = kernel_->memory();
  auto name = comm_.read(memory, task.address);
  auto files = files_.read(memory, task.address);
  if (!name || !files) return;  // it left while we looked
  if (!*files) {
    // The first thread may have ended while others still run, and hold the table.
    for (const auto& thread : tasks_->threads_of(task).tasks) {
      const auto of_thread = files_.read(memory, thread.address);
      if (of_thread && *of_thread) {
        files = of_thread;
        break;
      }
    }
  }
  if (*files) read_table(*files, task.tgid, *name, tally);
}

void SocketOwners::read_table(Gva files, std::int64_t pid, const std::string& process,
                              Tally& tally) {
  const auto& memory = kernel_->memory();
  const auto table = table_.read(memory, files);
  if (!table) return;
  const auto count = max_descriptors_.read(memory, *table);
  const auto descriptors = descriptors_.read(memory, *table);
  const auto bits = open_bits_.read(memory, *table);
  if (!count || !descriptors || !bits) return;
  if (*count > kMaxDescriptors) {
    tally.truncated = true;
    tally.warnings.push_back(
        fmt::format("owners: process {} has a table of {} descriptors at {:#x}: not read", pid,
                    *count, table->value));
    return;
  }
  descriptors_left_ -= std::min<std::uint64_t>(descriptors_left_, *count);
  Snapshot file(file_span_);
  std::array<std::uint64_t, 64> words;
  std::array<std::uint64_t, 64> pointers;
  constexpr std::uint32_t kBitsAtOnce = 64 * 64;
  for (std::uint32_t from = 0; from < *count; from += kBitsAtOnce) {
    const auto word_count = (std::min(*count - from, kBitsAtOnce) + 63) / 64;
    const auto chunk = std::span(words).first(word_count);
    if (!memory.read(*bits + from / 8, std::as_writable_bytes(chunk))) return;
    for (std::uint32_t word = 0; word < word_count; ++word) {
      if (chunk[word] == 0) continue;
      const std::uint32_t first = from + word * 64;
      if (!memory.read(*descriptors + std::uint64_t{first} * 8,
                       std::as_writable_bytes(std::span(pointers)))) {
        continue;
      }
      for (std::uint64_t rest = chunk[word]; rest != 0; rest &= rest - 1) {
        const auto bit = static_cast<std::uint32_t>(std::countr_zero(rest));
        const Gva at{pointers[bit]};
        if (!is_kernel_pointer(at) || !file.load(memory, at)) continue;
        const auto operations = operations_.read(file);
        if (!operations || *operations != socket_operations_) continue;
        const auto socket = private_data_.read(file);
        if (!socket || !is_kernel_pointer(*socket)) continue;
        const auto sock = sock_.read(memory, *socket);
        const auto inode = inode_number_.read(memory, allocated_.owner(*socket));
        const SocketOwner owner{pid, first + bit, process};
        if (owners_left_ == 0) return;
        --owners_left_;
        if (sock && *sock) by_sock_[*sock].push_back(owner);
        if (inode && *inode != 0) by_inode_[*inode].push_back(owner);
      }
    }
  }
}

const std::vector<SocketOwner>& SocketOwners::of(Gva sock, std::uint64_t inode) const {
  static const std::vector<SocketOwner> kNobody;
  if (const auto found = by_sock_.find(sock); found != by_sock_.end()) return found->second;
  if (inode != 0) {
    if (const auto found = by_inode_.find(inode); found != by_inode_.end()) return found->second;
  }
  return kNobody;
}

}  // namespace vitrine::linux::net
