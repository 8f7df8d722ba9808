#pragma once
// CAF's names for our atoms, and which types travel by value only.

#include "messages/metric.hpp"
#include "messages/output.hpp"
#include "messages/roll_call.hpp"
#include "messages/wire.hpp"

#include <caf/all.hpp>

#include <vector>

CAF_BEGIN_TYPE_ID_BLOCK(bpf2graphite, first_custom_type_id)

  // Orders.
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, start_atom, "start")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, kill_atom, "kill")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, health_atom, "health")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, resume_atom, "resume")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, pause_atom, "pause")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, add_atom, "add")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, remove_atom, "remove")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, stop_atom, "stop")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, reload_atom, "reload")
  // The batcher's.
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, join_atom, "join")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, collect_atom, "collect")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, collected_atom, "collected")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, next_batch_atom, "next_batch")
  CAF_ADD_ATOM(bpf2graphite, bpf2graphite, accepted_atom, "accepted")

CAF_END_TYPE_ID_BLOCK(bpf2graphite)

// Nothing leaves the process, so nothing has to be serialized.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(
  bpf2graphite::numbered<bpf2graphite::output_event>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::numbered<bpf2graphite::lines_event>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(
  bpf2graphite::numbered<bpf2graphite::snapshot_event>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(
  bpf2graphite::numbered<std::vector<bpf2graphite::metric>>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(
  bpf2graphite::numbered<bpf2graphite::delivery_report>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::roll_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::metric_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::process_started)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::process_exited)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::process_flooding)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::wire_event)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::render_answer)
