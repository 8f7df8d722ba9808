# cmake -DFROM=FOLDER -DTO=FILE.cpp -P embed.cmake: one C++ file of page.html,
# page.css and page.js, and of the policy that lets a browser use only these.
cmake_minimum_required(VERSION 3.22)

# The base64 of the SHA-256 of a text, as Content-Security-Policy wants it.
function(hash_of text result)
  string(SHA256 hex "${text}")
  set(letters
    ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  string(APPEND hex 00) # 64 digits: 21 times three, one and two of nothing
  set(out "")
  foreach(at RANGE 0 63 3)
    string(SUBSTRING "${hex}" ${at} 3 three)
    math(EXPR high "0x${three} >> 6")
    math(EXPR low "0x${three} & 63")
    string(SUBSTRING "${letters}" ${high} 1 first)
    string(SUBSTRING "${letters}" ${low} 1 second)
    string(APPEND out "${first}${second}")
  endforeach()
  string(SUBSTRING "${out}" 0 43 out)
  set(${result} "${out}=" PARENT_SCOPE)
endfunction()

file(READ "${FROM}/page.html" html)
file(READ "${FROM}/page.css" css)
file(READ "${FROM}/page.js" js)
hash_of("${css}" css_hash)
hash_of("${js}" js_hash)
string(REPLACE "@CSS@" "${css}" html "${html}")
string(REPLACE "@JS@" "${js}" html "${html}")

file(WRITE "${TO}" "// Made by embed.cmake: change page.html, page.css, page.js.
#include \"app/status_page/page_content.hpp\"

namespace bpf2graphite {

const std::string_view page_html = R\"page(${html})page\";

const char* const page_policy =
  \"default-src 'none'; style-src 'sha256-${css_hash}'; \"
  \"script-src 'sha256-${js_hash}'; connect-src 'self'; img-src data:; \"
  \"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \"
  \"require-trusted-types-for 'script'\";

} // namespace bpf2graphite
")
