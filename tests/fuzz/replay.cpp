// Stands in for libFuzzer where clang is not at hand: runs a fuzz target once over
// each file of its corpus, over every truncation of the small ones, and over a
// bounded number of deterministic mutations.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  std::size_t runs = 0;
  const auto run = [&](const std::vector<std::uint8_t>& input) {
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++runs;
  };
  run({});
  std::minstd_rand random(1);
  // Targets that take long a run (attach) bound themselves by VITRINE_REPLAY.
  const char* wanted = std::getenv("VITRINE_REPLAY");
  const int limit = wanted != nullptr ? std::atoi(wanted) : 500;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      std::vector<std::uint8_t> input{std::istreambuf_iterator<char>(file), {}};
      run(input);
      if (input.size() <= 4096) {
        for (std::size_t cut = 0; cut < input.size(); ++cut) run({input.begin(), input.begin() + static_cast<std::ptrdiff_t>(cut)});
      }
      for (int mutation = 0; mutation < limit && !input.empty() && input.size() <= 262144; ++mutation) {
        auto changed = input;
        for (int bytes = 0; bytes < 4; ++bytes) changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
        run(changed);
      }
    }
  }
  std::printf("%zu inputs\n", runs);
  return 0;
}
