"""The page that follows an audit while its federation runs. It asks for what was added, and draws that itself."""

from __future__ import annotations

from html import escape

from ..failures import tamed
from .assets import STYLE
from .style import ABSENT, ACCEPTED, DROPPED, PALETTE

LIVE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""What the page may load: nothing but lines of the audit."""


def live_page(name: str) -> str:
    """The page about the audit of this name: one HTML text, which needs nothing else but where lines come from."""
    title = escape(tamed(name))
    return _PAGE.replace("%STYLE%", STYLE + _STYLE).replace("%SCRIPT%", _SCRIPT).replace("%TITLE%", title)


_STYLE = """
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 10px; margin: 18px 0 6px; }
.tile { border: 1px solid var(--rule); border-radius: 8px; padding: 9px 14px; min-width: 0; }
.tile span { display: block; color: var(--soft); font-size: 13px; }
.tile b { font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 4px 26px; }
.charts section { min-width: 0; }
.charts h2 { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: baseline; margin-bottom: 6px;
  border: 0; padding: 0; margin-top: 26px; font-size: 17px; }
.charts select { font-size: 13.5px; max-width: 190px; }
canvas { display: block; width: 100%; }
canvas.marks { width: 168px; height: 16px; }
td .bad { color: #b3430f; }
tr.now td { background: rgba(213, 94, 0, 0.08); }
#nodes td { vertical-align: middle; }
#nodes td:first-child { min-width: 120px; max-width: 300px; overflow-wrap: anywhere; }
#nodes td:last-child { min-width: 130px; }
#state.lost { color: #b3430f; }
#log p { font-size: 13.5px; margin: 3px 0; overflow-wrap: anywhere; max-width: none; }
@media (max-width: 860px) { canvas.marks { width: 112px; } .tile b { font-size: 19px; } }
@media (max-width: 520px) { #nodes small { display: none; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%TITLE%</title>
<link rel="icon" href="data:,">
<style>%STYLE%</style>
</head>
<body>
<main>
<h1>%TITLE%</h1>
<p class="lead"><span id="rule"></span><span id="state">Waiting for the first round</span></p>
<noscript><p>This page needs JavaScript.</p></noscript>
<p class="note" id="skipped" hidden></p>
<div class="tiles">
<div class="tile"><span>round</span><b id="round">&ndash;</b></div>
<div class="tile"><span>accepted</span><b id="kept">&ndash;</b></div>
<div class="tile"><span>dropped</span><b id="dropped">&ndash;</b></div>
<div class="tile"><span>no answer</span><b id="silent">&ndash;</b></div>
<div class="tile"><span>rounds without a change</span><b id="left">&ndash;</b></div>
<div class="tile" id="found-tile" hidden><span id="found-name"></span><b id="found"></b></div>
</div>
<div class="charts">
<section id="metrics" hidden><h2>The model <select aria-label="Metric of the model"></select></h2>
<canvas height="220" role="img" aria-label="A metric of the model over rounds"></canvas>
<p class="caption" id="metric-key"></p></section>
<section id="scores" hidden><h2>What the rule looks at <select aria-label="Score"></select></h2>
<canvas height="220" role="img" aria-label="A score of every node over rounds"></canvas>
<p class="caption">Blue points: nodes that were accepted, from the least to the greatest in the band; red crosses: nodes
that were dropped.</p></section>
</div>
<h2>Nodes</h2>
<div class="scroll"><table class="wide"><thead><tr><th>Node</th><th>Last rounds</th><th class="number">Accepted</th>
<th class="number">Dropped</th><th class="number">No answer</th><th>Why</th></tr></thead>
<tbody id="nodes"></tbody></table></div>
<p class="caption" id="more"></p>
<h2>Last rounds</h2>
<div id="log"></div>
</main>
<script>%SCRIPT%</script>
</body>
</html>
"""

_SCRIPT = (
    """
"use strict";
(() => {
  const ACCEPTED = "%ACCEPTED%", DROPPED = "%DROPPED%", ABSENT = "%ABSENT%", FIRST = "%FIRST%", SECOND = "%SECOND%";
  // However long a federation runs: so many rounds, nodes and evaluations are kept.
  const ROUNDS = 400, NODES = 2000, SHOWN = 300, POINTS = 20000, RECENT = 42;
  const by = (id) => document.getElementById(id);
  const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
  const count = (number) => number.toLocaleString("en-GB");
  // What is neither never nor always is 1 to 99, as on the pages.
  const perCent = (part, of) => part > 0 && part < of ?
    Math.min(99, Math.max(1, Math.round(100 * part / of))) : Math.round(100 * part / of);
  const short = (value) => Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ?
    value.toExponential(2) : String(Number(value.toPrecision(4)));

  let offset = 0, file = "", rounds = [], nodes = new Map(), found = [], total = 0, left = 0, drawn = false;
  let highest = 0, twice = 0;
  const forget = () => { rounds = []; nodes = new Map(); found = []; total = 0; left = 0; highest = twice = 0; };

  const called = (node) => node.name || node.node;
  const take = (line) => {
    if (line.evaluated) {
      found.push(line);
      if (found.length > 2 * ROUNDS) found.shift();
      return;
    }
    rounds.push(line);
    total += 1;
    twice += line.round <= highest ? 1 : 0;
    highest = Math.max(highest, line.round);
    left += line.skipped ? 1 : 0;
    const most = Math.max(20, Math.min(ROUNDS, Math.floor(POINTS / Math.max(1, line.nodes.length))));
    while (rounds.length > most) rounds.shift();
    for (const node of line.nodes) {
      const name = called(node);
      if (node.name && nodes.has(node.node) && !nodes.has(name)) {
        nodes.set(name, nodes.get(node.node));
        nodes.delete(node.node);
      }
      if (!nodes.has(name)) {
        if (nodes.size >= NODES) nodes.delete(nodes.keys().next().value);
        nodes.set(name, { kept: 0, dropped: 0, silent: 0, marks: [], reasons: new Map() });
      }
      const one = nodes.get(name);
      one.id = node.name ? node.node : "";
      one.marks.push([line.round, node.mark]);
      if (one.marks.length > RECENT) one.marks.shift();
      one.last = line.round;
      one.now = node.mark === "0";
      one.kept += node.mark === "1";
      one.dropped += node.mark === "0";
      one.silent += node.reason === "missing";
      if (node.mark === "0" && one.reasons.size < 20)
        one.reasons.set(node.reason, (one.reasons.get(node.reason) || 0) + 1);
    }
  };

  // --- drawing ---

  const canvas = (element, height) => {
    const width = element.clientWidth, ratio = window.devicePixelRatio || 1;
    if (element.width !== Math.round(width * ratio)) element.width = Math.round(width * ratio);
    if (element.height !== Math.round(height * ratio)) element.height = Math.round(height * ratio);
    element.style.height = height + "px";
    const pen = element.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return [pen, width];
  };

  const marks = (element, one, last) => {
    const [pen, width] = canvas(element, 16), step = width / RECENT;
    for (const [round, mark] of one.marks) {
      const place = RECENT - 1 - (last - round);
      if (place < 0) continue;
      pen.fillStyle = "1g".includes(mark) ? ACCEPTED : mark === "0" ? DROPPED : ABSENT;
      pen.fillRect(place * step, 1, Math.max(1, step - 1), 14);
    }
  };

  const steps = (low, high) => {
    const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw)), unit = raw / power;
    const step = power * (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10), all = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) all.push(at);
    return all;
  };

  // Dots are [round, value, accepted], lines lists of [round, value], the band [round, least, greatest].
  const plot = (element, dots, lines, band) => {
    const height = 220, [pen, width] = canvas(element, height);
    const all = [...dots.map((dot) => dot[1]), ...lines.flatMap((line) => line.points.map((point) => point[1]))];
    const when = [...dots.map((dot) => dot[0]), ...lines.flatMap((line) => line.points.map((point) => point[0]))];
    if (!all.length) return;
    const least = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
    const greatest = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);
    let low = least(all), high = greatest(all);
    const log = low > 0 && high > 50 * low, scale = (value) => log ? Math.log10(value) : value;
    low = scale(low); high = scale(high);
    const pad = Math.max((high - low) * 0.06, 1e-9 + Math.abs(high) * 1e-3);
    low -= pad; high += pad;
    const first = least(when), last = Math.max(greatest(when), first + 1);
    const box = { left: 56, right: width - 8, top: 8, bottom: height - 24 };
    const x = (round) => box.left + (round - first + 0.5) / (last - first + 1) * (box.right - box.left);
    const y = (value) => box.bottom - (scale(value) - low) / (high - low) * (box.bottom - box.top);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const at of steps(low, high)) {
      const place = box.bottom - (at - low) / (high - low) * (box.bottom - box.top);
      pen.fillStyle = "#e4e7eb"; pen.fillRect(box.left, place, box.right - box.left, 1);
      pen.fillStyle = "#5b6773"; pen.fillText(short(log ? 10 ** at : at), box.left - 6, place);
    }
    pen.textAlign = "center";
    for (const at of steps(first, last).filter(Number.isInteger)) pen.fillText(count(at), x(at), height - 10);
    if (band.length > 1) {
      pen.fillStyle = "rgba(139,184,220,0.28)";
      pen.beginPath();
      band.forEach(([round, , value], i) => pen[i ? "lineTo" : "moveTo"](x(round), y(value)));
      [...band].reverse().forEach(([round, value]) => pen.lineTo(x(round), y(value)));
      pen.fill();
    }
    for (const line of lines) {
      pen.strokeStyle = pen.fillStyle = line.colour;
      pen.lineWidth = 2;
      pen.beginPath();
      line.points.forEach(([round, value], i) => pen[i ? "lineTo" : "moveTo"](x(round), y(value)));
      pen.stroke();
      if (line.points.length < 40) for (const [round, value] of line.points) {
        pen.beginPath(); pen.arc(x(round), y(value), 2.5, 0, 7); pen.fill();
      }
    }
    for (const [round, value, accepted] of dots) {
      if (accepted) {
        pen.fillStyle = FIRST; pen.globalAlpha = 0.45;
        pen.beginPath(); pen.arc(x(round), y(value), 2.4, 0, 7); pen.fill();
        pen.globalAlpha = 1;
      } else {
        pen.strokeStyle = DROPPED; pen.lineWidth = 1.8;
        const a = x(round), b = y(value);
        pen.beginPath(); pen.moveTo(a - 3, b - 3); pen.lineTo(a + 3, b + 3);
        pen.moveTo(a - 3, b + 3); pen.lineTo(a + 3, b - 3); pen.stroke();
      }
    }
  };

  const chosen = (section, names) => {
    const select = section.querySelector("select");
    section.hidden = !names.length;
    const known = [...select.options].map((option) => option.value);
    if (known.join("\\n") !== names.join("\\n")) {
      const before = select.value;
      select.replaceChildren(...names.map((name) => new Option(name, name)));
      if (names.includes(before)) select.value = before;
    }
    select.hidden = names.length < 2;
    return select.value || names[0];
  };

  const metrics = () => {
    const section = by("metrics"), names = new Set();
    for (const line of found) for (const name of Object.keys(line.metrics)) names.add(name);
    const ordered = [...names].sort((a, b) => b.includes("acc") - a.includes("acc")).slice(0, 30);
    const name = chosen(section, ordered);
    if (section.hidden) { by("found-tile").hidden = true; return; }
    const of = (who) => found.filter((line) => line.evaluated === who && Object.hasOwn(line.metrics, name))
      .map((line) => [line.round, line.metrics[name]]);
    const lines = [{ colour: FIRST, points: of("server") }, { colour: SECOND, points: of("clients") }];
    plot(section.querySelector("canvas"), [], lines, []);
    const told = ["blue: found by the server", "green: by the nodes together"].filter((_, i) => lines[i].points.length);
    text(by("metric-key"), `${name} after every round; ${told.join(", ")}.`);
    const last = (lines[0].points.length ? lines[0] : lines[1]).points.at(-1);
    by("found-tile").hidden = !last;
    if (last) { text(by("found-name"), `${name}, round ${count(last[0])}`); text(by("found"), short(last[1])); }
  };

  const scores = () => {
    const section = by("scores"), names = new Set();
    rounds.forEach((line) => line.nodes.forEach((node) => Object.keys(node.scores).forEach((name) => names.add(name))));
    const name = chosen(section, [...names].slice(0, 30));
    if (section.hidden) return;
    const dots = [], band = [];
    for (const line of rounds) {
      let least = Infinity, greatest = -Infinity;
      for (const node of line.nodes) {
        if (!Object.hasOwn(node.scores, name)) continue;
        const value = node.scores[name];
        const kept = "1g".includes(node.mark);
        dots.push([line.round, value, kept]);
        if (kept) { least = Math.min(least, value); greatest = Math.max(greatest, value); }
      }
      if (least <= greatest) band.push([line.round, least, greatest]);
    }
    plot(section.querySelector("canvas"), dots, [], band);
  };

  const cell = (row, value, kind) => {
    const made = row.insertCell();
    if (kind) made.className = kind;
    made.textContent = value;
    return made;
  };

  const table = (last) => {
    const all = [...nodes].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    const share = ([, one]) => one.kept / Math.max(1, one.kept + one.dropped);
    const shown = all.length > SHOWN ? all.sort((a, b) => share(a) - share(b)).slice(0, SHOWN) : all;
    const body = document.createElement("tbody");
    body.id = "nodes";
    const strips = [];
    for (const [name, one] of shown) {
      const row = body.insertRow();
      if (one.now && one.last === last) row.className = "now";
      const first = cell(row, name);
      if (one.id) first.appendChild(document.createElement("small")).textContent = one.id;
      const strip = document.createElement("canvas");
      strip.className = "marks";
      cell(row, "").appendChild(strip);
      strips.push([strip, one]);
      const judged = one.kept + one.dropped;
      cell(row, judged ? `${perCent(one.kept, judged)}%` : "\\u2013", "number");
      cell(row, count(one.dropped), one.dropped ? "number bad" : "number");
      cell(row, count(one.silent), "number");
      const why = [...one.reasons].sort((a, b) => b[1] - a[1]).slice(0, 3);
      cell(row, why.map(([reason, times]) => `${reason} ${count(times)}`).join(", "));
    }
    by("nodes").replaceWith(body);
    strips.forEach(([strip, one]) => marks(strip, one, last));
    const more = all.length - shown.length;
    text(by("more"), more > 0 ? `${count(more)} more nodes, which are dropped less often.` : "");
  };

  const log = () => {
    const told = rounds.slice(-12).reverse().map((line) => {
      const dropped = line.nodes.filter((node) => node.mark === "0");
      const who = dropped.slice(0, 8).map((node) => `${called(node)} (${node.reason})`).join(", ");
      const more = dropped.length > 8 ? ` and ${dropped.length - 8} more` : "";
      const made = document.createElement("p");
      const head = made.appendChild(document.createElement("b"));
      head.textContent = `Round ${count(line.round)}: `;
      made.append(line.skipped ? `the model stays as it was: ${line.skipped}` :
        dropped.length ? `dropped ${who}${more}` : "nobody dropped", line.note ? ` (${line.note})` : "");
      return made;
    });
    by("log").replaceChildren(...told);
  };

  const draw = () => {
    drawn = true;
    const line = rounds.at(-1);
    metrics();
    if (!line) return;
    const of = (mark) => line.nodes.filter((node) => node.mark === mark).length;
    text(by("rule"), `${line.rule} \\u00b7 `);
    text(by("round"), count(line.round));
    text(by("kept"), of("g") ? "not judged" : `${of("1")} of ${count(line.nodes.length + line.left_out)}`);
    text(by("dropped"), count(of("0")));
    text(by("silent"), count(line.nodes.filter((node) => node.reason === "missing").length));
    text(by("left"), count(left));
    by("skipped").hidden = !line.skipped;
    text(by("skipped"), line.skipped ? `The model stays as it was: ${line.skipped}` : "");
    scores();
    table(line.round);
    log();
  };

  // --- following ---

  const state = (told, lost) => { text(by("state"), told); by("state").className = lost ? "lost" : ""; };
  const look = async () => {
    let pause = 1000;
    try {
      const answer = await fetch(`lines?offset=${offset}&file=${encodeURIComponent(file)}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const piece = await answer.json();
      if (piece.waiting) state("waiting for the file");
      else if (piece.failed) state(`the file cannot be read: ${piece.failed}`, true);
      else {
        if (piece.again) forget();
        const changed = piece.again || piece.lines.length;
        piece.lines.forEach(take);
        offset = piece.offset;
        file = piece.file;
        if (changed && !piece.more || !drawn) draw();
        const again = twice ? `; rounds on record twice, as if of two runs: ${count(twice)}` : "";
        const now = new Date().toLocaleTimeString("en-GB");
        state(total ? `followed until ${now}${again}` : "waiting for the first round");
        if (piece.more) pause = 0;
      }
    } catch (error) {
      state("the server does not answer; this page is as of before", true);
      pause = 3000;
    }
    setTimeout(look, pause);
  };
  document.querySelectorAll("select").forEach((select) => select.addEventListener("change", draw));
  window.addEventListener("resize", () => requestAnimationFrame(draw));
  look();
})();
""".replace("%ACCEPTED%", ACCEPTED)
    .replace("%DROPPED%", DROPPED)
    .replace("%ABSENT%", ABSENT)
    .replace("%FIRST%", PALETTE[0])
    .replace("%SECOND%", PALETTE[2])
)
