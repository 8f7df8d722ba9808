# Traces by name, each with its keys as in caf-application.conf(5), and `source`
# beside them: where Puppet takes the script from.
type Bpf2graphite::Traces = Hash[
  Bpf2graphite::Name,
  Hash[Bpf2graphite::Name, Bpf2graphite::Value, 1],
  1
]
