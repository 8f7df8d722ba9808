// The configuration: the text's reader, and all that is checked behind it.

#include "app/config_schema.hpp"
#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>

namespace {

using namespace bpf2graphite;

/// The input is the main file; a part of it every other one.
class fuzz_files : public file_access {
public:
  fuzz_files(std::string_view all, std::size_t cut)
    : main_{all.substr(0, std::min(cut, all.size()))}, others_{all.substr(
                                                         main_.size())} {}

  file_text read(const std::string& path, std::size_t bytes_max) override {
    const auto& text = path == "/etc/x/main.conf" ? main_ : others_;
    if (text.size() > bytes_max)
      return {file_fault::too_large, {}, "too large; split it"};
    return {file_fault::none, text, {}};
  }

  file_matches match(const std::string& pattern) override {
    return {{pattern + "1", pattern + "2"}, {}};
  }

  bool exists(const std::string&) override {
    return true;
  }

private:
  std::string main_;
  std::string others_;
};

void check_message(const config_message& message) {
  FUZZ_REQUIRE(!message.text.empty());
  auto line = render(message);
  FUZZ_REQUIRE(std::all_of(line.begin(), line.end(),
                           [](char c) { return c >= ' ' && c <= '~'; }));
  FUZZ_REQUIRE(line.size() < 4096);
}

/// What was read, written as a file says it, is read as the same.
void check_value(const schema_key& row, const config_field& field,
                 const config_target& fresh) {
  auto text = to_text(row, field);
  if (text.empty())
    return; // not set
  auto tree = read_config_text("key = " + text + "\n", "again");
  FUZZ_REQUIRE(tree.messages.empty());
  auto entry = tree.root.find("key");
  FUZZ_REQUIRE(entry != nullptr);
  auto target = field_of(row, fresh);
  FUZZ_REQUIRE(store(row, entry->value, target).empty());
  FUZZ_REQUIRE(to_text(row, target) == text);
}

void check_group(const config_group& group, std::size_t depth) {
  FUZZ_REQUIRE(depth <= config_depth_max);
  for (const auto& entry : group.entries) {
    FUZZ_REQUIRE(!entry.key.empty());
    FUZZ_REQUIRE(group.find(entry.key) == &entry);
    FUZZ_REQUIRE(entry.place.line > 0 && entry.place.column > 0);
    if (auto inner = std::get_if<config_group>(&entry.value.held))
      check_group(*inner, depth + 1);
    (void)to_text(entry.value);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* begin,
                                      std::size_t size) {
  fuzz_input in{begin, size};
  auto tree = read_config_text(in.text, "main.conf");
  check_group(tree.root, 0);
  FUZZ_REQUIRE(tree.messages.size() <= config_mistakes_max + 1);
  for (const auto& message : tree.messages)
    check_message(message);
  if (tree.messages.empty()) {
    auto caf = tree.root.find("caf");
    if (caf != nullptr)
      if (auto group = std::get_if<config_group>(&caf->value.held))
        (void)to_caf_text(*group);
  }

  auto cut = in.control(0) % 2 == 0 ? in.text.size()
                                    : in.text.size() * in.control(1) / 256;
  fuzz_files files{in.text, cut};
  config_request request{"/etc/x/main.conf", "/etc/x", {}};
  if (in.control(2) % 4 == 1)
    request.overrides.server_option = in.text.substr(0, in.control(3));
  if (in.control(2) % 4 == 2)
    request.overrides.port_variable = in.text.substr(0, in.control(3) % 8);
  if (in.control(2) % 4 == 3)
    request.overrides.log_level_option = in.text.substr(0, in.control(3) % 8);
  auto result = load_config(request, files);
  for (const auto& message : result.messages)
    check_message(message);
  (void)render(result.messages);
  FUZZ_REQUIRE(!result.unsafe);
  if (!result.ok())
    return 0;
  const auto& all = result.value;
  FUZZ_REQUIRE(!all.destinations.empty());
  FUZZ_REQUIRE(all.traces.size() <= traces_max);
  for (const auto& row : config_schema()) {
    auto written = result.value;
    config fresh;
    trace_config trace;
    if (row.group == "traces") {
      for (auto& one : written.traces)
        check_value(row, field_of(row, {&written, nullptr, &one}),
                    {&fresh, nullptr, &trace});
      continue;
    }
    check_value(row, field_of(row, {&written, &written.defaults, nullptr}),
                {&fresh, &fresh.defaults, nullptr});
  }
  return 0;
}
