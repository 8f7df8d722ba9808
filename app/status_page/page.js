"use strict";
// The status page. Two questions to the daemon: /status.json every two seconds,
// and /heatmap.json for the traces that can be seen, with what is new since the
// last answer. Names and texts of others only ever become text nodes.

const poll_ms = 2000;
const patience_ms = 8000;
const slots_max = 60;
const asked_at_once = 3;
const rate_over_s = 12;
const rates_max = 150;
const shown = (id) => document.getElementById(id);
const page = document.body;

const state = {
  traces: new Map(), // name: what we know of it
  heard: 0, // the last answer, ms
  since: 0, // no answer since
  now: 0, // the daemon's clock, s
  resolution: 15,
  wanted: "",
  only: false,
};

// -- numbers and times --------------------------------------------------------

const short = (n) => {
  if (!Number.isFinite(n)) return "–";
  const units = ["", "k", "M", "G", "T", "P", "E"];
  let at = 0;
  let x = Math.abs(n);
  while (x >= 999.5 && at < units.length - 1) {
    x /= 1000;
    ++at;
  }
  const digits = at === 0 && Number.isInteger(n) ? 0
    : x < 10 ? 2 : x < 100 ? 1 : 0;
  return (n < 0 ? "−" : "") + x.toFixed(digits) + units[at];
};

const whole = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

const lasting = (s) => {
  s = Math.max(0, Math.round(s));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400)
    return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
};

const two = (n) => String(n).padStart(2, "0");
const clock = (s) => {
  const at = new Date(s * 1000);
  return two(at.getHours()) + ":" + two(at.getMinutes()) + ":"
    + two(at.getSeconds());
};

// 1048576 as 1M: hist() counts in powers of two, and bpftrace prints them so.
const bound = (n) => {
  if (n === null) return "∞";
  const units = ["", "K", "M", "G", "T", "P", "E"];
  let at = 0;
  while (n !== 0 && n % 1024 === 0 && at < units.length - 1) {
    n /= 1024;
    ++at;
  }
  return n + units[at];
};

// The unit is nowhere but in the name of a map, where authors write it.
const unit_of = (map) => {
  const words = map.toLowerCase().split(/[^a-z]+/);
  const is = (...names) => words.some((word) => names.includes(word));
  if (is("ns", "nsec", "nsecs")) return { name: "ns", seconds: 1e-9 };
  if (is("us", "usec", "usecs")) return { name: "µs", seconds: 1e-6 };
  if (is("ms", "msec", "msecs")) return { name: "ms", seconds: 1e-3 };
  if (is("s", "sec", "secs", "seconds")) return { name: "s", seconds: 1 };
  if (is("bytes", "byte", "size")) return { name: "bytes", bytes: 1 };
  if (is("kb", "kbytes")) return { name: "KiB", bytes: 1024 };
  return { name: "" };
};

const measure = (x, unit) => {
  if (x === undefined || x === null) return "–";
  if (unit.seconds) {
    let s = x * unit.seconds;
    for (const [name, size] of [["ns", 1e-9], ["µs", 1e-6], ["ms", 1e-3]])
      if (Math.abs(s) < size * 999.5) return short(s / size) + " " + name;
    return short(s) + " s";
  }
  if (unit.bytes) {
    let b = x * unit.bytes;
    let at = 0;
    while (Math.abs(b) >= 1023.5 && at < 5) {
      b /= 1024;
      ++at;
    }
    return short(b) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][at];
  }
  return short(x);
};

// -- small things about the document ------------------------------------------

const say = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};
const flag = (node, name, value) => {
  if (node.dataset[name] !== value) node.dataset[name] = value;
};
const hide = (node, yes) => {
  if (node.hidden !== yes) node.hidden = yes;
};
const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
};

// -- colours ------------------------------------------------------------------

// Viridis (S. van der Walt and N. Smith, matplotlib, CC0): even to the eye, and
// for the colour blind. From dark to bright on a dark ground, turned round on a
// light one, so that much always stands out.
const viridis = [[72, 24, 106], [71, 45, 123], [66, 64, 134], [57, 84, 139],
  [49, 104, 142], [42, 120, 142], [35, 136, 142], [31, 152, 139],
  [34, 168, 132], [53, 183, 121], [84, 197, 104], [122, 209, 81],
  [165, 219, 54], [210, 226, 27], [253, 231, 37]];
const dark = matchMedia("(prefers-color-scheme: dark)");
let ramp = [];
let ink = {};

const take_colours = () => {
  ramp = [];
  for (let i = 0; i < 64; ++i) {
    const at = (dark.matches ? i / 63 : 1 - i / 63) * (viridis.length - 1);
    const low = Math.min(Math.floor(at), viridis.length - 2);
    const mix = viridis[low].map((from, k) => Math.round(
      from + (viridis[low + 1][k] - from) * (at - low)));
    ramp.push("rgb(" + mix.join(",") + ")");
  }
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  ink = { text: get("--text"), soft: get("--soft"), line: get("--line"),
    plot: get("--plot"), halo: get("--halo"), accent: get("--accent") };
  const scale = shown("scale");
  const draw = scale.getContext("2d");
  for (let x = 0; x < scale.width; ++x) {
    draw.fillStyle = ramp[Math.floor(x / scale.width * ramp.length)];
    draw.fillRect(x, 0, 1, scale.height);
  }
};

// By the root, as `top` does: one large count would leave all others dark.
const colour_of = (count, most) => ramp[Math.min(ramp.length - 1,
  Math.floor(Math.sqrt(count / most) * ramp.length))];

// -- what is known of a histogram ---------------------------------------------

const key_of = (row) => row[0] + "…" + row[1];

const take_maps = (trace, maps, whole_answer) => {
  if (whole_answer) {
    trace.maps.clear();
    trace.newest = 0;
  }
  for (const one of maps) {
    let map = trace.maps.get(one.map);
    if (!map) {
      map = { rows: new Map(), slots: new Map(), left_out: 0,
        unit: unit_of(one.map) };
      trace.maps.set(one.map, map);
    }
    map.left_out = one.rows_left_out;
    const keys = one.rows.map(key_of);
    one.rows.forEach((row, i) => map.rows.set(keys[i], row));
    for (const slot of one.slots) {
      const counts = new Map();
      let sum = 0;
      for (const [row, count] of slot.counts) {
        counts.set(keys[row], count);
        sum += count;
      }
      map.slots.set(slot.slot, { counts, sum, p50: slot.p50, p90: slot.p90,
        p99: slot.p99 });
      trace.newest = Math.max(trace.newest, slot.slot);
    }
    const old = [...map.slots.keys()].sort((a, b) => a - b);
    for (const slot of old.slice(0, -slots_max)) map.slots.delete(slot);
  }
};

const shown_map = (trace) => trace.maps.get(trace.map)
  || trace.maps.values().next().value;

// Rows from the lowest to the highest, with those between that were never hit:
// the axis must not jump.
const axis_rows = (map) => {
  const rows = [...map.rows.entries()].map(([key, row]) => ({ key, row }))
    .sort((a, b) => (a.row[0] ?? -Infinity) - (b.row[0] ?? -Infinity));
  const all = [];
  for (const next of rows) {
    const last = all[all.length - 1];
    if (last && last.row[1] !== null && next.row[0] !== null) {
      let from = last.row[1] + 1;
      const doubles = last.row[0] > 0 && last.row[1] === 2 * last.row[0] - 1;
      const step = last.row[1] - (last.row[0] ?? last.row[1]) + 1;
      const between = [];
      while (from < next.row[0] && between.length < 70) {
        const to = doubles ? 2 * from - 1
          : from === 1 && step === 1 ? 1 : from + step - 1;
        if (to >= next.row[0]) break;
        between.push({ key: "", row: [from, to] });
        from = to + 1;
      }
      if (from === next.row[0]) all.push(...between);
      else if (from < next.row[0])
        all.push({ key: "", row: [last.row[1] + 1, next.row[0] - 1] });
    }
    all.push(next);
  }
  return all;
};

// -- the picture --------------------------------------------------------------

const left_px = 58;
const right_px = 8;
const top_px = 20;
const bottom_px = 34;

const outlined = (draw, line, colour, width) => {
  draw.lineJoin = "round";
  draw.strokeStyle = ink.halo;
  draw.lineWidth = width + 2;
  draw.stroke(line);
  draw.strokeStyle = colour;
  draw.lineWidth = width;
  draw.stroke(line);
};

const begin_drawing = (trace) => {
  const canvas = trace.canvas;
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)
      || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const draw = canvas.getContext("2d");
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, width, height);
  draw.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  return { draw, width, height, plot_width: width - left_px - right_px,
    plot_height: height - top_px - bottom_px };
};

const draw_heatmap = (trace, map) => {
  const { draw, height, plot_width, plot_height } = begin_drawing(trace);
  if (plot_width < 20) return;
  const all = axis_rows(map);
  const joined = Math.max(1, Math.ceil(all.length / (plot_height / 4)));
  const lines = Math.ceil(all.length / joined);
  const step = trace.resolution || state.resolution;
  const oldest = Math.min(...map.slots.keys());
  const last = Math.max(...map.slots.keys());
  const columns = Math.min(slots_max,
    Math.max(20, Math.round((last - oldest) / step) + 1));
  const first = last - (columns - 1) * step;
  const cell_width = plot_width / columns;
  const cell_height = plot_height / lines;
  const place = new Map();
  all.forEach((one, i) => {
    if (one.key) place.set(one.key, Math.floor(i / joined));
  });
  const grid = [];
  let most = 0;
  for (const [slot, column] of map.slots) {
    const x = Math.round((slot - first) / step);
    if (x < 0 || x >= columns) continue;
    const counts = new Array(lines).fill(0);
    for (const [key, count] of column.counts) counts[place.get(key)] += count;
    grid.push({ x, slot, column, counts });
    for (const count of counts) most = Math.max(most, count);
  }
  const y_of = (line) => top_px + plot_height - (line + 1) * cell_height;
  let cells = 0;
  draw.fillStyle = ink.plot;
  for (const { x } of grid)
    draw.fillRect(left_px + x * cell_width, top_px, cell_width + .3,
      plot_height);
  const gap = cell_width > 5 && cell_height > 5 ? .6 : 0;
  for (const { x, counts } of grid)
    for (let line = 0; line < lines; ++line) {
      if (counts[line] === 0) continue;
      draw.fillStyle = colour_of(counts[line], most);
      draw.fillRect(left_px + x * cell_width + gap / 2, y_of(line) + gap / 2,
        Math.max(1, cell_width - gap), Math.max(1, cell_height - gap));
      ++cells;
    }
  // The axes: the lower bound of rows, and the time of slots.
  draw.fillStyle = ink.soft;
  draw.textAlign = "right";
  draw.textBaseline = "middle";
  const every = Math.max(1, Math.ceil(17 / cell_height));
  for (let line = 0; line < lines; line += every) {
    const from = all[line * joined].row[0];
    draw.fillText(from === null ? "below" : bound(from), left_px - 6,
      y_of(line) + cell_height / 2);
  }
  draw.textAlign = "left";
  draw.textBaseline = "top";
  const unit = map.unit.name ? " (" + map.unit.name + ")" : "";
  draw.fillText(trace.map_name + unit + (joined > 1
    ? ", " + joined + " buckets a line" : "") + ", slots of " + step
    + " s, largest cell " + short(most), 4, 3);
  draw.textBaseline = "bottom";
  draw.textAlign = "left";
  draw.fillText(clock(first), left_px, height - 16);
  draw.textAlign = "center";
  if (plot_width > 260)
    draw.fillText(clock(first + Math.round(columns / 2) * step),
      left_px + plot_width / 2, height - 16);
  draw.textAlign = "right";
  draw.fillText(clock(last + step), left_px + plot_width, height - 16);
  draw.fillText("time of day, newest to the right", left_px + plot_width,
    height - 2);
  // Percentiles, within their row.
  const y_at = (value) => {
    for (let i = 0; i < all.length; ++i) {
      const [low, high] = all[i].row;
      if (value <= (high ?? Infinity) || i === all.length - 1) {
        const from = low ?? high;
        const to = high ?? low;
        const part = to > from
          ? Math.min(1, Math.max(0, (value - from) / (to - from))) : .5;
        return top_px + plot_height - (i + part) / all.length * plot_height
          * (all.length / (lines * joined));
      }
    }
    return top_px;
  };
  const ordered = grid.slice().sort((a, b) => a.x - b.x);
  for (const [name, colour, thick] of [["p99", ink.text, 1],
    ["p50", ink.text, 1.6]]) {
    const line = new Path2D();
    let before = -2;
    for (const { x, column } of ordered) {
      if (column[name] === undefined) continue;
      const at = left_px + (x + .5) * cell_width;
      if (x === before + 1) line.lineTo(at, y_at(column[name]));
      else line.moveTo(at, y_at(column[name]));
      before = x;
    }
    outlined(draw, line, colour, thick);
  }
  trace.shape = { all, joined, lines, columns, first, step, cell_width,
    cell_height, plot_height, grid: new Map(grid.map((one) => [one.x, one])) };
  if (trace.cursor) {
    const { x, line } = trace.cursor;
    draw.strokeStyle = ink.halo;
    draw.lineWidth = 4;
    draw.strokeRect(left_px + x * cell_width, y_of(line), cell_width,
      cell_height);
    draw.strokeStyle = ink.text;
    draw.lineWidth = 2;
    draw.strokeRect(left_px + x * cell_width, y_of(line), cell_width,
      cell_height);
  }
  trace.cells = cells;
  flag(trace.card, "cells", String(cells));
  flag(trace.card, "picture", "heatmap");
};

const draw_rate = (trace) => {
  const { draw, width, height, plot_width, plot_height } = begin_drawing(trace);
  trace.shape = null;
  draw.fillStyle = ink.plot;
  draw.fillRect(left_px, top_px, plot_width, plot_height);
  const points = [];
  for (let i = 1; i < trace.reads.length; ++i) {
    const [at, read] = trace.reads[i];
    const [at_before, read_before] = trace.reads[i - 1];
    if (at > at_before)
      points.push([at, Math.max(0, (read - read_before) / (at - at_before))]);
  }
  const most = Math.max(1, ...points.map((point) => point[1]));
  draw.fillStyle = ink.soft;
  draw.textBaseline = "top";
  draw.textAlign = "left";
  draw.fillText("values read per second (no histogram"
    + (trace.age > 2 * (trace.resolution || 15) ? " in this trace)" : " yet)"),
  4, 3);
  draw.textAlign = "right";
  draw.textBaseline = "middle";
  draw.fillText(short(most), left_px - 6, top_px + 4);
  draw.fillText("0", left_px - 6, top_px + plot_height - 4);
  if (points.length > 0) {
    const from = points[0][0];
    const to = Math.max(from + 60, points[points.length - 1][0]);
    const x_of = (at) => left_px + (at - from) / (to - from) * plot_width;
    const y_of = (rate) => top_px + plot_height - 3
      - rate / most * (plot_height - 10);
    const line = new Path2D();
    points.forEach(([at, rate], i) => {
      if (i === 0) line.moveTo(x_of(at), y_of(rate));
      else line.lineTo(x_of(at), y_of(rate));
    });
    outlined(draw, line, ink.accent, 2);
    draw.textBaseline = "bottom";
    draw.textAlign = "left";
    draw.fillText(clock(from), left_px, height - 16);
    draw.textAlign = "right";
    draw.fillText(clock(to), left_px + plot_width, height - 16);
  }
  draw.textBaseline = "bottom";
  draw.textAlign = "right";
  draw.fillText("time of day, since this page is open", width - right_px,
    height - 2);
  trace.cells = 0;
  flag(trace.card, "cells", "0");
  flag(trace.card, "picture", "rate");
};

const draw = (trace) => {
  if (!trace.visible || trace.card.hidden) return;
  const map = shown_map(trace);
  if (map && map.slots.size > 0) {
    for (const [name, one] of trace.maps)
      if (one === map) trace.map_name = name;
    draw_heatmap(trace, map);
    const slots = [...map.slots.keys()].sort((a, b) => b - a);
    const full = slots.find((slot) => map.slots.get(slot).p50 !== undefined);
    const column = full === undefined ? {} : map.slots.get(full);
    for (const name of ["p50", "p90", "p99"])
      say(trace.numbers[name], measure(column[name], map.unit));
    trace.canvas.setAttribute("aria-label", "Heatmap of " + trace.name + " "
      + trace.map_name + ": p50 " + measure(column.p50, map.unit) + ", p99 "
      + measure(column.p99, map.unit) + ". Arrow keys read its cells.");
  } else {
    draw_rate(trace);
    for (const name of ["p50", "p90", "p99"]) say(trace.numbers[name], "–");
    trace.canvas.setAttribute("aria-label", "Values read per second by "
      + trace.name);
  }
  let sum = 0;
  for (const one of state.traces.values()) sum += one.cells;
  flag(page, "cells", String(sum));
};

// -- reading a cell -----------------------------------------------------------

const words_of = (trace, { x, line }) => {
  const { all, joined, first, step, grid } = trace.shape;
  const low = all[line * joined].row[0];
  const high = all[Math.min(all.length, (line + 1) * joined) - 1].row[1];
  const unit = shown_map(trace).unit.name;
  const what = (low === null ? "up to " + bound(high)
    : high === null ? bound(low) + " and more"
      : low === high ? bound(low) : whole(low) + " to " + whole(high))
    + (unit ? " " + unit : "");
  const when = clock(first + x * step) + " to " + clock(first + (x + 1) * step);
  const one = grid.get(x);
  if (!one) return when + "\nno slot: nothing ran, or it was not over";
  const count = one.counts[line];
  return when + "\n" + what + "\n" + whole(count)
    + (one.column.sum > 0 ? " of " + whole(one.column.sum) + " ("
      + (100 * count / one.column.sum).toFixed(1) + " %)" : " of 0");
};

const point_at = (trace, cursor, aloud) => {
  trace.cursor = cursor;
  if (!cursor || !trace.shape) {
    trace.cursor = null;
    hide(trace.tip, true);
    draw(trace);
    return;
  }
  const { cell_width, cell_height, plot_height } = trace.shape;
  const text = words_of(trace, cursor);
  say(trace.tip, text);
  hide(trace.tip, false);
  const x = left_px + (cursor.x + .5) * cell_width;
  const y = top_px + plot_height - (cursor.line + 1) * cell_height;
  const room = trace.canvas.clientWidth;
  trace.tip.style.left = Math.max(0, Math.min(room - trace.tip.offsetWidth,
    x < room / 2 ? x + cell_width : x - cell_width - trace.tip.offsetWidth))
    + "px";
  trace.tip.style.top = Math.max(0, y - trace.tip.offsetHeight / 2) + "px";
  if (aloud) say(trace.spoken, text.replaceAll("\n", ", "));
  draw(trace);
};

const follow = (trace) => {
  const canvas = trace.canvas;
  canvas.addEventListener("pointermove", (event) => {
    if (!trace.shape) return;
    const box = canvas.getBoundingClientRect();
    const { cell_width, cell_height, columns, lines, plot_height }
      = trace.shape;
    const x = Math.floor((event.clientX - box.left - left_px) / cell_width);
    const line = Math.floor(
      (top_px + plot_height - (event.clientY - box.top)) / cell_height);
    point_at(trace, x >= 0 && x < columns && line >= 0 && line < lines
      ? { x, line } : null);
  });
  canvas.addEventListener("pointerleave", () => point_at(trace, null));
  canvas.addEventListener("blur", () => point_at(trace, null));
  canvas.addEventListener("keydown", (event) => {
    if (!trace.shape) return;
    const { columns, lines } = trace.shape;
    const at = trace.cursor || { x: columns, line: 0 };
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1],
      ArrowDown: [0, -1], Home: [-columns, 0], End: [columns, 0] };
    if (event.key === "Escape") return point_at(trace, null);
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const within = (n, most) => Math.min(most - 1, Math.max(0, n));
    point_at(trace, { x: within(at.x + move[0], columns),
      line: within(trace.cursor ? at.line + move[1] : at.line, lines) }, true);
  });
};

// -- cards --------------------------------------------------------------------

const numbers = [["p50", "p50"], ["p90", "p90"], ["p99", "p99"],
  ["rate", "values/s"], ["series", "series"], ["restarts", "restarts"],
  ["lost", "lost"], ["pid", "pid"], ["cpu", "CPU"], ["memory", "memory"]];

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const trace = state.traces.get(entry.target.dataset.trace);
    if (!trace) continue;
    trace.visible = entry.isIntersecting;
    if (trace.visible) draw(trace);
  }
  ask_heatmaps();
}, { rootMargin: "200px" });

const resized = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const trace = state.traces.get(entry.target.dataset.trace);
    if (trace) draw(trace);
  }
});

const new_trace = (name) => {
  const card = shown("card").content.firstElementChild.cloneNode(true);
  const part = (selector) => card.querySelector(selector);
  const trace = { name, card, canvas: part("canvas"), tip: part(".tip"),
    spoken: part(".spoken"), maps: new Map(), map: null, map_name: "",
    newest: 0, reads: [], cpus: [], visible: false, asked: 0, answers: 0,
    asking: false, cells: 0, age: 0, cursor: null, shape: null, numbers: {} };
  card.dataset.trace = name;
  say(part("h3"), name);
  for (const [id, title] of numbers) {
    const box = make("div");
    trace.numbers[id] = make("dd", "–");
    box.append(make("dt", title), trace.numbers[id]);
    part("dl").append(box);
  }
  follow(trace);
  seen.observe(card);
  resized.observe(card);
  return trace;
};

const lost_of = (counts) => ["lost_events", "rejected", "invalid",
  "dropped_budget", "crash"].reduce(
  (sum, name) => sum + (counts[name] || 0), 0);

const gained = (list, now, total) => {
  const last = list[list.length - 1];
  if (last && (total < last[1] || now < last[0])) list.length = 0;
  if (!last || now > last[0] || list.length === 0) list.push([now, total]);
  if (list.length > rates_max) list.shift();
  const newest = list[list.length - 1];
  let from = list.length - 1;
  while (from > 0 && newest[0] - list[from - 1][0] <= rate_over_s) --from;
  const seconds = newest[0] - list[from][0];
  return seconds > 0 ? (newest[1] - list[from][1]) / seconds : NaN;
};

const show_trace = (trace, now, report) => {
  const { card } = trace;
  const counts = report.counts;
  trace.resolution = report.resolution;
  trace.state = report.state;
  trace.age = now - (report.first_seen || 0);
  trace.rate = gained(trace.reads, now, counts.read || 0);
  const lost = lost_of(counts);
  flag(card, "state", report.state);
  flag(card, "restarts", String(counts.restarts || 0));
  say(card.querySelector(".state"), report.state);
  const reason = card.querySelector(".reason");
  hide(reason, !report.reason);
  say(reason, (report.state === "running" ? "the last time: " : "")
    + report.reason);
  const cpu = gained(trace.cpus, now, report.process.cpu_ms);
  say(trace.numbers.rate, short(trace.rate));
  say(trace.numbers.series, short(counts.series || 0));
  say(trace.numbers.restarts, short(counts.restarts || 0));
  say(trace.numbers.lost, short(lost));
  flag(trace.numbers.lost, "bad", lost > 0 ? "yes" : "no");
  say(trace.numbers.pid, report.pid ? String(report.pid) : "–");
  say(trace.numbers.cpu, Number.isFinite(cpu) && report.pid
    ? (cpu / 10).toFixed(1) + " %" : "–");
  say(trace.numbers.memory, report.pid
    ? Math.round(report.process.rss_kb / 1024) + " MB" : "–");
  trace.troubled = report.state !== "running" || lost > 0;
  const without = state.wanted
    && !trace.name.toLowerCase().includes(state.wanted);
  hide(card, Boolean(without) || (state.only && !trace.troubled));
};

const show_maps = (trace) => {
  const box = trace.card.querySelector(".maps");
  hide(box, trace.maps.size < 2);
  if (trace.maps.size < 2) return;
  const names = [...trace.maps.keys()];
  if (box.childElementCount !== names.length) {
    box.replaceChildren(...names.map((name) => {
      const button = make("button", name);
      button.type = "button";
      button.addEventListener("click", () => {
        trace.map = name;
        trace.cursor = null;
        show_maps(trace);
        draw(trace);
      });
      return button;
    }));
  }
  const chosen = shown_map(trace);
  [...box.children].forEach((button, i) => button.setAttribute("aria-pressed",
    String(trace.maps.get(names[i]) === chosen)));
};

// -- tables -------------------------------------------------------------------

const value_words = { measured: "measured: went into a slot",
  combined: "combined: printed again within a slot",
  unchanged: "unchanged: the same running total again",
  merged: "merged: joined with another row of its series",
  folded: "folded: over the limit of series, counted in a sum",
  open: "open: in slots that are not over",
  on_the_way: "on the way between two parts",
  dropped_values: "dropped, by the reasons on the right",
  crash: "lost by a crash of our own" };
const point_words = { accepted: "accepted", waiting: "waiting",
  dropped_buffer: "dropped: the buffer was full",
  dropped_stop: "dropped: not accepted before the end",
  spooled: "kept on disk for the next start",
  parked: "parked: refused alone, again and again" };

const book = (id, balance, total_words, total, words, counts, what) => {
  const rows = [];
  const row = (text, n, sum) => {
    const line = make("tr", undefined, sum ? "sum" : "");
    const head = make("th", text);
    head.scope = "row";
    line.append(head, make("td", whole(n), "n"));
    rows.push(line);
  };
  row(total_words, total, true);
  let sum = 0;
  for (const [name, text] of Object.entries(words)) {
    const n = counts[name] || 0;
    sum += n;
    if (n > 0) row(text, n);
  }
  shown(id).replaceChildren(...rows);
  const text = shown(balance);
  flag(text, "bad", sum === total ? "no" : "yes");
  say(text, sum === total
    ? "✓ It balances: every " + what + " is accounted for."
    : "✗ " + whole(Math.abs(total - sum)) + " " + what
      + "s are not accounted for.");
};

const show_books = (report) => {
  const ledger = report.ledger;
  book("book-values", "balance-values", "read", ledger.read || 0, value_words,
    ledger, "value");
  book("book-points", "balance-points", "handed to destinations",
    ledger.points || 0, point_words, ledger, "point");
  const known = new Set([...Object.keys(value_words),
    ...Object.keys(point_words), "read", "points"]);
  const rest = Object.entries(ledger).filter(([name]) => !known.has(name));
  shown("book-rest").replaceChildren(...rest.map(([name, n]) => {
    const line = make("tr");
    const head = make("th", name.replaceAll("_", " "));
    head.scope = "row";
    line.append(head, make("td", whole(n), "n"));
    return line;
  }));
};

const show_destinations = (report) => {
  shown("destinations").replaceChildren(...report.destinations.map((to) => {
    const line = make("tr");
    const name = make("th", to.name);
    name.scope = "row";
    name.append(make("small", to.delivery));
    const trouble = ["unreachable", "refused", "frozen"].includes(to.state);
    const where = make("td", to.state);
    where.dataset.bad = trouble ? "yes" : "no";
    if (trouble)
      where.append(make("small", to.reason + ", for "
        + lasting(report.now - to.since)));
    const n = (name) => to.counts[name] || 0;
    const dropped = n("dropped_buffer") + n("dropped_stop") + n("parked");
    const cells = [whole(n("accepted")), whole(n("waiting")),
      to.oldest_slot ? lasting(report.now - to.oldest_slot) : "–",
      to.accepted_at ? lasting(report.now - to.accepted_at) + " ago" : "never",
      to.accepted_at ? whole(to.acceptance_ms) + " ms" : "–",
      whole(dropped), whole(n("resent"))].map((text) => make("td", text, "n"));
    cells[5].dataset.bad = dropped > 0 ? "yes" : "no";
    line.dataset.destination = to.name;
    line.dataset.state = to.state;
    line.append(name, where, ...cells);
    return line;
  }));
};

const tiles = { reads: [], points: [], cpu: [] };

const show_head = (report) => {
  const { traces, ledger } = report;
  document.title = report.host + " – bpf2graphite";
  say(shown("host"), report.host);
  const cpu = gained(tiles.cpu, report.now, report.process.cpu_ms);
  say(shown("facts"), "bpf2graphite " + report.version + ", up "
    + lasting(report.now - report.started) + ", pid " + report.pid + ", "
    + (report.process.rss_kb / 1024).toFixed(1) + " MB"
    + (Number.isFinite(cpu) ? ", " + (cpu / 10).toFixed(1) + " % CPU" : "")
    + ", " + report.config);
  say(shown("version"), "bpf2graphite " + report.version
    + ": bpftrace's histograms to Graphite");
  const running = traces.filter((one) => one.state === "running").length;
  const tile = (name, text, more, bad) => {
    say(shown("tile-" + name), text);
    say(shown("tile-" + name + "-more"), more);
    flag(shown("tile-" + name), "bad", bad ? "yes" : "no");
  };
  const count = (which) => traces.filter((one) => one.state === which).length;
  tile("traces", running + " of " + traces.length,
    ["starting", "failing", "stopped"].filter(count)
      .map((which) => count(which) + " " + which).join(", ")
      || (traces.length ? "all are well" : ""), count("failing") > 0);
  const reads = gained(tiles.reads, report.now, ledger.read || 0);
  tile("values", short(reads) + "/s", short(ledger.read || 0) + " in all");
  const points = gained(tiles.points, report.now, ledger.accepted || 0);
  tile("points", short(points) + "/s", short(ledger.accepted || 0) + " in all");
  const oldest = Math.min(...report.destinations.map(
    (to) => to.oldest_slot || Infinity));
  tile("waiting", short(ledger.waiting || 0), oldest < Infinity
    ? "the oldest for " + lasting(report.now - oldest) : "nothing waits");
  const lost = lost_of(ledger) + (ledger.dropped_buffer || 0)
    + (ledger.dropped_stop || 0) + (ledger.parked || 0);
  tile("lost", short(lost), lost ? "see the ledger" : "nothing", lost > 0);
};

const show = (report) => {
  const jumped = report.now + 60 < state.now;
  state.now = report.now;
  state.resolution = report.resolution || 15;
  show_head(report);
  const there = new Set();
  report.traces.forEach((one, i) => {
    there.add(one.name);
    let trace = state.traces.get(one.name);
    if (!trace) {
      trace = new_trace(one.name);
      trace.since = report.now;
      state.traces.set(one.name, trace);
    }
    if (jumped) forget(trace);
    one.first_seen = trace.since;
    show_trace(trace, report.now, one);
    const here = shown("cards").children[i] || null;
    if (here !== trace.card) shown("cards").insertBefore(trace.card, here);
    if (trace.visible && trace.maps.size === 0) draw(trace);
  });
  for (const [name, trace] of state.traces)
    if (!there.has(name)) {
      seen.unobserve(trace.card);
      resized.unobserve(trace.card);
      trace.card.remove();
      state.traces.delete(name);
    }
  const left = [...state.traces.values()].filter((one) => !one.card.hidden);
  hide(shown("none"), left.length > 0);
  say(shown("none"), report.traces.length === 0
    ? "No trace is configured. Write one into traces { } of " + report.config
      + ", then reload the daemon."
    : "No trace fits what you look for.");
  say(shown("traces-title"), "Traces (" + left.length
    + (left.length < report.traces.length ? " of " + report.traces.length : "")
    + ")");
  show_destinations(report);
  show_books(report);
  flag(page, "polls", String(Number(page.dataset.polls || 0) + 1));
};

const forget = (trace) => {
  trace.maps.clear();
  trace.newest = 0;
  trace.answers = 0;
};

// -- asking -------------------------------------------------------------------

const get = async (target) => {
  const answer = await fetch(target, { cache: "no-store",
    credentials: "omit", signal: AbortSignal.timeout(patience_ms) });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error("it answers with " + answer.status);
  return answer.json();
};

const ask_heatmap = async (trace) => {
  trace.asking = true;
  trace.asked = Date.now();
  try {
    // All of it now and then: a reload may have made another trace of it.
    const all = trace.answers++ % 30 === 0;
    const since = all ? 0 : trace.newest;
    const answer = await get("/heatmap.json?trace="
      + encodeURIComponent(trace.name) + "&since=" + since);
    if (!answer) return;
    take_maps(trace, answer.maps, all);
    show_maps(trace);
    if (trace.cursor) point_at(trace, trace.cursor);
    else draw(trace);
  } catch {
    // The next report says whether the daemon answers.
    trace.answers = 0;
  } finally {
    trace.asking = false;
  }
};

const ask_heatmaps = () => {
  if (state.since) return;
  const all = [...state.traces.values()];
  let asking = all.filter((one) => one.asking).length;
  for (const trace of all) {
    if (asking >= asked_at_once) return;
    const due = Math.min(5, Math.max(1, (trace.resolution || 15) / 3)) * 1000;
    if (!trace.visible || trace.card.hidden || trace.asking
        || Date.now() - trace.asked < due - 200)
      continue;
    ++asking;
    ask_heatmap(trace).then(ask_heatmaps);
  }
};

const pulse = (live, text) => {
  flag(shown("pulse"), "live", live ? "yes" : "no");
  say(shown("pulse"), text);
  flag(page, "stale", live ? "no" : "yes");
};

let timer = 0;
let busy = false;

const tick = async () => {
  clearTimeout(timer);
  if (document.hidden || busy) return;
  busy = true;
  try {
    const report = await get("/status.json");
    if (!report) throw new Error("it has no status");
    state.heard = Date.now();
    state.since = 0;
    hide(shown("lost"), true);
    pulse(true, "live, " + clock(report.now));
    show(report);
    ask_heatmaps();
  } catch (error) {
    state.since = state.since || state.heard || Date.now();
    pulse(false, "no answer");
    say(shown("lost"), "The daemon does not answer since "
      + clock(state.since / 1000) + " ("
      + lasting((Date.now() - state.since) / 1000) + ")"
      + (/^it /.test(error.message) ? ": " + error.message : "")
      + ". What is below is from then; it is asked again every "
      + poll_ms / 1000 + " s.");
    hide(shown("lost"), false);
  } finally {
    busy = false;
    timer = setTimeout(tick, poll_ms);
  }
};

const look_again = () => {
  for (const trace of state.traces.values()) {
    const without = state.wanted
      && !trace.name.toLowerCase().includes(state.wanted);
    hide(trace.card, Boolean(without) || (state.only && !trace.troubled));
  }
  ask_heatmaps();
};

shown("find").addEventListener("input", (event) => {
  state.wanted = event.target.value.trim().toLowerCase();
  look_again();
});
shown("only").addEventListener("change", (event) => {
  state.only = event.target.checked;
  look_again();
});
dark.addEventListener("change", () => {
  take_colours();
  for (const trace of state.traces.values()) draw(trace);
});
document.addEventListener("visibilitychange", tick);
take_colours();
tick();
