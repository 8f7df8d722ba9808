#include "actors/histogram_parser/map_parser.hpp"

#include "actors/histogram_parser/map_json.hpp"
#include "actors/histogram_parser/map_text.hpp"

#include <utility>

namespace bpf2graphite {

std::unique_ptr<map_parser> make_map_parser(parser_options options) {
  if (options.speaks.format == output_format::json)
    return make_json_parser(std::move(options));
  return make_text_parser(std::move(options));
}

} // namespace bpf2graphite
