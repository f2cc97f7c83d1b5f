// Shows status.json, again and again. What comes from there is text: it is never read as HTML.
"use strict";

const EVERY = 2000;
const ANSWER_WITHIN = 8000;
const MINUTES = 10;
const at = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// ---- Numbers for people

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const number = (value) => (value == null ? "–" : plain.format(value));
const rate = (value) => (value == null ? "–" : plain.format(value >= 100 ? Math.round(value) : value));

function millis(ms) {
  if (ms == null) return "–";
  if (ms === 0) return "0";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function lasting(seconds) {
  if (seconds == null) return "–";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1048576 ? `${Math.round(count / 1024)} KiB` : `${(count / 1048576).toFixed(1)} MiB`;
}

const time = (ms) => new Date(ms).toLocaleTimeString("en-GB");

// ---- Parts of the page. One that did not change is left alone: a selection stays, and nothing is read out twice.

const shown = new Map();

function changed(part, what) {
  const text = JSON.stringify(what);
  if (shown.get(part) === text) return false;
  shown.set(part, text);
  return true;
}

function showHead(status) {
  at("topic").textContent = status.topic;
  at("identity").textContent = `group ${status.group}, process ${status.process}, up for ${lasting(status.uptime_seconds)}`;
  at("version").textContent = `job ${status.version}`;
  const worst = status.conditions[0];
  document.title = worst ? `${worst.name} – job: ${status.topic}` : `job: ${status.topic}`;
  if (!changed("verdicts", [status.healthy, status.ready])) return;
  const verdict = (name, { ok, why }) =>
    make("li", { class: ok ? "good" : "bad" }, ok ? `✓ ${name}` : `✗ not ${name}${why ? `: ${why}` : ""}`);
  at("verdicts").replaceChildren(verdict("healthy", status.healthy), verdict("ready", status.ready));
}

function showConditions(conditions) {
  // How long something lasts grows all the time: only what it is, is read out anew.
  const region = at("conditions");
  region.setAttribute("aria-live", changed("names", conditions.map(({ name }) => name)) ? "polite" : "off");
  region.setAttribute("aria-busy", "false");
  if (!changed("conditions", conditions)) return;
  if (conditions.length === 0) {
    region.replaceChildren(make("p", { class: "calm card" }, "✓ Nothing stands in the way of messages."));
    return;
  }
  const known = ["urgent", "warning", "note"];
  const item = ({ name, severity, what, do: advice }) =>
    make("li", { class: `card ${known.includes(severity) ? severity : "note"}` },
      make("h3", {}, name, make("span", {}, severity)),
      make("p", {}, what),
      make("p", { class: "do" }, `Do: ${advice}`));
  region.replaceChildren(make("ul", {}, ...conditions.map(item)));
}

function written({ waiting, to_replay: undecided }) {
  const parts = ["written"];
  if (waiting) parts.push(`${number(waiting)} waiting`);
  if (undecided) parts.push(`${number(undecided)} to decide on`);
  return parts.join(", ");
}

// Where a record's timestamp isn't known, times begin when job read it.
const from = ({ since_read: isSinceRead }) => (isSinceRead ? "Reading" : "Record");

function showNumbers({ delivery, partitions, held, dead_letters: letters }) {
  const lag = partitions.reduce((sum, one) => sum + (one.lag ?? 0), 0);
  const seconds = partitions.map((one) => one.lag_seconds ?? 0);
  const oldest = Math.max(0, ...seconds);
  const tiles = [
    ["Delivered", rate(delivery.messages_per_second), "messages/s"],
    ["Read from Kafka", rate(delivery.read_per_second), "records/s"],
    [`${from(delivery)} to answer, p50`, millis(delivery.p50_ms), ""],
    [`${from(delivery)} to answer, p99`, millis(delivery.p99_ms), ""],
    ["Lag", number(lag), oldest >= 1 ? `records, the oldest ${lasting(oldest)}` : "records"],
    ["Held", number(held.messages), `of ${number(held.messages_limit)} messages`],
    ["Held", bytes(held.bytes), `of ${bytes(held.bytes_limit)}`],
    ["Dead letters", number(letters.written), written(letters)],
  ];
  if (!changed("numbers", tiles)) return;
  at("numbers").replaceChildren(...tiles.map(([name, value, unit]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, " ", make("small", {}, unit)))));
}

// A row's cells: the first one is its heading. A cell is a text, or [text, class].
function table(id, heads, rows, none) {
  if (!changed(id, rows)) return;
  const cell = (value, n) => {
    const [text, kind] = Array.isArray(value) ? value : [value, ""];
    return make(n === 0 ? "th" : "td", n === 0 ? { scope: "row" } : { class: kind }, text);
  };
  const body = rows.length
    ? rows.map((row) => make("tr", {}, ...row.map(cell)))
    : [make("tr", {}, make("td", { class: "none", colspan: heads.length }, none))];
  at(id).replaceChildren(
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...body));
}

const STATES = {
  up: ["● up", "good"], refusing: ["▲ refuses everything", "bad"], down: ["✗ down", "bad"],
  detached: ["✗ detached", "bad"], catching_up: ["◐ catches up", "warn"],
  works: ["● works", "good"], waits: ["○ waits", ""], "stands still": ["✗ stands still", "bad"],
};
const state = (name) => (Object.hasOwn(STATES, name) ? STATES[name] : [name, ""]);

function showTables(status) {
  table("comets", ["Comet", "State", "Calls/s", "Failed/s", "p99", "In flight", "Missed"],
    status.comets.map((one) => [one.address, state(one.state), rate(one.calls_per_second), rate(one.failed_per_second),
      millis(one.p99_ms), number(one.calls_in_flight), number(one.missed)]), "none");
  table("partitions", ["Partition", "Lag", "Lag time", "Offset", "Committed", "Done above", "Held up for"],
    status.partitions.map((one) => [one.topic ? `${one.topic}[${one.partition}]` : String(one.partition), number(one.lag), lasting(one.lag_seconds),
      String(one.offset), String(one.committed ?? "–"), number(one.finished_above), lasting(one.held_up_seconds)]), "This process has no partition.");
  table("workers", ["Worker", "State", "Calls/s", "In flight"],
    status.workers.map((one) => [one.name, state(one.state), rate(one.calls_per_second), number(one.calls_in_flight)]), "none");
  table("errors", ["Time (UTC)", "Level", "Text"],
    status.last_errors.map((one) => [one.at, [one.level, one.level === "ERROR" ? "text bad" : "text warn"], [one.text, "long"]]),
    "None since the start.");
}

// ---- Plots

const WIDTH = 480, HEIGHT = 170, LEFT = 48, RIGHT = 8, TOP = 8, BOTTOM = 20;

// 1, 2 or 5 with zeros.
function round(most) {
  if (!(most > 0)) return 1;
  const ten = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= most) ?? most;
}

function plot(id, title, series, end, format, none, lines) {
  if (!changed(id, [series, end, none])) return;
  const start = end - MINUTES * 60000;
  const all = lines.flatMap(({ of }) => series.map(of)).filter((value) => value != null);
  const most = round(Math.max(0, ...all));
  const x = (ms) => LEFT + (WIDTH - LEFT - RIGHT) * Math.max(0, (ms - start) / (end - start));
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
  const last = series.at(-1);
  const words = (point) => lines.map(({ name, of }) => `${name} ${format(of(point))}`.trim()).join(", ");
  const now = all.length === 0 ? none : words(last);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `${title}, last ${MINUTES} minutes: ${now}; at most ${format(all.length ? Math.max(...all) : null)}` });
  for (const part of [0, 0.5, 1]) {
    const height = y(most * part);
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: height, y2: height }),
      draw("text", { x: LEFT - 6, y: height + 4, "text-anchor": "end" }, format(most * part)));
  }
  for (const [minutes, anchor] of [[MINUTES, "start"], [MINUTES / 2, "middle"], [0, "end"]]) {
    svg.append(draw("text", { x: x(end - minutes * 60000), y: HEIGHT - 4, "text-anchor": anchor },
      minutes ? `${minutes} min ago` : "now"));
  }
  lines.forEach(({ of }, n) => {
    let path = "", pen = "M", from = null, to = null;
    for (const point of series) {
      const value = of(point);
      if (value == null) { pen = "M"; continue; }
      to = x(point.at_ms).toFixed(1);
      from ??= to;
      path += `${pen}${to} ${y(value).toFixed(1)}`;
      pen = "L";
    }
    if (!path) return;
    if (lines.length === 1) svg.append(draw("path", { class: "area", d: `${path}L${to} ${y(0)}L${from} ${y(0)}Z` }));
    svg.append(draw("path", { class: n ? "line second" : "line", d: path }));
  });
  const readout = make("span", {}, now);
  const cursor = draw("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const under = ((event.clientX - box.left) / box.width) * WIDTH;
    const distance = (point) => Math.abs(x(point.at_ms) - under);
    const nearest = series.reduce((a, b) => (a && distance(a) <= distance(b) ? a : b), null);
    if (!nearest) return;
    readout.textContent = `${time(nearest.at_ms)}: ${words(nearest)}`;
    cursor.setAttribute("x1", x(nearest.at_ms));
    cursor.setAttribute("x2", x(nearest.at_ms));
    cursor.setAttribute("visibility", "visible");
  });
  svg.addEventListener("pointerleave", () => {
    readout.textContent = now;
    cursor.setAttribute("visibility", "hidden");
  });
  at(id).replaceChildren(make("figcaption", {}, make("strong", {}, title), readout), svg);
}

function showPlots({ series, delivery }) {
  // They move when there is a new point.
  const end = series.at(-1)?.at_ms ?? 0;
  plot("throughput", "Messages delivered per second", series, end, rate, "nothing yet", [{ name: "", of: (point) => point.messages_per_second }]);
  plot("latency", `From ${from(delivery).toLowerCase()} to Comet's answer`, series, end, millis, "nothing yet", [
    { name: "p50", of: (point) => point.p50_ms }, { name: "p99 (dashed)", of: (point) => point.p99_ms }]);
  plot("lag", "Lag, records", series, end, number, "nothing yet", [{ name: "", of: (point) => point.lag }]);
}

// ---- Asking

let seen = null;

async function look() {
  const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const status = await answer.json();
  seen = Date.now();
  at("lost").hidden = true;
  showHead(status);
  showConditions(status.conditions);
  showNumbers(status);
  showPlots(status);
  showTables(status);
}

function showLost(error) {
  const since = seen ? ` What is shown is of ${time(seen)}.` : "";
  const text = `job does not answer (${error.message}).${since} This page asks again.`;
  if (at("lost").textContent !== text) at("lost").textContent = text;
  at("lost").hidden = false;
}

async function watch() {
  if (!document.hidden) await look().catch(showLost);
  setTimeout(watch, EVERY);
}

watch();
