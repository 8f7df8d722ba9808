#pragma once
// May we trust a file? What is in the configuration and in scripts runs as
// root, so nobody but root, we ourselves and the user who called sudo may be
// able to change it: neither the file nor a folder on the way to it.
//
// Because a folder that only trusted users can write to cannot change between
// our look and the read, looking first is enough; to be sure that the read
// opens what was judged, it takes `real_path`, which has no links in it.

#include "app/file_access.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Links followed on one way, as the kernel does.
inline constexpr std::size_t links_max = 40;

enum class file_kind { missing, denied, regular, folder, link, other };

/// What lstat(2) and readlink(2) tell.
struct file_facts {
  file_kind kind = file_kind::missing;
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::uint32_t mode = 0; // permission bits with the sticky one: 07777
  std::uint64_t bytes = 0;
  std::string target; // of a link
};

/// A group as the system knows it. `members` are all users in it, by their
/// entry there or as their first group.
struct group_facts {
  std::string name; // empty: unknown
  std::vector<std::string> members;
};

/// The few questions that a judgement asks of the system.
class file_system_view {
public:
  virtual ~file_system_view() = default;
  virtual file_facts facts(const std::string& path) = 0;
  virtual std::string user_name(std::uint32_t uid) = 0; // empty: unknown
  virtual group_facts group(std::uint32_t gid) = 0;
};

/// Whose files we believe: root, the effective user, and the uid in SUDO_UID
/// when we run on a terminal (the caller decides).
using trusted_users = std::set<std::uint32_t>;

/// A judgement about one path.
struct file_verdict {
  file_fault fault = file_fault::none;
  std::string real_path; // absolute, without links, when it was found
  /// One sentence for each thing that is wrong, after "; " what mends it.
  std::vector<std::string> reasons;
};

/// Judges `path`, which must be absolute, and each folder on the way. For a
/// link its target counts, and the folders on the way to that. Folders that
/// others may write to pass when they are sticky: then what lies in them can be
/// changed by its owner only, who is judged next.
file_verdict judge_file(const std::string& path, const trusted_users& trusted,
                        file_system_view& system, std::size_t bytes_max);

/// The reasons of a verdict as one text.
std::string to_text(const file_verdict& verdict);

} // namespace bpf2graphite
