// vitrine-libvirt URI DOMAIN: QMP on descriptor 3, carried out by libvirt. vitrined starts one for
// each domain that it guards.
#include <fmt/format.h>
#include <libvirt/virterror.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>

#include "fvm/log_line.h"
#include "fvm/relay/libvirt_monitor.h"
#include "fvm/sandbox/capabilities.h"

int main(int argc, char** argv) {
  using namespace vitrine;
  using namespace vitrine::fvm;
  if (argc != 3) {
    fmt::print(stderr, "usage: vitrine-libvirt URI DOMAIN, with a socket as descriptor 3\n");
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // told once, by us
  LibvirtMonitor monitor(argv[1], argv[2]);
  auto done = give_up_capabilities();
  if (done) done = monitor.open();
  if (done) done = relay_qmp(FileDescriptor(3), monitor);
  if (!done) log_line("vitrine-libvirt", fmt::format("{}: {}", argv[2], done.error().message));
  // A call that libvirt does not answer must not hold up the end.
  ::_exit(done ? 0 : 1);
}
