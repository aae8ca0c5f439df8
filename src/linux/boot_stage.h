// How far a kernel is that has just been started.
#pragma once

namespace vitrine::linux {

class Kernel;

/// A CPU runs this kernel (as far as the monitor can be asked), and its boot is past the patching
/// of its own code (alternatives, returns): where its functions end can be read off it.
/// Cost: the monitor, asked once (about 2 ms).
[[nodiscard]] bool is_up(const Kernel& kernel);

}  // namespace vitrine::linux
