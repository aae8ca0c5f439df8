// vitrine mem: bytes, where they lie.
#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "cli/address_words.h"
#include "cli/collect.h"
#include "cli/commands/families.h"
#include "cli/hex_dump.h"
#include "cli/problem_printer.h"
#include "cli/session.h"
#include "cli/symbol_words.h"
#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

constexpr std::uint64_t kUsualLength = 256;
constexpr std::uint64_t kChunk = 64 * kKiB;

using ReadBytes = std::function<Result<void>(std::uint64_t from, MutableBytes into)>;

/// What is to be read, by the words.
struct Place {
  std::string address;
  std::uint64_t length = kUsualLength;
};

Outcome<Place> parse_place(const std::string& word) {
  const auto colon = word.rfind(':');
  if (colon == std::string::npos) return Place{word};
  return Place{word.substr(0, colon), TRY(parse_length(std::string_view(word).substr(colon + 1)))};
}

/// Fills what can be read and tells which bytes those are; page by page where the whole cannot be.
struct Chunk {
  std::vector<std::byte> bytes;
  std::unique_ptr<bool[]> readable;
  std::optional<Error> error;  ///< the first
};

Chunk read_chunk(const ReadBytes& read, std::uint64_t from, std::size_t size) {
  Chunk chunk{std::vector<std::byte>(size), std::make_unique<bool[]>(size), {}};
  const MutableBytes all(chunk.bytes);
  if (read(from, all)) {
    std::fill_n(chunk.readable.get(), size, true);
    return chunk;
  }
  for (std::size_t at = 0; at < size;) {
    const auto room = kPageSize - (from + at) % kPageSize;
    const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(size - at, room));
    const auto done = read(from + at, all.subspan(at, piece));
    std::fill_n(chunk.readable.get() + at, piece, done.has_value());
    if (!done && !chunk.error) chunk.error = done.error();
    at += piece;
  }
  return chunk;
}

Problem unreadable(std::uint64_t at, const Error& error) {
  return {error.code, fmt::format("nothing can be read at {:#x}: {}", at, describe(error)),
          error.code == Errc::not_present   ? "no page is there, or it is swapped out"
          : error.code == Errc::outside_ram ? "this is no RAM: a device, ROM, or nothing at all"
                                            : ""};
}

Outcome<Status> print_hex(std::uint64_t from, std::uint64_t length, const ReadBytes& read,
                          Console& console) {
  auto status = Status::done;
  bool any = false;
  std::optional<Error> first;
  for (std::uint64_t done = 0; done < length;) {
    const auto size = static_cast<std::size_t>(std::min(length - done, kChunk));
    const auto chunk = read_chunk(read, from + done, size);
    if (chunk.error && !first) first = chunk.error;
    any = any || std::any_of(chunk.readable.get(), chunk.readable.get() + size, std::identity());
    if (!any) {  // nothing yet: if nothing comes at all, say so instead of a page of ??
      if (done + size >= length) return std::unexpected(unreadable(from, *first));
    }
    for (std::size_t at = 0; at < size; at += kBytesPerLine) {
      const auto count = std::min(kBytesPerLine, size - at);
      const auto line = hex_line(from + done + at, Bytes(chunk.bytes).subspan(at, count),
                                 {chunk.readable.get() + at, count});
      if (!console.out.write(line + "\n")) return status;
    }
    done += size;
  }
  if (first) {
    console.remark(fmt::format("?? could not be read: {}", describe(*first)));
    status = Status::doubtful;
  }
  return status;
}

Outcome<Status> print_raw(std::uint64_t from, std::uint64_t length, const ReadBytes& read,
                          Console& console) {
  for (std::uint64_t done = 0; done < length;) {
    const auto size = static_cast<std::size_t>(std::min(length - done, kChunk));
    const auto chunk = read_chunk(read, from + done, size);
    const auto* begin = chunk.readable.get();
    const auto good = static_cast<std::size_t>(std::find(begin, begin + size, false) - begin);
    if (!console.out.write({reinterpret_cast<const char*>(chunk.bytes.data()), good}))
      return Status::done;
    if (good < size) {
      auto problem = unreadable(from + done + good, *chunk.error);
      problem.hint = fmt::format("{} of {} bytes were written; nothing is made up for the rest",
                                 done + good, length);
      return std::unexpected(std::move(problem));
    }
    done += size;
  }
  return Status::done;
}

Outcome<std::unique_ptr<VirtualMemory>> memory_of(std::int64_t pid, Context& context,
                                                  Session& session) {
  const auto found = TRY(collect("processes", {"pid", "address"}, {pid}, context, session));
  if (found.rows.empty()) {
    const std::int64_t absent[] = {pid};
    return std::unexpected(no_process(absent, session));
  }
  const Gva task{Collected::address(found.rows.front().values[1])};
  auto memory = session.guest().process_memory(task);
  if (!memory && memory.error().code == Errc::not_found) {
    memory.error().message = fmt::format("process {} has no memory of its own", pid);
  }
  return memory;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto place = TRY(parse_place(words.operands.front()));
  const auto pids = TRY(parse_pids(words));
  const bool physical = words.has("--physical");
  const bool raw = words.has("--raw");
  if (physical && !pids.empty()) {
    return std::unexpected(Problem(Errc::invalid, "--physical and --pid: choose one",
                                   "a physical address belongs to no process"));
  }
  if (pids.size() > 1)
    return std::unexpected(Problem(Errc::invalid, "--pid takes one process here"));
  if (raw && context.console.interactive) {
    return std::unexpected(Problem(Errc::invalid,
                                   "--raw would write the guest's bytes to this terminal",
                                   "redirect it: vitrine mem ... --raw > FILE"));
  }

  const auto by_number = [](std::string_view name) -> Outcome<Gva> {
    return std::unexpected(Problem(Errc::invalid,
                                   fmt::format("\"{}\" is no physical address", name),
                                   "symbols are virtual; leave --physical out"));
  };
  if (physical) {  // needs no kernel: firmware and boot loaders can be read too
    const auto from = TRY(parse_address(place.address, by_number));
    const auto machine = TRY(open_machine(context, words));
    const ReadBytes read = [&](std::uint64_t at, MutableBytes into) {
      return machine->memory().read(Gpa{at}, into);
    };
    return raw ? print_raw(from, place.length, read, context.console)
               : print_hex(from, place.length, read, context.console);
  }

  auto session = TRY(Session::open(context, words));
  const auto from = TRY(parse_address(
      place.address, [&](std::string_view name) { return find_symbol(session.guest(), name); }));
  std::unique_ptr<VirtualMemory> process;
  if (!pids.empty()) process = TRY(memory_of(pids.front(), context, session));
  const VirtualMemory& memory = process ? *process : session.guest().memory();
  const ReadBytes read = [&](std::uint64_t at, MutableBytes into) {
    return memory.read(Gva{at}, into);
  };
  const auto status = TRY(raw ? print_raw(from, place.length, read, context.console)
                              : print_hex(from, place.length, read, context.console));
  TRY(session.still_there());
  return status == Status::done ? session.status() : status;
}

}  // namespace

Command mem_command() {
  return {
      .name = "mem",
      .group = "Kernel",
      .summary = "memory as a hex dump, or raw",
      .operands = {{"VM", Words::machine}, {"ADDRESS[:LENGTH]", Words::symbol}},
      .options = {{"--pid", "N", "as this process sees it; else as the kernel does", Words::number},
                  {"--physical", "", "a guest-physical address; works before the kernel runs, too"},
                  {"--raw", "", "the bytes themselves, to a file or a pipe"},
                  {"--no-cache", "", "recover the kernel's symbols and types anew"}},
      .description =
          "ADDRESS is 0x..., a symbol, or symbol+offset; LENGTH (256 if left out) may end in "
          "K, M or G. What cannot be read is shown as ??; --raw stops there.",
      .examples = {"vitrine mem web1 linux_banner:128",
                   "vitrine mem web1 0x1000:4K --physical --raw > page",
                   "vitrine mem web1 0x7ffe0000 --pid 842"},
      .run = run};
}

}  // namespace vitrine::cli
