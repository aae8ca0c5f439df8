// Bytes in sealed memory, as a descriptor that can only be read.
#pragma once

#include "base/bytes.h"
#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// A memfd with these bytes that nobody can change any more, opened for reading alone.
/// @returns io  no memory for it
[[nodiscard]] Outcome<FileDescriptor> sealed_file(const char* name, Bytes bytes);

}  // namespace vitrine::fvm
