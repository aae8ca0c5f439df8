// What taps read: lines of QEMU's trace, keys, network cards, marks and markers.
#include <gtest/gtest.h>
#include <unistd.h>

#include "machine/key_text.h"
#include "machine/log_marker.h"
#include "machine/monitor.h"
#include "machine/network_cards.h"
#include "machine/trace_line.h"

namespace vitrine {
namespace {

TEST(TraceLine, of_keys) {
  const auto down = parse_trace_line("input_event_key_qcode con -1, key qcode shift, down 1");
  ASSERT_TRUE(down);
  EXPECT_EQ(down->kind, TraceLine::key);
  EXPECT_EQ(down->name, "shift");
  EXPECT_TRUE(down->down);
  const auto up =
      parse_trace_line("input_event_key_number con 0, key number 0x2a [shift], down 0\r");
  ASSERT_TRUE(up);
  EXPECT_EQ(up->name, "shift");
  EXPECT_FALSE(up->down);
}

TEST(TraceLine, with_the_prefixes_that_qemu_may_put_before_it) {
  EXPECT_TRUE(
      parse_trace_line("24086@1764097932.123456:ps2_put_keycode 0x555a85ec36a8 keycode 0xf0"));
  EXPECT_TRUE(
      parse_trace_line("2026-11-25T19:12:01.123456Z ps2_put_keycode 0x555a85ec36a8 keycode 0xf0"));
}

TEST(TraceLine, of_devices) {
  const auto code = parse_trace_line("ps2_put_keycode 0x555a85ec36a8 keycode 0x1c");
  ASSERT_TRUE(code);
  EXPECT_EQ(code->device, 0x555a85ec36a8U);
  EXPECT_EQ(code->value, 0x1cU);
  const auto byte = parse_trace_line("serial_write write addr 0x00 val 0x41");
  ASSERT_TRUE(byte);
  EXPECT_EQ(byte->kind, TraceLine::serial_write);
  EXPECT_EQ(byte->value, 0x41U);
  const auto block =
      parse_trace_line("blk_co_pwritev blk 0x5581 bs 0x5582 offset 1048576 bytes 4096 flags 0x0");
  ASSERT_TRUE(block);
  EXPECT_EQ(block->kind, TraceLine::block_write);
  EXPECT_EQ(block->address, 1048576U);
  EXPECT_EQ(block->value, 4096U);
}

TEST(TraceLine, of_anything_else_is_nothing) {
  for (const char* line :
       {"", " ", "ps2_put_keycode", "ps2_put_keycode 0x1 keycode 0x100",
        "ps2_put_keycode 0x1 keycode 0x1 more",
        "input_event_key_qcode con -1, key qcode \x1b[2J, down 1",
        "input_event_key_qcode con -1, key qcode , down 1", "serial_write write addr 0x09 val 0x41",
        "blk_co_preadv blk 0x1 bs 0x2 offset -1 bytes 1", "qemu: terminating"}) {
    EXPECT_FALSE(parse_trace_line(line)) << line;
  }
}

std::string typed(std::initializer_list<std::string_view> keys) {
  KeyText text;
  std::string out;
  for (const auto key : keys)
    out += key.starts_with('-') ? text.key(key.substr(1), false) : text.key(key, true);
  return out;
}

TEST(KeyText, is_what_a_us_keyboard_writes) {
  EXPECT_EQ(
      typed({"shift", "h", "-h", "-shift", "i", "-i", "spc", "shift_r", "1", "-shift_r", "ret"}),
      "Hi !\n");
  EXPECT_EQ(typed({"caps_lock", "-caps_lock", "a", "shift", "b", "-shift", "1"}), "Ab1");
  EXPECT_EQ(typed({"ctrl", "c", "-ctrl", "f1", "alt", "shift", "tab"}),
            "<ctrl-c><f1><alt-shift-tab>");
}

TEST(NetworkCards, as_the_monitor_lists_them) {
  const auto cards = parse_network_cards(
      "virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:76:69:74\r\n"
      " \\ #net051: index=0,type=user,net=10.0.2.0,restrict=on\r\n"
      "hub 0\r\n \\ hub0port1: n0: index=0,type=user,net=10.0.2.0,restrict=off\r\n"
      "e1: index=0,type=nic,model=e1000,macaddr=52:54:00:AB:cd:ef\r\n"
      "n1: index=0,type=user,net=10.0.2.0,restrict=off\r\n");
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(cards[0].backend, "#net051");
  EXPECT_EQ(cards[0].kind, "user");
  EXPECT_EQ(cards[1].mac, "52:54:00:ab:cd:ef");
  EXPECT_EQ(cards[1].backend, "");
}

TEST(LogMarker, comes_back_from_its_name) {
  for (const auto home : {LogMarker::null, LogMarker::error, LogMarker::kept}) {
    const LogMarker marker{home, "qp"};
    EXPECT_EQ(LogMarker::parse(marker.name()), marker);
    EXPECT_EQ(marker.undo().size(), home == LogMarker::kept ? 2U : 3U);
  }
  for (const char* name : {"", "log-", "log-null", "log-null-z", "log-nil-q", "net-7"})
    EXPECT_FALSE(LogMarker::parse(name)) << name;
}

TEST(OwnerMark, names_its_owner) {
  const auto self = OwnerMark::self();
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_TRUE(self.lives());
  const auto name = self.prefix() + "net-7";
  const auto parsed = OwnerMark::parse(name);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->owner, self);
  EXPECT_EQ(parsed->what, "net-7");
  EXPECT_FALSE((OwnerMark{self.pid, self.start_time + 1}).lives());
  for (const char* other : {"", "vitrine-", "vitrine-x-1-a", "vitrine-1-x-a", "vitrine-0-1-a",
                            "vitrine--1-1-a", "pc.ram", "vitrine-1-2"})
    EXPECT_FALSE(OwnerMark::parse(other)) << other;
}

}  // namespace
}  // namespace vitrine
