#include "symptom/rule_script.h"

#include <fmt/format.h>

#include "vmipl/render.h"

namespace vitrine::symptom {
namespace {

constexpr probe::MapLimits kMapLimits{.entries = 4096, .text_bytes = 1U << 20};

}  // namespace

std::expected<std::unique_ptr<RuleScript>, RuleScript::Mistakes> RuleScript::compile(
    const vmipl::Source& source, vmipl::CheckOptions options, ViewCache& views,
    RuleEnvironment::Report report, std::function<void()> turn) {
  options.build = true;
  vmipl::Diagnostics diagnostics;
  auto checked = vmipl::check(source, options, diagnostics);
  if (diagnostics.errors() > 0 || !checked.program)
    return std::unexpected(Mistakes{vmipl::render_text(source, diagnostics)});
  const auto name = source.name();
  std::unique_ptr<RuleScript> script(
      new RuleScript(std::string(name.substr(name.rfind('/') + 1)), *std::move(checked.program)));
  Mistakes mistakes;
  if (!vmipl::bind(script->program_, options.ports, mistakes)) {
    for (auto& mistake : mistakes) mistake = fmt::format("{}: {}", name, mistake);
    return std::unexpected(std::move(mistakes));
  }
  auto maps = probe::LocalMaps::create(script->program_.maps, kMapLimits);
  if (!maps) return std::unexpected(Mistakes{fmt::format("{}: {}", name, maps.error().message)});
  script->maps_ = *std::move(maps);
  script->interpreter_ = std::make_unique<probe::Interpreter>(script->program_, *script->maps_);
  script->environment_ = std::make_unique<RuleEnvironment>(script->program_, script->file_, views,
                                                           std::move(report), std::move(turn));
  return script;
}

RuleScript::Fired RuleScript::fire(unsigned probe, std::int64_t now) {
  environment_->begin(probe, now);
  const auto firing = interpreter_->run(probe, *environment_, kBudget);
  const bool over = firing.end == probe::Firing::End::over_budget;
  return {.over_budget = over, .complete = !over && environment_->complete()};
}

}  // namespace vitrine::symptom
