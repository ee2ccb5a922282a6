// Reads the run out of the page and wires lanes, search, tables and curves together.
"use strict";

const $ = (id) => document.getElementById(id);
const run = JSON.parse($("run").textContent);

// Columns of all spans, one behind the other, deflated.
async function columns(text, wanted) {
  let packed;
  if (Uint8Array.fromBase64) packed = Uint8Array.fromBase64(text);
  else {
    const binary = atob(text);
    packed = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) packed[i] = binary.charCodeAt(i);
  }
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = await new Response(stream).arrayBuffer();
  const kinds = { f8: Float64Array, f4: Float32Array, u4: Uint32Array, u1: Uint8Array };
  const found = {};
  let at = 0;
  for (const [name, kind] of wanted) {
    found[name] = new kinds[kind](data, at, run.count);
    at += Math.ceil((run.count * kinds[kind].BYTES_PER_ELEMENT) / 8) * 8;
  }
  return found;
}

// What is shown of a single task is unpacked when the page is alive, and everything was read.
async function details(spans) {
  if (document.readyState === "loading") {
    await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  }
  Object.assign(spans, await columns($("details").textContent, run.details));
}

// What a task consists of, as it is drawn: the order within a task is not known.
const PARTS = [["importing", "imported"], ["decode", "decode"], ["pausing", "pausing"], ["wanting", "wanting"],
  ["running", "running"], ["encode", "encode"]];

function modelOf(spans) {
  const until = Float64Array.from(spans.received);
  const parts = PARTS.map(([kind, name]) => ({ kind, took: spans[name] }));
  for (const { took } of parts) for (let i = 0; i < run.count; i++) until[i] += took[i];
  spans.compute = new Float32Array(run.count);
  for (const name of ["running", "pausing", "wanting"]) {
    for (let i = 0; i < run.count; i++) spans.compute[i] += spans[name][i];
  }
  return {
    lanes: run.lanes,
    from: spans.received,
    until,
    parts,
    bad: spans.state,
    span: [0, run.wall],
    name: (i) => run.functions[spans.function[i]],
  };
}

const label = (spans, i) => {
  const name = run.functions[spans.function[i]];
  if (!spans.stop) return `${name}, number ${spans.task[i]}`;
  const [start, stop] = [spans.start[i], spans.stop[i]];
  if (stop <= start) return `${name}, number ${spans.task[i]}`;
  return stop - start > 1 ? `${name}, items ${start}–${stop - 1}` : `${name}, item ${start}`;
};

function more(spans, i, time) {
  return [
    ["to the caller", time("deliver")],
    ["waited before", time("waited")],
    spans.cpu[i] > 1.05 * spans.compute[i] && ["CPU, all its threads", time("cpu")],
    ["arguments", `${bytes(spans.args_moved[i])} moved, ${bytes(spans.args_shared[i])} by reference`],
    ["result", `${bytes(spans.result_moved[i])} moved, ${bytes(spans.result_shared[i])} by reference`],
    spans.faults[i] > 0 && ["page faults", `${spans.faults[i]}`],
  ];
}

function described(spans, i) {
  const time = (name) => Lanes.duration(spans[name][i]);
  const rows = [
    ["state", run.states[spans.state[i]]],
    ["call", `${spans.task[i]}`],
    ["begun after", Lanes.duration(spans.received[i])],
    spans.queued && ["queued", time("queued")],
    spans.imported[i] > 0 && ["importing", time("imported")],
    ["unpacking arguments", time("decode")],
    ["in your function", time("compute")],
    ["  on a CPU", time("running")],
    spans.pausing[i] > 0 && ["  waiting", time("pausing")],
    spans.wanting[i] > 0 && ["  no CPU free", time("wanting")],
    ["packing the result", time("encode")],
    ...(spans.stop ? more(spans, i, time) : []),
  ].filter(Boolean);
  const box = document.createElement("div");
  const head = document.createElement("b");
  head.textContent = label(spans, i);
  const table = document.createElement("table");
  for (const row of rows) {
    const line = table.insertRow();
    for (const text of row) line.insertCell().textContent = text;
  }
  box.append(head, table);
  return box;
}

function hover(spans, lanes) {
  const tip = $("tip");
  return (found, event) => {
    if (!found || found.item < 0) { tip.style.visibility = "hidden"; return; }
    if (tip.dataset.item !== String(found.item)) {
      tip.replaceChildren(described(spans, found.item));
      tip.dataset.item = found.item;
    }
    const { offsetWidth, offsetHeight } = tip;
    // Below the lanes, or above them: the next one is to be seen.
    const box = $("lanes").parentElement.getBoundingClientRect();
    const below = box.bottom + 6 + offsetHeight < innerHeight;
    const x = Math.min(event.clientX - offsetWidth / 3, innerWidth - offsetWidth - 4);
    tip.style.left = `${Math.max(4, x)}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(4, box.top - offsetHeight - 6)}px`;
    tip.style.visibility = "visible";
  };
}

function searching(spans, lanes) {
  const input = $("search");
  const output = $("found");
  let items = [];
  let at = -1;
  const look = () => {
    const text = input.value.trim().toLowerCase();
    items = [];
    at = -1;
    if (!text) { lanes.mark(null); output.textContent = ""; return; }
    const names = run.functions.map((name) => name.toLowerCase().includes(text));
    const number = /^#?\d+$/.test(text) ? Number(text.replace("#", "")) : -1;
    const flags = new Uint8Array(run.count);
    for (let i = 0; i < run.count; i++) {
      const inside = spans.stop && number >= spans.start[i] && number < spans.stop[i];
      if (names[spans.function[i]] || spans.task[i] === number || inside) { flags[i] = 1; items.push(i); }
    }
    lanes.mark(flags);
    output.textContent = `${items.length.toLocaleString("en")} found`;
  };
  const go = (step) => {
    if (!items.length) return;
    at = (at + step + items.length) % items.length;
    output.textContent = `${(at + 1).toLocaleString("en")} of ${items.length.toLocaleString("en")}`;
    lanes.select(items[at], true);
  };
  let timer = 0;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, run.count > 2e5 ? 250 : 30); });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    clearTimeout(timer);
    if (at < 0) look();
    go(event.shiftKey ? -1 : 1);
  });
  $("next").addEventListener("click", () => go(1));
  $("previous").addEventListener("click", () => go(-1));
}

function theme(redraw) {
  const root = document.documentElement;
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { $("theme").textContent = dark() ? "Light" : "Dark"; };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { name(); redraw(); });
  name();
}

// Tables are sorted by a click on a column's head.
function sorting() {
  document.querySelectorAll("table.sorts").forEach((table) => {
    const [head, ...rows] = table.rows;
    [...head.cells].forEach((cell, at) => {
      cell.tabIndex = 0;
      cell.setAttribute("role", "button");
      const key = (row) => row.cells[at].dataset.key ?? row.cells[at].textContent;
      const sort = () => {
        const down = cell.getAttribute("aria-sort") !== "descending";
        [...head.cells].forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        rows.sort((a, b) => {
          const [one, other] = [key(a), key(b)];
          const by = isNaN(one) || isNaN(other) ? String(one).localeCompare(other) : one - other;
          return down ? -by : by;
        });
        table.tBodies[0].append(head, ...rows);
      };
      cell.addEventListener("click", sort);
      cell.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    });
  });
}

async function main() {
  document.querySelectorAll("[hidden]").forEach((each) => { each.hidden = false; });
  let lanes = null;
  sorting();
  const seen = (instant) => lanes?.point(instant);
  const chart = run.memory.times.length > 1
    ? new MemoryChart($("memory"), $("processes"), run.memory, run.wall, seen) : null;
  if (chart) {
    $("kind").addEventListener("change", (event) => {
      chart.show(event.target.value);
      $("rss").style.display = event.target.value === "rss" ? "block" : "none";
    });
  } else {
    $("curves").hidden = true;
  }
  if (run.flame) new Flame($("flame"), run.flame);
  const spans = await columns($("drawn").textContent, run.drawn);
  const selected = (item) => {
    $("tip").style.visibility = "hidden";
    $("live").textContent = item < 0 ? "" : `${label(spans, item)}: in its function for ${Lanes.duration(spans.compute[item])}`;
  };
  lanes = new Lanes($("lanes"), modelOf(spans), {
    onHover: (...found) => shown(...found),
    onSelect: selected,
    onView: (view) => chart?.view(view),
    onCursor: (instant) => chart?.point(instant),
  });
  const shown = hover(spans, lanes);
  theme(() => { lanes.draw(); chart?.draw(); });
  $("whole").addEventListener("click", () => lanes.reset());
  searching(spans, lanes);
  document.querySelectorAll("tr[data-span]").forEach((row) => {
    const show = () => { lanes.select(Number(row.dataset.span), true); $("lanes").focus({ preventScroll: true }); $("lanes").scrollIntoView({ block: "center" }); };
    row.addEventListener("click", show);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") show(); });
  });
  await lanes.prepare();
  window.onecopy = { lanes, chart, spans, run };
  document.documentElement.dataset.ready = "yes";
  await details(spans);
  document.documentElement.dataset.ready = "all";
}

main();
