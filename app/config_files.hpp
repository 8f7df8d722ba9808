#pragma once
// The configuration's files on disk, judged before they are read.

#include "app/file_access.hpp"
#include "app/file_safety.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// Files that one pattern may match.
inline constexpr std::size_t matches_max = 10'000;

/// lstat(2), readlink(2), the user and group data bases.
class disk_view : public file_system_view {
public:
  file_facts facts(const std::string& path) override;
  std::string user_name(std::uint32_t uid) override;
  group_facts group(std::uint32_t gid) override;
};

/// Reads only what `judge_file` passes. A relative path starts in the folder
/// that was the working one when this was made.
class disk_files : public file_access {
public:
  explicit disk_files(trusted_users trusted);

  file_text read(const std::string& path, std::size_t bytes_max) override;
  file_matches match(const std::string& pattern) override;
  bool exists(const std::string& path) override;

  /// The folder relative paths start in; empty if the system did not tell.
  const std::string& working_folder() const {
    return working_folder_;
  }

private:
  std::string absolute(const std::string& path) const;

  trusted_users trusted_;
  std::string working_folder_;
};

/// Root, `effective_uid`, and the number in `sudo_uid` (SUDO_UID; empty: unset)
/// if `on_terminal`: a user at a terminal who may use sudo is root anyway, but
/// a variable that came from anywhere else proves nothing.
trusted_users users_to_trust(std::uint32_t effective_uid,
                             std::string_view sudo_uid, bool on_terminal);

} // namespace bpf2graphite
