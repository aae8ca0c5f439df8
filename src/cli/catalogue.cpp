#include "cli/command.h"
#include "cli/commands/families.h"
#include "cli/commands/repl.h"

namespace vitrine::cli {

const std::vector<Command>& commands() {
  // One a line: several hands add to it.
  // clang-format off
  static const std::vector<Command> all = {
      vms_command(), qemu_args_command(),
      info_command(),
      ps_command(),
      pstree_command(),
      threads_command(),
      lsmod_command(),
      lsof_command(),
      ss_command(),
      maps_command(),
      mounts_command(),
      dmesg_command(),
      show_command(),
      views_command(),
      sym_command(),
      type_command(),
      mem_command(),
      stack_command(),
      kernel_command(),
      top_command(),
      run_command(),
      request_command(),
      profile_command(),
      check_command(),
      explain_command(),
      fmt_command(),
      probes_command(),
      language_server_command(),
      scan_command(),
      repl_command(),
      evidence_command(),
      fvm_command(),
      demo_command(),
      help_command(),
      completion_command(),
      complete_command(),
      man_command(),
  };
  // clang-format on
  return all;
}

}  // namespace vitrine::cli
