# For the host that it is applied on:
#
#   puppet apply --modulepath modules/ local.pp
#
# The package bpf2graphite has to be installed already, or to be found by apt;
# or name the file: package_source => '/srv/bpf2graphite_1.0.0_amd64.deb'.
class { 'bpf2graphite':
  server => 'localhost',
  port   => 2003,
}
