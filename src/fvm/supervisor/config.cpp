#include "fvm/supervisor/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "fvm/did_you_mean.h"
#include "fvm/supervisor/libvirt_domains.h"

namespace vitrine::fvm {
namespace {

Outcome<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("{} cannot be read: {}", path, std::strerror(error)),
                error == ENOENT ? "packaging/vitrined.toml is one to begin with" : ""));
  }
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

class ConfigReader {
 public:
  ConfigReader(std::string path, Config& config) : path_(std::move(path)), config_(config) {}

  void read(const toml::table& root) {
    constexpr std::array<std::string_view, 16> kKeys = {
        "machines",   "state", "runtime",  "rules", "policy", "isolation",   "standby", "cpu_share",
        "first_user", "guest", "programs", "watch", "image",  "accelerator", "libvirt", "events"};
    for (const auto& [key, node] : root) {
      const auto name = key.str();
      if (name == "machines")
        text(node, config_.machines);
      else if (name == "state")
        text(node, config_.state);
      else if (name == "runtime")
        text(node, config_.runtime);
      else if (name == "image")
        text(node, config_.image);
      else if (name == "libvirt")
        libvirt(node);
      else if (name == "accelerator")
        accelerator(node);
      else if (name == "programs")
        text(node, config_.programs);
      else if (name == "rules")
        texts(node, config_.rules);
      else if (name == "standby")
        number(node, config_.standby, 0, 1000);
      else if (name == "cpu_share")
        number(node, config_.cpu_share, 1, 1000);
      else if (name == "first_user")
        number(node, config_.first_user, 1, 4'000'000'000);
      else if (name == "guest")
        continue;
      else if (!guest_key(name, node, config_.usual))
        unknown(key, kKeys);
    }
    const auto* guests = root.get_as<toml::table>("guest");
    if (root.contains("guest") && guests == nullptr)
      mistake(root.get("guest")->source(), "guest is a table of tables: [guest.NAME]");
    if (guests == nullptr) return;
    for (const auto& [name, node] : *guests) {
      const auto* table = node.as_table();
      if (table == nullptr) {
        mistake(node.source(), "a guest is a table: [guest.NAME]");
        continue;
      }
      auto own = config_.usual;
      for (const auto& [key, value] : *table) {
        constexpr std::array<std::string_view, 4> kOwn = {"isolation", "policy", "watch", "events"};
        if (!guest_key(key.str(), value, own)) unknown(key, kOwn);
      }
      config_.guests.emplace(name.str(), std::move(own));
    }
  }

  void mistake(const toml::source_region& at, std::string_view words) {
    mistakes_.push_back(fmt::format("{}:{}: {}", path_, at.begin.line, words));
  }
  [[nodiscard]] const std::vector<std::string>& mistakes() const { return mistakes_; }

 private:
  template <class Names>
  void unknown(const toml::key& key, const Names& names) {
    mistake(key.source(),
            fmt::format("there is no \"{}\"{}", key.str(), did_you_mean(key.str(), names)));
  }

  void text(const toml::node& node, std::string& into) {
    if (auto value = node.value_exact<std::string>(); value && !value->empty())
      into = std::move(*value);
    else
      mistake(node.source(), "a path in quotes is wanted");
  }
  void texts(const toml::node& node, std::vector<std::string>& into) {
    const auto* list = node.as_array();
    if (list == nullptr) return mistake(node.source(), "a list of paths is wanted");
    for (const auto& one : *list) text(one, into.emplace_back());
  }
  template <class Number>
  void number(const toml::node& node, Number& into, std::int64_t least, std::int64_t most) {
    const auto value = node.value_exact<std::int64_t>();
    if (value && *value >= least && *value <= most)
      into = static_cast<Number>(*value);
    else
      mistake(node.source(), fmt::format("a number from {} to {} is wanted", least, most));
  }

  void libvirt(const toml::node& node) {
    text(node, config_.libvirt);
    if (config_.libvirt.empty()) return;
    if (auto folder = libvirt_run_folder(config_.libvirt))
      config_.libvirt_folder = std::move(*folder);
    else
      mistake(node.source(), folder.error().message);
  }

  void accelerator(const toml::node& node) {
    const auto word = node.value_exact<std::string>().value_or("");
    if (word == "tcg" || word == "kvm")
      config_.accelerator = word;
    else
      mistake(node.source(), "accelerator is \"tcg\" or \"kvm\"");
  }

  bool guest_key(std::string_view key, const toml::node& node, GuestConfig& guest) {
    if (key == "watch" || key == "events") {
      if (const auto value = node.value_exact<bool>())
        (key == "watch" ? guest.watch : guest.events) = *value;
      else
        mistake(node.source(), fmt::format("{} is true or false", key));
    } else if (key == "isolation") {
      const auto word = node.value_exact<std::string>().value_or("");
      guest.automatic = word == "auto";
      if (word == "process")
        guest.isolation = Isolation::process;
      else if (word == "microvm" || word == "auto")
        guest.isolation = Isolation::microvm;
      else
        mistake(node.source(),
                fmt::format(
                    "there is no isolation \"{}\"; there are \"process\", \"microvm\" and \"auto\"",
                    word));
    } else if (key == "policy") {
      std::string name;
      text(node, name);
      if (name.empty()) return true;
      const auto path = std::filesystem::path(path_).parent_path() / name;
      auto read = read_file(path);
      if (!read) {
        mistake(node.source(), read.error().message);
      } else if (const auto policy = Policy::parse(*read, path.string()); !policy) {
        mistakes_.push_back(policy.error().message);
      } else {
        guest.policy_text = std::move(*read);
        guest.policy_name = path;
      }
    } else {
      return false;
    }
    return true;
  }

  std::string path_;
  Config& config_;
  std::vector<std::string> mistakes_;
};

}  // namespace

bool Config::uses(Isolation isolation) const {
  const auto may = [&](const GuestConfig& guest) {
    return guest.automatic || guest.isolation == isolation;
  };
  return may(usual) ||
         std::ranges::any_of(guests, [&](const auto& own) { return may(own.second); });
}

const GuestConfig& Config::guest(std::string_view name) const {
  const auto own = guests.find(name);
  return own != guests.end() ? own->second : usual;
}

Outcome<Config> Config::load(const std::string& path) {
  const auto text = TRY(read_file(path));
  Config config;
  ConfigReader reader(path, config);
  const auto parsed = toml::parse(text);
  if (parsed)
    reader.read(parsed.table());
  else
    reader.mistake(parsed.error().source(), parsed.error().description());
  if (!reader.mistakes().empty()) {
    return std::unexpected(Problem(Errc::invalid,
                                   fmt::format("{}", fmt::join(reader.mistakes(), "\n")),
                                   "nothing was started"));
  }
  return config;
}

}  // namespace vitrine::fvm
