#pragma once
// What the command line asks for; each returns the exit status.

#include "app/options.hpp"

namespace bpf2graphite {

/// The daemon.
int run(const options& given);

/// Configuration and scripts: what would be done, what is wrong.
int check(const options& given);

/// One slot of some traces or script files.
int once(const options& given);

/// bpftrace's output to Graphite's lines.
int parse(const options& given);

/// bpftrace's output to a file.
int record(const options& given);

/// Where the running daemon stands.
int status(const options& given);

/// The same, live, with pictures.
int top(const options& given);

/// Graphite's lines as they leave the running daemon.
int tap(const options& given);

/// What Graphite and Grafana have to be told.
int generate(const options& given);

} // namespace bpf2graphite
