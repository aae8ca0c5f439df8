// The commands, family by family; catalogue.cpp puts them in order.
#pragma once

#include "cli/command.h"

namespace vitrine::cli {

[[nodiscard]] Command vms_command();
[[nodiscard]] Command qemu_args_command();
[[nodiscard]] Command info_command();
[[nodiscard]] Command ps_command();
[[nodiscard]] Command pstree_command();
[[nodiscard]] Command threads_command();
[[nodiscard]] Command lsmod_command();
[[nodiscard]] Command lsof_command();
[[nodiscard]] Command ss_command();
[[nodiscard]] Command maps_command();
[[nodiscard]] Command mounts_command();
[[nodiscard]] Command dmesg_command();
[[nodiscard]] Command show_command();
[[nodiscard]] Command views_command();
[[nodiscard]] Command sym_command();
[[nodiscard]] Command type_command();
[[nodiscard]] Command mem_command();
[[nodiscard]] Command kernel_command();
[[nodiscard]] Command stack_command();
[[nodiscard]] Command top_command();
[[nodiscard]] Command profile_command();
[[nodiscard]] Command scan_command();
[[nodiscard]] Command evidence_command();
[[nodiscard]] Command fvm_command();
[[nodiscard]] Command check_command();
[[nodiscard]] Command explain_command();
[[nodiscard]] Command fmt_command();
[[nodiscard]] Command language_server_command();
[[nodiscard]] Command probes_command();
[[nodiscard]] Command demo_command();
[[nodiscard]] Command run_command();
[[nodiscard]] Command request_command();
[[nodiscard]] Command help_command();
[[nodiscard]] Command completion_command();
[[nodiscard]] Command complete_command();  ///< hidden: the candidates of a completion
[[nodiscard]] Command man_command();

}  // namespace vitrine::cli
