#include "machine/key_text.h"

#include <cctype>

namespace vitrine {
namespace {

struct Key {
  std::string_view name;
  char plain, shifted;
};
// Names: QKeyCode in QEMU's qapi/ui.json.
constexpr Key kKeys[] = {
    {"1", '1', '!'},
    {"2", '2', '@'},
    {"3", '3', '#'},
    {"4", '4', '$'},
    {"5", '5', '%'},
    {"6", '6', '^'},
    {"7", '7', '&'},
    {"8", '8', '*'},
    {"9", '9', '('},
    {"0", '0', ')'},
    {"minus", '-', '_'},
    {"equal", '=', '+'},
    {"bracket_left", '[', '{'},
    {"bracket_right", ']', '}'},
    {"semicolon", ';', ':'},
    {"apostrophe", '\'', '"'},
    {"grave_accent", '`', '~'},
    {"backslash", '\\', '|'},
    {"comma", ',', '<'},
    {"dot", '.', '>'},
    {"slash", '/', '?'},
    {"spc", ' ', ' '},
    {"ret", '\n', '\n'},
    {"tab", '\t', '\t'},
    {"less", '<', '>'},
    {"asterisk", '*', '*'},
    {"kp_0", '0', '0'},
    {"kp_1", '1', '1'},
    {"kp_2", '2', '2'},
    {"kp_3", '3', '3'},
    {"kp_4", '4', '4'},
    {"kp_5", '5', '5'},
    {"kp_6", '6', '6'},
    {"kp_7", '7', '7'},
    {"kp_8", '8', '8'},
    {"kp_9", '9', '9'},
    {"kp_decimal", '.', '.'},
    {"kp_add", '+', '+'},
    {"kp_subtract", '-', '-'},
    {"kp_multiply", '*', '*'},
    {"kp_divide", '/', '/'},
    {"kp_enter", '\n', '\n'},
    {"kp_equals", '=', '='},
    {"kp_comma", ',', ','},
};

}  // namespace

std::string KeyText::key(std::string_view name, bool down) {
  if (name == "shift") return shift_left_ = down, std::string();
  if (name == "shift_r") return shift_right_ = down, std::string();
  if (name == "ctrl" || name == "ctrl_r") return ctrl_ = down, std::string();
  if (name == "alt" || name == "alt_r") return alt_ = down, std::string();
  if (name == "meta_l" || name == "meta_r") return meta_ = down, std::string();
  if (!down) return {};
  if (name == "caps_lock") return caps_ = !caps_, std::string();
  const bool shift = shift_left_ || shift_right_;
  if (!ctrl_ && !alt_ && !meta_) {
    if (name.size() == 1 && std::islower(static_cast<unsigned char>(name[0])) != 0) {
      const char letter = name[0];
      return std::string(
          1, shift != caps_ ? static_cast<char>(std::toupper(static_cast<unsigned char>(letter)))
                            : letter);
    }
    for (const auto& key : kKeys) {
      if (key.name == name) return std::string(1, shift ? key.shifted : key.plain);
    }
  }
  std::string out = "<";
  if (ctrl_) out += "ctrl-";
  if (alt_) out += "alt-";
  if (meta_) out += "meta-";
  if (shift) out += "shift-";
  out += name;
  return out + '>';
}

}  // namespace vitrine
