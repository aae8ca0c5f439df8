#include "fvm/supervisor/microvm.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "evidence/entry.h"
#include "fvm/super/program_text.h"
#include "fvm/supervisor/sealed_file.h"

namespace vitrine::fvm {
namespace {

Outcome<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("the FVM image has no {}", path),
                "guests/guest fvm-image FOLDER --sensor vitrine-fvm --rules rules builds one"));
  }
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

std::string sha256(std::string_view bytes) {
  evidence::Hash hash;
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(hash.data()),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return evidence::hexadecimal(hash);
}

Outcome<std::pair<FileDescriptor, FileDescriptor>> stream_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return std::unexpected(Problem(Errc::io, "no socket pair"));
  return std::pair(FileDescriptor(ends[0]), FileDescriptor(ends[1]));
}

}  // namespace

Outcome<FvmImage> FvmImage::load(const std::string& folder) {
  FvmImage image;
  std::map<std::string, std::string> measured;
  std::istringstream lines(TRY(read_file(folder + "/measure.txt")));
  for (std::string kind, value, name; lines >> kind >> value;) {
    if (kind == "release")
      image.release = value;
    else if (kind == "sha256" && lines >> name)
      measured[name] = value;
  }
  for (const auto* name : {"vmlinuz", "initrd.img"}) {
    const auto bytes = TRY(read_file(folder + "/" + name));
    const auto hash = sha256(bytes);
    if (measured[name] != hash) {
      return std::unexpected(Problem(
          Errc::denied,
          fmt::format("{}/{} is not what was measured when the image was built: SHA-256 {}, not {}",
                      folder, name, hash, measured[name].empty() ? "(none)" : measured[name]),
          "no FVM is started from it; build the image anew"));
    }
    auto file = TRY(sealed_file(name, bytes_of(bytes)));
    if (std::string_view(name) == "vmlinuz")
      image.kernel = std::move(file);
    else
      image.initrd = std::move(file), image.measurement = hash;
    if (std::string_view(name) != "initrd.img") continue;
    const auto init = file_in_archive(bytes_of(bytes), "init");
    if (!init || !program_text(*init))
      return std::unexpected(
          Problem(Errc::malformed, fmt::format("{}/{} has no program of ours", folder, name)));
    image.init = TRY(sealed_file("vitrine-fvm-init", *init));
  }
  return image;
}

Outcome<FvmProcess> start_microvm_fvm(const FvmImage& image, const MicrovmOptions& options,
                                      uid_t user) {
  auto channel = TRY(stream_pair());
  auto monitor = TRY(stream_pair());
  auto page = TRY(ControlPage::create());
  FileDescriptor writable(::fcntl(page.file(), F_DUPFD_CLOEXEC, 3));
  // Its RAM is a file of ours: the Super FVM reads it where it lies.
  const std::uint64_t ram_size = std::uint64_t{options.memory_mib} << 20;
  const FileDescriptor ram(::memfd_create("vitrine-fvm-ram", MFD_CLOEXEC));
  if (!ram || ::ftruncate(ram.get(), static_cast<off_t>(ram_size)) != 0)
    return std::unexpected(Problem(Errc::io, "no memory for a microVM"));
  FileDescriptor ram_to_read(
      ::open(fmt::format("/proc/self/fd/{}", ram.get()).c_str(), O_RDONLY | O_CLOEXEC));
  const FileDescriptor readable(
      ::open(fmt::format("/proc/self/fd/{}", page.file()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!writable || !readable || !ram_to_read)
    return std::unexpected(Problem(Errc::io, "the control page cannot be opened"));
  // Inside the box: 3 kernel, 4 initramfs, 5 verdicts, 6 monitor, 7 control page, 8 RAM.
  std::vector<std::string> words = {
      "qemu-system-x86_64",
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
      "-name",
      "vitrine-fvm",
      "-machine",
      fmt::format("q35,accel={},usb=off,smbus=off,sata=off,vmport=off,memory-backend=ram",
                  options.accelerator),
      "-cpu",
      "max,phys-bits=48",
      "-smp",
      "1",
      "-m",
      fmt::format("{}M", options.memory_mib),
      "-object",
      fmt::format("memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/8,share=on",
                  options.memory_mib),
      "-kernel",
      "/proc/self/fd/3",
      "-initrd",
      "/proc/self/fd/4",
      "-append",
      "quiet panic=-1 loglevel=3 random.trust_cpu=on tsc=reliable no_timer_check pci=realloc=off ",
      "-device",
      "virtio-serial-pci,max_ports=2",
      "-chardev",
      "socket,id=verdict,fd=5",
      "-device",
      "virtserialport,chardev=verdict,name=vitrine.verdict",
      "-chardev",
      "socket,id=monitor,fd=6",
      "-mon",
      "chardev=monitor,mode=control",
      "-object",
      fmt::format("memory-backend-file,id=control,size={},mem-path=/proc/self/fd/"
                  "7,share=on,readonly=on,rom=on",
                  kControlBytes),
      "-device",
      "ivshmem-plain,memdev=control,bus=pcie.0,addr=0x10"};
  for (unsigned port = 0; port < kRamPorts; ++port) {
    words.insert(
        words.end(),
        {"-device",
         fmt::format(
             "pcie-root-port,id=ram{},chassis={},slot={},bus=pcie.0,addr={:#x},pref64-reserve=64G",
             port, port + 1, port + 1, 0x11 + port)});
  }
  // QEMU's own filter: no new programs, no new rights, no scheduling.
  words.insert(
      words.end(),
      {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  FvmProcess fvm{
      .isolation = Isolation::microvm, .user = user, .started = std::chrono::steady_clock::now()};
  fvm.process = TRY(
      start_in_box({.program = options.qemu,
                    .words = std::move(words),
                    .descriptors = {image.kernel.get(), image.initrd.get(), channel.second.get(),
                                    monitor.second.get(), readable.get(), ram.get()},
                    .binds = {{"/usr", "/usr", false, true}},
                    .links = {{"/lib", "usr/lib"}, {"/lib64", "usr/lib64"}, {"/bin", "usr/bin"}},
                    .proc = true,
                    .user = user,
                    .descriptor_limit = 256,
                    .file_limit = kLongestLog,
                    .nice = kWatcherNice,
                    .log = options.log}));
  fvm.channel = std::move(channel.first);
  fvm.control = std::move(writable);
  fvm.door = std::move(monitor.first);
  fvm.ram = std::move(ram_to_read);
  fvm.ram_size = ram_size;
  return fvm;
}

}  // namespace vitrine::fvm
