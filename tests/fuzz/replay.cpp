// Stands in for libFuzzer where clang is not at hand: runs a fuzz target once over
// each file of its corpus, over every truncation of the small ones, and over a
// bounded number of deterministic mutations.
//
// With VITRINE_FUZZ_SECONDS=N it then goes on for N seconds with random mutations: bytes changed,
// pieces cut, doubled and taken from another file, words of the corpus put in. It is blind to
// coverage; ./dev fuzz is not. VITRINE_FUZZ_SEED=N does what an earlier run did that named N. An
// input that crashes, or takes longer than 20 s, is left in the file that is named on standard
// error.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

// What the signal handler writes out.
const std::uint8_t* volatile current_data = nullptr;
volatile std::size_t current_size = 0;

extern "C" void leave_input(int signal) {
  constexpr char kName[] = "crash-input";
  const int fd = ::open(kName, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && current_size > 0) {
    [[maybe_unused]] const auto written = ::write(fd, current_data, current_size);
  }
  constexpr char kWords[] = "the input is in ./crash-input\n";
  [[maybe_unused]] const auto told = ::write(STDERR_FILENO, kWords, sizeof kWords - 1);
  std::signal(signal == SIGALRM ? SIGABRT : signal, SIG_DFL);
  ::raise(signal == SIGALRM ? SIGABRT : signal);
}

void run(const Input& input) {
  current_data = input.data();
  current_size = input.size();
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

bool is_word(std::uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::vector<Input> words_of(const std::vector<Input>& corpus) {
  std::vector<Input> words;
  for (const auto& input : corpus) {
    Input word;
    for (const auto c : input) {
      if (is_word(c)) {
        word.push_back(c);
      } else {
        if (word.size() > 1 && word.size() < 40 && words.size() < 20000) words.push_back(word);
        word.clear();
      }
    }
  }
  return words;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Input>& corpus, std::uint32_t seed)
      : corpus_(corpus), words_(words_of(corpus)), random_(seed) {}

  Input make() {
    Input input = corpus_[below(corpus_.size())];
    for (auto changes = 1 + below(8); changes > 0; --changes) change(input);
    if (input.size() > 16384) input.resize(16384);
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void insert(Input& into, const Input& piece) {
    const auto at = static_cast<std::ptrdiff_t>(below(into.size() + 1));
    into.insert(into.begin() + at, piece.begin(), piece.end());
  }
  Input piece_of(const Input& input) {
    if (input.empty()) return {};
    const auto from = below(input.size());
    const auto length = 1 + below(std::min<std::size_t>(input.size() - from, 64));
    return {input.begin() + static_cast<std::ptrdiff_t>(from),
            input.begin() + static_cast<std::ptrdiff_t>(from + length)};
  }

  void change(Input& input) {
    constexpr std::uint8_t kTelling[] = {0,   1,   0x7f, 0x80, 0xff, '(', ')', '{', '}',  '[',
                                         ']', '"', '/',  '*',  '@',  '#', '.', '-', '\n', '0'};
    switch (below(7)) {
      case 0:
        if (!input.empty()) input[below(input.size())] = static_cast<std::uint8_t>(random_());
        break;
      case 1:
        if (!input.empty()) input[below(input.size())] = kTelling[below(std::size(kTelling))];
        break;
      case 2:
        insert(input, {kTelling[below(std::size(kTelling))]});
        break;
      case 3: {
        if (input.empty()) break;
        const auto from = below(input.size());
        const auto to = from + 1 + below(std::min<std::size_t>(input.size() - from, 32));
        input.erase(input.begin() + static_cast<std::ptrdiff_t>(from),
                    input.begin() + static_cast<std::ptrdiff_t>(std::min(to, input.size())));
        break;
      }
      case 4:
        insert(input, piece_of(input));
        break;
      case 5:
        insert(input, piece_of(corpus_[below(corpus_.size())]));
        break;
      case 6:
        if (!words_.empty()) insert(input, words_[below(words_.size())]);
        break;
      default:
        break;
    }
  }

  const std::vector<Input>& corpus_;
  std::vector<Input> words_;
  std::mt19937 random_;
};

std::size_t mutate_for(int seconds, const std::vector<Input>& corpus) {
  if (corpus.empty()) return 0;
  const char* again = std::getenv("VITRINE_FUZZ_SEED");
  const auto seed = again != nullptr ? static_cast<std::uint32_t>(std::strtoul(again, nullptr, 10))
                                     : std::random_device{}();
  std::printf("random mutations for %d s, seed %u\n", seconds, seed);
  std::fflush(stdout);
  Mutator mutator(corpus, seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::size_t runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    const auto input = mutator.make();
    ::alarm(20);
    run(input);
  }
  ::alarm(0);
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    std::signal(signal, leave_input);
  std::size_t runs = 1;
  run({});
  std::minstd_rand random(1);
  // Targets that take long a run (attach) bound themselves by VITRINE_REPLAY.
  const char* wanted = std::getenv("VITRINE_REPLAY");
  const int limit = wanted != nullptr ? std::atoi(wanted) : 500;
  std::vector<Input> corpus;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const Input input{std::istreambuf_iterator<char>(file), {}};
      run(input);
      ++runs;
      if (input.size() <= 4096) {
        for (std::size_t cut = 0; cut < input.size(); ++cut, ++runs)
          run({input.begin(), input.begin() + static_cast<std::ptrdiff_t>(cut)});
      }
      for (int mutation = 0; mutation < limit && !input.empty() && input.size() <= 262144;
           ++mutation, ++runs) {
        auto changed = input;
        for (int bytes = 0; bytes < 4; ++bytes)
          changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
        run(changed);
      }
      if (!input.empty() && input.size() <= 16384) corpus.push_back(input);
    }
  }
  if (const char* seconds = std::getenv("VITRINE_FUZZ_SECONDS"))
    runs += mutate_for(std::atoi(seconds), corpus);
  std::printf("%zu inputs\n", runs);
  return 0;
}
