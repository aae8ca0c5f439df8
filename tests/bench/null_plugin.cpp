// A QEMU plugin that looks at every block that is translated and does nothing: what QEMU itself
// charges for any plugin that looks at code. ./dev bench events sets the agent beside it.
//
// `-plugin null_plugin.so`: from the start. `,wish=PATH`: when a virtual CPU falls asleep and the
// file is there, as it says: "flush" has all code translated anew, "look" too, and looked at from
// then on. The file is removed when that is done.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

extern "C" {

// Declarations of our own, as in probe/agent/plugin_abi.h.
struct Block;
void qemu_plugin_register_vcpu_tb_trans_cb(std::uint64_t id,
                                           void (*callback)(std::uint64_t, Block*));
void qemu_plugin_register_vcpu_idle_cb(std::uint64_t id, void (*callback)(std::uint64_t, unsigned));
void qemu_plugin_reset(std::uint64_t id, void (*callback)(std::uint64_t));

namespace {

std::string wish;
std::atomic<bool> looks{false};

void look_at(std::uint64_t, Block*) {}

void on_idle(std::uint64_t id, unsigned);

void after_reset(std::uint64_t id) {
  qemu_plugin_register_vcpu_idle_cb(id, on_idle);
  if (looks) qemu_plugin_register_vcpu_tb_trans_cb(id, look_at);
  (void)::unlink(wish.c_str());
}

void on_idle(std::uint64_t id, unsigned) {
  auto* file = std::fopen(wish.c_str(), "re");
  if (file == nullptr) return;
  char word[8] = "";
  const auto size = std::fread(word, 1, sizeof word, file);
  (void)std::fclose(file);
  const std::string_view said(word, size);
  if (said != "flush" && said != "look") return;
  if (said == "look") looks = true;
  qemu_plugin_reset(id, after_reset);
}

}  // namespace

__attribute__((visibility("default"))) extern const int qemu_plugin_version;
const int qemu_plugin_version = 3;

__attribute__((visibility("default"))) int qemu_plugin_install(std::uint64_t id, const void*,
                                                               int count, char** words);
int qemu_plugin_install(std::uint64_t id, const void*, int count, char** words) {
  const std::string_view first = count > 0 ? words[0] : "";
  if (first.starts_with("wish=")) {
    wish = first.substr(5);
    qemu_plugin_register_vcpu_idle_cb(id, on_idle);
  } else {
    looks = true;
    qemu_plugin_register_vcpu_tb_trans_cb(id, look_at);
  }
  return 0;
}
}
