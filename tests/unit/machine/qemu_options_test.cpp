#include "machine/qemu_options.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/address.h"
#include "machine/confidential.h"

namespace vitrine {
namespace {

QemuOptions options_of(const std::string& line) {
  std::istringstream words(line);
  std::vector<std::string> all;
  for (std::string word; words >> word;) all.push_back(word);
  return parse_qemu_options(all);
}

TEST(Size, AsQemuReadsIt) {
  EXPECT_EQ(parse_size("512", kMiB), 512 * kMiB);
  EXPECT_EQ(parse_size("4G", kMiB), 4 * kGiB);
  EXPECT_EQ(parse_size("1.5G"), kGiB + kGiB / 2);
  EXPECT_EQ(parse_size("0x1000"), 4096U);
  EXPECT_EQ(parse_size("64k"), 65536U);
  EXPECT_EQ(parse_size("100b"), 100U);
  EXPECT_EQ(parse_size("2T"), 2048 * kGiB);
  for (const auto* bad :
       {"", "G", "-1", "4X", "4GG", "99999999999999999999G", "nan", "1e30", "inf"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(Options, WhatLibvirtStarts) {
  const auto options = options_of(
      "qemu -name guest=one,debug-threads=on -uuid 57d4b3fd-4c38-4ef6-837f-994f1f05a35f -chardev "
      "socket,id=charmonitor,fd=23,server=on,wait=off -mon "
      "chardev=charmonitor,id=monitor,mode=control");
  EXPECT_EQ(options.name, "one");
  EXPECT_EQ(options.uuid, "57d4b3fd-4c38-4ef6-837f-994f1f05a35f");
  EXPECT_TRUE(options.of_libvirt);
  EXPECT_EQ(options.monitors.at(0).socket_fd, 23);
  EXPECT_FALSE(options_of("qemu -qmp unix:/run/q,server=on").of_libvirt);
}

TEST(Options, MemoryInAllItsForms) {
  EXPECT_EQ(options_of("qemu").memory_bytes, 128 * kMiB);
  EXPECT_EQ(options_of("qemu -m 300").memory_bytes, 300 * kMiB);
  EXPECT_EQ(options_of("qemu -m 4G,slots=2,maxmem=8G").memory_bytes, 4 * kGiB);
  EXPECT_EQ(options_of("qemu -m slots=2,size=1048576k,maxmem=8G").memory_bytes, kGiB);
  EXPECT_EQ(options_of("qemu --m mem=256M").memory_bytes, 256 * kMiB);
  EXPECT_EQ(options_of("qemu -m nonsense").memory_bytes, 128 * kMiB);
}

TEST(Options, NamesAndCounts) {
  EXPECT_EQ(options_of("qemu -name web1").name, "web1");
  EXPECT_EQ(options_of("qemu -name guest=web1,debug-threads=on").name, "web1");
  EXPECT_EQ(options_of("qemu -name a,,b,process=c").name, "a,b");
  EXPECT_EQ(options_of("qemu -smp 4").vcpus, 4U);
  EXPECT_EQ(options_of("qemu -smp cpus=3,maxcpus=8").vcpus, 3U);
  EXPECT_EQ(options_of("qemu -smp sockets=2,cores=3,threads=2").vcpus, 12U);
  EXPECT_EQ(options_of("qemu").vcpus, 1U);
}

TEST(Options, MachineAndAccelerator) {
  const auto options =
      options_of("qemu -M q35,accel=kvm -machine max-ram-below-4g=1G,memory-backend=ram");
  EXPECT_EQ(options.machine_type, "q35");
  EXPECT_EQ(options.accelerator, "kvm");
  EXPECT_EQ(options.machine.at("max-ram-below-4g"), "1G");
  EXPECT_EQ(options_of("qemu -enable-kvm").accelerator, "kvm");
  EXPECT_EQ(options_of("qemu -accel tcg,thread=multi -machine type=pc-q35-8.2").machine_type,
            "pc-q35-8.2");
}

TEST(Options, WhatKeepsItsMemoryFromTheHost) {
  const auto support = [](const char* line) { return confidential_support(options_of(line)); };
  EXPECT_EQ(support("qemu -machine q35,confidential-guest-support=sev0 -object "
                    "sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1"),
            "confidential-guest-support=sev0");
  EXPECT_EQ(support(R"(qemu -object {"qom-type":"tdx-guest","id":"lsec0"} )"
                    R"(-machine {"type":"q35","confidential-guest-support":"lsec0"})"),
            "confidential-guest-support=lsec0");
  EXPECT_EQ(support("qemu -machine pc,memory-encryption=s -object sev-guest,id=s"),
            "memory-encryption=s");
  // An object alone makes no machine confidential.
  EXPECT_EQ(support("qemu -M q35 -object sev-guest,id=sev0"), "");
}

TEST(Options, TheirWordsAreNotOptions) {
  const auto options = options_of("qemu -append -m -m 64 -serial -name -name real -kernel -smp");
  EXPECT_EQ(options.memory_bytes, 64 * kMiB);
  EXPECT_EQ(options.name, "real");
  EXPECT_EQ(options.vcpus, 1U);
}

TEST(Options, AsLibvirtWritesThem) {
  const auto options = options_of(
      R"(/usr/bin/qemu-system-x86_64 -name guest=debian12,debug-threads=on -S )"
      R"(-object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/k"} )"
      R"(-machine pc-q35-7.2,usb=off,vmport=off,dump-guest-core=off,memory-backend=pc.ram -accel kvm -cpu host -m size=4194304k )"
      R"(-object {"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"size":4294967296} )"
      R"(-overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1 -uuid 1 -no-user-config -nodefaults )"
      R"(-chardev socket,id=charmonitor,fd=25,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control)");
  EXPECT_EQ(options.name, "debian12");
  EXPECT_EQ(options.memory_bytes, 4 * kGiB);
  ASSERT_EQ(options.ram_backends().size(), 1U);
  EXPECT_EQ(options.ram_backends()[0]->kind, "memfd");
  EXPECT_EQ(options.ram_backends()[0]->size_bytes, 4 * kGiB);
  EXPECT_EQ(options.ram_backends()[0]->share, true);
  ASSERT_EQ(options.monitors.size(), 1U);
  EXPECT_EQ(options.monitors[0].socket_fd, 25);
  EXPECT_TRUE(options.monitors[0].server);
}

TEST(Options, Monitors) {
  const auto options = options_of(
      "qemu -qmp unix:/run/a.sock,server,nowait -qmp-pretty tcp:localhost:4444,server=on -qmp "
      "unix:out.sock "
      "-chardev socket,id=h,path=/run/h,server=on -mon h,mode=readline -chardev stdio,id=s -mon "
      "chardev=s,mode=control "
      "-monitor stdio -qmp stdio -qmp chardev:h");
  ASSERT_EQ(options.monitors.size(), 4U);
  EXPECT_EQ(options.monitors[0].unix_path, "/run/a.sock");
  EXPECT_TRUE(options.monitors[0].server);
  EXPECT_EQ(options.monitors[1].port, "4444");
  EXPECT_FALSE(options.monitors[2].server);
  EXPECT_EQ(options.monitors[3].unix_path, "/run/h");
}

TEST(Options, NumaNodesInTheirOrder) {
  const auto options = options_of(
      "qemu -m 3G -object memory-backend-ram,id=b,size=2G -object "
      "memory-backend-file,id=a,size=1G,mem-path=/x,share=on "
      "-numa node,nodeid=1,memdev=b -numa node,nodeid=0,memdev=a -numa cpu,node-id=0,socket-id=0 "
      "-object memory-backend-ram,id=d,size=512M -device "
      "pc-dimm,id=dimm,memdev=d,addr=0x140000000");
  const auto ram = options.ram_backends();
  ASSERT_EQ(ram.size(), 2U);
  EXPECT_EQ(ram[0]->id, "a");
  EXPECT_EQ(ram[0]->path, "/x");
  EXPECT_EQ(ram[1]->id, "b");
  ASSERT_EQ(options.dimms.size(), 1U);
  EXPECT_EQ(options.dimms[0].address, 0x140000000U);
}

}  // namespace
}  // namespace vitrine
