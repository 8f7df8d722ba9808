# A value as caf-application.conf writes it. Times stand without quotes, every
# other text with them; so the name of the key decides.
function bpf2graphite::value(String $key, Any $value) >> String {
  $times = [
    'interval', 'resend', 'connect-timeout', 'progress-timeout',
    'confirm-delay', 'confirm-timeout', 'resolution', 'grace', 'zero-fill-for',
    'stop-timeout', 'expect-output-within', 'read-delay', 'flush-timeout',
  ]
  case $value {
    String: {
      if $key in $times and $value =~ /\A[0-9]+[a-z]+\z/ {
        $value
      } else {
        $escaped = regsubst($value, '(["\\\\])', '\\\\\1', 'G')
        "\"${escaped}\""
      }
    }
    Array: {
      $parts = $value.map |$one| { bpf2graphite::value('', $one) }
      "[${join($parts, ', ')}]"
    }
    default: {
      String($value)
    }
  }
}
