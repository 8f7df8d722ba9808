// Scripts: reading one, deciding on it, and appending prints to it.

#include "actors/watchdog/script_rules.hpp"
#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>

namespace {

using namespace bpf2graphite;

void check_range(source_range range, std::size_t size) {
  FUZZ_REQUIRE(range.begin <= range.end);
  FUZZ_REQUIRE(range.end <= size);
}

void check_facts(const script_facts& facts, std::string_view script) {
  for (const auto& part : facts.preamble)
    check_range(part.range, script.size());
  std::size_t before = 0;
  for (const auto& body : facts.bodies) {
    check_range(body.block, script.size());
    FUZZ_REQUIRE(body.block.begin >= before); // in the order of the text
    before = body.block.begin;
    if (body.predicate)
      check_range(*body.predicate, script.size());
    for (const auto& point : body.points)
      check_range(point.range, script.size());
    FUZZ_REQUIRE(body.at.line > 0 && body.at.column > 0);
  }
  for (const auto& map : facts.maps) {
    FUZZ_REQUIRE(map.name.starts_with('@'));
    FUZZ_REQUIRE(facts.find(map.name) == &map); // each once
    for (const auto& use : map.uses)
      FUZZ_REQUIRE(use.body < facts.bodies.size());
    if (map.key_parts)
      FUZZ_REQUIRE(map.key_shapes.empty()
                   || map.key_shapes.size() == *map.key_parts);
  }
  for (const auto& name : facts.map_names) {
    check_range(name.range, script.size());
    FUZZ_REQUIRE(name.range.begin < name.range.end
                 && script[name.range.begin] == '@');
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* begin,
                                      std::size_t size) {
  fuzz_input in{begin, size};
  script_limits limits;
  if (in.control(0) % 4 == 1) { // so that a fuzzer reaches them
    limits.script_bytes_max = 500;
    limits.nesting_max = 4;
    limits.map_uses_max = 5;
    limits.jumps_max = 2;
    limits.macro_depth_max = 2;
    limits.steps_max = 300;
  }
  auto facts = scan_script(in.text, limits);
  check_facts(facts, in.text);

  script_rules_config config;
  constexpr std::chrono::milliseconds periods[] = {
    std::chrono::milliseconds{0}, std::chrono::milliseconds{10},
    std::chrono::milliseconds{1000}, std::chrono::milliseconds{1500}};
  config.print_every = periods[in.control(1) % 4];
  config.printf_metrics = in.control(2) % 2 != 0;
  if (in.control(2) / 2 % 3 == 1 && !facts.maps.empty())
    config.maps.push_back(facts.maps[in.control(3) % facts.maps.size()].name);
  if (in.control(2) / 2 % 3 == 2)
    config.accumulate = static_cast<accumulation>(in.control(3) % 6);
  auto plan = plan_script(in.text, config);
  FUZZ_REQUIRE(plan.unreadable.has_value() || plan.maps.size() >= 1
               || scan_script(in.text).maps.empty());

  // What is appended stands behind the script, which stays as it is, and
  // reads back as a probe that prints what was said.
  print_every_config every;
  every.period = config.print_every;
  every.maps = config.maps;
  auto all = scan_script(in.text);
  auto more = append_prints(in.text, all, every);
  FUZZ_REQUIRE(std::string_view{more.program}.starts_with(in.text));
  if (more.probe.empty()) {
    FUZZ_REQUIRE(more.program == in.text);
    FUZZ_REQUIRE(more.appended.empty());
    return 0;
  }
  FUZZ_REQUIRE(!all.error);
  FUZZ_REQUIRE(more.program.ends_with(more.probe)
               || more.program.ends_with(more.probe + "\n"));
  auto again = scan_script(more.program);
  // (A script of nearly script_bytes_max becomes too long: no fuzzer's input.)
  FUZZ_REQUIRE(!again.error);
  FUZZ_REQUIRE(again.bodies.size() == all.bodies.size() + 1);
  FUZZ_REQUIRE(again.maps.size() == all.maps.size());
  for (const auto& one : more.appended) {
    auto map = again.find(one.map);
    FUZZ_REQUIRE(map != nullptr);
    FUZZ_REQUIRE(
      std::any_of(map->uses.begin(), map->uses.end(), [&](const map_use& use) {
        return use.action == map_action::print && use.body == all.bodies.size();
      }));
  }
  return 0;
}
