#include "actors/graphite_connection/plaintext.hpp"

#include "messages/common_ends.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace bpf2graphite {
namespace {

enum byte_class : std::uint8_t { bad = 0, plain = 1, dot = 2 };

constexpr auto byte_classes = [] {
  std::array<std::uint8_t, 256> result{};
  for (auto c = '0'; c <= '9'; ++c)
    result[static_cast<unsigned char>(c)] = plain;
  for (auto c = 'A'; c <= 'Z'; ++c)
    result[static_cast<unsigned char>(c)] = plain;
  for (auto c = 'a'; c <= 'z'; ++c)
    result[static_cast<unsigned char>(c)] = plain;
  for (auto c : std::string_view{"_-:~+%#@"})
    result[static_cast<unsigned char>(c)] = plain;
  result['.'] = dot;
  return result;
}();

/// The levels that make up the first `good` bytes are judged already.
line_fault judge_name(std::string_view name, std::size_t good) {
  if (name.size() > path_bytes_max)
    return line_fault::too_long;
  std::size_t level = 0;
  for (auto c : name.substr(good)) {
    switch (byte_classes[static_cast<unsigned char>(c)]) {
      case plain:
        ++level;
        break;
      case dot:
        if (level == 0)
          return line_fault::path;
        if (level > level_bytes_max)
          return line_fault::too_long;
        level = 0;
        break;
      default:
        return line_fault::path;
    }
  }
  if (level == 0)
    return line_fault::path;
  return level > level_bytes_max ? line_fault::too_long : line_fault::none;
}

bool is_tag_word(std::string_view word) {
  if (word.empty())
    return false;
  for (auto c : word)
    if (byte_classes[static_cast<unsigned char>(c)] == bad)
      return false;
  return true;
}

/// `tags` is what follows the first semicolon.
bool are_tags(std::string_view tags) {
  for (;;) {
    auto end = tags.find(';');
    auto tag = tags.substr(0, end);
    auto equals = tag.find('=');
    if (equals == tag.npos || !is_tag_word(tag.substr(0, equals)))
      return false;
    auto value = tag.substr(equals + 1);
    if (!is_tag_word(value) || value.front() == '~')
      return false;
    if (end == tags.npos)
      return true;
    tags.remove_prefix(end + 1);
  }
}

// 2^127 has 39 digits.
using digits = std::array<char, 40>;

std::string_view print(exact value, digits& buffer) {
  auto last = buffer.data() + buffer.size();
  if (value >= INT64_MIN && value <= INT64_MAX) {
    auto end =
      std::to_chars(buffer.data(), last, static_cast<std::int64_t>(value));
    return {buffer.data(), end.ptr};
  }
  // The absolute value of -2^127 fits only into the unsigned type.
  __extension__ using wide = unsigned __int128;
  auto rest =
    value < 0 ? wide{0} - static_cast<wide>(value) : static_cast<wide>(value);
  auto first = last;
  for (; rest != 0; rest /= 10)
    *--first = static_cast<char>('0' + static_cast<int>(rest % 10));
  if (value < 0)
    *--first = '-';
  return {first, last};
}

/// False for what is no finite number.
bool append_double(std::string& out, double value) {
  if (!std::isfinite(value))
    return false;
  if (value == 0) // also for -0.0
    value = 0;
  auto size = std::fabs(value);
  auto usual = size == 0 || (size >= 1e-5 && size < 1e21);
  std::array<char, 64> buffer; // 17 digits, 20 zeros, sign, point, exponent
  auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                           usual ? std::chars_format::fixed
                                 : std::chars_format::scientific);
  out.append(buffer.data(), end.ptr);
  return true;
}

line_fault judge_path_from(std::string_view path, std::size_t good) {
  if (path.size() > series_bytes_max)
    return line_fault::too_long;
  auto tags = path.find(';', good);
  auto fault = judge_name(path.substr(0, tags), good);
  if (fault != line_fault::none || tags == path.npos)
    return fault;
  return are_tags(path.substr(tags + 1)) ? line_fault::none : line_fault::path;
}

} // namespace

line_fault judge_path(std::string_view path) {
  return judge_path_from(path, 0);
}

/// Whole levels that the path before has, too, are as good as they were there.
line_fault line_writer::judge(std::string_view path) {
  auto same = path.substr(0, common_head(path, levels_));
  auto fault = judge_path_from(path, same.rfind('.') + 1);
  if (fault == line_fault::none)
    levels_ = path.substr(0, path.find(';', same.size()));
  return fault;
}

line_fault line_writer::append(std::string& out, const metric& point) {
  if (!point.path)
    return line_fault::path;
  auto path = *point.path;
  if (auto fault = judge(path); fault != line_fault::none)
    return fault;
  if (point.timestamp <= 0 || point.timestamp > UINT32_MAX)
    return line_fault::timestamp;
  digits buffer;
  if (point.timestamp != timestamp_) {
    timestamp_ = point.timestamp;
    auto text = print(timestamp_, buffer);
    end_[0] = ' ';
    text.copy(end_.data() + 1, text.size());
    end_[text.size() + 1] = '\n';
    end_size_ = text.size() + 2;
  }
  auto before = out.size();
  out += path;
  out += ' ';
  if (auto number = std::get_if<exact>(&point.value)) {
    out += print(*number, buffer);
  } else if (!append_double(out, std::get<double>(point.value))) {
    out.resize(before);
    return line_fault::value;
  }
  out.append(end_.data(), end_size_);
  return line_fault::none;
}

line_fault append_line(std::string& out, const metric& point) {
  return line_writer{}.append(out, point);
}

} // namespace bpf2graphite
