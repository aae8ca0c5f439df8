#include "probe/agent/agent.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "probe/agent/control_server.h"
#include "probe/agent/plugin_support.h"
#include "probe/agent/tcg_engine.h"

namespace vitrine::probe {
namespace {

struct Agent {
  TcgEngine engine;
  ControlServer server{engine};
};

// Lives as long as QEMU: translated code and queued work point into it.
Agent* the_agent = nullptr;

int refuse(std::string_view why) {
  fmt::print(stderr, "vitrine-agent: {}\n", why);
  return 1;
}

void machine_ends(PluginId, void*) {
  if (the_agent != nullptr) the_agent->server.stop();
}

}  // namespace

std::string agent_directory(unsigned uid) {
  const auto runtime = fmt::format("/run/user/{}", uid);
  struct stat status{};
  if (::stat(runtime.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == uid)
    return runtime + "/vitrine";
  return fmt::format("/tmp/vitrine-{}", uid);
}

void tell_if_too_old() {
  const auto has = [](const char* name) { return ::dlsym(RTLD_DEFAULT, name) != nullptr; };
  if (has(kOfAnyPlugins) && !has(kSince91))
    (void)refuse("this QEMU is too old: QEMU 9.1 or newer is needed");
}

int install_agent(PluginId id, const PluginInfo& info, int argc, char** argv) {
  std::string directory = agent_directory(::geteuid());
  bool plain = false;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.starts_with("dir=") && word.size() > 4)
      directory = word.substr(4);
    else if (word == "plain=on")
      plain = true;
    else
      return refuse(fmt::format("no such argument: {} (there is dir=DIRECTORY)", word));
  }
  if (the_agent != nullptr) return refuse("it is loaded already");
  auto api = find_plugin_api(info);
  if (!api) return refuse(api.error().message);
  if (plain) {  // for tests: as in a QEMU that exports the interface alone
    api->cpu = nullptr;
    api->run_on_cpu = nullptr;
    api->run_alone = nullptr;
    api->debug_memory = nullptr;
    api->on_machine_reset = nullptr;
  }
  const auto vcpus = static_cast<unsigned>(std::max(info.system.max_vcpus, 1));
  the_agent = new Agent{TcgEngine(*api, id, vcpus)};
  the_agent->engine.install();
  if (auto started = the_agent->server.start(directory); !started)
    return refuse(started.error().message);
  api->on_exit(id, machine_ends, nullptr);
  return 0;
}

}  // namespace vitrine::probe
