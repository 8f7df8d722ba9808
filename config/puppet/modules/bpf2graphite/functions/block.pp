# The lines `name { key = value ... }`, with blocks inside it as deep as the
# hash is.
function bpf2graphite::block(
  String $name,
  Hash $entries,
  String $indent = '',
) >> String {
  $lines = $entries.map |$key, $value| {
    if $value =~ Hash {
      bpf2graphite::block($key, $value, "${indent}  ")
    } else {
      "${indent}  ${key} = ${bpf2graphite::value($key, $value)}\n"
    }
  }
  "${indent}${name} {\n${join($lines)}${indent}}\n"
}
