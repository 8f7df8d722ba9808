#pragma once
// Which keys of a map are wanted: `keep-keys` and `drop-keys`.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// True when the whole of `text` fits `pattern`: `*` stands for any bytes, `?`
/// for one byte, all else for itself. Bytes, not characters; no escapes. At
/// most pattern x text steps.
bool glob_matches(std::string_view pattern, std::string_view text);

class key_filter {
public:
  /// As normalizer_config.hpp says at `keep_keys`.
  key_filter(const std::vector<std::string>& names,
             const std::vector<std::string>& keep,
             const std::vector<std::string>& drop);

  /// True when there is nothing to judge by.
  bool wants_all() const {
    return keep_.empty() && drop_.empty();
  }

  /// Judges raw key parts. A map without keys is always wanted.
  bool wants(const std::vector<std::string>& parts) const;

private:
  struct pattern {
    std::optional<std::size_t> part; // none: any
    std::string glob;
  };

  static std::vector<pattern> read(const std::vector<std::string>& names,
                                   const std::vector<std::string>& patterns);
  static bool any(const std::vector<pattern>& patterns,
                  const std::vector<std::string>& parts);

  std::vector<pattern> keep_;
  std::vector<pattern> drop_;
};

} // namespace bpf2graphite
