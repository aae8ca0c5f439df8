// microVM FVMs: QEMU with the measured image, and nothing else.
#pragma once

#include <string>

#include "base/problem.h"
#include "fvm/supervisor/fvm_process.h"

namespace vitrine::fvm {

/// The image, in sealed memory: what was checked is what is started.
struct FvmImage {
  FileDescriptor kernel, initrd;
  FileDescriptor init;  ///< the program in the initramfs, as it was measured
  std::string release;
  std::string measurement;  ///< the SHA-256 of the initramfs, in hexadecimal

  /// Reads FOLDER's vmlinuz and initrd.img and checks them against FOLDER/measure.txt.
  /// @returns not_found  there is none: what builds one is in the hint
  /// @returns denied     a file is not what was measured
  /// @returns malformed  an initramfs without a program of ours
  [[nodiscard]] static Outcome<FvmImage> load(const std::string& folder);
};

struct MicrovmOptions {
  std::string qemu = "/usr/bin/qemu-system-x86_64";
  std::string accelerator = "tcg";  ///< or "kvm"
  unsigned memory_mib = 256;
  std::string log;
};

/// Starts one with no guest: QEMU in a box of its own, without network, disk or display. Its
/// `door` is a QMP connection to it. Errors as start_in_box().
[[nodiscard]] Outcome<FvmProcess> start_microvm_fvm(const FvmImage& image,
                                                    const MicrovmOptions& options, uid_t user);

/// How many pieces of RAM can be plugged into one, and how large each may be.
inline constexpr unsigned kRamPorts = 6;
inline constexpr std::uint64_t kLargestPiece = std::uint64_t{64} << 30;

}  // namespace vitrine::fvm
