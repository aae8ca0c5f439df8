#include "cli/fixed_view.h"

namespace vitrine::cli {

Outcome<Status> run_fixed_view(const linux::ViewInfo& info, Context& context,
                               const Arguments& words,
                               const std::function<Outcome<void>(linux::RowSink&)>& fill) {
  const auto made = TRY(plan(info, {}, words));
  const auto writer = writer_of(made, context.console);
  WritingSink sink(info, made.query, made.keys, *writer);
  TRY(fill(sink));
  sink.finish();
  return Status::done;
}

std::vector<Option> fixed_view_options() { return view_options_without({"--pid", "--no-cache"}); }

}  // namespace vitrine::cli
