# A key, group or trace of the configuration.
type Bpf2graphite::Name = Pattern[/\A[A-Za-z0-9_][A-Za-z0-9_-]*\z/]
