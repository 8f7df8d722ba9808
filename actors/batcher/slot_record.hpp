#pragma once
// The newest slot that was ever handed out, kept for the daemon after us: it
// must not write into a slot that we have already sent (design: the floor).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// Where the record is kept. Tests keep it in a string.
struct slot_store {
  virtual ~slot_store() = default;
  /// What was written last; none when there is nothing to read.
  virtual std::optional<std::string> read() = 0;
  /// Replaces it as a whole or not at all; false on failure.
  virtual bool write(std::string_view text) = 0;
};

/// A file that is replaced by rename. Created with mode 0644.
class slot_file final : public slot_store {
public:
  /// `path`: usually RUNTIME_DIRECTORY/last-slot; its folder must exist. A
  /// second file, `path` + ".new", is used while writing.
  explicit slot_file(std::string path) : path_{std::move(path)} {}

  std::optional<std::string> read() override;
  bool write(std::string_view text) override;

private:
  std::string path_;
};

/// The text of a record: the slot's start in decimal seconds since the epoch
/// and a line end, nothing else; that is how a torn one is told from a whole
/// one.
std::string print_slot(std::int64_t slot);

/// The slot in such a text; none for anything else and for slots before 1970
/// or after 2106, which no line can hold.
std::optional<std::int64_t> parse_slot(std::string_view text);

/// Owned by the topology, used by the batcher.
class slot_record {
public:
  /// Reads the store once. Damaged or absent: none. So is a slot after
  /// `believed_until` (seconds since the epoch): the clock was wrong when it
  /// was written, and keeping to it would stop all data until then. Usually now
  /// plus a minute and a slot.
  slot_record(slot_store& store, std::int64_t believed_until);

  /// The newest slot of the daemon before us, as it was at the start.
  std::optional<std::int64_t> before_us() const {
    return before_us_;
  }

  /// To be called before a batch with this newest slot leaves. Writes only
  /// when it is newer than all before. False when it could not be written; the
  /// next call tries again.
  bool keep(std::int64_t newest_slot);

private:
  slot_store& store_;
  std::optional<std::int64_t> before_us_;
  std::optional<std::int64_t> written_;
};

} // namespace bpf2graphite
