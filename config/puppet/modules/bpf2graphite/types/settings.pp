# Groups of caf-application.conf(5) with their keys, or a key of the top level.
type Bpf2graphite::Settings = Hash[
  Bpf2graphite::Name,
  Variant[String, Hash[Bpf2graphite::Name, Bpf2graphite::Value]]
]
