#pragma once
// Several bpftrace scripts in, one program out that does what they do, for all
// versions of bpftrace (0.9 to 0.27).
//
// - Every map gets a prefix that names its script: @usecs is @p1_usecs in the
//   first, @ is @p1_. With a tag (`p1kqzvma_`) nobody who does not read the
//   program can write a line that begins like one of another script: in text
//   output the name of a process may hold anything.
// - Of BEGIN, and of END, versions before 0.25 allow one only. The blocks are
//   put one behind the other into one, in the order of the scripts, each
//   within `if (1) { }`; the variables in them get the prefix, too, since one
//   block has one set of them. Other variables belong to their probe already.
// - What stands before the probes is put in front: #include, #define, struct,
//   union, enum, typedef; what several scripts have stands there once.
// - Everything else is copied byte for byte: comments, texts, probes.
//
// A script runs alone when it cannot be read, when it does what concerns its
// whole process (exit(), $1, config, BEGIN with a predicate or a return ...),
// or when bpftrace would read it differently together with the others: a name
// that one defines may occur in another only if that one defines it with the
// same words, and includes have to be the same, as what is in them is not
// known here.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

struct merge_limits {
  /// bpftrace allows 512 up to 0.20, 1024 later.
  std::size_t probes_max = 400;
  /// A death of the process is felt by that many.
  std::size_t scripts_max = 64;
  std::size_t program_bytes_max = 1 << 20; // as much as a script may have
};

/// Lines of a program, both from 1 and included.
struct line_range {
  std::size_t first = 0;
  std::size_t last = 0;
};

/// One script in a merged program.
struct merged_part {
  std::size_t script = 0;          // its index in what was given
  std::string prefix;              // of its maps, without the @: "p1_"
  std::vector<line_range> lines;   // that came from it
  std::vector<std::string> probes; // its attach points as they are written
  /// It calls printf, time, cat, join, system or prints what is no map.
  bool writes_text = false;
};

struct merged_program {
  std::string text;
  std::vector<merged_part> parts; // two or more
};

/// A script that is not merged, and why, in words that end a sentence such as
/// "runs alone: it calls exit() (line 3)".
struct left_alone {
  std::size_t script = 0;
  std::string why;
};

struct merge_result {
  std::vector<merged_program> programs;
  std::vector<left_alone> alone;
};

/// Merges what can be merged, in the order given, into as few programs as the
/// limits allow. Each script is in one program or in `alone`. `tag`: letters
/// a to z, may be empty. `text_output`: without JSON, where what printf wrote
/// cannot be told from maps: scripts that write text run alone.
merge_result merge_scripts(const std::vector<std::string>& scripts,
                           std::string_view tag, bool text_output,
                           const merge_limits& limits = {});

/// Which parts bpftrace's words on standard error speak of: by the lines of
/// the program that they name ("stdin:12:3-9: ERROR: ..."), else by the
/// attach points in them. Indices into `parts`, rising; empty: they name none.
/// `says_something`: the words are about the program or a probe at all.
struct suspects {
  std::vector<std::size_t> parts;
  bool says_something = false;
};
suspects suspects_of(std::string_view words, const merged_program& program);

} // namespace bpf2graphite
