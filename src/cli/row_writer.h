// RowWriter: rows in one format. Written once per run, to one output.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"
#include "linux/view.h"

namespace vitrine::cli {

class RowWriter {
 public:
  RowWriter() = default;
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;
  virtual ~RowWriter() = default;

  /// One value per column of the view, in its order; `doubt` is empty for a sound row.
  /// @returns false  nobody reads any more.
  virtual bool row(std::span<const linux::Value> values, std::string_view doubt) = 0;
  /// After the last row.
  virtual void finish() {}
};

/// Which columns of a view are printed: their indices, in the order asked for.
using Selection = std::vector<std::size_t>;

/// One JSON object a line (docs/output.md).
[[nodiscard]] std::unique_ptr<RowWriter> json_writer(const linux::ViewInfo& view, Selection columns,
                                                     Output& out);
/// RFC 4180, with CRLF; the header line first unless told otherwise.
[[nodiscard]] std::unique_ptr<RowWriter> csv_writer(const linux::ViewInfo& view, Selection columns,
                                                    bool header, Output& out);

/// Hands a reader's rows to a writer, in order of `keys` if there are any.
class WritingSink final : public linux::RowSink {
 public:
  struct Key {
    std::size_t column;
    bool descending = false;
  };

  WritingSink(const linux::ViewInfo& view, const linux::Query& query, std::vector<Key> keys,
              RowWriter& writer)
      : RowSink(view, query), keys_(std::move(keys)), writer_(writer) {}

  /// Call it once, after the reader is done.
  void finish();

 protected:
  bool row(std::span<const linux::Value> values, std::string_view doubt) override;

 private:
  struct Row {
    std::vector<linux::Value> values;
    std::string doubt;
  };
  std::vector<Key> keys_;
  RowWriter& writer_;
  std::vector<Row> rows_;  // kept only to be sorted
};

}  // namespace vitrine::cli
