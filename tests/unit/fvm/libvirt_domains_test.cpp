// Finding libvirt's domains by its notes: what is no domain that runs is passed over.
#include "fvm/supervisor/libvirt_domains.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace vitrine;
using namespace vitrine::fvm;

namespace {

TEST(LibvirtDomains, NotesThatAreNone) {
  char folder[] = "/tmp/vitrine-domains-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const auto note = [&](const char* name, const std::string& text) {
    std::ofstream(std::string(folder) + "/" + name) << text;
  };
  note("driver.pid", std::to_string(::getpid()));  // libvirt's own: no QEMU
  note("gone.pid", "4194303");
  note("empty.pid", "");
  note("words.pid", "12x");
  note("negative.pid", "-1");
  note("-option.pid", std::to_string(::getpid()));
  note("web1.xml", "1");
  EXPECT_TRUE(list_domains(folder).empty());
  EXPECT_TRUE(list_domains(std::string(folder) + "/none").empty());
  std::filesystem::remove_all(folder);
}

TEST(LibvirtDomains, OfThisHostAlone) {
  EXPECT_EQ(libvirt_run_folder("qemu:///system").value_or(""), "/run/libvirt/qemu");
  for (const auto* uri : {"", "xen:///", "qemu+ssh://host/system", "qemu:///embed"})
    EXPECT_FALSE(libvirt_run_folder(uri)) << uri;
}

}  // namespace
