#include "app/verbs.hpp"

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  using namespace bpf2graphite;
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
