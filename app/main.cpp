#include "app/verbs.hpp"

#include <malloc.h>

#include <cstdio>
#include <exception>

namespace {

/// Each tick all traces make their points at once, and then need the memory no
/// more until the next. By itself malloc learns from the first large block that
/// is freed to keep such blocks, and up to twice as much at the end of the
/// heap: with a thousand traces a tenth of all.
void keep_little_free_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10); // the default, but it stays
  ::mallopt(M_TRIM_THRESHOLD, 64 << 10);
  ::mallopt(M_TOP_PAD, 64 << 10);
}

} // namespace

int main(int argc, char** argv) {
  using namespace bpf2graphite;
  keep_little_free_memory();
  try {
    auto given = parse_options(argc, argv);
    if (given.exit)
      return *given.exit;
    switch (given.value.what) {
      case verb::run:
        return run(given.value);
      case verb::check:
        return check(given.value);
      case verb::once:
        return once(given.value);
      case verb::parse:
        return parse(given.value);
      case verb::record:
        return record(given.value);
      case verb::status:
        return status(given.value);
      case verb::top:
        return top(given.value);
      case verb::tap:
        return tap(given.value);
      case verb::generate:
        return generate(given.value);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bpf2graphite: a bug: %s\n", e.what());
  }
  return exit_code::bug;
}
