#include "cli/row_writer.h"

#include <algorithm>

#include "cli/cell.h"

namespace vitrine::cli {
namespace {

class JsonWriter final : public RowWriter {
 public:
  JsonWriter(const linux::ViewInfo& view, Selection columns, Output& out)
      : view_(view), columns_(std::move(columns)), out_(out) {}

  bool row(std::span<const linux::Value> values, std::string_view doubt) override {
    line_.assign(1, '{');
    escaped_.clear();
    for (const auto index : columns_) {
      const auto& column = view_.columns[index];
      key(column.name);
      if (!append_json(line_, values[index], column.type)) {
        escaped_ += escaped_.empty() ? "" : ",";
        append_json(escaped_, column.name);
      }
    }
    if (!escaped_.empty()) {
      key("escaped");
      line_ += "[" + escaped_ + "]";
    }
    if (!doubt.empty()) {
      key("doubt");
      append_json(line_, doubt);
    }
    line_ += "}\n";
    return out_.write(line_);
  }

 private:
  void key(std::string_view name) {
    if (line_.size() > 1) line_ += ',';
    append_json(line_, name);
    line_ += ':';
  }

  linux::ViewInfo view_;
  Selection columns_;
  Output& out_;
  std::string line_;
  std::string escaped_;
};

class CsvWriter final : public RowWriter {
 public:
  CsvWriter(const linux::ViewInfo& view, Selection columns, bool header, Output& out)
      : view_(view), columns_(std::move(columns)), out_(out) {
    if (!header) return;
    for (const auto index : columns_) field(std::string(view_.columns[index].name));
    field("doubt");
    end();
  }

  bool row(std::span<const linux::Value> values, std::string_view doubt) override {
    for (const auto index : columns_) field(exact(values[index], view_.columns[index].type));
    field(std::string(doubt));
    return end();
  }

 private:
  void field(const std::string& text) {
    if (!first_) line_ += ',';
    first_ = false;
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
      line_ += text;
      return;
    }
    line_ += '"';
    for (const char c : text) line_.append(c == '"' ? 2 : 1, c);
    line_ += '"';
  }

  bool end() {
    line_ += "\r\n";
    const bool read = out_.write(line_);
    line_.clear();
    first_ = true;
    return read;
  }

  linux::ViewInfo view_;
  Selection columns_;
  Output& out_;
  std::string line_;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<RowWriter> json_writer(const linux::ViewInfo& view, Selection columns,
                                       Output& out) {
  return std::make_unique<JsonWriter>(view, std::move(columns), out);
}

std::unique_ptr<RowWriter> csv_writer(const linux::ViewInfo& view, Selection columns, bool header,
                                      Output& out) {
  return std::make_unique<CsvWriter>(view, std::move(columns), header, out);
}

bool WritingSink::row(std::span<const linux::Value> values, std::string_view doubt) {
  if (keys_.empty()) return writer_.row(values, doubt);
  rows_.push_back({{values.begin(), values.end()}, std::string(doubt)});
  return true;
}

void WritingSink::finish() {
  std::ranges::stable_sort(rows_, [&](const Row& a, const Row& b) {
    for (const auto& key : keys_) {
      const auto& left = a.values[key.column];
      const auto& right = b.values[key.column];
      const auto order = compare(left, right);
      if (order == 0) continue;
      // What is missing stays last, whichever way the rest is turned.
      const bool absent = left.index() == 0 || right.index() == 0;
      return key.descending && !absent ? order > 0 : order < 0;
    }
    return false;
  });
  for (const auto& row : rows_) {
    if (!writer_.row(row.values, row.doubt)) break;
  }
  rows_.clear();
  writer_.finish();
}

}  // namespace vitrine::cli
