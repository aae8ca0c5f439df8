#include "cli/object_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine::cli {
namespace {

using linux::ObjectValue;
using Form = ObjectValue::Form;

class Text {
 public:
  Text(const NameOfAddress& name, Charset charset) : name_(name), charset_(charset) {}

  std::string of(const ObjectValue& value, unsigned depth) const {
    switch (value.form) {
      case Form::unreadable:
        return "?";
      case Form::scalar:
        return scalar(value);
      case Form::array:
        return array(value, depth);
      case Form::compound:
        break;
    }
    if (value.parts.empty()) return "{}";
    std::string out = "{\n";
    for (const auto& part : value.parts) {
      out += fmt::format("{:{}}{} = {},\n", "", 2 * (depth + 1), escape(part.name, charset_),
                         of(part, depth + 1));
    }
    return out + fmt::format("{:{}}}}", "", 2 * depth);
  }

 private:
  [[nodiscard]] std::string scalar(const ObjectValue& value) const {
    auto text = escape(linux::to_text(value.value), charset_);
    if (const auto* address = std::get_if<Gva>(&value.value)) {
      if (const auto known = name_(*address); !known.empty())
        text += fmt::format(" <{}>", escape(known, charset_));
    }
    if (value.left_out != 0) text += fmt::format(" ... {} bytes more", value.left_out);
    return text;
  }

  [[nodiscard]] std::string array(const ObjectValue& value, unsigned depth) const {
    // Elements of one line stand in one; the others have lines of their own.
    const bool wide = std::ranges::any_of(value.parts, [](const ObjectValue& part) {
      return part.form == Form::compound || part.form == Form::array;
    });
    std::string out = "[";
    for (const auto& part : value.parts) {
      if (wide)
        out += fmt::format("\n{:{}}", "", 2 * (depth + 1));
      else if (&part != &value.parts.front())
        out += ' ';
      out += of(part, depth + 1) + ',';
    }
    if (value.left_out == 0 && !out.empty() && out.back() == ',' && !wide) out.pop_back();
    if (value.left_out != 0)
      out += wide ? fmt::format("\n{:{}}... {} more", "", 2 * (depth + 1), value.left_out)
                  : fmt::format(" ... {} more", value.left_out);
    if (wide) out += fmt::format("\n{:{}}", "", 2 * depth);
    return out + "]";
  }

  const NameOfAddress& name_;
  Charset charset_;
};

void append(std::string& out, const linux::FieldValue& value) {
  if (const auto* is = std::get_if<bool>(&value)) {
    out += *is ? "true" : "false";
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    out += fmt::format("{}", *number);
  } else if (const auto* natural = std::get_if<std::uint64_t>(&value)) {
    out += fmt::format("{}", *natural);
  } else if (const auto* each = std::get_if<linux::EnumValue>(&value)) {
    if (each->name.empty())
      out += fmt::format("{}", each->value);
    else
      append_json(out, each->name);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    append_json(out, escape_invalid(*text));
  } else if (const auto* address = std::get_if<Gva>(&value)) {
    out += fmt::format("\"{:#x}\"", address->value);
  } else if (const auto* bytes = std::get_if<std::vector<std::byte>>(&value)) {
    out += '"';
    for (const auto byte : *bytes) out += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    out += '"';
  }
}

void append(std::string& out, const ObjectValue& value) {
  if (value.form == Form::unreadable) {
    out += "null";
    return;
  }
  if (value.form == Form::scalar) {
    append(out, value.value);
    return;
  }
  const bool object = value.form == Form::compound;
  out += object ? '{' : '[';
  for (const auto& part : value.parts) {
    if (&part != &value.parts.front()) out += ',';
    if (object) {
      append_json(out, escape_invalid(part.name));
      out += ':';
    }
    append(out, part);
  }
  out += object ? '}' : ']';
}

}  // namespace

std::string object_text(const ObjectValue& value, const NameOfAddress& name, Charset charset) {
  return Text(name, charset).of(value, 0);
}

std::string object_json(const ObjectValue& value) {
  std::string out;
  append(out, value);
  return out;
}

bool has_unreadable(const ObjectValue& value) {
  return value.form == Form::unreadable || std::ranges::any_of(value.parts, has_unreadable);
}

}  // namespace vitrine::cli
