#include "app/config_files.hpp"

#include "app/config_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <mutex>
#include <pwd.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace bpf2graphite {

namespace {

/// Closes what it holds.
struct descriptor {
  explicit descriptor(int number) : fd(number) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
  int fd;
};

std::string reason_of(int error) {
  return std::generic_category().message(error);
}

file_kind kind_of(mode_t mode) {
  if (S_ISREG(mode))
    return file_kind::regular;
  if (S_ISDIR(mode))
    return file_kind::folder;
  if (S_ISLNK(mode))
    return file_kind::link;
  return file_kind::other;
}

} // namespace

file_facts disk_view::facts(const std::string& path) {
  file_facts facts;
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    facts.kind = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
                   ? file_kind::missing
                   : file_kind::denied;
    return facts;
  }
  facts.kind = kind_of(st.st_mode);
  facts.owner = st.st_uid;
  facts.group = st.st_gid;
  facts.mode = st.st_mode & 07777;
  facts.bytes = static_cast<std::uint64_t>(st.st_size);
  if (facts.kind == file_kind::link) {
    std::array<char, PATH_MAX> target{};
    auto length = ::readlink(path.c_str(), target.data(), target.size());
    if (length <= 0)
      facts.kind = file_kind::denied;
    else
      facts.target.assign(target.data(), static_cast<std::size_t>(length));
  }
  return facts;
}

namespace {

/// libc's user data base answers into memory of its own, and a reload reads
/// files while an actor may do so for a start.
std::mutex& user_data_base() {
  static std::mutex mutex;
  return mutex;
}

} // namespace

std::string disk_view::user_name(std::uint32_t uid) {
  std::lock_guard guard{user_data_base()};
  const auto* user = ::getpwuid(uid);
  return user == nullptr ? std::string{} : std::string{user->pw_name};
}

group_facts disk_view::group(std::uint32_t gid) {
  std::lock_guard guard{user_data_base()};
  group_facts facts;
  const auto* group = ::getgrgid(gid);
  if (group == nullptr)
    return facts;
  facts.name = group->gr_name;
  for (auto** member = group->gr_mem; *member != nullptr; ++member)
    facts.members.emplace_back(*member);
  // Who has it as the first group stands in no list of members.
  ::setpwent();
  while (const auto* user = ::getpwent())
    if (user->pw_gid == gid)
      facts.members.emplace_back(user->pw_name);
  ::endpwent();
  return facts;
}

disk_files::disk_files(trusted_users trusted) : trusted_(std::move(trusted)) {
  std::array<char, PATH_MAX> folder{};
  if (::getcwd(folder.data(), folder.size()) != nullptr)
    working_folder_ = folder.data();
}

std::string disk_files::absolute(const std::string& path) const {
  return path.starts_with('/') ? path : working_folder_ + '/' + path;
}

file_text disk_files::read(const std::string& path, std::size_t bytes_max) {
  disk_view view;
  auto verdict = judge_file(absolute(path), trusted_, view, bytes_max);
  if (verdict.fault != file_fault::none)
    return {verdict.fault, {}, to_text(verdict)};
  // O_NONBLOCK: should it be a FIFO by now, opening must not wait for a writer.
  descriptor file{::open(verdict.real_path.c_str(), O_RDONLY | O_CLOEXEC
                                                      | O_NOFOLLOW | O_NONBLOCK
                                                      | O_NOCTTY)};
  auto name = shown(path, 1000);
  if (file.fd < 0)
    return {errno == EACCES || errno == EPERM ? file_fault::denied
                                              : file_fault::failed,
            {},
            name + " cannot be opened: " + reason_of(errno)
              + (errno == EMFILE || errno == ENFILE
                   ? "; raise LimitNOFILE of the service, or fs.file-max"
                   : "; let this user read it")};
  struct stat st {};
  if (::fstat(file.fd, &st) != 0 || !S_ISREG(st.st_mode))
    return {
      file_fault::not_regular, {}, name + " is not a regular file; name one"};
  file_text result;
  std::array<char, 65536> buffer{};
  for (;;) {
    auto count = ::read(file.fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return {file_fault::failed,
              {},
              name + " cannot be read: " + reason_of(errno)
                + "; look at the disk it is on"};
    if (count == 0)
      return result;
    result.text.append(buffer.data(), static_cast<std::size_t>(count));
    if (result.text.size() > bytes_max)
      return {file_fault::too_large,
              {},
              name + " has more than " + std::to_string(bytes_max)
                + " bytes; split it"};
  }
}

file_matches disk_files::match(const std::string& pattern) {
  file_matches result;
  glob_t found{};
  auto status =
    ::glob(absolute(pattern).c_str(), GLOB_NOSORT | GLOB_ERR, nullptr, &found);
  if (status == 0) {
    auto count = std::min(found.gl_pathc, matches_max);
    if (count < found.gl_pathc)
      result.trouble = std::to_string(found.gl_pathc) + " files match; at most "
                       + std::to_string(matches_max) + " are read";
    result.paths.assign(found.gl_pathv, found.gl_pathv + count);
    std::sort(result.paths.begin(), result.paths.end());
  } else if (status != GLOB_NOMATCH) {
    result.trouble = "the folder cannot be read; let this user in";
  }
  ::globfree(&found);
  return result;
}

bool disk_files::exists(const std::string& path) {
  return disk_view{}.facts(absolute(path)).kind != file_kind::missing;
}

trusted_users users_to_trust(std::uint32_t effective_uid,
                             std::string_view sudo_uid, bool on_terminal) {
  trusted_users users{0, effective_uid};
  std::uint32_t uid = 0;
  const auto* last = sudo_uid.data() + sudo_uid.size();
  auto [end, error] = std::from_chars(sudo_uid.data(), last, uid);
  // sudo sets SUDO_UID for the command it runs as root; a process that has it
  // and is not root was not started by it.
  if (on_terminal && effective_uid == 0 && !sudo_uid.empty()
      && error == std::errc{} && end == last)
    users.insert(uid);
  return users;
}

} // namespace bpf2graphite
