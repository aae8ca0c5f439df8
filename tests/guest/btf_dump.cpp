// Writes what our BTF parser sees, one line a fact, for tests/guest/btf_oracle.py to
// compare with what bpftool and pahole see in the same blob.
//
//   btf_dump layout BLOB [BASE]      every type: its number, kind, name, size, elements
//   btf_dump format BLOB NAME...     definitions, as `vitrine type` prints them
//   btf_dump time BLOB [BASE]        best of 20: parse and index, milliseconds; memory
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "linux/type_catalogue.h"
#include "linux/type_format.h"

using namespace vitrine;

namespace {

std::vector<std::byte> read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

std::shared_ptr<const btf::Btf> parse(const char* path, std::shared_ptr<const btf::Btf> base) {
  auto parsed = btf::Btf::parse(read_file(path), std::move(base));
  if (!parsed) {
    fmt::print(stderr, "{}: {}\n", path, describe(parsed.error()));
    std::exit(1);
  }
  return *parsed;
}

void layout(const btf::Btf& blob) {
  for (std::uint32_t id = blob.first_id(); id < blob.end_id(); ++id) {
    const btf::Type type = blob.type(btf::TypeId{id});
    fmt::print("T {} {} {} {} {} {}\n", id, name(type.kind()), type.size(), type.count(),
               std::to_underlying(type.target().id()), type.name());
    for (const btf::Member& each : type.members()) {
      fmt::print("M {} {} {} {}\n", each.bit_offset, each.bit_width,
                 std::to_underlying(each.type.id()), each.name);
    }
    for (const btf::Enumerator& each : type.enumerators())
      fmt::print("E {} {}\n", each.value, each.name);
    for (const btf::Parameter& each : type.parameters()) {
      fmt::print("P {} {}\n", std::to_underlying(each.type.id()), each.name);
    }
    for (const btf::SectionVariable& each : type.section_variables()) {
      fmt::print("V {} {} {}\n", std::to_underlying(each.variable.id()), each.offset, each.size);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: btf_dump layout|format|time BLOB [BASE|NAME...]\n", stderr);
    return 2;
  }
  const std::string_view what = argv[1];
  std::shared_ptr<const btf::Btf> base;
  if (what != "format" && argc > 3) base = parse(argv[3], nullptr);
  if (what == "time") {
    double best = 1e9;
    std::size_t memory = 0, types = 0;
    for (int i = 0; i < 20; ++i) {
      auto bytes = read_file(argv[2]);
      const auto before = std::chrono::steady_clock::now();
      const auto parsed = btf::Btf::parse(std::move(bytes), base);
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - before;
      if (!parsed) return 1;
      best = std::min(best, took.count());
      memory = (*parsed)->memory_bytes();
      types = (*parsed)->end_id() - (*parsed)->first_id();
    }
    fmt::print("{} types, {:.2f} ms, {} KiB\n", types, best, memory / 1024);
    return 0;
  }
  const auto blob = parse(argv[2], base);
  if (what == "layout") {
    layout(*blob);
    return 0;
  }
  const linux::TypeCatalogue types(blob);
  for (int i = 3; i < argc; ++i) {
    const auto type = types.type(argv[i]);
    if (!type) {
      fmt::print(stderr, "{}\n", type.error().message);
      return 1;
    }
    std::fputs(linux::format_type(*type).c_str(), stdout);
  }
  return 0;
}
