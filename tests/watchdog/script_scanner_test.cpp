#include "actors/watchdog/script_scanner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

std::string word(map_action action) {
  switch (action) {
    case map_action::hist:
      return "hist";
    case map_action::lhist:
      return "lhist";
    case map_action::count:
      return "count";
    case map_action::sum:
      return "sum";
    case map_action::avg:
      return "avg";
    case map_action::min:
      return "min";
    case map_action::max:
      return "max";
    case map_action::stats:
      return "stats";
    case map_action::tseries:
      return "tseries";
    case map_action::increment:
      return "++";
    case map_action::decrement:
      return "--";
    case map_action::add:
      return "+=";
    case map_action::subtract:
      return "-=";
    case map_action::change:
      return "change";
    case map_action::assign:
      return "assign";
    case map_action::assign_zero:
      return "=0";
    case map_action::print:
      return "print";
    case map_action::print_key:
      return "print_key";
    case map_action::clear:
      return "clear";
    case map_action::zero:
      return "zero";
    case map_action::remove_key:
      return "delete";
    case map_action::remove_all:
      return "delete_all";
    case map_action::iterate:
      return "for";
    case map_action::read:
      return "read";
  }
  return "?";
}

char letter(expression_shape shape) {
  switch (shape) {
    case expression_shape::unknown:
      return '?';
    case expression_shape::single:
      return '1';
    case expression_shape::integer:
      return 'i';
    case expression_shape::text:
      return 't';
    case expression_shape::tuple:
      return '(';
  }
  return '!';
}

/// "@x[it] count print+top clear; @y hist": all that was seen of each map. A
/// print followed by a reset has a +, by a second print a 2, by a way out a j.
std::string summary(const script_facts& facts) {
  if (facts.error)
    return std::to_string(facts.error->at.line) + ":"
           + std::to_string(facts.error->at.column) + ": "
           + facts.error->reason;
  std::string result;
  for (auto& map : facts.maps) {
    result += (result.empty() ? "" : "; ") + map.name;
    if (!map.key_parts) {
      result += "[unsure]";
    } else if (*map.key_parts > 0) {
      result += '[';
      for (auto shape : map.key_shapes)
        result += letter(shape);
      result += ']';
    }
    if (map.declared)
      result += " let";
    for (auto& use : map.uses) {
      result += ' ' + word(use.action);
      if (use.timestamp)
        result += "(ns)";
      if (use.may_be_negative)
        result += "(?)";
      if (use.after == after_print::reset)
        result += '+';
      if (use.after == after_print::printed_again)
        result += '2';
      if (use.after == after_print::may_leave)
        result += 'j';
      if (use.top)
        result += "top";
      if (use.divided)
        result += "div";
    }
  }
  return result;
}

struct map_case {
  std::string name;
  std::string script;
  std::string expected;
};

void PrintTo(const map_case& c, std::ostream* out) {
  *out << c.name;
}

class ScriptMaps : public testing::TestWithParam<map_case> {};

TEST_P(ScriptMaps, AreFoundWithAllThatIsDoneToThem) {
  EXPECT_EQ(summary(scan_script(GetParam().script)), GetParam().expected);
}

const std::vector<map_case> map_cases{
  {"RunQueueLatency",
   "#!/usr/bin/env bpftrace\n"
   "/* waits { in @comments */\n"
   "#include <linux/sched.h>\n"
   "#ifndef X\nstruct task { int a[2]; /* } */ struct { int b; } c; };\n"
   "#endif\n"
   "BEGIN { printf(\"waiting: @not_a_map = count()\\n\"); }\n"
   "tracepoint:sched:sched_wakeup,\ntracepoint:sched:sched_wakeup_new\n"
   "{ @since[args->pid] = nsecs; }\n"
   "tracepoint:sched:sched_switch {\n"
   "  if (args->prev_state == 0) { @since[args->prev_pid] = nsecs; }\n"
   "  $ns = @since[args->next_pid];\n"
   "  if ($ns) { @wait = hist((nsecs - $ns) / 1000); }\n"
   "  delete(@since[args->next_pid]);\n}\n"
   "END { clear(@since); }",
   "@since[1] assign(ns) assign(ns) read delete clear; @wait hist"},
  {"BlockLatencyWithPredicates",
   "kprobe:a_start, kprobe:__a_start { @t[arg0] = nsecs; }\n"
   "kprobe:a_done /@t[arg0] != 0 && comm != \"x / {\"/ \n\n"
   "{ @us = hist((nsecs - @t[arg0]) / 1000); delete(@t[arg0]); }",
   "@t[i] assign(ns) read read delete; @us hist"},
  {"SizesByName",
   "tracepoint:block:block_rq_issue { @[args->comm] = "
   "hist(args->bytes); } END { printf(\"\\n\"); }",
   "@[1] hist"},
  {"CpuOfProfile", "profile:hz:99 /pid/ { @cpu = lhist(cpu, 0, 1000, 1); }",
   "@cpu lhist"},
  {"CountsWithTopInEnd",
   "tracepoint:a:b { @sys[args->id] = count(); @who[comm] = count(); }\n"
   "END { print(@sys, 10); clear(@sys); print(@who, 10, 2); clear(@who); }",
   "@sys[1] count print+top clear; @who[t] count print+topdiv clear"},
  {"TopOfZeroIsNoTop",
   "interval:s:1 { print(@x, 0); print(@x, 0, 10); "
   "print(@x, $1); } k:f { @x[1] = sum(2); }",
   "@x[i] print printdiv printtop sum"},
  {"MacrosOfThePreprocessorHideMaps",
   "#define ADD @n = count()\n#define ON(a) @never = count()\n"
   "#define SHOW { print(@n); \\\n clear(@n); }\n#define BAD { @b = sum(1)\n"
   "#define WORD \"@text\" // @comment\n#define LAST @last = hist(1)\n"
   "k:f { ADD; if (pid) { ADD; } LAST } interval:s:1 { if (1) SHOW }",
   "@n count count print+ clear; @last hist"},
  {"CommentsGoOnBehindPreprocessorLines",
   "#include <a.h> /* of\n a { */\n#define X 1 // no /* here\n"
   "k:f { @x = count(); }",
   "@x count"},
  {"DivisionsInPredicates",
   "k:f /arg0 / 2 > 1 && @t[tid] // x\n/ { @x = count(); } "
   "k:g / (arg0 / 4) / { @y = count(); }",
   "@t[i] read; @x count; @y count"},
  {"NewSyntax",
   "config = { max_map_keys = 10; missing_probes = \"warn\" };\n"
   "import \"stdlib/base\";\nlet @m = lruhash(100);\n"
   "macro bump(@a, $n) { @a[$n] = count(); }\n"
   "fn twice($x : uint64) : uint64 { return $x * 2; }\n"
   "begin { @m[1] = 1; }\n"
   "tracepoint:a:b { let $k : uint32 = 5; bump(@m2, $k); "
   "for ($i : 0..10) { @r = sum($i); } "
   "for ($kv : @m) { printf(\"%d\", $kv.0); } "
   "print((@r, @s)); @q[(1, comm)] = count(); delete(@m, 1); "
   "if has_key(@q, (1, comm)) { @s++; } }\n"
   "interval:s:1 { print(@q, 5, 1000); print(@r); zero(@r); }\n"
   "end { print(@m2); }",
   "@m[i] let assign for delete; @m2[unsure] count print; @r sum(?) read "
   "print+ zero; @s read ++; @q[it] count read printtopdiv"},
  {"AnonymousMapsLoopsTernaries",
   "k:f { @ = count(); @k[pid, (3, comm)] = pid > 1 ? 2 : 3; "
   "unroll (3) { @u = hist(1); } while ($1) { @w++; --@v; } "
   "@t = pid ? 1 : 2; @t += $2; }",
   "@ count; @k[i(] assign; @u hist; @w ++; @v --; @t assign +=(?)"},
  {"ClearInAnotherProbe",
   "k:f { @x = count(); } interval:s:1 { print(@x); } "
   "interval:s:9 { clear(@x); }",
   "@x count print clear"},
  {"ClearBehindOtherStatements",
   "interval:s:1 { print(@x); time(); print(@y); zero(@y); clear(@x); } "
   "k:f { @x++; @y[tid]--; }",
   "@x print+ clear ++; @y[i] print+ zero --"},
  {"ClearBeforePrint", "interval:s:1 { clear(@x); print(@x); }",
   "@x clear print"},
  {"PrintInIfClearBehind",
   "interval:s:1 { if (@n > 1) { print(@x); } else { } clear(@x); }",
   "@n read; @x print+ clear"},
  {"PrintThenClearInIf", "interval:s:1 { print(@x); if ($1) { clear(@x); } }",
   "@x print clear"},
  {"PrintAndClearInIf", "interval:s:1 { if (1) { print(@x); clear(@x); } }",
   "@x print+ clear"},
  {"PrintInEitherBranch",
   "interval:s:1 { if (1) { print(@x); } else { print(@x, 3); } clear(@x); }",
   "@x print+ print+top clear"},
  {"PrintInLoopClearBehind",
   "interval:s:1 { unroll (5) { print(@x); } clear(@x); }", "@x print clear"},
  {"PrintedTwice", "interval:s:1 { print(@x); print(@x, 5); clear(@x); }",
   "@x print2 print+top clear"},
  {"ReturnBeforeClear",
   "interval:s:1 { print(@x); if (@n) { return; } clear(@x); @n = 0 }",
   "@x printj clear; @n read =0"},
  {"SetToZero", "interval:s:1 { print(@n); @n = 0; } k:f { @n++; ++@n; }",
   "@n print+ =0 ++ ++"},
  {"SetToZeroByKeyIsNoReset",
   "interval:s:1 { print(@n); @n[1] = 0; } k:f { @n[cpu] += 2; }",
   "@n[i] print =0 +="},
  {"InCommentsAndStrings",
   "// @a = count();\nk:f { /* @b = 1; \" */ printf(\"@c %d // \\\" @d\", 1); "
   "@e = count(); } // @f",
   "@e count"},
  {"Nameless", "k:f { @ = count(); @[pid] = sum(-1); } i:s:1 { print(@); }",
   "@[i] count sum(?) print"},
  {"TwoKeys", "k:f { @x[comm, pid] = count(); @y[(1, comm)] = count(); }",
   "@x[ti] count; @y[it] count"},
  {"TupleInVariable",
   "k:f { $k = (pid, comm, (1, 2)); @x[$k] = count(); @y[$u] = count(); }",
   "@x[itt] count; @y[unsure] count"},
  {"NestedKeys",
   "k:f { @us[@name[tid], @[1]] = hist(@start[tid]); @name[tid] "
   "= comm; @[2] = 7; }",
   "@us[ti] hist; @name[i] read assign; @[i] read assign; @start[i] read"},
  {"KeysThatAgreeAcrossUses",
   "k:f { @x[args->id, FOO] = 1; } k:g { print(@x); delete(@x[tid, \"a\"]); }",
   "@x[it] assign print delete"},
  {"KeysThatDisagree", "k:f { @x[1] = 1; @x[1, 2] = 2; }",
   "@x[unsure] assign assign"},
  {"KeyShapes",
   "k:f { @x[arg0, (uint64)args->a, -1, pid + 1, args->a / 2, 1 == 2, "
   "kstack, str(arg0), $1 ? \"a\" : comm, (struct s *)arg0, 0x1f, sarg12] "
   "= count(); }",
   "@x[iiiii1ttt1ii] count"},
  {"ReturnValuesAreIntegersOfReturnProbesOnly",
   "kretprobe:f { @a[retval, 1] = count(); } kfunc:f { @b[retval, 1] = "
   "count(); }",
   "@a[ii] count; @b[1i] count"},
  {"ChainOfAssignments", "k:f { @a = @b = count(); }", "@a assign; @b count"},
  {"AssignedFromOtherMaps",
   "k:f { @a = @b[1] + count; @c += @a; @d -= 1; "
   "@e <<= 2; @f = count() + 1; }",
   "@a assign read; @b[i] read; @c +=(?); @d -=; @e change; @f assign"},
  {"DeleteInBothForms",
   "k:f { delete(@x[tid]); delete(@y, tid); delete(@z); delete(@w, (1, "
   "comm)); if (has_key(@v, cpu)) { } }",
   "@x[i] delete; @y[i] delete; @z delete_all; @w[it] delete; @v[i] read"},
  {"PrintOfOneElement", "k:f { print(@x[1]); print(@y + 1); print((@z)); }",
   "@x[i] print_key; @y read; @z read"},
  {"ForLoops",
   "interval:1s { for ($kv : @map) { print($kv.0); } for $kv : "
   "@n { } for ($i : 0..10) { @s += $i; } $c ? @a : @b; }",
   "@map for; @n read; @s +=(?); @a read; @b read"},
  {"Unicode",
   "k:f { @x[\"na\xc3\xafve \xe2\x86\x92\"] = count(); \xc2\xa0 "
   "@y = 1; }",
   "@x[t] count; @y assign"},
  {"CarriageReturns",
   "#define A 1\r\n// note\r\nk:f\r\n/pid/\r\n{\r\n  @x = count();\r\n}\r\n",
   "@x count"},
  {"PathWithCommentStart",
   "uprobe:/usr/lib/*/libc.so.6:malloc /pid == $1/ { @m = count(); } "
   "uprobe:lib/x//y:f { @n = count(); } usdt:./a.out:b:c { @o = count(); }",
   "@m count; @n count; @o count"},
  {"QuotedFunction", "uprobe:/bin/x:\"f(int, {})\" { @x = count(); }",
   "@x count"},
  {"PredicateWithoutSpaces", "kprobe:f/pid/{ @x = count(); } END/* c */{ }",
   "@x count"},
  {"PredicateWithDivision",
   "k:f / nsecs / 1000 > @x / 2 / /* { */ { @x = avg(1); }", "@x read avg"},
  {"SpacedAttachPoint",
   "tracepoint : a : b , kprobe:c // why\n { @x = min(3); }", "@x min"},
  {"ConfigAndNewSyntax",
   "struct a { int x; } __attribute__((packed));\nenum e { A, B }\n"
   "config = { max_map_keys = 10; print_maps_on_exit = false }\n"
   "import \"x\";\nlet @l = lruhash(10);\nlet @never = hash(3);\n"
   "fn add($a : uint64, $b : struct a) : uint64 { @l[1] = count(); return $a; "
   "}\n"
   "begin { let $x: uint8 = 1; @t = tseries(1, 5s, 10); } interval:1s { "
   "print(@t); }",
   "@l[i] let count; @t tseries print; @never[unsure] let"},
  {"MacrosWithMapParameters",
   "macro show($text, @m) { printf($text); print(@m, 10); clear(@m); }\n"
   "macro twice(@m) { show(1, @m); show(2, @m); }\n"
   "macro unused() { @never = count(); }\n"
   "macro bump { @n++ }\n"
   "k:f { if pid == 1 { @a[comm] = count(); } else { @b = count(); } bump; }\n"
   "interval:s:1 { show(\"a\", @a); twice(@b); }",
   "@a[t] count print+top clear; "
   "@b count print+top clear print+top clear; @n ++"},
  {"IfWithoutParentheses",
   "i:s:1 { if @x { print(@y); } else if @z { print(@y); } clear(@y); "
   "while @x { print(@w); } clear(@w); }",
   "@x read read; @y print+ print+ clear; @z read; @w print clear"},
  {"TimeStampsByVariable",
   "k:f { $now = nsecs; @a = $now; @b = (uint64)nsecs; @c = nsecs(); @d = "
   "elapsed; @e = nsecs - 1; }",
   "@a assign(ns); @b assign(ns); @c assign(ns); @d assign(ns); @e assign"},
  {"FieldsNamedLikeFunctions",
   "k:f { $p.print(@x); $q->count = 1; @y = $p->hist; }", "@x read; @y assign"},
  {"PreprocessorInBlock", "k:f {\n#ifdef A\n@x = count();\n#endif\n}",
   "@x count"},
  {"Semicolons", "struct a { int b; };; k:f { ;; @x = count();; }", "@x count"},
  {"DurationsAndUnderscores", "k:f { @x[1_000, 5ms, 1e6] = count(); }",
   "@x[iii] count"},
  {"NoMap", "BEGIN { printf(\"x\"); }", ""},
};

INSTANTIATE_TEST_SUITE_P(, ScriptMaps, testing::ValuesIn(map_cases),
                         [](auto& test) { return test.param.name; });

const std::vector<map_case> error_cases{
  {"Empty", "", "1:1: no probe in it"},
  {"CommentOnly", "// @x\n", "2:1: no probe in it"},
  {"UnterminatedString", "k:f {\n  printf(\"a\n\"); }",
   "2:10: this string has no end"},
  {"StringAtTheEnd", "k:f { printf(\"a\\", "1:14: this string has no end"},
  {"UnterminatedComment", "k:f { }\n /* x", "2:2: this comment has no end"},
  {"CommentInBlock", "k:f { @x = 1; /* }", "1:15: this comment has no end"},
  {"UnterminatedBlock", "k:f {\n if (1) { @x = 1;\n",
   "2:9: this bracket is not closed"},
  {"UnterminatedParenthesis", "k:f { @x = hist(1; }",
   "1:20: this bracket does not close the one of line 1"},
  {"UnterminatedPredicate", "k:f /pid == 1 { @x = 1; }",
   "1:5: this predicate is not closed by a /"},
  {"PredicateAtTheEnd", "k:f /pid", "1:5: this predicate is not closed by a /"},
  {"BraceTooMany", "k:f { } }", "1:9: a probe has to begin here"},
  {"ParenthesisTooMany", "k:f { @x = 1); }",
   "1:13: this bracket does not close the one of line 1"},
  {"NoBlock", "kprobe:f", "1:9: a probe without a block"},
  {"SemicolonBehindProbe", "kprobe:f;", "1:9: a probe wants a { here"},
  {"TwoProbesOneBlock", "kprobe:f kprobe:g { }",
   "1:10: a probe wants a { here"},
  {"OpenDefinition", "struct a { int b;\nk:f { }",
   "1:10: this { is not closed"},
  {"OpenConfig", "config = {", "1:10: this bracket is not closed"},
  {"ConfigWithoutBrace", "config = 3", "1:10: config wants a { here"},
  {"MacroWithoutBlock", "macro a(@b) k:f { }", "1:13: a macro wants a { here"},
  {"FunctionWithoutBlock", "fn a($b : int)", "1:1: this function has no block"},
  {"ImportWithoutEnd", "import \"a\"", "1:1: no ; ends this"},
  {"MacroThatCallsItself", "macro a() { a(); } k:f { a(); }",
   "1:13: macros are nested too deeply"},
};

class ScriptErrors : public testing::TestWithParam<map_case> {};

TEST_P(ScriptErrors, ComeWithLineAndColumn) {
  EXPECT_EQ(summary(scan_script(GetParam().script)), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(, ScriptErrors, testing::ValuesIn(error_cases),
                         [](auto& test) { return test.param.name; });

TEST(ScriptScanner, TellsTheProbesWithTheirKindsAndRanges) {
  std::string text = "BEGIN { }\n"
                     "interval:s:1, END /pid/ { @x = 1; }\n"
                     "p:hz:99 { } i:ms:5 { } self:signal:SIGUSR1 { } end { }";
  auto facts = scan_script(text);
  ASSERT_FALSE(facts.error);
  ASSERT_EQ(facts.bodies.size(), 6u);
  EXPECT_TRUE(facts.bodies[0].only(probe_kind::begin));
  auto& second = facts.bodies[1];
  EXPECT_EQ(second.at, (source_position{2, 1}));
  ASSERT_EQ(second.points.size(), 2u);
  EXPECT_EQ(second.points[0].text, "interval:s:1");
  EXPECT_EQ(second.points[0].kind, probe_kind::interval);
  EXPECT_EQ(second.points[1].kind, probe_kind::end);
  EXPECT_FALSE(second.only(probe_kind::end));
  auto part = [&](source_range range) {
    return text.substr(range.begin, range.end - range.begin);
  };
  ASSERT_TRUE(second.predicate);
  EXPECT_EQ(part(*second.predicate), "pid");
  EXPECT_EQ(part(second.block), "{ @x = 1; }");
  EXPECT_EQ(part(second.points[1].range), "END");
  EXPECT_TRUE(facts.bodies[2].only(probe_kind::profile));
  EXPECT_TRUE(facts.bodies[3].only(probe_kind::interval));
  EXPECT_TRUE(facts.bodies[4].only(probe_kind::signal));
  EXPECT_TRUE(facts.bodies[5].only(probe_kind::end));
}

TEST(ScriptScanner, KeepsThePartsBeforeTheProbesInOrder) {
  std::string text = "#!/usr/bin/bpftrace\n#define A \\\n  { 5\n"
                     "struct s { int x; };\nconfig = { a = 1; b = \"c\" }\n"
                     "BEGIN { }";
  auto facts = scan_script(text);
  ASSERT_FALSE(facts.error) << facts.error->reason;
  ASSERT_EQ(facts.preamble.size(), 4u);
  EXPECT_EQ(facts.preamble[0].kind, preamble_kind::hash_bang);
  EXPECT_EQ(facts.preamble[1].kind, preamble_kind::preprocessor);
  EXPECT_EQ(
    text.substr(facts.preamble[1].range.begin,
                facts.preamble[1].range.end - facts.preamble[1].range.begin),
    "#define A \\\n  { 5");
  EXPECT_EQ(facts.preamble[2].kind, preamble_kind::definition);
  EXPECT_EQ(facts.preamble[3].kind, preamble_kind::config);
  ASSERT_EQ(facts.config.size(), 2u);
  EXPECT_EQ(facts.config[1].first, "b");
  EXPECT_EQ(facts.config[1].second, "\"c\"");
  EXPECT_TRUE(facts.prints_maps_on_exit);
  EXPECT_FALSE(scan_script("config = { print_maps_on_exit = false } BEGIN { }")
                 .prints_maps_on_exit);
}

TEST(ScriptScanner, KeepsExitsOutputsAndParameters) {
  auto facts = scan_script(
    "BEGIN { printf(\"%d\", $#); }\ninterval:s:$2 { time(); print(1); "
    "print(@x); system(\"x\");\n exit(); } k:f /pid == $1 || pid == $1/ { @x = "
    "count(); }");
  ASSERT_FALSE(facts.error);
  EXPECT_EQ(facts.parameters, (std::vector<std::string>{"$#", "$2", "$1"}));
  ASSERT_EQ(facts.exits.size(), 1u);
  EXPECT_EQ(facts.exits[0], (source_position{3, 2}));
  ASSERT_EQ(facts.outputs.size(), 4u);
  EXPECT_EQ(facts.outputs[0].function, "printf");
  EXPECT_EQ(facts.outputs[0].body, 0u);
  EXPECT_EQ(facts.outputs[1].function, "time");
  EXPECT_EQ(facts.outputs[2].function, "print");
  EXPECT_EQ(facts.outputs[3].function, "system");
  EXPECT_EQ(facts.outputs[3].body, 1u);
}

TEST(ScriptScanner, KeepsWhereEachNameStands) {
  std::string text = "let @l = hash(1); k:f /@x[$y]/ { $y = @; @x[1] = 2; }";
  auto facts = scan_script(text);
  ASSERT_FALSE(facts.error);
  std::vector<std::string> names;
  for (auto& use : facts.map_names)
    names.push_back(
      text.substr(use.range.begin, use.range.end - use.range.begin));
  EXPECT_EQ(names, (std::vector<std::string>{"@l", "@x", "@", "@x"}));
  EXPECT_EQ(facts.map_names[0].body, name_use::nowhere);
  EXPECT_EQ(facts.map_names[1].body, 0u);
  ASSERT_EQ(facts.variable_names.size(), 2u);
  EXPECT_EQ(facts.variable_names[1].range.begin, text.find("$y ="));
}

TEST(ScriptScanner, RefusesWhatIsOverItsLimits) {
  script_limits limits;
  limits.script_bytes_max = 100;
  limits.nesting_max = 4;
  limits.map_uses_max = 3;
  limits.jumps_max = 1;
  limits.steps_max = 40;
  EXPECT_EQ(summary(scan_script(std::string(101, ' '), limits)),
            "1:1: more than 100 bytes");
  EXPECT_EQ(summary(scan_script("k:f { @x = (((1))); }", limits)), "@x assign");
  EXPECT_EQ(summary(scan_script("k:f { @x = ((((1)))); }", limits)),
            "1:15: brackets are nested too deeply");
  EXPECT_EQ(summary(scan_script("k:f { @a; @b; @c; @d; }", limits)),
            "1:19: too many uses of maps");
  EXPECT_EQ(summary(scan_script("k:f { return; return; }", limits)),
            "1:15: too many jumps");
  EXPECT_EQ(summary(scan_script("macro a() { 1+1+1+1+1+1+1+1; } "
                                "k:f { a() a() a(); }",
                                limits)),
            "1:30: too much code to look through");
}

// -- whatever comes in --------------------------------------------------------

std::vector<std::string> corpus() {
  std::vector<std::filesystem::path> files;
  for (auto& entry : std::filesystem::directory_iterator(
         std::string(BPF2GRAPHITE_SOURCE_DIR) + "/tests/golden/corpus"))
    if (entry.path().extension() == ".bt")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> texts;
  for (auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(in),
                       std::istreambuf_iterator<char>());
  }
  return texts;
}

TEST(ScriptScanner, ReadsTheCorpusButForTheSyntaxError) {
  auto texts = corpus();
  ASSERT_GT(texts.size(), 30u);
  std::size_t refused = 0;
  for (auto& text : texts) {
    auto facts = scan_script(text);
    bool broken = text.find("count(; }") != std::string::npos;
    EXPECT_EQ(facts.error.has_value(), broken) << text;
    refused += broken ? 1 : 0;
    EXPECT_TRUE(broken || facts.bodies.size() > 0);
  }
  EXPECT_EQ(refused, 1u);
}

/// Whatever the text: all ranges lie in it and all indexes are valid.
void expect_sound(const std::string& text) {
  auto facts = scan_script(text);
  auto inside = [&](source_range range) {
    return range.begin <= range.end && range.end <= text.size();
  };
  auto lines =
    static_cast<std::size_t>(1 + std::count(text.begin(), text.end(), '\n'));
  auto placed = [&](source_position at) {
    return at.line >= 1 && at.line <= lines && at.column >= 1
           && at.column <= text.size() + 1;
  };
  if (facts.error) {
    ASSERT_TRUE(placed(facts.error->at)) << text;
    ASSERT_FALSE(facts.error->reason.empty());
  }
  for (auto& body : facts.bodies) {
    ASSERT_TRUE(inside(body.block) && placed(body.at)) << text;
    ASSERT_EQ(text[body.block.begin], '{');
    ASSERT_EQ(text[body.block.end - 1], '}');
    if (body.predicate) {
      ASSERT_TRUE(inside(*body.predicate)) << text;
    }
  }
  for (auto& part : facts.preamble)
    ASSERT_TRUE(inside(part.range)) << text;
  for (auto& use : facts.map_names) {
    ASSERT_TRUE(inside(use.range)) << text;
    ASSERT_EQ(text[use.range.begin], '@');
  }
  if (facts.error)
    return;
  for (auto& map : facts.maps) {
    ASSERT_EQ(map.name[0], '@');
    for (auto& use : map.uses) {
      ASSERT_TRUE(placed(use.at)) << text;
      ASSERT_LT(use.body, facts.bodies.size());
    }
    if (map.key_parts && *map.key_parts > 0) {
      ASSERT_EQ(map.key_shapes.size(), *map.key_parts);
    }
  }
}

TEST(ScriptScanner, SurvivesMutatedScripts) {
  auto seeds = corpus();
  for (auto& c : map_cases)
    seeds.push_back(c.script);
  const std::string spice = "@$#/\\\"{}()[];:,=+-*?! \n\r\t\0.a1_\xff";
  std::mt19937 random(20190719);
  auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(random() % n);
  };
  for (int round = 0; round < 20'000; ++round) {
    auto text = seeds[below(seeds.size())];
    for (auto changes = 1 + below(6); changes > 0 && !text.empty(); --changes) {
      auto at = below(text.size());
      switch (below(5)) {
        case 0:
          text.erase(at, 1 + below(8));
          break;
        case 1:
          text.insert(at, 1, spice[below(spice.size())]);
          break;
        case 2:
          text[at] = static_cast<char>(below(256));
          break;
        case 3:
          text.insert(below(text.size()), text.substr(at, below(40)));
          break;
        default:
          text.resize(at);
      }
    }
    expect_sound(text);
    if (HasFatalFailure())
      return;
  }
}

TEST(ScriptScanner, SurvivesGarbage) {
  const std::vector<std::string> words{
    "@",       "@x",     "@y",     "[",      "]",       "(",     ")",
    "{",       "}",      "/",      "//",     "/*",      "*/",    "\"",
    "\\",      "\n",     "#",      "=",      "++",      "print", "clear(",
    "delete(", "hist(",  "if",     "else",   "for",     "while", "?",
    ":",       ";",      ",",      "$x",     "$1",      "macro", "fn",
    "let",     "config", "import", "struct", "BEGIN",   "END",   "k:f",
    "return",  "nsecs",  "1",      "-",      "+",       "*",     "uint64",
    "->",      ".",      " ",      "\xc3",   "typedef", "enum",  "\r\n"};
  std::mt19937 random(9);
  auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(random() % n);
  };
  for (int round = 0; round < 20'000; ++round) {
    std::string text = below(2) ? "k:f {" : "";
    for (auto n = below(60); n > 0; --n)
      text += words[below(words.size())] + (below(2) ? " " : "");
    if (below(2))
      text += " } k:g { @x = 1; }";
    expect_sound(text);
    if (HasFatalFailure())
      return;
  }
  for (int round = 0; round < 2'000; ++round) {
    std::string text(below(200), '\0');
    for (auto& c : text)
      c = static_cast<char>(below(256));
    expect_sound(text);
    if (HasFatalFailure())
      return;
  }
}

TEST(ScriptScanner, TakesAMebibyteOfAnythingInTime) {
  auto repeat = [](std::string_view head, std::string_view unit,
                   std::string_view tail) {
    std::string text(head);
    while (text.size() + unit.size() + tail.size() < (1 << 20))
      text += unit;
    return text + std::string(tail);
  };
  const std::string branches =
    repeat("", "if (1) { print(@x); }", "").substr(0, 4900 * 21);
  const std::string deep(50, '{');
  const std::string deep_end(50, '}');
  const std::vector<std::string> texts{
    "k:f " + deep + branches
      + repeat("", "{clear(@x)}", "").substr(0, 4900 * 11) + deep_end,
    repeat("", "@", ""),
    repeat("k:f {", "@=", "}"),
    repeat("k:f {", "$x=", "}"),
    repeat("k:f {", "@a[", "}"),
    repeat("k:f {", "(", "}"),
    repeat("k:f {", "()", "}"),
    repeat("k:f {", "if ", "{}}"),
    repeat("k:f {", "1?", "}"),
    repeat("k:f {", "1,", "}"),
    repeat("k:f {", "$x = ((1+1)+(1+1));", "}"),
    repeat("", "/", "{}"),
    repeat("k:f", "/ ", "{}"),
    repeat("k:f ,", "k:f,", "{}"),
    repeat("k:f {", "\\", "}"),
    repeat("k:f {", "\"\\\"", "}"),
    repeat("", "#\\\n", "k:f {}"),
    repeat("", "struct a {};", "k:f {}"),
    repeat("", "k:f {}", ""),
    repeat("", "macro a() { a() }", "k:f { a() }"),
    repeat("macro a() { b() b() b() } macro b() { c() c() c() } macro c() {",
           "1 ", "} k:f { a() }"),
    "k:f {" + branches + repeat("", "if (1) { return; }", "clear(@x); }"),
    "k:f {" + branches + "clear(@x); }",
  };
  for (auto& text : texts)
    expect_sound(text);
}

} // namespace
} // namespace bpf2graphite
