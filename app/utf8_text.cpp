#include "app/utf8_text.hpp"

namespace bpf2graphite {

std::string utf8_text(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    auto lead = static_cast<unsigned char>(bytes[i]);
    std::size_t length = lead < 0x80                    ? 1
                         : lead >= 0xC2 && lead <= 0xDF ? 2
                         : lead >= 0xE0 && lead <= 0xEF ? 3
                         : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                        : 0;
    auto good = length != 0 && i + length <= bytes.size();
    for (std::size_t n = 1; good && n < length; ++n)
      good = (static_cast<unsigned char>(bytes[i + n]) & 0xC0U) == 0x80;
    if (good && length == 3) {
      auto next = static_cast<unsigned char>(bytes[i + 1]);
      good = !(lead == 0xE0 && next < 0xA0) && !(lead == 0xED && next >= 0xA0);
    }
    if (good && length == 4) {
      auto next = static_cast<unsigned char>(bytes[i + 1]);
      good = !(lead == 0xF0 && next < 0x90) && !(lead == 0xF4 && next >= 0x90);
    }
    if (good) {
      out.append(bytes.substr(i, length));
      i += length;
    } else {
      out.append("\xEF\xBF\xBD");
      ++i;
    }
  }
  return out;
}

} // namespace bpf2graphite
