// What a CPU says of the code that it translates, and what is made of it.
#include "probe/agent/translating_cpu.h"

#include <gtest/gtest.h>

#include <cstring>

namespace vitrine::probe {
namespace {

/// A QEMU whose one CPU has these registers; `told` false: it tells none while it translates.
struct FakeCpu {
  static inline std::uint64_t cs = 0, flags = 0, cr4 = 0;
  static inline bool told = true;

  static PluginApi api() {
    static std::array<char, 8> room;
    static GlibBytes bytes{reinterpret_cast<std::uint8_t*>(room.data()), 0};
    static std::array<std::uintptr_t, 15> words;
    static GlibArray list{reinterpret_cast<char*>(words.data()), 5};
    constexpr std::array<const char*, 5> kNames = {"rax", "rbx", "cs", "eflags", "cr4"};
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      words[3 * i] = i + 1;
      words[3 * i + 1] = reinterpret_cast<std::uintptr_t>(kNames[i]);
    }
    PluginApi api;
    api.bytes_new = [] { return &bytes; };
    api.bytes_resize = [](GlibBytes* which, unsigned size) {
      which->len = size;
      return which;
    };
    api.bytes_free = [](GlibBytes*, int) -> std::uint8_t* { return nullptr; };
    api.array_free = [](GlibArray*, int) {};
    api.registers = [] { return &list; };
    api.read_register = [](PluginRegister* which, GlibBytes* into) {
      if (!told) return -1;
      const auto value = reinterpret_cast<std::uintptr_t>(which) == 3   ? cs
                         : reinterpret_cast<std::uintptr_t>(which) == 4 ? flags
                                                                        : cr4;
      std::memcpy(into->data, &value, sizeof value);
      into->len = sizeof value;
      return 8;
    };
    return api;
  }
  static CodeMode mode(std::uint64_t code, std::uint64_t eflags, std::uint64_t control) {
    cs = code;
    flags = eflags;
    cr4 = control;
    told = true;
    const auto interface = api();
    return TranslatingCpu(interface).mode().value_or(CodeMode{true, true});
  }
};

constexpr std::uint64_t kSmap = 1U << 21, kAccess = 1U << 18;

TEST(TranslatingCpu, KernelIsKeptOutOfProgramsMemoryBySmapAlone) {
  EXPECT_TRUE(FakeCpu::mode(0x10, 0x246, kSmap | 0x20).kept_out);
  EXPECT_FALSE(FakeCpu::mode(0x10, 0x246 | kAccess, kSmap | 0x20).kept_out);  // behind stac
  EXPECT_FALSE(FakeCpu::mode(0x10, 0x246, 0x20).kept_out);                    // no SMAP
  EXPECT_FALSE(FakeCpu::mode(0x33, 0x246, kSmap | 0x20).kept_out);            // a program's code
}

TEST(TranslatingCpu, WidthOfProgramsCode) {
  EXPECT_TRUE(FakeCpu::mode(0x23, 0x246, kSmap).narrow);
  EXPECT_FALSE(FakeCpu::mode(0x33, 0x246, kSmap).narrow);
  EXPECT_FALSE(FakeCpu::mode(0x10, 0x246, kSmap).narrow);
}

TEST(TranslatingCpu, SaysNothingWhereRegistersAreNotTold) {
  const auto interface = FakeCpu::api();
  FakeCpu::told = false;
  EXPECT_FALSE(TranslatingCpu(interface).mode());
}

}  // namespace
}  // namespace vitrine::probe
