#include "actors/batcher/spool_folder.hpp"

#include "actors/batcher/spool_format.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bpf2graphite {
namespace {

constexpr int damaged_max = 9;

struct descriptor {
  int fd = -1;
  explicit descriptor(int number) : fd{number} {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};

std::string reason() {
  return std::strerror(errno);
}

} // namespace

spool_folder::spool_folder(std::string path) : path_{std::move(path)} {}

spool_folder::~spool_folder() {
  if (folder_ >= 0)
    ::close(folder_);
}

std::string spool_folder::open() {
  auto about = "graphite.spool = \"" + path_ + "\": ";
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST)
    return about + "it cannot be made: " + reason()
           + "; make the folders above it, or name another one";
  folder_ =
    ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder_ < 0)
    return about
           + (errno == ELOOP || errno == ENOTDIR
                ? "it is a link or no folder; name a folder of its own"
                : reason());
  struct stat facts {};
  if (::fstat(folder_, &facts) != 0)
    return about + reason();
  if (facts.st_uid != ::geteuid())
    return about + "it belongs to another user; chown "
           + std::to_string(::geteuid()) + " " + path_;
  if ((facts.st_mode & 077) != 0)
    return about + "others may enter it; chmod 0700 " + path_;
  return {};
}

spool_folder::text_or_error spool_folder::read(const std::string& file,
                                               std::size_t bytes_max) const {
  descriptor in{::openat(folder_, file.c_str(),
                         O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)};
  if (in.fd < 0)
    return {{}, errno == ENOENT ? "" : "cannot be opened: " + reason()};
  struct stat facts {};
  if (::fstat(in.fd, &facts) != 0)
    return {{}, "cannot be looked at: " + reason()};
  if (!S_ISREG(facts.st_mode) || facts.st_uid != ::geteuid()
      || facts.st_nlink != 1)
    return {{}, "is no file of our own"};
  if (static_cast<std::uint64_t>(facts.st_size) > bytes_max)
    return {{},
            "is larger than graphite.buffer; raise that and give the file "
            "its old name to have it sent"};
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  for (std::size_t done = 0; done < text.size();) {
    auto n = ::read(in.fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return {{}, n < 0 ? "cannot be read: " + reason() : "is cut short"};
    done += static_cast<std::size_t>(n);
  }
  return {std::move(text), {}};
}

std::string spool_folder::set_aside(const std::string& file) const {
  for (int i = 1; i <= damaged_max; ++i) {
    auto name = file + ".damaged" + (i == 1 ? "" : "-" + std::to_string(i));
    struct stat facts {};
    if (i < damaged_max
        && ::fstatat(folder_, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0)
      continue;
    if (::renameat(folder_, file.c_str(), folder_, name.c_str()) == 0)
      return place(name);
    break;
  }
  return {};
}

std::vector<std::string> spool_folder::files() const {
  std::vector<std::string> names;
  auto fd = ::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  auto list = fd < 0 ? nullptr : ::fdopendir(fd);
  if (list == nullptr) {
    if (fd >= 0)
      ::close(fd);
    return names;
  }
  while (auto entry = ::readdir(list)) {
    std::string name = entry->d_name;
    if (name.ends_with(spool_suffix))
      names.push_back(std::move(name));
  }
  ::closedir(list);
  std::sort(names.begin(), names.end());
  return names;
}

std::string spool_folder::write(const std::string& file,
                                std::string_view text) {
  auto fresh = file + ".new";
  // What a daemon left that died while writing.
  ::unlinkat(folder_, fresh.c_str(), 0);
  descriptor out{::openat(folder_, fresh.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          0600)};
  auto fail = [&](const char* what) {
    auto why = place(fresh) + ": " + what + ": " + reason();
    if (out.fd >= 0)
      ::unlinkat(folder_, fresh.c_str(), 0);
    return why;
  };
  if (out.fd < 0)
    return fail("open");
  for (std::size_t done = 0; done < text.size();) {
    auto n = ::write(out.fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail("write");
    done += static_cast<std::size_t>(n);
  }
  if (::fsync(out.fd) != 0)
    return fail("fsync");
  if (::renameat(folder_, fresh.c_str(), folder_, file.c_str()) != 0)
    return fail("rename");
  ::fsync(folder_); // the name, too; some file systems cannot
  return {};
}

std::string spool_folder::remove(const std::string& file) {
  if (::unlinkat(folder_, file.c_str(), 0) == 0 || errno == ENOENT)
    return {};
  return place(file) + ": " + reason();
}

} // namespace bpf2graphite
