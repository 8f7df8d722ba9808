#include "actors/histogram_parser/key_parts.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <set>

namespace bpf2graphite {

namespace {

/// Beyond this many pieces the best split of one key is no longer searched
/// for (the search is cubic): the first text part takes what is too much.
constexpr std::size_t searched_pieces_max = 32;

/// So many beginnings of a stack, tuple or array without an end are looked
/// into in one key; each costs a walk over the rest of it.
constexpr int failed_groups_max = 16;

constexpr std::size_t npos = std::string_view::npos;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_integer(std::string_view text) {
  if (!text.empty() && text.front() == '-')
    text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

bool ends_at(std::string_view key, std::size_t pos,
             std::string_view separator) {
  return pos == key.size() || key.substr(pos).starts_with(separator);
}

/// A line of a stack: indented, or (JSON of 0.24+, which drops spaces) a
/// symbol with its offset, or an address.
bool is_frame(std::string_view line) {
  if (line.starts_with("    ") || line.starts_with('\t'))
    return line.find_first_not_of(" \t") != npos;
  if (line.empty())
    return false;
  if (line.find_first_not_of("0123456789abcdefx") == npos)
    return true;
  auto plus = line.rfind('+');
  return plus != npos && plus > 0 && plus + 1 < line.size()
         && std::all_of(line.begin() + static_cast<std::ptrdiff_t>(plus) + 1,
                        line.end(), is_digit);
}

/// One past the stack that begins at `pos` (a line end), else npos.
std::size_t stack_end(std::string_view key, std::size_t pos,
                      std::string_view separator) {
  for (;;) {
    auto line = pos + 1;
    auto end = key.find('\n', line);
    if (end == npos || !is_frame(key.substr(line, end - line)))
      return npos;
    if (ends_at(key, end + 1, separator))
      return end + 1;
    pos = end;
  }
}

/// One past the tuple or array that begins at `pos`, else npos.
std::size_t group_end(std::string_view key, std::size_t pos,
                      std::string_view separator) {
  char open = key[pos];
  char close = open == '(' ? ')' : ']';
  std::size_t depth = 0;
  for (auto i = pos; i < key.size(); ++i) {
    if (key[i] == open) {
      ++depth;
    } else if (key[i] == close && --depth == 0) {
      return ends_at(key, i + 1, separator) ? i + 1 : npos;
    }
  }
  return npos;
}

/// The pieces of one key: [from, to) of each.
struct piece {
  std::size_t from;
  std::size_t to;
};

/// Cuts at every separator; with `whole_groups` not within stacks, tuples and
/// arrays, whose own commas are no separators.
void cut(std::string_view key, std::string_view separator, bool whole_groups,
         std::vector<piece>& pieces) {
  pieces.clear();
  std::size_t from = 0;
  int tries = whole_groups ? failed_groups_max : 0;
  for (;;) {
    auto search = from;
    if (tries > 0 && from < key.size()
        && (key[from] == '\n' || key[from] == '(' || key[from] == '[')) {
      auto end = key[from] == '\n' ? stack_end(key, from, separator)
                                   : group_end(key, from, separator);
      if (end != npos)
        search = end;
      else
        --tries;
    }
    auto at = key.find(separator, search);
    if (at == npos) {
      pieces.push_back({from, key.size()});
      return;
    }
    pieces.push_back({from, at});
    from = at + separator.size();
  }
}

/// The kinds of bytes that a part is made of, a bit each.
unsigned kinds_in(std::string_view part) {
  unsigned kinds = 0;
  for (char c : part) {
    if (is_digit(c))
      kinds |= 1;
    else if (c == ' ')
      kinds |= 2;
    else if (c == ',')
      kinds |= 4;
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
      kinds |= 8;
    else
      kinds |= 16;
  }
  return kinds;
}

/// Splits the keys of one map, of which the number of parts is known.
class splitter {
public:
  splitter(const std::vector<std::string_view>& raw, std::string_view separator,
           std::size_t parts)
    : raw_{raw}, separator_{separator}, parts_{parts}, integer_(parts, true) {}

  std::vector<std::vector<piece>> pieces;

  void cut_all() {
    pieces.resize(raw_.size());
    for (std::size_t i = 0; i < raw_.size(); ++i) {
      cut(raw_[i], separator_, true, pieces[i]);
      if (pieces[i].size() < parts_)
        cut(raw_[i], separator_, false, pieces[i]);
    }
  }

  void use_types(const std::vector<bool>& integer) {
    if (integer.size() == parts_)
      integer_ = integer;
  }

  /// What the rows say: where a row has no separator too many, its parts show
  /// their types; otherwise only its outer pieces do.
  void learn_types() {
    for (std::size_t row = 0; row < raw_.size(); ++row) {
      const auto& cuts = pieces[row];
      if (cuts.size() == parts_) {
        for (std::size_t i = 0; i < parts_; ++i)
          if (integer_[i] && !is_integer(text(row, i, i)))
            integer_[i] = false;
      } else if (cuts.size() > parts_) {
        if (!is_integer(text(row, 0, 0)))
          integer_.front() = false;
        if (!is_integer(text(row, cuts.size() - 1, cuts.size() - 1)))
          integer_.back() = false;
      }
    }
  }

  const std::vector<bool>& types() const {
    return integer_;
  }

  std::vector<std::string> split(std::size_t row) {
    const auto count = pieces[row].size();
    std::vector<std::string> result;
    if (count <= parts_) {
      result.reserve(count);
      for (std::size_t i = 0; i < count; ++i)
        result.emplace_back(text(row, i, i));
      return result;
    }
    result.reserve(parts_);
    auto surplus = count - parts_;
    auto texts = static_cast<std::size_t>(
      std::count(integer_.begin(), integer_.end(), false));
    if (texts != 1 && count <= searched_pieces_max) {
      auto last = best(row);
      for (std::size_t i = 0, from = 0; i < parts_; from = last[i++] + 1)
        result.emplace_back(text(row, from, last[i]));
      return result;
    }
    auto widest = static_cast<std::size_t>(
      std::find(integer_.begin(), integer_.end(), false) - integer_.begin());
    if (widest == parts_)
      widest = 0;
    for (std::size_t i = 0, from = 0; i < parts_; ++i) {
      auto to = from + (i == widest ? surplus : 0);
      result.emplace_back(text(row, from, to));
      from = to + 1;
    }
    return result;
  }

private:
  std::string_view text(std::size_t row, std::size_t first,
                        std::size_t last) const {
    const auto& cuts = pieces[row];
    return raw_[row].substr(cuts[first].from, cuts[last].to - cuts[first].from);
  }

  /// Parts that rows without a surplus separator have in each place.
  const std::vector<std::set<std::string_view>>& known() {
    if (known_.empty()) {
      known_.resize(parts_);
      kinds_.resize(parts_, 0);
      for (std::size_t row = 0; row < raw_.size(); ++row)
        if (pieces[row].size() == parts_)
          for (std::size_t i = 0; i < parts_; ++i)
            if (known_[i].insert(text(row, i, i)).second)
              kinds_[i] |= kinds_in(text(row, i, i));
    }
    return known_;
  }

  /// How unlikely it is that pieces first..last of a row are its part `i`.
  unsigned cost(std::size_t row, std::size_t i, std::size_t first,
                std::size_t last) {
    auto part = text(row, first, last);
    unsigned result = 0;
    if (integer_[i] && !is_integer(part))
      result += 1000;
    // JSON joins with a bare comma: one before a space is mostly a name's own.
    if (separator_ == "," && part.starts_with(' '))
      result += 10;
    if (!known()[i].contains(part)) {
      result += 2;
      // Bytes that no such part has elsewhere: an address holds no space.
      if (kinds_[i] != 0)
        result +=
          static_cast<unsigned>(std::popcount(kinds_in(part) & ~kinds_[i]));
    }
    for (auto k = first; first != last && k <= last; ++k)
      if (is_stack(text(row, k, k)))
        result += 20; // a stack is a part of its own
    return result;
  }

  /// The last piece of each part in the likeliest split; of equal ones that
  /// with the widest first parts.
  std::vector<std::size_t> best(std::size_t row) {
    constexpr auto unreached = std::numeric_limits<unsigned>::max();
    const auto count = pieces[row].size();
    // least[i][j]: cost of the parts i... made of the pieces j...
    std::vector<std::vector<unsigned>> least(
      parts_ + 1, std::vector<unsigned>(count + 1, unreached));
    std::vector<std::vector<std::size_t>> choice(
      parts_, std::vector<std::size_t>(count, 0));
    least[parts_][count] = 0;
    for (auto i = parts_; i-- > 0;) {
      for (auto j = i; j < (i == 0 ? 1 : count); ++j) {
        for (auto last = j; last < count; ++last) {
          auto rest = least[i + 1][last + 1];
          if (rest == unreached)
            continue;
          auto sum = rest + cost(row, i, j, last);
          if (sum <= least[i][j]) {
            least[i][j] = sum;
            choice[i][j] = last;
          }
        }
      }
    }
    std::vector<std::size_t> result(parts_);
    for (std::size_t i = 0, from = 0; i < parts_; ++i) {
      result[i] = choice[i][from];
      from = result[i] + 1;
    }
    return result;
  }

  const std::vector<std::string_view>& raw_;
  std::string_view separator_;
  std::size_t parts_;
  std::vector<bool> integer_;
  std::vector<std::set<std::string_view>> known_;
  std::vector<unsigned> kinds_; // of bytes, in all of known_
};

/// The smallest number of parts that a key of `raw` splits into.
std::size_t fewest_parts(const std::vector<std::string_view>& raw,
                         std::string_view separator, std::size_t learnt) {
  auto result = learnt == 0 ? npos : learnt;
  std::vector<piece> pieces;
  for (auto key : raw) {
    if (result == 1)
      break;
    cut(key, separator, true, pieces);
    // What only looks like a stack or a tuple must not merge the parts of a
    // map whose number of parts was seen before.
    if (learnt != 0 && pieces.size() < learnt)
      cut(key, separator, false, pieces);
    result = std::min(result, pieces.size());
  }
  return result;
}

} // namespace

bool splits_alone(std::string_view key, std::string_view separator,
                  std::size_t parts, bool told) {
  if (parts <= 1)
    return parts == 1;
  // Whole groups or not: there are no more pieces than these.
  std::size_t pieces = 1;
  for (auto at = key.find(separator); at != npos;
       at = key.find(separator, at + separator.size()))
    if (++pieces > parts)
      return false;
  return told || pieces == parts;
}

bool is_stack(std::string_view text) {
  if (!text.starts_with('\n') || !text.ends_with('\n') || text.size() < 2)
    return false;
  for (std::size_t line = 1; line < text.size();) {
    auto end = text.find('\n', line);
    if (!is_frame(text.substr(line, end - line)))
      return false;
    line = end + 1;
  }
  return true;
}

std::vector<std::vector<std::string>>
split_keys(const std::vector<std::string_view>& raw, std::string_view separator,
           const key_shape* hint, key_shape& learnt) {
  std::vector<std::vector<std::string>> result;
  if (raw.empty())
    return result;
  const bool told = hint != nullptr && hint->parts > 0;
  const auto parts =
    told ? hint->parts : fewest_parts(raw, separator, learnt.parts);
  result.reserve(raw.size());
  if (parts == 1) {
    for (auto key : raw)
      result.emplace_back().emplace_back(key);
    learnt.parts = 1;
    learnt.integer.clear();
    return result;
  }
  splitter split{raw, separator, parts};
  split.cut_all();
  if (told && hint->integer.size() == parts) {
    split.use_types(hint->integer);
  } else {
    if (learnt.parts == parts)
      split.use_types(learnt.integer);
    split.learn_types();
  }
  for (std::size_t row = 0; row < raw.size(); ++row)
    result.push_back(split.split(row));
  learnt.parts = parts;
  learnt.integer = split.types();
  return result;
}

} // namespace bpf2graphite
