// The one door of the command-line floor.
#pragma once

namespace vitrine::cli {

/// Parses the words, runs the command, prints. @returns the process's exit status.
int run(int argc, char** argv);

}  // namespace vitrine::cli
