# Writes the KEYS of caf-application.conf(5), in scdoc's form, out of the
# comments of config/caf-application.conf: what is said of a key is said once.
#
# Read is: a group `name {`, a comment of one or more paragraphs, and the key
# below it, `name = default` or `# name = default`. Lines of a comment that are
# indented by more than one blank are examples. In traces { } the first trace
# shows all that a trace can have; the others are left out.

function plain(text) {
  gsub(/[\\*_`]/, "\\\\&", text)
  # Signs that begin a list or a table.
  if (text != "" && index("-.#|:;[]", substr(text, 1, 1)) > 0)
    text = "\\" text
  return text
}

function bold(text) {
  return "*" plain(text) "*"
}

# What was gathered of a comment, indented under its key.
function told(    i, line) {
  for (i = 1; i <= lines; ++i) {
    line = comment[i]
    sub(/^ +/, "", line)
    # An example is a line of its own.
    print "\t" plain(line) (i < lines && comment[i + 1] ~ /^ / ? "++" : "")
  }
  lines = 0
}

# A comment that stands before a group, above its keys.
function said(    i) {
  for (i = 1; i <= lines; ++i)
    print plain(comment[i])
  if (lines > 0)
    print ""
  lines = 0
}

function key(text,    name) {
  sub(/^ *#? */, "", text)
  name = text
  sub(/ =.*/, "", name)
  sub(/^[^=]*= /, "", text)
  print bold(name) " = " plain(text)
  told()
  print ""
}

done { next }

# The head of the file is said better in the page itself.
!begun && !/^[a-z-]+ \{$/ { next }

/^[a-z-]+ \{$/ {
  begun = 1
  top = 0
  depth = 1
  print "## " $1
  print ""
  said()
  next
}

depth == 1 && /^  [a-z-]+ \{$/ {
  depth = 2
  said()
  print "Of a trace, here one that is called " bold($1) ":"
  print ""
  next
}

/^ *\}$/ {
  # One trace has shown them all.
  if (depth == 2)
    done = 1
  --depth
  lines = 0
  # A key below the group belongs to none.
  top = depth == 0
  next
}

# An empty line of the file ends a comment that no key followed.
/^$/ { lines = 0; next }

# A key, unless it only shows what to take (in caf and in the last lines of a
# trace).
/^ *# [a-z-]+ = / || /^ +[a-z-]+ = / {
  if (top) {
    print "## top level"
    print ""
    top = 0
  }
  if (depth < 2 || lines > 0)
    key($0)
  next
}

/^ *#/ {
  line = $0
  sub(/^ *# ?/, "", line)
  comment[++lines] = line
}
