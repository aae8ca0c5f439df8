// RunSession: what comes of its blocks and sources on its way to the outputs.
#include <fmt/format.h>

#include "probe/record_words.h"
#include "probe/run_generation.h"

namespace vitrine::probe {

void RunSession::deliver(std::shared_ptr<const vmipl::Program> program, Record record) {
  constexpr std::size_t kMostWaiting = 100'000;
  bool full = false;
  {
    const std::lock_guard lock(records_mutex_);
    ++delivered_;
    if (!in_order_) {
      put_out(*program, record);
      return;
    }
    // A record of the future would never be old enough, and wait here with all that follow it.
    const auto time = std::min(record.head.monotonic_ns, monotonic_now());
    waiting_.emplace(time, Waiting{std::move(program), std::move(record)});
    full = waiting_.size() > kMostWaiting;
  }
  settle(full ? ~0ULL : monotonic_now() - options_.order_ns);
}

void RunSession::settle(std::uint64_t before_ns) {
  const std::lock_guard lock(records_mutex_);
  while (!waiting_.empty() && waiting_.begin()->first <= before_ns) {
    const auto first = waiting_.begin();
    put_out(*first->second.program, first->second.record);
    waiting_.erase(first);
  }
}

void RunSession::put_out(const vmipl::Program& program, const Record& record) {
  if (options_.watch) options_.watch(program, record);
  const auto output = program.sites[record.head.site].output;
  const auto text = options_.json ? record_json(program, record, options_.rules)
                                  : record_text(program, record, outputs_.is_file(program, output),
                                                options_.rules);
  (void)outputs_.write(program, output, text);
  if (outputs_.closed()) wake_.notify_all();
}

void RunSession::records(Bytes bytes) {
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    program = records_program_;
  }
  if (program) take(std::move(program), bytes);
}

void RunSession::records_of(const vmipl::Program& whose, Bytes bytes) {
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    for (const auto& known : {records_program_, program_before_}) {
      if (known.get() == &whose) program = known;
    }
    // From the midst of a replacement: the session does not know the new one yet.
    if (!program) ++stale_records_;
  }
  if (program) take(std::move(program), bytes);
}

void RunSession::take(std::shared_ptr<const vmipl::Program> program, Bytes bytes) {
  auto record = decode(bytes);
  if (!record || record->head.site >= program->sites.size() ||
      record->head.probe >= program->probes.size()) {
    const std::lock_guard lock(records_mutex_);
    ++malformed_;
    return;
  }
  deliver(std::move(program), std::move(*record));
}

void RunSession::stream(std::uint32_t probe, Bytes bytes) {
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    program = records_program_;
  }
  if (!program || probe >= program->probes.size()) return;
  const auto output = program->probes[probe].output;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (outputs_.is_file(*program, output)) {
    (void)outputs_.write(*program, output, text);
    return;
  }
  // What a guest prints does not reach the terminal as it is.
  if (!options_.json) {
    std::string shown;
    for (std::string_view rest = text; !rest.empty();) {
      const auto end = std::min(rest.find('\n'), rest.size());
      shown += options_.rules.escape(rest.substr(0, end));
      if (end < rest.size()) shown += '\n';
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    (void)outputs_.write(*program, output, shown);
    return;
  }
  auto line = json_head("stream", wall_now());
  line += fmt::format(",\"probe\":{},\"event\":", probe + 1);
  (void)options_.rules.json(line, written(program->probes[probe]));
  line += fmt::format(",\"line\":{},\"output\":", program->probes[probe].line);
  (void)options_.rules.json(line, output_name(*program, output));
  line += ",\"text\":";
  if (!options_.rules.json(line, text)) line += ",\"escaped\":[\"text\"]";
  (void)outputs_.write(*program, output, line + "}\n");
}

void RunSession::modules_changed(const std::function<void()>& look) {
  const std::lock_guard lock(run_mutex_);
  settle(~0ULL);  // by the names that were known until now
  {
    const std::lock_guard records_lock(records_mutex_);
    guest_->kernel.forget_modules();
    (void)guest_->kernel.module_symbols();
  }
  look();
}

void RunSession::note(SourceNote note) {
  constexpr const char* kKinds[] = {"word", "thinned", "switched_off", "guest_reset",
                                    "source_ended"};
  std::shared_ptr<const vmipl::Program> program;
  {
    const std::lock_guard lock(records_mutex_);
    program = records_program_;
  }
  auto more = fmt::format(",\"kind\":\"{}\"", kKinds[note.kind]);
  if (note.probe && program && *note.probe < program->probes.size()) {
    const auto& probe = program->probes[*note.probe];
    more += fmt::format(",\"probe\":{},\"event\":", *note.probe + 1);
    (void)options_.rules.json(more, written(probe));
    more += fmt::format(",\"line\":{}", probe.line);
  }
  if (note.kind == SourceNote::guest_reset) {
    // The first to see it says it.
    const std::lock_guard lock(wait_mutex_);
    if (kernel_gone_.exchange(true)) return;
    gone_ns_ = monotonic_now();
  }
  remark("! " + note.text, more);
  if (note.kind == SourceNote::source_ended) ended_ = true;
  if (note.kind == SourceNote::source_ended || note.kind == SourceNote::guest_reset)
    wake_.notify_all();
}

}  // namespace vitrine::probe
