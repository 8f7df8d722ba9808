# @summary Ships bpftrace's histograms and maps to Graphite.
#
# Installs bpf2graphite, writes its configuration and the scripts of its traces,
# has the configuration checked before it takes the place of the one that is
# there, and restarts the service when something changed.
#
# @example A host that sends two traces
#   class { 'bpf2graphite':
#     server => 'graphite.example.com',
#     traces => {
#       'cpu-lat'    => {
#         'source'    => 'puppet:///modules/bpf2graphite/cpu_latency.bt',
#         'map-level' => false,
#       },
#       'biolatency' => {
#         'script'      => '/usr/share/bpf2graphite/traces/biolatency.bt',
#         'map-level'   => false,
#         'percentiles' => [50, 99],
#       },
#     },
#   }
#
# @param server
#   Graphite's host name or address.
# @param port
#   The port of its plaintext receiver.
# @param service_name
#   Name of the systemd service. Another one than bpf2graphite gets a unit of
#   its own, and the package's service is switched off.
# @param location
#   Folder of the configuration and of the scripts that Puppet brings. It has to
#   belong to root, as each folder above it. Under /home, /root or /tmp the
#   service could not read it.
# @param traces
#   By name, the keys of each as in caf-application.conf(5). Instead of `script`
#   a trace may have `source`, from where Puppet takes the script.
# @param settings
#   Other groups of caf-application.conf(5), for example
#   { 'graphite' => { 'interval' => '10s' } }.
# @param drop_ins
#   Drop-ins of the package for the unit: strict, no-btf.
# @param manage_package
#   Whether Puppet installs the package. Without it the program, its unit and
#   bpftrace have to be there already.
# @param package_ensure
#   A version, installed, or latest.
# @param package_source
#   A .deb on the host, where apt has no repository with the package.
# @param program
#   Where the program is.
# @param unit
#   Where the unit that comes with it is: another service_name gets a copy.
class bpf2graphite (
  Pattern[/\A[A-Za-z0-9.:_-]{1,253}\z/] $server = 'localhost',
  Integer[1, 65535] $port = 2003,
  Pattern[/\A[A-Za-z0-9_][A-Za-z0-9_-]{0,99}\z/] $service_name = 'bpf2graphite',
  Bpf2graphite::Path $location = '/etc/bpf2graphite',
  Bpf2graphite::Traces $traces = {
    'cpu-lat' => {
      'source'    => 'puppet:///modules/bpf2graphite/cpu_latency.bt',
      'map-level' => false,
    },
  },
  Bpf2graphite::Settings $settings = {},
  Array[Enum['strict', 'no-btf']] $drop_ins = [],
  Boolean $manage_package = $facts['os']['family'] == 'Debian',
  String[1] $package_ensure = 'installed',
  Optional[Bpf2graphite::Path] $package_source = undef,
  Bpf2graphite::Path $program = '/usr/sbin/bpf2graphite',
  Bpf2graphite::Path $unit = '/usr/lib/systemd/system/bpf2graphite.service',
) {
  $traces.each |$name, $keys| {
    if ('script' in $keys) == ('source' in $keys) {
      fail("bpf2graphite: trace ${name} needs a script or a source, one of them")
    }
  }

  $config = "${location}/caf-application.conf"

  # ---- the program
  $provider = $package_source ? {
    undef   => undef,
    default => 'dpkg',
  }
  if $manage_package {
    package { 'bpf2graphite':
      ensure   => $package_ensure,
      source   => $package_source,
      provider => $provider,
      before   => File[$config],
      notify   => Service[$service_name],
    }
    if $service_name != 'bpf2graphite' {
      # Two of them would write the same series.
      service { 'bpf2graphite':
        ensure  => stopped,
        enable  => false,
        require => Package['bpf2graphite'],
        before  => Service[$service_name],
      }
    }
  } else {
    # Nothing is written where there is nothing to run it.
    exec { "bpf2graphite needs ${program} with its unit, bpftrace and systemd":
      command => 'false',
      unless  => "test -x ${program}",
      path    => ['/usr/bin', '/bin'],
      # What else is written needs one of these two.
      before  => File[$location, "/etc/systemd/system/${service_name}.service.d"],
    }
  }

  # ---- configuration and scripts
  file { [$location, "${location}/traces"]:
    ensure => directory,
    owner  => 'root',
    group  => 'root',
    mode   => '0755',
  }

  $scripts = $traces.filter |$name, $keys| { 'source' in $keys }
  $scripts.each |$name, $keys| {
    file { "${location}/traces/${name}.bt":
      ensure => file,
      owner  => 'root',
      group  => 'root',
      mode   => '0644',
      source => $keys['source'],
      before => File[$config],
      notify => Service[$service_name],
    }
  }

  $written = $traces.map |$name, $keys| {
    $own = 'source' in $keys ? {
      true    => { 'script' => "traces/${name}.bt" },
      default => {},
    }
    [$name, $own + $keys.filter |$key, $value| { $key != 'source' }]
  }
  $graphite = $settings['graphite'] ? {
    Hash    => $settings['graphite'],
    default => {},
  }
  $receiver = 'destinations' in $graphite ? {
    true    => {},
    default => { 'server' => $server, 'port' => $port },
  }

  file { $config:
    ensure       => file,
    owner        => 'root',
    group        => 'root',
    mode         => '0644',
    content      => epp("${module_name}/caf-application.conf.epp", {
      'settings' => $settings + { 'graphite' => $receiver + $graphite },
      'traces'   => Hash($written),
    }),
    # A file with mistakes never takes the place of one that works.
    validate_cmd => "${program} --config % check",
    notify       => Service[$service_name],
  }

  # ---- the unit
  $units = '/etc/systemd/system'
  $changed = [Exec['bpf2graphite daemon-reload'], Service[$service_name]]
  if $service_name != 'bpf2graphite' {
    file { "${units}/${service_name}.service":
      ensure  => file,
      owner   => 'root',
      group   => 'root',
      mode    => '0644',
      source  => $unit,
      require => File["${units}/${service_name}.service.d"],
      notify  => $changed,
    }
  }

  file { "${units}/${service_name}.service.d":
    ensure => directory,
    owner  => 'root',
    group  => 'root',
    mode   => '0755',
  }

  if $service_name == 'bpf2graphite' and $location == '/etc/bpf2graphite'
  and $program == '/usr/sbin/bpf2graphite' {
    $places = absent
  } else {
    $places = file
  }
  file { "${units}/${service_name}.service.d/places.conf":
    ensure  => $places,
    owner   => 'root',
    group   => 'root',
    mode    => '0644',
    content => epp("${module_name}/bpf2graphite.service.epp", {
      'program'      => $program,
      'location'     => $location,
      'service_name' => $service_name,
    }),
    notify  => $changed,
  }

  ['strict', 'no-btf'].each |$drop_in| {
    $wanted = $drop_in in $drop_ins ? {
      true    => link,
      default => absent,
    }
    file { "${units}/${service_name}.service.d/${drop_in}.conf":
      ensure => $wanted,
      target => "/usr/share/bpf2graphite/systemd/${drop_in}.conf",
      notify => $changed,
    }
  }

  exec { 'bpf2graphite daemon-reload':
    command     => 'systemctl daemon-reload',
    path        => ['/usr/bin', '/bin'],
    refreshonly => true,
    before      => Service[$service_name],
  }

  service { $service_name:
    ensure => running,
    enable => true,
  }
}
