#include "probe/profile/flame_graph.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrine::probe {
namespace {

constexpr double kRow = 17, kMargin = 10, kTop = 46, kBottom = 26;
constexpr double kLetter = 6.6;  // of 11 px monospace

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// The same name gets the same colour in every picture.
std::string colour_of(std::string_view name) {
  std::uint32_t hash = 2166136261;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  const unsigned a = hash & 63, b = hash >> 6 & 63;
  if (name.ends_with("_[k]")) return fmt::format("rgb({},{},{})", 205 + a / 2, 110 + b, 60 + a / 2);
  return fmt::format("rgb({},{},{})", 90 + a / 2, 160 + b, 110 + a);
}

struct Picture {
  std::string boxes;
  double per_sample = 0;
  double height = 0;
  double narrowest = 0;
  std::uint64_t total = 0;
  std::size_t left_out = 0;

  void draw(std::string_view name, const StackCounts::Node& node, double x, std::size_t depth) {
    const double width = static_cast<double>(node.total) * per_sample;
    if (width < narrowest) {
      ++left_out;
      return;
    }
    const double y = height - kBottom - kRow * static_cast<double>(depth + 1);
    const auto shown = printable(name);
    const auto share = 100.0 * static_cast<double>(node.total) / static_cast<double>(total);
    const auto fits = static_cast<std::size_t>(std::max(0.0, (width - 6) / kLetter));
    std::string label;
    if (fits >= 3) label = shown.size() <= fits ? shown : shown.substr(0, fits - 2) + "..";
    boxes += fmt::format(
        "<g><title>{} ({} samples, {:.2f}%)</title><rect x=\"{:.2f}\" y=\"{:.1f}\" "
        "width=\"{:.2f}\" height=\"{:.0f}\" "
        "fill=\"{}\"/><text x=\"{:.2f}\" y=\"{:.1f}\">{}</text></g>\n",
        xml(shown), node.total, share, x, y, width, kRow - 1, colour_of(name), x + 3, y + 12,
        xml(label));
    for (const auto& [callee, below] : node.callees) {
      draw(callee, below, x, depth + 1);
      x += static_cast<double>(below.total) * per_sample;
    }
  }
};

std::size_t depth_of(const StackCounts::Node& node) {
  std::size_t deepest = 0;
  for (const auto& [name, callee] : node.callees) deepest = std::max(deepest, 1 + depth_of(callee));
  return deepest;
}

// A click widens a box to the picture's width; "find" marks boxes by a regular expression.
constexpr std::string_view kScript = R"js(<script><![CDATA[
const all = [...document.querySelectorAll('#frames g')].map(g => {
  const r = g.querySelector('rect'), t = g.querySelector('text');
  return {g, r, t, name: g.querySelector('title').textContent, x: +r.getAttribute('x'), w: +r.getAttribute('width'), y: +r.getAttribute('y')};
});
const left = 10, span = +document.documentElement.getAttribute('width') - 20;
function show(x, w, y) {
  for (const f of all) {
    const below = f.y > y && f.x <= x + 0.01 && f.x + f.w >= x + w - 0.01;
    const within = f.x >= x - 0.01 && f.x + f.w <= x + w + 0.01;
    f.g.style.display = below || within ? '' : 'none';
    if (!below && !within) continue;
    const nx = below ? left : left + (f.x - x) / w * span, nw = below ? span : f.w / w * span;
    f.r.setAttribute('x', nx); f.r.setAttribute('width', nw); f.t.setAttribute('x', nx + 3);
    const fits = Math.floor((nw - 6) / 6.6), full = f.name.replace(/ \(\d+ samples.*$/, '');
    f.t.textContent = fits < 3 ? '' : full.length <= fits ? full : full.slice(0, fits - 2) + '..';
  }
}
for (const f of all) f.g.addEventListener('click', () => show(f.x, f.w, f.y));
document.getElementById('reset').addEventListener('click', () => show(left, span, 1e9));
document.getElementById('find').addEventListener('click', () => {
  const words = prompt('Find frames by name (a regular expression):', '');
  if (words === null) return;
  let re = null;
  try { re = words ? new RegExp(words) : null; } catch (e) { return; }
  for (const f of all) f.r.classList.toggle('found', re !== null && re.test(f.name));
});
]]></script>
)js";

}  // namespace

std::string flame_graph_svg(const StackCounts& counts, const FlameGraphOptions& options) {
  const double inner = std::max(options.width, 200U) - 2 * kMargin;
  Picture picture;
  picture.total = std::max<std::uint64_t>(counts.total(), 1);
  picture.per_sample = inner / static_cast<double>(picture.total);
  picture.height = kTop + kBottom + kRow * static_cast<double>(depth_of(counts.root()) + 1);
  picture.narrowest = options.narrowest;
  if (counts.total() != 0) picture.draw("all", counts.root(), kMargin, 0);
  auto subtitle = options.subtitle;
  if (picture.left_out != 0)
    subtitle += fmt::format("; {} frames are too narrow to be drawn", picture.left_out);
  if (counts.total() == 0) subtitle += "; no sample was taken";
  const double width = inner + 2 * kMargin;
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 "
      "0 {0:.0f} {1:.0f}\">\n"
      "<style>text{{font:11px monospace;fill:#111;pointer-events:none}}#title{{font:bold 15px "
      "sans-serif}}#subtitle{{font:12px "
      "sans-serif;fill:#555}}.button{{font:12px "
      "sans-serif;fill:#06c;cursor:pointer;pointer-events:all}}#frames g{{cursor:pointer}}"
      "#frames g:hover rect{{stroke:#111}}#frames rect.found{{fill:#e33cf0}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text id=\"title\" x=\"{2:.0f}\" y=\"20\">{3}</text>\n<text id=\"subtitle\" x=\"{2:.0f}\" "
      "y=\"37\">{4}</text>\n"
      "<text id=\"find\" class=\"button\" x=\"{5:.0f}\" y=\"20\">find</text>\n"
      "<text id=\"reset\" class=\"button\" x=\"{6:.0f}\" y=\"20\">reset</text>\n<g "
      "id=\"frames\">\n",
      width, picture.height, kMargin, xml(printable(options.title)), xml(printable(subtitle)),
      width - 90, width - 50);
  out += picture.boxes;
  out += "</g>\n";
  out += kScript;
  out += "</svg>\n";
  return out;
}

}  // namespace vitrine::probe
