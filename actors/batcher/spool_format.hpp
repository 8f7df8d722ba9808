#pragma once
// What a spool file holds: the batches that one destination had not accepted
// when the daemon ended.
//
//   bpf2graphite-spool 1                     the format's version
//   destination NAME                         as shown to people
//   batch POINTS NEWEST-SLOT BYTES           any number of them, oldest first,
//   ...                                      each with so many bytes of lines
//   end CRC                                  CRC-32 (ISO-HDLC, as in zip) of
//   all
//                                            before, 8 lower-case hex digits
//
// Lines end with LF. A file that differs by one bit, or is cut anywhere, is
// refused, and so is one of another version or for another destination: what
// it holds goes to Graphite unseen.

#include "messages/metric.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

inline constexpr int spool_version = 1;

/// The file's text.
std::string encode_spool(std::string_view destination,
                         const std::vector<metric_batch>& batches);

struct spool_content {
  std::vector<metric_batch> batches; // with id 0; empty on an error
  std::string error;                 // a clause for a person; empty: well
};

/// Reads a whole file.
spool_content decode_spool(std::string_view text, std::string_view destination);

/// The name of the file of a destination: its own, cleaned and shortened, and a
/// checksum that tells it from others.
std::string spool_file_name(std::string_view destination);

/// The end of every such name.
inline constexpr std::string_view spool_suffix = ".spool";

/// What a daemon says about files of destinations that it does not serve.
inline constexpr std::size_t spool_names_shown_max = 3;

} // namespace bpf2graphite
