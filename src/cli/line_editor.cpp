// The one file that sees libedit.
#include "cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace vitrine::cli {

struct LineEditor::State {
  std::string history_file;
  Completer complete;
  std::string prompt;
  bool terminal = false;
  bool cancelled = false;
  std::string pending;  // of a pipe
  EditLine* edit = nullptr;
  History* history = nullptr;
  HistEvent event{};

  static State* of(EditLine* edit) {
    void* data = nullptr;
    el_get(edit, EL_CLIENTDATA, &data);
    return static_cast<State*>(data);
  }
  static char* show_prompt(EditLine* edit) { return of(edit)->prompt.data(); }

  static unsigned char give_up(EditLine* edit, int) {
    auto* state = of(edit);
    state->cancelled = true;
    const auto* line = el_line(edit);
    el_cursor(edit, static_cast<int>(line->lastchar - line->cursor));
    el_deletestr(edit, static_cast<int>(line->lastchar - line->buffer));
    return CC_NEWLINE;
  }

  static unsigned char fill_in(EditLine* edit, int) {
    auto* state = of(edit);
    const auto* line = el_line(edit);
    const std::string_view before(line->buffer,
                                  static_cast<std::size_t>(line->cursor - line->buffer));
    const auto found = state->complete(before);
    if (found.words.empty()) return CC_ERROR;
    auto common = found.words.front();
    for (const auto& word : found.words) {
      const auto at = std::ranges::mismatch(common, word).in1;
      common.resize(static_cast<std::size_t>(at - common.begin()));
    }
    if (common.size() > found.replaces) {
      el_insertstr(edit, common.substr(found.replaces).c_str());
      return CC_REFRESH;
    }
    std::string list = "\n";
    std::size_t width = 1;
    for (const auto& word : found.words) width = std::max(width, word.size() + 2);
    constexpr std::size_t kMostShown = 200, kScreen = 80;
    std::size_t column = 0, shown = 0;
    for (const auto& word : found.words) {
      if (++shown > kMostShown) break;
      if (column + width > kScreen) {
        list += '\n';
        column = 0;
      }
      list += word + std::string(width - word.size(), ' ');
      column += width;
    }
    if (found.words.size() > kMostShown) list += "\n...";
    std::fprintf(stdout, "%s\n", list.c_str());
    std::fflush(stdout);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(std::string history_file, Completer complete)
    : state_(std::make_unique<State>()) {
  state_->history_file = std::move(history_file);
  state_->complete = std::move(complete);
  state_->terminal = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
  if (!state_->terminal) return;
  state_->edit = el_init("vitrine", stdin, stdout, stderr);
  if (state_->edit == nullptr) {
    state_->terminal = false;
    return;
  }
  auto* edit = state_->edit;
  el_set(edit, EL_CLIENTDATA, state_.get());
  el_set(edit, EL_PROMPT, &State::show_prompt);
  el_set(edit, EL_EDITOR, "emacs");
  el_set(edit, EL_ADDFN, "vitrine-complete", "completes a word", &State::fill_in);
  el_set(edit, EL_ADDFN, "vitrine-give-up", "gives the line up", &State::give_up);
  el_set(edit, EL_BIND, "^I", "vitrine-complete", nullptr);
  el_set(edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // Ctrl-C is a key while a line is typed, and a signal while a script runs.
  el_set(edit, EL_SETTY, "-d", "-isig", nullptr);
  el_set(edit, EL_BIND, "^C", "vitrine-give-up", nullptr);
  state_->history = history_init();
  if (state_->history != nullptr) {
    constexpr int kEntries = 1000;
    history(state_->history, &state_->event, H_SETSIZE, kEntries);
    history(state_->history, &state_->event, H_SETUNIQUE, 1);
    el_set(edit, EL_HIST, history, state_->history);
    if (!state_->history_file.empty())
      history(state_->history, &state_->event, H_LOAD, state_->history_file.c_str());
  }
  el_source(edit, nullptr);
}

LineEditor::~LineEditor() {
  if (state_->history != nullptr) {
    if (!state_->history_file.empty()) {
      history(state_->history, &state_->event, H_SAVE, state_->history_file.c_str());
      ::chmod(state_->history_file.c_str(), 0600);
    }
    history_end(state_->history);
  }
  if (state_->edit != nullptr) el_end(state_->edit);
}

std::optional<std::string> LineEditor::line(std::string_view prompt) {
  state_->cancelled = false;
  if (state_->terminal) {
    state_->prompt = prompt;
    int count = 0;
    const char* text = el_gets(state_->edit, &count);
    if (state_->cancelled) {
      std::fputs("^C\n", stdout);
      std::fflush(stdout);
      return std::string();
    }
    if (text == nullptr || count <= 0) return std::nullopt;
    std::string line(text, static_cast<std::size_t>(count));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return line;
  }
  for (;;) {
    if (const auto end = state_->pending.find('\n'); end != std::string::npos) {
      auto line = state_->pending.substr(0, end);
      state_->pending.erase(0, end + 1);
      return line;
    }
    char buffer[4096];
    const auto count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    constexpr std::size_t kLongest = 4U << 20;
    if (count <= 0 || state_->pending.size() > kLongest) {
      if (state_->pending.empty()) return std::nullopt;
      return std::exchange(state_->pending, {});
    }
    state_->pending.append(buffer, static_cast<std::size_t>(count));
  }
}

bool LineEditor::cancelled() const { return state_->cancelled; }

void LineEditor::remember(const std::string& entry) {
  if (state_->history == nullptr || entry.empty()) return;
  // One line of the history is one entry.
  std::string line(entry);
  std::ranges::replace(line, '\n', ' ');
  history(state_->history, &state_->event, H_ENTER, line.c_str());
}

std::string state_file(std::string_view name) {
  std::filesystem::path folder;
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/') {
    folder = state;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    folder = std::filesystem::path(home) / ".local" / "state";
  } else {
    return {};
  }
  folder /= "vitrine";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return {};
  return (folder / name).string();
}

}  // namespace vitrine::cli
