#include "probe/agent/plugin_abi.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace vitrine::probe {
namespace {

void* look_up_here(const char* name) { return ::dlsym(RTLD_DEFAULT, name); }

struct Finder {
  void* (*look_up)(const char*);
  std::string missing;

  template <class Function>
  void find(Function& into, const char* name) {
    into = reinterpret_cast<Function>(look_up(name));
  }
  template <class Function>
  void need(Function& into, const char* name) {
    find(into, name);
    if (into == nullptr) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name);
  }
};

}  // namespace

Outcome<PluginApi> find_plugin_api(const PluginInfo& info) {
  return find_plugin_api(info, look_up_here);
}

Outcome<PluginApi> find_plugin_api(const PluginInfo& info, void* (*look_up)(const char* name)) {
  const std::string_view target = info.target_name != nullptr ? info.target_name : "";
  if (target != "x86_64") {
    return std::unexpected(Problem(
        Errc::unsupported, fmt::format("the guest is {}, and only x86_64 is served", target)));
  }
  if (!info.system_emulation) {
    return std::unexpected(Problem(Errc::unsupported, "this QEMU runs a program, not a machine"));
  }
  if (info.version.cur < kLeastPluginApi) {
    return std::unexpected(
        Problem(Errc::unsupported,
                fmt::format("this QEMU has plugin interface {}; {} is needed (QEMU 9.1 or newer)",
                            info.version.cur, kLeastPluginApi)));
  }
  PluginApi api;
  api.version = info.version.cur;
  Finder of{look_up, {}};
  of.need(api.reset, "qemu_plugin_reset");
  of.need(api.on_vcpu_init, "qemu_plugin_register_vcpu_init_cb");
  of.need(api.on_vcpu_idle, "qemu_plugin_register_vcpu_idle_cb");
  of.need(api.on_vcpu_resume, "qemu_plugin_register_vcpu_resume_cb");
  of.need(api.on_block, "qemu_plugin_register_vcpu_tb_trans_cb");
  of.need(api.on_exit, "qemu_plugin_register_atexit_cb");
  of.need(api.on_execute, "qemu_plugin_register_vcpu_insn_exec_cb");
  of.need(api.on_memory, "qemu_plugin_register_vcpu_mem_cb");
  of.need(api.inline_execute, "qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu");
  of.need(api.block_size, "qemu_plugin_tb_n_insns");
  of.need(api.block_address, "qemu_plugin_tb_vaddr");
  of.need(api.block_instruction, "qemu_plugin_tb_get_insn");
  of.need(api.instruction_bytes, "qemu_plugin_insn_data");
  of.need(api.instruction_address, "qemu_plugin_insn_vaddr");
  of.need(api.memory_size_shift, "qemu_plugin_mem_size_shift");
  of.need(api.memory_is_store, "qemu_plugin_mem_is_store");
  of.need(api.vcpu_count, "qemu_plugin_num_vcpus");
  of.need(api.registers, "qemu_plugin_get_registers");
  of.need(api.read_register, "qemu_plugin_read_register");
  of.need(api.new_scoreboard, "qemu_plugin_scoreboard_new");
  of.need(api.free_scoreboard, "qemu_plugin_scoreboard_free");
  of.need(api.scoreboard_entry, "qemu_plugin_scoreboard_find");
  of.need(api.bytes_new, "g_byte_array_new");
  of.need(api.bytes_resize, "g_byte_array_set_size");
  of.need(api.bytes_free, "g_byte_array_free");
  of.need(api.array_free, "g_array_free");
  if (!of.missing.empty()) {
    return std::unexpected(
        Problem(Errc::unsupported, fmt::format("this QEMU lacks {}", of.missing)));
  }
  of.find(api.on_flush, "qemu_plugin_register_flush_cb");
  of.find(api.memory_value, "qemu_plugin_mem_get_value");
  of.find(api.read_memory, "qemu_plugin_read_memory_vaddr");
  of.find(api.write_memory, "qemu_plugin_write_memory_vaddr");
  of.find(api.write_register, "qemu_plugin_write_register");
  of.find(api.physical, "qemu_plugin_get_hwaddr");
  of.find(api.physical_address, "qemu_plugin_hwaddr_phys_addr");
  of.find(api.cpu, "qemu_get_cpu");
  of.find(api.run_on_cpu, "async_run_on_cpu");
  of.find(api.run_alone, "async_safe_run_on_cpu");
  of.find(api.debug_memory, "cpu_memory_rw_debug");
  of.find(api.on_machine_reset, "qemu_register_reset");
  return api;
}

}  // namespace vitrine::probe
