# The end-to-end tests: one ctest test a scenario file, two at once. Included by
# tests/CMakeLists.txt. They run the binary of this build.

add_executable(fake_bpftrace support/fake_bpftrace.cpp)
target_link_libraries(fake_bpftrace PRIVATE bpf2graphite_flags)
add_executable(tee_bpftrace support/tee_bpftrace.cpp)
target_link_libraries(tee_bpftrace PRIVATE bpf2graphite_flags)

# `sanitized`: also worth its time under ASan and TSan.
function(add_scenario name)
  add_test(NAME end_to_end.${name} COMMAND /usr/bin/python3 -B
    ${CMAKE_CURRENT_SOURCE_DIR}/end_to_end/${name}_test.py)
  set_tests_properties(end_to_end.${name} PROPERTIES
    LABELS "end_to_end;${ARGN}" SKIP_RETURN_CODE 77
    ENVIRONMENT "BPF2GRAPHITE_BINARY=$<TARGET_FILE:bpf2graphite>;\
BPF2GRAPHITE_FAKE_BPFTRACE=$<TARGET_FILE:fake_bpftrace>;\
BPF2GRAPHITE_TEE_BPFTRACE=$<TARGET_FILE:tee_bpftrace>")
endfunction()

add_scenario(harness)
add_scenario(parse_records)
add_scenario(exact_values)
add_scenario(exact_generations sanitized)
add_scenario(held_output sanitized)
add_scenario(clock_steps)
add_scenario(tagged)
add_scenario(original_conf)
add_scenario(many_keys)
add_scenario(outage)
add_scenario(bpftrace_killed)
add_scenario(stop sanitized)
add_scenario(reload sanitized)
add_scenario(share)
add_scenario(log)
add_scenario(service)
add_scenario(status sanitized)
# Not under a sanitizer: it takes more than four minutes there.
add_scenario(page)
add_scenario(spool sanitized)
add_scenario(streaming sanitized)
add_scenario(render_url)
add_scenario(bad_input sanitized)
add_scenario(check)
add_scenario(generate)
add_scenario(check_stored)
add_scenario(once)
add_scenario(record sanitized)
# Rows 1 to 8, 11, 24 to 26, 28 and 30: what children and limits do.
add_scenario(fault_children)
add_scenario(fault_restart)
add_scenario(fault_cardinality)
add_scenario(fault_limits)
add_scenario(fault_stop)
add_scenario(fault_kill)
add_scenario(soak)
add_scenario(app_run)
# Rows 12 to 21 of the fault matrix: the network and real servers.
add_scenario(fault_refuse)
add_scenario(fault_names)
add_scenario(fault_never_reads)
add_scenario(fault_cut)
add_scenario(fault_black_hole)
add_scenario(fault_slow)
add_scenario(fault_poison)
add_scenario(unit_security)
add_scenario(documents)
add_scenario(package)
add_scenario(first_hour)
add_scenario(fleet)
add_scenario(puppet)
add_scenario(systemd)
add_scenario(fault_carbon)
# Puppet takes two seconds to do nothing, and ten times that when all is busy.
set_tests_properties(end_to_end.puppet PROPERTIES TIMEOUT 600)
add_scenario(printf_metrics)
add_scenario(tools)
add_scenario(thousand)
add_scenario(hostile_names)
# A trial of the benchmark suite with little work: that it measures what it says
# and that every value is delivered, whatever the figures are.
add_test(NAME end_to_end.bench_smoke COMMAND
  ${CMAKE_CURRENT_SOURCE_DIR}/bench/run --smoke --build ${CMAKE_BINARY_DIR})
add_test(NAME end_to_end.bench_generator COMMAND bench_bpftrace --self-check)
set_tests_properties(end_to_end.bench_smoke end_to_end.bench_generator
  PROPERTIES LABELS end_to_end)
if(BPF2GRAPHITE_TEST_HOOKS)
  add_scenario(actor_crash sanitized)
  add_scenario(fault_flood)
  add_scenario(blocked)
endif()
