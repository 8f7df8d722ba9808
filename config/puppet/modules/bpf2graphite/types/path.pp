# An absolute path without blanks or other signs that systemd or a shell would
# take for more than a letter, and without `.` and `..`.
type Bpf2graphite::Path = Pattern[/\A(\/(?!\.\.?(\/|\z))[A-Za-z0-9._+@-]+)+\z/]
