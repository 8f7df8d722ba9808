#pragma once
// How the configuration reaches files: a small interface, so that its tests
// need no disk. `disk_files` in app/config_files.hpp is the real one.

#include <cstddef>
#include <string>
#include <vector>

namespace bpf2graphite {

enum class file_fault {
  none,
  missing,     // neither the file nor a folder on the way
  denied,      // the system does not let us look
  not_regular, // a folder, a FIFO, a device
  too_large,
  unsafe, // somebody who is not trusted could change it
  failed, // a read error, too many links
};

/// What reading, or judging, a file gave.
struct file_text {
  file_fault fault = file_fault::none;
  std::string text;   // empty unless `fault` is none
  std::string reason; // what is wrong; after "; " what mends it
};

/// What a pattern matched.
struct file_matches {
  std::vector<std::string> paths; // sorted by bytes
  std::string trouble;            // empty, or why the list is not complete
};

class file_access {
public:
  virtual ~file_access() = default;

  /// The whole file if it is a regular one of at most `bytes_max` bytes that
  /// only trusted users can change.
  virtual file_text read(const std::string& path, std::size_t bytes_max) = 0;

  /// The files that a shell pattern (glob(7)) matches; none is no trouble.
  virtual file_matches match(const std::string& pattern) = 0;

  /// False only if nothing has that name: what cannot be looked at exists.
  virtual bool exists(const std::string& path) = 0;
};

} // namespace bpf2graphite
