#include "machine/network_cards.h"

#include <algorithm>
#include <cctype>

namespace vitrine {
namespace {

/// The value of "key=" in "a=1,key=value,b=2".
std::string_view value_of(std::string_view list, std::string_view key) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    const auto one = list.substr(0, comma);
    if (one.size() > key.size() && one.starts_with(key) && one[key.size()] == '=')
      return one.substr(key.size() + 1);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return {};
}

}  // namespace

std::vector<NetworkCard> parse_network_cards(std::string_view text) {
  std::vector<NetworkCard> cards;
  bool of_card = false;  // the line before was a card's
  while (!text.empty() && cards.size() < 4096) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool peer = line.starts_with(" \\ ");
    if (peer) line.remove_prefix(3);
    const auto colon = line.find(": ");
    if (colon == std::string_view::npos || colon == 0) continue;
    const auto name = line.substr(0, colon), list = line.substr(colon + 2);
    const auto type = value_of(list, "type");
    if (peer) {
      if (!of_card) continue;
      cards.back().backend = name;
      cards.back().kind = type;
      of_card = false;
      continue;
    }
    of_card = type == "nic";
    if (!of_card) continue;
    NetworkCard card;
    card.name = name;
    card.model = value_of(list, "model");
    card.mac = value_of(list, "macaddr");
    std::transform(card.mac.begin(), card.mac.end(), card.mac.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    cards.push_back(std::move(card));
  }
  return cards;
}

}  // namespace vitrine
