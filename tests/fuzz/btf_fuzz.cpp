// Parses a BTF blob of any bytes, and a split one upon it if the input has two; then
// asks of it all there is to ask: names, chains, members, paths, definitions. Whatever
// was accepted must answer, in bounded time.
//
// Input: 4 bytes, the length of the first blob; the blob; the rest is a module's.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "linux/field.h"
#include "linux/field_value.h"
#include "linux/type_format.h"
#include "linux/type_path.h"

using namespace vitrine;

namespace {

/// Memory that reads as its own addresses, so that pointers lead on.
class Echo final : public VirtualMemory {
 public:
  Result<void> read(Gva from, MutableBytes into) const override {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::byte>(from.value + i);
    return {};
  }
};

void require(bool holds) {
  if (!holds) std::abort();
}

void ask(const linux::TypeCatalogue& types, const btf::Btf& blob) {
  const Echo memory;
  unsigned printed = 0;
  for (std::uint32_t id = 0; id <= blob.end_id(); ++id) {
    const btf::Type type = blob.type(btf::TypeId{id});
    require(!type.resolved().is_modifier());
    require(type.resolved().size() == type.size() || type.kind() == btf::Kind::variable);
    (void)type.target().name();
    (void)type.is_signed();
    (void)type.linkage();
    (void)type.tagged_component();
    if (!type.name().empty() && id >= blob.first_id() && id < blob.end_id()) {
      require(blob.find(type.name(), type.kind()).has_value());
    }
    unsigned elements = 0;
    for (const btf::Member& each : type.members()) {
      if (++elements > 64) break;
      (void)each.type.size();
      if (each.name.empty() || printed > 200) continue;
      (void)type.find_member(each.name);
      const auto path = linux::MemberPath::compile(
          types, std::string(type.name()) + "." + std::string(each.name));
      if (path) (void)linux::read_value(memory, Gva{0xffff888000000000}, *path);
    }
    for (const btf::Enumerator& each : type.enumerators()) {
      if (++elements > 64) break;
      (void)type.enumerator_name(each.value);
    }
    for (const btf::SectionVariable& each : type.section_variables()) {
      if (++elements > 64) break;
      (void)each.variable.target();
    }
    // A definition may have 1 MiB of text: a few are enough.
    if (++printed <= 8) {
      const auto text = linux::format_type(type);
      require(text.size() < (3u << 20));
      for (const char each : text)
        require((each >= 0x20 && each < 0x7f) || each == '\n' || each == '\t');
    } else if (printed <= 200) {
      require(linux::type_name(type).size() < (1u << 20));
    }
  }
  (void)types.similar("task_strukt");
  (void)types.find_enumerator("PIDTYPE_MAX");
  (void)linux::Field<std::int64_t>::from(types, {"a.b", "task_struct.pid", "list_head.next->prev"});
  (void)linux::Field<std::string>::from(types, "task_struct.comm");
  for (const std::string_view path :
       {"task_struct.mm->exe_file->f_path.dentry", "a.b[3]->c", "s.a.b.c"}) {
    (void)linux::MemberPath::compile(types, path);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  const auto length = load<std::uint32_t>(input, 0);
  if (!length) return 0;
  const Bytes rest = input.subspan(4);
  const Bytes first = rest.first(std::min<std::size_t>(*length, rest.size()));
  const Bytes second = rest.subspan(first.size());
  auto types = linux::TypeCatalogue::parse({first.begin(), first.end()});
  if (!types) return 0;
  ask(*types, *types->vmlinux());
  const auto split = btf::Btf::parse({second.begin(), second.end()}, types->vmlinux());
  if (split && types->add_module("module", {second.begin(), second.end()})) ask(*types, **split);
  return 0;
}
