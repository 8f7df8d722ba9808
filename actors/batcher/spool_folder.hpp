#pragma once
// The folder of `graphite.spool`, and the files in it.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// Where the batcher leaves what was not accepted. Tests keep it in memory.
struct spool_store {
  virtual ~spool_store() = default;

  /// Replaces a file as a whole or not at all; an error for a person, empty on
  /// success. When it returns, the file is on disk.
  virtual std::string write(const std::string& file, std::string_view text) = 0;

  /// Removes a file; success when there is none.
  virtual std::string remove(const std::string& file) = 0;

  /// Where a file is, for a person.
  virtual std::string place(const std::string& file) const = 0;
};

/// A folder that only we can read and write: what lies in it goes to Graphite.
/// Files are written under a temporary name, flushed to the disk and renamed;
/// links are never followed.
class spool_folder final : public spool_store {
public:
  /// `path`: absolute.
  explicit spool_folder(std::string path);
  ~spool_folder() override;
  spool_folder(const spool_folder&) = delete;
  spool_folder& operator=(const spool_folder&) = delete;

  /// Makes the folder (0700) if it is not there, and opens it. Empty: well;
  /// otherwise what is wrong with it, and what mends it.
  std::string open();

  struct text_or_error {
    std::optional<std::string> text; // none and no error: there is no such file
    std::string error;               // a clause for a person
  };

  /// A whole file of at most `bytes_max`.
  text_or_error read(const std::string& file, std::size_t bytes_max) const;

  /// Renames a file that cannot be used to FILE.damaged (or .damaged-2 and so
  /// on, up to 9, the last of which is replaced); its new place, empty on
  /// failure.
  std::string set_aside(const std::string& file) const;

  /// The names of all spool files, sorted.
  std::vector<std::string> files() const;

  std::string write(const std::string& file, std::string_view text) override;
  std::string remove(const std::string& file) override;
  std::string place(const std::string& file) const override {
    return path_ + '/' + file;
  }

private:
  std::string path_;
  int folder_ = -1;
};

} // namespace bpf2graphite
