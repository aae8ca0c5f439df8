#include "machine/image_machine.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "machine/qemu_ram.h"
#include "memory/shared_mapping.h"

namespace vitrine {
namespace {

class ImageMachine final : public Machine {
 public:
  ImageMachine(std::string name, std::unique_ptr<SharedMapping> memory, std::vector<std::string> notes)
      : name_(std::move(name)), memory_(std::move(memory)), notes_(std::move(notes)) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] bool live() const noexcept override { return false; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return *memory_; }
  [[nodiscard]] std::vector<std::string> notes() const override { return notes_; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return memory_->intact(); }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    return std::unexpected(Problem(Errc::unsupported, "a raw image holds no registers"));
  }

 private:
  std::string name_;
  std::unique_ptr<SharedMapping> memory_;
  std::vector<std::string> notes_;
};

}  // namespace

Outcome<std::unique_ptr<Machine>> open_image(const std::string& path) {
  const auto words = [&](const Error& error) {
    return std::unexpected(Problem(error.code, fmt::format("cannot open {}: {}", path, describe(error))));
  };
  auto file = open_for_reading(path);
  if (!file) return words(file.error());
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) return words({Errc::io, 0, "fstat"});
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < kPageSize) return words({Errc::malformed, size, "too small for a memory image"});

  auto map = MemoryMap::create({{.range = {Gpa{0}, size}, .backing = 0, .offset = 0}});
  if (!map) return words(map.error());
  std::vector<FileDescriptor> files;
  files.push_back(std::move(*file));
  auto memory = SharedMapping::create(std::move(files), std::move(*map));
  if (!memory) return words(memory.error());
  return std::make_unique<ImageMachine>(path.substr(path.rfind('/') + 1), std::move(*memory),
                                        std::vector{fmt::format("RAM: raw image {} ({})", path, size_in_words(size))});
}

}  // namespace vitrine
