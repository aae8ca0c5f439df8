#include "format/image_kind.h"

#include <array>

#include "format/avml.h"
#include "format/kdump.h"

namespace vitrine::format {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::uint64_t offset;
  std::string_view bytes;
  ImageGuess guess;
};

constexpr auto kDecompress = "decompress it first"sv;
constexpr auto kDumpAgain =
    "take the dump again as ELF: `dump-guest-memory FILE` without -z/-l/-s"sv;
constexpr auto kNotMemory =
    "give a memory image; `dump-guest-memory FILE` in QEMU's monitor writes one"sv;
constexpr auto kRestore =
    "restore the machine and attach to it, or take `dump-guest-memory FILE`"sv;

constexpr std::array kMagics = {
    Magic{0,
          "\x7f"
          "ELF"sv,
          {ImageKind::elf, {}, {}}},
    Magic{0, "EMiL"sv, {ImageKind::lime, {}, {}}},
    Magic{0, kKdumpMagic, {ImageKind::kdump, {}, {}}},
    Magic{0, kFlattenedMagic, {ImageKind::kdump, {}, {}}},
    Magic{0, kAvmlMagic, {ImageKind::avml, {}, {}}},
    Magic{0, "DISKDUMP"sv, {ImageKind::other, "a diskdump", kDumpAgain}},
    Magic{0, "QFI\xfb"sv, {ImageKind::other, "a qcow2 disk", kNotMemory}},
    Magic{0, "KDMV"sv, {ImageKind::other, "a VMDK disk", kNotMemory}},
    Magic{0, "vhdxfile"sv, {ImageKind::other, "a VHDX disk", kNotMemory}},
    Magic{0, "QEVM"sv, {ImageKind::other, "a QEMU migration stream", kRestore}},
    Magic{0, "LibvirtQemudSave"sv, {ImageKind::other, "a libvirt save file", kRestore}},
    Magic{0, "LibvirtQemudPart"sv, {ImageKind::other, "an unfinished libvirt save file", kRestore}},
    Magic{0,
          "\xd0\xbe\xd2\xbe"sv,
          {ImageKind::other, "a VMware snapshot (vmss/vmsn)",
           "give the .vmem file that lies beside it"}},
    Magic{0,
          "\xd1\xba\xd1\xba"sv,
          {ImageKind::other, "a VMware snapshot (vmss/vmsn)",
           "give the .vmem file that lies beside it"}},
    Magic{0,
          "\xd2\xbe\xd2\xbe"sv,
          {ImageKind::other, "a VMware snapshot (vmss/vmsn)",
           "give the .vmem file that lies beside it"}},
    Magic{0,
          "\xd3\xbe\xd2\xbe"sv,
          {ImageKind::other, "a VMware snapshot (vmss/vmsn)",
           "give the .vmem file that lies beside it"}},
    Magic{
        0, "PAGEDU64"sv, {ImageKind::other, "a Windows crash dump", "only Linux guests are read"}},
    Magic{
        0, "PAGEDUMP"sv, {ImageKind::other, "a Windows crash dump", "only Linux guests are read"}},
    Magic{0,
          "EVF\x09\x0d\x0a\xff"sv,
          {ImageKind::other, "an EnCase (E01) image", "export it as raw"}},
    Magic{0, "\x1f\x8b"sv, {ImageKind::other, "compressed with gzip", kDecompress}},
    Magic{0, "\x28\xb5\x2f\xfd"sv, {ImageKind::other, "compressed with zstd", kDecompress}},
    Magic{0,
          "\xfd"
          "7zXZ\0"sv,
          {ImageKind::other, "compressed with xz", kDecompress}},
    Magic{0, "BZh"sv, {ImageKind::other, "compressed with bzip2", kDecompress}},
    Magic{0, "\x04\x22\x4d\x18"sv, {ImageKind::other, "compressed with lz4", kDecompress}},
    Magic{0, "\xff\x06\0\0sNaPpY"sv, {ImageKind::other, "compressed with snappy", kDecompress}},
    Magic{0, "7z\xbc\xaf\x27\x1c"sv, {ImageKind::other, "a 7z archive", kDecompress}},
    Magic{0, "PK\x03\x04"sv, {ImageKind::other, "a zip archive", kDecompress}},
    Magic{257, "ustar"sv, {ImageKind::other, "a tar archive", "unpack it first"}},
};

}  // namespace

ImageGuess guess_image(Bytes head) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  for (const auto& magic : kMagics) {
    if (text.size() >= magic.offset && text.substr(magic.offset).starts_with(magic.bytes))
      return magic.guess;
  }
  return {};
}

}  // namespace vitrine::format
