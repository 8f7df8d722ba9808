#include "actors/watchdog/script_merge.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using strings = std::vector<std::string>;

const std::string plain =
  "interval:s:1 { @x = count(); print(@x); clear(@x); }\n";

merged_program merged(const strings& scripts, std::string_view tag = "") {
  auto result = merge_scripts(scripts, tag, false);
  EXPECT_EQ(result.programs.size(), 1U);
  EXPECT_TRUE(result.alone.empty())
    << (result.alone.empty() ? "" : result.alone[0].why);
  return result.programs.empty() ? merged_program{} : result.programs[0];
}

/// Why the first of two scripts runs alone.
std::string why_alone(const std::string& script, bool text = false,
                      const std::string& other = plain) {
  auto result = merge_scripts({other, script, other}, "", text);
  for (const auto& one : result.alone)
    if (one.script == 1)
      return one.why;
  return "";
}

TEST(ScriptMerge, GivesEachMapThePrefixOfItsScript) {
  EXPECT_EQ(merged({"interval:s:1 { @us[comm, @n] = hist(1); print(@us); "
                    "clear(@us); zero(@us); delete(@us[1]); @ = count(); }",
                    "profile:hz:99 /@us[tid]/ { @us[tid] = @; }"})
              .text,
            "interval:s:1 { @p1_us[comm, @p1_n] = hist(1); print(@p1_us); "
            "clear(@p1_us); zero(@p1_us); delete(@p1_us[1]); "
            "@p1_ = count(); }\n"
            "profile:hz:99 /@p2_us[tid]/ { @p2_us[tid] = @p2_; }\n");
}

TEST(ScriptMerge, ATagIsPartOfThePrefix) {
  auto program = merged({plain, plain}, "kqz");
  EXPECT_EQ(program.parts[1].prefix, "p2kqz_");
  EXPECT_NE(program.text.find("print(@p2kqz_x)"), std::string::npos);
}

TEST(ScriptMerge, LeavesTextsAndCommentsAlone) {
  const std::string odd =
    "interval:s:1 { // @x is { not } \"a map\n"
    "  /* @x } */ printf(\"@x: \\\" @x } // %d\\n\", @x); @p2_x = 1; }\n";
  EXPECT_EQ(merged({odd, plain}).text,
            "interval:s:1 { // @x is { not } \"a map\n"
            "  /* @x } */ printf(\"@x: \\\" @x } // %d\\n\", @p1_x); "
            "@p1_p2_x = 1; }\n"
            "interval:s:1 { @p2_x = count(); print(@p2_x); clear(@p2_x); }\n");
}

TEST(ScriptMerge, JoinsBeginAndEndAndRenamesTheirVariables) {
  EXPECT_EQ(merged({"BEGIN { $a = 1; @x = $a }" + plain + "END { clear(@x); }",
                    "BEGIN { /* nothing */ }" + plain,
                    "BEGIN { $a = \"s\"; print($a); } BEGIN { @y = 1; }" + plain
                      + "END{print(@y)}"})
              .text,
            "BEGIN {\n"
            "if (1) { $p1_a = 1; @p1_x = $p1_a \n}\n"
            "if (1) { $p3_a = \"s\"; print($p3_a); \n}\n"
            "if (1) { @p3_y = 1; \n}\n"
            "}\n"
            "interval:s:1 { @p1_x = count(); print(@p1_x); clear(@p1_x); }\n"
            "interval:s:1 { @p2_x = count(); print(@p2_x); clear(@p2_x); }\n"
            "interval:s:1 { @p3_x = count(); print(@p3_x); clear(@p3_x); }\n"
            "END {\n"
            "if (1) { clear(@p1_x); \n}\n"
            "if (1) {print(@p3_y)\n}\n"
            "}\n");
}

TEST(ScriptMerge, VariablesOfOtherProbesStay) {
  auto text =
    merged({"interval:s:1 { $a = 1; @x = $a; }", "interval:s:1 { $a = 2; }"})
      .text;
  EXPECT_EQ(text, "interval:s:1 { $a = 1; @p1_x = $a; }\n"
                  "interval:s:1 { $a = 2; }\n");
}

TEST(ScriptMerge, PutsDefinitionsInFrontAndEqualOnesOnce) {
  const std::string head = "#!/usr/bin/env bpftrace\n#include <linux/fs.h>\n"
                           "#define LIMIT 10\n"
                           "struct pair { int a; int b; };\n";
  const std::string more = "#include <linux/fs.h>\n#define LIMIT 10\n"
                           "enum colour { RED, GREEN };\n";
  EXPECT_EQ(merged({head + plain, more + plain}).text,
            "#include <linux/fs.h>\n#define LIMIT 10\n"
            "struct pair { int a; int b; };\nenum colour { RED, GREEN };\n"
            "interval:s:1 { @p1_x = count(); print(@p1_x); clear(@p1_x); }\n"
            "interval:s:1 { @p2_x = count(); print(@p2_x); clear(@p2_x); }\n");
}

TEST(ScriptMerge, RunsAloneWhatConcernsItsProcess) {
  struct row {
    const char* name;
    std::string script;
    const char* why;
  };
  const row rows[] = {
    {"exit", "interval:s:1 { @x = 1; exit(); }", "it calls exit() (line 1)"},
    {"argument", "interval:s:1 { @x = $1; }", "it takes arguments ($1)"},
    {"number of arguments", "interval:s:1 { @x = $#; }",
     "it takes arguments ($#)"},
    {"argument in a probe", "uprobe:/bin/sh:$1 { @x = 1; }",
     "it takes arguments ($1)"},
    {"config", "config = { max_map_keys = 10 }\n" + plain,
     "it has a config block"},
    {"macro", "macro m(@a) { @a = 1; }\n" + plain, "it has a macro"},
    {"let", "let @x = lruhash(10);\n" + plain, "it declares a map with let"},
    {"import", "import \"x\";\n" + plain, "it has an import"},
    {"function", "fn f() : int64 { return 1; }\n" + plain,
     "it has a function of its own"},
    {"condition", "#ifdef X\n#endif\n" + plain,
     "it has a preprocessor line other than #include and #define"},
    {"own header", "#include \"x.h\"\n" + plain,
     "it includes a file from its own folder"},
    {"exit in a define", "#define DONE exit()\n" + plain,
     "a #define in it holds exit or return"},
    {"return in BEGIN", "BEGIN { if (1) { return; } }" + plain,
     "there is a return in its BEGIN or END (line 1)"},
    {"predicate of BEGIN", "BEGIN /1/ { @x = 1; }" + plain,
     "its BEGIN or END has a predicate (line 1)"},
    {"BEGIN and more", "BEGIN, interval:s:9 { @x = 1; }" + plain,
     "its BEGIN or END is one of several points (line 1)"},
    {"wildcard", "kprobe:vfs_* { @x = 1; }",
     "the number of its probes is not known: kprobe:vfs_*"},
    {"relative path", "uprobe:lib/x.so:f { @x = 1; }",
     "a path in it is relative: uprobe:lib/x.so:f"},
    {"signal", "self:signal:SIGUSR1 { print(@x); }",
     "it waits for a signal (line 1)"},
    {"nothing but BEGIN", "BEGIN { @x = 1; }",
     "it has no probe but BEGIN and END"},
    {"no script", "interval:s:1 { @x = 1; ",
     "it could not be read: this bracket is not closed (line 1)"},
    {"zero byte", plain + std::string("// \0", 4),
     "there is a zero byte in it"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(why_alone(row.script), row.why) << row.name;
  EXPECT_EQ(why_alone(plain), "");
}

TEST(ScriptMerge, InTextWhoeverPrintsTextRunsAlone) {
  const auto script = "BEGIN { printf(\"Tracing\\n\"); }\n" + plain;
  EXPECT_EQ(why_alone(script, true),
            "with format = \"text\" what printf() writes cannot be told from "
            "the maps of others (line 1)");
  EXPECT_EQ(why_alone(script, false), "");
}

TEST(ScriptMerge, ANameWithTwoMeaningsKeepsScriptsApart) {
  struct row {
    const char* name;
    std::string script;
    std::string other;
    const char* meant;
  };
  const row rows[] = {
    {"define", "#define N 1\n" + plain, "#define N 2\n" + plain, "N"},
    {"struct", "struct s { int a; };\n" + plain,
     "struct s { long a; };\n" + plain, "s"},
    {"nested struct", "struct s { struct t { int a; } b; };\n" + plain,
     "kprobe:f { @x = ((struct t*)arg0)->a; }", "t"},
    {"enumerator", "enum e { RED };\n" + plain, "interval:s:1 { @x = RED; }",
     "RED"},
    {"typedef", "typedef unsigned long word;\n" + plain,
     "kprobe:f { @x = (word)arg0; }", "word"},
    {"a field of the kernel", "#define pid 3\n" + plain,
     "interval:s:1 { @x = pid; }", "pid"},
    {"a map behind a define", "#define M @x\ninterval:s:1 { M = 1; }",
     "#define M @x\ninterval:s:1 { M = 2; }", "M"},
  };
  for (const auto& row : rows)
    for (bool turned : {false, true}) {
      auto result = turned ? merge_scripts({row.other, row.script}, "", false)
                           : merge_scripts({row.script, row.other}, "", false);
      EXPECT_TRUE(result.programs.empty()) << row.name;
      ASSERT_EQ(result.alone.size(), 2U) << row.name;
      EXPECT_EQ(result.alone[1].why, "the name " + std::string{row.meant}
                                       + " means something else in another "
                                         "script")
        << row.name;
    }
  // In a comment or a text it means nothing.
  EXPECT_EQ(merge_scripts({"#define N 1\n" + plain,
                           "// N\ninterval:s:1 { printf(\"N\"); }"},
                          "", false)
              .programs.size(),
            1U);
}

TEST(ScriptMerge, OtherIncludesMakeAnotherProgram) {
  const auto fs = "#include <linux/fs.h>\n" + plain;
  auto result = merge_scripts({plain, fs, plain, fs}, "", false);
  ASSERT_EQ(result.programs.size(), 2U);
  EXPECT_EQ(result.programs[0].parts[1].script, 2U);
  EXPECT_EQ(result.programs[1].parts[1].script, 3U);
  EXPECT_EQ(why_alone(fs), "its includes are not those of the others");
}

TEST(ScriptMerge, KeepsTheLimits) {
  merge_limits limits;
  limits.probes_max = 5;
  const std::string two = "kprobe:a, kprobe:b { @x = count(); }\n";
  auto result = merge_scripts({two, two, two, two, two}, "", false, limits);
  ASSERT_EQ(result.programs.size(), 2U);
  EXPECT_EQ(result.programs[0].parts.size(), 2U);
  ASSERT_EQ(result.alone.size(), 1U);
  EXPECT_EQ(result.alone[0].why, "there is no other to share with");
  limits.probes_max = 1;
  EXPECT_EQ(merge_scripts({two, two}, "", false, limits).alone[0].why,
            "it has more than 1 probes");
  limits = {};
  limits.scripts_max = 2;
  EXPECT_EQ(
    merge_scripts({two, two, two, two}, "", false, limits).programs.size(), 2U);
  limits = {};
  limits.program_bytes_max = 2 * two.size() + 40;
  EXPECT_EQ(
    merge_scripts({two, two, two, two}, "", false, limits).programs.size(), 2U);
  limits.program_bytes_max = 10;
  EXPECT_EQ(merge_scripts({two}, "", false, limits).alone[0].why,
            "it is too long");
  EXPECT_TRUE(merge_scripts({}, "", false).programs.empty());
}

TEST(ScriptMerge, FindsTheScriptThatAnErrorNames) {
  auto program =
    merged({"BEGIN { @a = 1; }\n" + plain, "BEGIN {\n  @b =\n  2;\n}\n" + plain,
            "kprobe:gone { @x = 1; }\nkprobe:both { @x = 2; }",
            "kprobe:both { @x = 2; }"});
  std::vector<std::string> lines;
  std::istringstream in{program.text};
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  auto line_of = [&](const std::string& text) {
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (lines[i].find(text) != std::string::npos)
        return std::to_string(i + 1);
    return std::string{"0"};
  };
  using found = std::vector<std::size_t>;
  auto parts = [&](const std::string& words) {
    return suspects_of(words, program).parts;
  };
  EXPECT_EQ(parts("stdin:" + line_of("@p1_a") + ":1-2: ERROR: bad\n"),
            found{0});
  EXPECT_EQ(parts("x\nstdin:" + line_of("@p2_b") + "-" + line_of("2;")
                  + ": ERROR: bad\nBEGIN\n~~\n"),
            found{1});
  // As 0.17 says it of a probe behind another one.
  EXPECT_EQ(parts("stdin:" + std::to_string(std::stoul(line_of("gone")) - 1)
                  + "-" + line_of("gone") + ": ERROR: no such probe"),
            found{2});
  EXPECT_EQ(parts("stdin:" + line_of("  2;") + ":1-2: ERROR: x"), found{1});
  EXPECT_EQ(parts("stdin:" + line_of("both") + ":1-2: ERROR: x\nstdin:"
                  + line_of("@p4_x") + ":1-2: ERROR: y"),
            (found{2, 3}));
  EXPECT_EQ(parts("ERROR: Error attaching probe: 'kprobe:gone'"), found{2});
  EXPECT_EQ(parts("ERROR: Error loading program: kprobe:both"), (found{2, 3}));
  EXPECT_EQ(parts("kprobe:bothering"), found{});
  EXPECT_EQ(parts("stdin:1:1-2: WARNING: x"), found{});
  EXPECT_EQ(parts("stdin:999999999999:1-2: ERROR: x"), found{});
  EXPECT_TRUE(
    suspects_of("ERROR: Error loading program: BEGIN", program).says_something);
  EXPECT_FALSE(suspects_of("ERROR: only root may", program).says_something);
}

// Any bytes: nothing is read past an end, and what was merged is complete.
TEST(ScriptMerge, AnyPieceOfAScriptIsMergedOrLeftAlone) {
  const std::string script =
    "#define A 1\nstruct s { int a; }; BEGIN { $a = @[\"}\\\"\"]; }\n"
    "kprobe:f /@x[1] == 2/ { @x[comm, \"@y\"] = hist(1); } END { }\n";
  for (std::size_t cut = 0; cut <= script.size(); ++cut) {
    auto result =
      merge_scripts({script.substr(0, cut), plain, plain}, "", false);
    std::size_t placed = result.alone.size();
    for (const auto& program : result.programs)
      placed += program.parts.size();
    EXPECT_EQ(placed, 3U) << cut;
  }
}

} // namespace
} // namespace bpf2graphite
