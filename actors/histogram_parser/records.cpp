#include "actors/histogram_parser/records.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

namespace bpf2graphite {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

bool is_utf8(std::string_view bytes) {
  std::size_t broken = 0;
  while (!bytes.empty()) {
    std::size_t length = utf8_sequence(bytes, broken);
    if (length == 0)
      return false;
    bytes.remove_prefix(length);
  }
  return true;
}

void append_integer(exact value, std::string& out) {
  char digits[41]; // 2^127 has 39 digits, and a sign
  char* end = digits + sizeof digits;
  char* at = end;
  bool negative = value < 0;
  do {
    int digit = static_cast<int>(value % 10);
    *--at = static_cast<char>('0' + (digit < 0 ? -digit : digit));
    value /= 10;
  } while (value != 0);
  if (negative)
    *--at = '-';
  out.append(at, end);
}

/// In units of 1 / metric_unit, without zeros at its end.
void append_decimal(exact value, std::string& out) {
  if (value < 0)
    out += '-';
  auto size = value < 0 ? -value : value;
  append_integer(size / metric_unit, out);
  auto fraction = size % metric_unit;
  if (fraction == 0)
    return;
  out += '.';
  for (auto unit = metric_unit / 10; fraction != 0; unit /= 10) {
    out += static_cast<char>('0' + static_cast<int>(fraction / unit));
    fraction %= unit;
  }
}

void append_bound(const std::optional<std::int64_t>& bound, std::string& out) {
  if (bound)
    append_integer(*bound, out);
  else
    out += "null";
}

void append_hex(std::string_view bytes, std::string& out) {
  out += '"';
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    out += hex_digits[byte >> 4];
    out += hex_digits[byte & 15];
  }
  out += '"';
}

template <class Append>
void append_list(const std::vector<std::string>& parts, Append append,
                 std::string& out) {
  out += '[';
  for (const std::string& part : parts) {
    if (&part != &parts.front())
      out += ',';
    append(part, out);
  }
  out += ']';
}

/// What all records of one entry begin and end with.
struct record_frame {
  std::string head; // from the brace to the name of the kind, no kind yet
  std::string tail; // snapshot, without the closing brace
};

record_frame frame_of(const snapshot& print, const map_entry& entry) {
  record_frame frame;
  std::string& head = frame.head;
  bool is_map = print.kind != map_kind::print;
  head = "{\"map\":";
  if (is_map)
    append_json_string(print.map, head);
  else
    head += "null";
  head += ",\"keys\":";
  append_list(entry.keys, append_json_string, head);
  bool clean = true;
  for (const std::string& part : entry.keys)
    clean = clean && is_utf8(part);
  if (!clean) {
    head += ",\"keys_hex\":";
    append_list(entry.keys, append_hex, head);
  }
  head += ",\"kind\":\"";
  frame.tail = ",\"snapshot\":";
  if (is_map)
    frame.tail += std::to_string(print.number);
  else
    frame.tail += "null";
  return frame;
}

class value_writer {
public:
  value_writer(const record_frame& frame, map_kind kind, std::string& out)
    : frame_(frame), kind_(kind), is_map_(kind != map_kind::print), out_(out) {}

  void operator()(const buckets& rows) {
    for (const bucket row : rows) {
      begin("hist");
      out_ += ",\"bucket\":{\"min\":";
      append_bound(row.min, out_);
      out_ += ",\"max\":";
      append_bound(row.max, out_);
      out_ += "},\"value\":";
      append_integer(static_cast<exact>(row.count), out_);
      end();
    }
  }

  void operator()(exact value) {
    if (kind_ == map_kind::metric) {
      begin("metric");
      out_ += ",\"value\":";
      append_decimal(value, out_);
    } else {
      number(is_map_ ? "value" : "print", value);
    }
    end();
  }

  void operator()(const stats_value& stats) {
    field("count", stats.count);
    field("average", stats.average);
    field("total", stats.total);
  }

  void operator()(const std::vector<tseries_value>& intervals) {
    for (const tseries_value& interval : intervals) {
      number("tseries", interval.value);
      out_ += frame_.tail;
      out_ += ",\"time\":";
      append_json_string(interval.time, out_);
      out_ += "}\n";
    }
  }

  void operator()(const text_value& text) {
    begin(is_map_ ? "text" : "print");
    out_ += ",\"value\":";
    if (text.json)
      out_ += text.text;
    else
      append_json_string(text.text, out_);
    end();
  }

private:
  void begin(std::string_view kind) {
    out_ += frame_.head;
    out_ += kind;
    out_ += '"';
  }

  void end() {
    out_ += frame_.tail;
    out_ += "}\n";
  }

  void number(std::string_view kind, exact value) {
    begin(kind);
    out_ += ",\"value\":";
    append_integer(value, out_);
  }

  void field(std::string_view name, exact value) {
    number("stats", value);
    out_ += frame_.tail;
    out_ += ",\"field\":\"";
    out_ += name;
    out_ += "\"}\n";
  }

  const record_frame& frame_;
  map_kind kind_;
  bool is_map_;
  std::string& out_;
};

} // namespace

std::size_t utf8_sequence(std::string_view bytes, std::size_t& broken) {
  auto byte = [&](std::size_t i) -> unsigned {
    return static_cast<unsigned char>(bytes[i]);
  };
  broken = 1;
  unsigned lead = byte(0);
  if (lead < 0x80)
    return 1;
  // Table 3-7 of the Unicode standard: the second byte has its own range.
  std::size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0)
      low = 0xa0;
    else if (lead == 0xed)
      high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0)
      low = 0x90;
    else if (lead == 0xf4)
      high = 0x8f;
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == bytes.size() || byte(i) < low || byte(i) > high)
      return 0;
    broken = i + 1;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

void append_json_string(std::string_view bytes, std::string& out) {
  out += '"';
  while (!bytes.empty()) {
    auto byte = static_cast<unsigned char>(bytes.front());
    if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
      out += bytes.front();
      bytes.remove_prefix(1);
      continue;
    }
    if (byte >= 0x80) {
      std::size_t broken = 0;
      std::size_t length = utf8_sequence(bytes, broken);
      if (length != 0)
        out += bytes.substr(0, length);
      else
        out += "\xef\xbf\xbd";
      bytes.remove_prefix(length != 0 ? length : broken);
      continue;
    }
    switch (byte) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        out += "\\u00";
        out += hex_digits[byte >> 4];
        out += hex_digits[byte & 15];
    }
    bytes.remove_prefix(1);
  }
  out += '"';
}

void write_records(const snapshot& print, std::string& out) {
  for (const map_entry& entry : print.entries) {
    record_frame frame = frame_of(print, entry);
    std::visit(value_writer{frame, print.kind, out}, entry.value);
  }
}

} // namespace bpf2graphite
