#include "fvm/sensor/sensor_main.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "fvm/log_line.h"
#include "fvm/messages.h"
#include "fvm/packet.h"
#include "fvm/sandbox/seccomp.h"
#include "fvm/sensor/sensor.h"
#include "symptom/patterns/pattern_set.h"

namespace vitrine::fvm {
namespace {

constexpr int kChannel = 3, kControl = 4, kDoor = 5, kPack = 6;

int failed(const Problem& problem) {
  log_line("vitrine-fvm", problem.message);
  return 1;
}

/// The RAM files, asked for once and copied at each try.
class Door {
 public:
  explicit Door(FileDescriptor socket) : socket_(std::move(socket)) {}

  Result<std::vector<RamFile>> files(const Orders&) {
    if (files_.empty()) {
      auto packet = TRY(receive_packet(socket_.get(), sizeof(RamPacket), true));
      if (!packet) return fail(Errc::vanished, 0, "the door");
      const auto ram = packet_as<RamPacket>(packet->bytes);
      if (!ram || ram->files != packet->descriptors.size() || ram->files > kMostRamFiles) {
        return fail(Errc::malformed, 0, "the RAM packet");
      }
      for (std::size_t i = 0; i < packet->descriptors.size(); ++i) {
        files_.push_back({ram->kinds[i] == 0 ? RamFile::Kind::shared : RamFile::Kind::process,
                          std::move(packet->descriptors[i])});
      }
      socket_.reset();
    }
    std::vector<RamFile> copies;
    for (const auto& one : files_) {
      copies.push_back({one.kind, FileDescriptor(::fcntl(one.file.get(), F_DUPFD_CLOEXEC, 3))});
    }
    return copies;
  }

 private:
  FileDescriptor socket_;
  std::vector<RamFile> files_;
};

}  // namespace

Outcome<symptom::Pack> read_pack(int file) {
  struct stat status{};
  if (::fstat(file, &status) != 0 || status.st_size > std::int64_t{64} << 20) {
    return std::unexpected(Problem(Errc::io, "the pack cannot be read"));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto got =
        ::pread(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got <= 0) return std::unexpected(Problem(Errc::io, "the pack cannot be read"));
    done += static_cast<std::size_t>(got);
  }
  return TRY(symptom::Pack::from_bytes(bytes));
}

void run_sensor(const volatile std::byte* page, Pulse& pulse, Reporter& reporter, RamSource ram,
                const symptom::Pack& pack, std::span<const Rule> rules) {
  std::shared_ptr<const symptom::PatternSet> patterns;
  Sensor sensor(page, pulse, reporter, std::move(ram),
                [&](const linux::Kernel& kernel, std::function<void()> turn) {
                  return symptom::Engine::create(kernel, pack,
                                                 {.compiled = patterns, .turn = std::move(turn)});
                });
  sensor.run([&]() -> Outcome<void> {
    TRY(lock_down(rules));
    patterns = std::make_shared<const symptom::PatternSet>(symptom::PatternSet::compile(pack));
    ::malloc_trim(0);
    return {};
  });
}

int run_process_sensor() {
  Pulse* pulse = create_pulse();
  if (pulse == nullptr) return failed(Problem(Errc::io, "no room for the pulse"));
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  const auto pack = read_pack(kPack);
  if (!pack) return failed(pack.error());
  ::close(kPack);
  void* page = ::mmap(nullptr, kControlBytes, PROT_READ, MAP_SHARED, kControl, 0);
  if (page == MAP_FAILED) return failed(Problem(Errc::io, "no control page"));
  ::close(kControl);
  if (const auto files = restrict_files({}); !files) return failed(files.error());

  Reporter reporter{FileDescriptor(kChannel)};
  Door door{FileDescriptor(kDoor)};
  run_sensor(
      static_cast<const volatile std::byte*>(page), *pulse, reporter,
      [&](const Orders& orders) { return door.files(orders); }, *pack, sensor_rules());
  return 0;
}

}  // namespace vitrine::fvm
