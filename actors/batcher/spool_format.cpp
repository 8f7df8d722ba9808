#include "actors/batcher/spool_format.hpp"

#include "actors/graphite_connection/plaintext.hpp"

#include <boost/crc.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

namespace bpf2graphite {
namespace {

constexpr std::string_view magic = "bpf2graphite-spool ";
constexpr std::size_t name_bytes_max = 100;
constexpr std::size_t crc_digits = 8;

std::string crc_text(std::string_view bytes) {
  boost::crc_32_type crc;
  crc.process_bytes(bytes.data(), bytes.size());
  std::string text(crc_digits, '0');
  auto left = static_cast<std::uint32_t>(crc.checksum());
  for (auto at = text.rbegin(); at != text.rend(); ++at, left >>= 4)
    *at = "0123456789abcdef"[left & 15];
  return text;
}

/// Takes the text up to `end`, and `end` with it.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
  auto at = text.find(end);
  if (at == text.npos)
    return std::nullopt;
  auto result = text.substr(0, at);
  text.remove_prefix(at + 1);
  return result;
}

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word))
    return false;
  text.remove_prefix(word.size());
  return true;
}

template <class Number>
std::optional<Number> take_number(std::string_view& text, char end) {
  auto digits = take_until(text, end);
  Number result{};
  if (!digits || digits->empty())
    return std::nullopt;
  auto [at, error] =
    std::from_chars(digits->data(), digits->data() + digits->size(), result);
  if (error != std::errc{} || at != digits->data() + digits->size())
    return std::nullopt;
  return result;
}

/// The time stamp of a line that carbon reads; none: it must not be sent.
std::optional<std::int64_t> slot_of(std::string_view line) {
  auto path = take_until(line, ' ');
  auto value = take_until(line, ' ');
  if (!path || judge_path(*path) != line_fault::none || !value || value->empty()
      || value->find_first_not_of("0123456789.-") != value->npos)
    return std::nullopt;
  std::int64_t slot = 0;
  auto [at, error] =
    std::from_chars(line.data(), line.data() + line.size(), slot);
  if (error != std::errc{} || at != line.data() + line.size() || slot < 1
      || slot > std::numeric_limits<std::uint32_t>::max())
    return std::nullopt;
  return slot;
}

bool lines_are_well(const metric_batch& batch) {
  std::string_view text = *batch.lines;
  std::size_t points = 0;
  std::int64_t newest = 0;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    auto slot = line ? slot_of(*line) : std::nullopt;
    if (!slot)
      return false;
    newest = std::max(newest, *slot);
    ++points;
  }
  return points > 0 && points == batch.points && newest == batch.newest_slot;
}

spool_content refuse(std::string error) {
  return {.batches = {}, .error = std::move(error)};
}

} // namespace

std::string encode_spool(std::string_view destination,
                         const std::vector<metric_batch>& batches) {
  std::size_t bytes = 200 + destination.size();
  for (auto& batch : batches)
    bytes += batch.lines->size() + 80;
  std::string out;
  out.reserve(bytes);
  out += magic;
  out += std::to_string(spool_version) + "\ndestination ";
  out += destination;
  out += '\n';
  for (auto& batch : batches) {
    out += "batch " + std::to_string(batch.points) + ' '
           + std::to_string(batch.newest_slot) + ' '
           + std::to_string(batch.lines->size()) + '\n';
    out += *batch.lines;
  }
  auto crc = crc_text(out);
  out += "end " + crc + '\n';
  return out;
}

spool_content decode_spool(std::string_view text,
                           std::string_view destination) {
  auto rest = text;
  auto version = take_word(rest, magic) ? take_number<int>(rest, '\n')
                                        : std::optional<int>{};
  if (!version)
    return refuse("is no spool file of bpf2graphite");
  if (*version != spool_version)
    return refuse("has format version " + std::to_string(*version)
                  + ", this bpf2graphite reads version "
                  + std::to_string(spool_version));
  constexpr auto end_bytes = 4 + crc_digits + 1; // "end CRC\n"
  if (rest.size() < end_bytes)
    return refuse("is cut short");
  auto covered = text.substr(0, text.size() - end_bytes);
  if (text.substr(covered.size()) != "end " + crc_text(covered) + '\n')
    return refuse("is damaged: its checksum does not fit");
  rest.remove_suffix(end_bytes);
  if (!take_word(rest, "destination "))
    return refuse("names no destination");
  auto name = take_until(rest, '\n');
  if (name != destination)
    return refuse("is for another destination");
  spool_content result;
  while (!rest.empty()) {
    auto points = take_word(rest, "batch ")
                    ? take_number<std::size_t>(rest, ' ')
                    : std::optional<std::size_t>{};
    auto newest = points ? take_number<std::int64_t>(rest, ' ') : std::nullopt;
    auto bytes = newest ? take_number<std::size_t>(rest, '\n') : std::nullopt;
    if (!bytes || *bytes > rest.size())
      return refuse("holds a batch that is none");
    metric_batch batch{
      0, std::make_shared<const std::string>(rest.substr(0, *bytes)), *points,
      *newest};
    rest.remove_prefix(*bytes);
    if (!lines_are_well(batch))
      return refuse("holds a line that must not be sent");
    result.batches.push_back(std::move(batch));
  }
  return result;
}

std::string spool_file_name(std::string_view destination) {
  std::string name;
  for (char c : destination.substr(0, name_bytes_max)) {
    auto plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
                 || (c >= 'A' && c <= 'Z') || c == '-';
    // A dot in the middle is no harm, and names of hosts have some.
    name += plain || (c == '.' && !name.empty()) ? c : '_';
  }
  name += '-' + crc_text(destination);
  name += spool_suffix;
  return name;
}

} // namespace bpf2graphite
