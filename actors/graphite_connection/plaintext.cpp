#include "actors/graphite_connection/plaintext.hpp"

#include "messages/common_ends.hpp"

#include <algorithm>
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
constexpr std::size_t digits_max = 40;

/// Writes at most `digits_max` bytes; returns where they end.
char* print(exact value, char* to) {
  if (value >= INT64_MIN && value <= INT64_MAX)
    return std::to_chars(to, to + digits_max, static_cast<std::int64_t>(value))
      .ptr;
  // The absolute value of -2^127 fits only into the unsigned type.
  __extension__ using wide = unsigned __int128;
  auto rest =
    value < 0 ? wide{0} - static_cast<wide>(value) : static_cast<wide>(value);
  std::array<char, digits_max> buffer;
  auto first = buffer.end();
  for (; rest != 0; rest /= 10)
    *--first = static_cast<char>('0' + static_cast<int>(rest % 10));
  if (value < 0)
    *--first = '-';
  return std::copy(first, buffer.end(), to);
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

/// What stands before the tags, which do not begin in the first `good` bytes.
std::string_view levels_of(std::string_view path, std::size_t good) {
  return path.substr(0, path.find(';', good));
}

/// The first `good` bytes are whole levels that are judged already.
line_fault judge_from(std::string_view path, std::string_view levels,
                      std::size_t good) {
  if (path.size() > series_bytes_max)
    return line_fault::too_long;
  auto fault = judge_name(levels, good);
  if (fault != line_fault::none || levels.size() == path.size())
    return fault;
  return are_tags(path.substr(levels.size() + 1)) ? line_fault::none
                                                  : line_fault::path;
}

} // namespace

line_fault judge_path(std::string_view path) {
  return judge_from(path, levels_of(path, 0), 0);
}

/// Whole levels that the path before has, too, are as good as they were there.
line_fault line_writer::judge(std::string_view path) {
  auto same = path.substr(0, common_head(path, levels_));
  auto levels = levels_of(path, same.size());
  auto fault = judge_from(path, levels, same.rfind('.') + 1);
  if (fault == line_fault::none)
    levels_ = levels;
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
  if (point.timestamp != timestamp_) {
    timestamp_ = point.timestamp;
    end_[0] = ' ';
    auto* end = print(timestamp_, end_.data() + 1);
    *end++ = '\n';
    end_size_ = static_cast<std::size_t>(end - end_.data());
  }
  auto before = out.size();
  out += path;
  if (auto number = std::get_if<exact>(&point.value)) {
    std::array<char, 1 + digits_max + line_end_max> rest;
    rest[0] = ' ';
    auto* end = print(*number, rest.data() + 1);
    // Whole, since that size is known here; only the used part is taken.
    std::copy(end_.begin(), end_.end(), end);
    end += end_size_;
    out.append(rest.data(), static_cast<std::size_t>(end - rest.data()));
    return line_fault::none;
  }
  out += ' ';
  if (!append_double(out, std::get<double>(point.value))) {
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
