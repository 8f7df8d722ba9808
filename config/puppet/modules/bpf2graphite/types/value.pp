# What a key of the configuration may be set to.
type Bpf2graphite::Value = Variant[
  Boolean,
  Integer,
  Float,
  String,
  Array[Variant[Integer, Float, String]],
  Hash[Bpf2graphite::Name, Variant[Boolean, Integer, Float, String]]
]
