"""Style sheet and script of the page. Neither loads anything, and the page's security policy forbids it."""

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --soft: #5b6773; --rule: #e1e5ea; --accent: #0b5c93; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 36px 28px 72px; }
h1 { font-size: 29px; line-height: 1.2; letter-spacing: -0.01em; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 46px 0 12px; padding-top: 18px; border-top: 1px solid var(--rule); }
h3 { font-size: 16px; margin: 28px 0 6px; }
p { margin: 6px 0; max-width: 52em; }
.lead, figcaption, .caption, small, .note { color: var(--soft); }
.lead { font-size: 16px; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 2px; }
/* A shadow at the side to which a table goes on; the two white ones move with the table and hide it at its ends. */
.scroll { overflow-x: auto; margin: 12px 0 8px; background:
  linear-gradient(to right, #fff 40%, transparent) local left / 40px 100% no-repeat,
  linear-gradient(to left, #fff 40%, transparent) local right / 40px 100% no-repeat,
  linear-gradient(to right, #c3cbd3, transparent) scroll left / 12px 100% no-repeat,
  linear-gradient(to left, #c3cbd3, transparent) scroll right / 12px 100% no-repeat; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 7px 12px; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--rule); }
thead th { border-bottom: 2px solid #b4bdc7; font-weight: 600; vertical-align: bottom; line-height: 1.3; }
th:first-child, td:first-child { padding-left: 4px; }
.number { text-align: right; white-space: nowrap; }
.wide { width: 100%; }
.whole { white-space: nowrap; }
td small { font-size: 12px; display: block; line-height: 1.2; }
.heat th, .heat td { border: 2px solid #fff; }
.heat thead th { text-align: center; border-bottom: 2px solid #fff; }
.heat td { text-align: center; min-width: 104px; padding: 9px 12px; }
.heat td small { color: inherit; opacity: 0.85; }
.heat .none { background: #f4f5f7; color: var(--soft); }
.heat a { color: inherit; text-decoration: none; display: block; }
.heat a:hover { text-decoration: underline; }
.answer { font-size: 13.5px; }
.heat.answer td { min-width: 78px; padding: 4px 6px; line-height: 1.35; vertical-align: middle; }
.answer td > a { white-space: nowrap; }
.heat.answer th { padding: 4px 6px; line-height: 1.25; }
.answer thead th { max-width: 170px; overflow-wrap: break-word; }
.heat.answer .rule { position: sticky; left: 0; background: #fff; z-index: 1; max-width: 250px; min-width: 136px;
  overflow-wrap: break-word; text-align: left; padding-left: 0; vertical-align: middle; }
.answer .setting { font-weight: 400; text-align: left; overflow-wrap: break-word; max-width: 190px;
  vertical-align: middle; }
.heat.answer .across { border-left: 6px solid #fff; min-width: 78px; max-width: 190px; }
.heat.answer .across small { white-space: normal; overflow-wrap: anywhere; }
.heat.answer thead th, .heat.answer thead .rule { vertical-align: bottom; }
.answer thead .setting { font-weight: 600; }
.answer small.narrow { display: none; font-weight: 400; font-size: 11.5px; line-height: 1.25; }
.spread { font-weight: 400; opacity: 0.85; font-size: 11px; }
.overview main { padding-top: 20px; max-width: 1320px; }
.overview .lead { max-width: none; }
.best small { font-weight: 400; }
.overview h1 { font-size: 25px; margin-bottom: 2px; }
.overview .lead { font-size: 14.5px; }
.overview section > h3 { margin-top: 10px; }
.answer td small { line-height: 1.25; }
.beside { display: inline-block; border-radius: 3px; padding: 0 4px; font-weight: 500; white-space: nowrap; }
td small.beside { display: table; margin: 1px auto 0; opacity: 1; }
.beside.same, td small.beside.same { background: #d9f2e3; color: #0b4d2c; }
.beside.other, td small.beside.other { background: #fbdccb; color: #7c2a05; }
.filters { display: flex; flex-wrap: wrap; gap: 6px 14px; margin: 8px 0; font-size: 13.5px; }
.filters label { color: var(--soft); max-width: 100%; }
select { font: inherit; max-width: min(260px, 100%); border: 1px solid #b4bdc7; border-radius: 6px; padding: 2px 6px;
  background: #fff; color: var(--ink); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px; background: #f7f8fa; padding: 8px 12px;
  border-radius: 6px; margin: 4px 0; font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre.command { user-select: all; }
.best { font-weight: 700; }
figure { margin: 0 0 22px; }
figcaption, .caption { font-size: 13.5px; max-width: 68em; margin-top: 4px; }
.plot { width: 100%; padding-top: 28px; }  /* where the buttons are, above all that is drawn */
.plot .modebar-container { top: -28px !important; }
.key { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13.5px; margin: 4px 0 0; }
.swatch { display: inline-block; width: 14px; height: 14px; margin-right: 6px; vertical-align: -2px;
  border-radius: 2px; }
.blend { width: 46px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 4px 22px;
  margin: 12px 0; }
.panels.alone { display: block; }
.panel { min-width: 0; display: flex; flex-direction: column; }
.panel h3 { font-size: 14px; line-height: 1.3; margin: 10px 0 2px; overflow-wrap: anywhere; }
.panel figure { margin: auto 0 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 4px; margin: 10px 0 0 -6px; }
button.line { border-color: transparent; padding: 1px 6px; margin: 0; display: inline-flex; gap: 7px; text-align: left;
  align-items: center; overflow-wrap: anywhere; }
button.line svg { flex: none; }
button.line[aria-pressed="false"] { opacity: 0.4; text-decoration: line-through; }
[hidden] { display: none !important; }
details.run { border: 1px solid var(--rule); border-radius: 8px; margin: 10px 0; }
details.run > summary { padding: 11px 16px; cursor: pointer; display: flex; flex-wrap: wrap; gap: 2px 16px;
  align-items: baseline; }
details.run > summary::before { content: "\\25B8"; color: var(--soft); }
details.run[open] > summary::before { content: "\\25BE"; }
details.run > summary::-webkit-details-marker { display: none; }
details.run[open] > summary { border-bottom: 1px solid var(--rule); background: #f7f8fa;
  border-radius: 8px 8px 0 0; }
summary .name { font-weight: 600; overflow-wrap: anywhere; }
summary .facts { color: var(--soft); font-size: 14px; margin-left: auto; }
.body { padding: 2px 18px 16px; }
details.config { margin-top: 22px; }
details.config > summary { cursor: pointer; font-weight: 600; }
.config td { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 13px;
  overflow-wrap: anywhere; }
.config th { font-weight: 500; white-space: nowrap; }
.note { border-left: 3px solid #e69f00; padding: 3px 0 3px 12px; margin: 10px 0; color: var(--ink); }
button { font: inherit; font-size: 13.5px; color: var(--ink); background: #fff; border: 1px solid #b4bdc7;
  border-radius: 6px; padding: 3px 11px; margin-right: 6px; cursor: pointer; }
button:hover { background: #f4f5f7; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 860px) { main { padding: 24px 16px 56px; } .body { padding: 2px 10px 12px; }
  th, td { padding: 6px 8px; } .heat.answer .rule { min-width: 92px; } }
@media (max-width: 620px) { .answer .setting { display: none; } .answer small.narrow { display: block; }
  .heat.answer .rule { max-width: 128px; } }
@media (max-width: 520px) { .modebar-container { display: none; } .plot { padding-top: 0; } }
@media print { button { display: none; } details.run { border: 0; } }
"""

SCRIPT = """
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  // The client map: two bytes a cell (per cent accepted, reason) become the colours and the text on hovering.
  const unpack = (figure) => {
    const cells = figure.cells, trace = figure.data[0], edges = trace.x;
    const share = new Int8Array(bytes(cells.share).buffer), reason = bytes(cells.reason);
    const describe = (row, column) => {
      const at = row * cells.columns + column, value = share[at], why = cells.reasons[reason[at]];
      const first = edges[column] + 0.5, last = edges[column + 1] - 0.5;
      const who = cells.called[row] + "<br>";
      const when = first === last ? `round ${first}<br>` : `rounds ${first} to ${last}<br>`;
      if (value < 0) return who + when + "did not take part";
      if (first === last) return who + when + (value ? "accepted" : "dropped" + (why ? ": " + why : ""));
      return who + when + `accepted in ${value}% of the rounds it took part in` +
        (why ? `<br>dropped most often for: ${why}` : "");
    };
    trace.z = cells.called.map((_, row) =>
      Array.from(share.subarray(row * cells.columns, (row + 1) * cells.columns)));
    trace.text = trace.z.map((line, row) => line.map((_, column) => describe(row, column)));
  };

  // What is seen: of each filter the value that was chosen, less the lines that were clicked away in a legend.
  const chosen = new Map(), away = new Set();
  const meant = (is) => !is || is.split(" ").every((mark) => {
    const [key, value] = mark.split("=");
    return !chosen.has(key) || chosen.get(key) === value;
  });
  const seen = (trace) => meant(trace.meta) && !away.has(trace.meta);
  const refresh = (element) => {  // one that is hidden has no size, and is drawn again when it is back
    if (!element.dataset.drawn || !element.offsetParent || !element.data.some((trace) => trace.meta)) return;
    Plotly.restyle(element, { visible: element.data.map(seen) });
  };

  const draw = (element) => {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "1";
    const figure = JSON.parse(document.getElementById(element.id + "-data").textContent);
    if (figure.cells) unpack(figure);
    figure.data.forEach((trace) => { if (trace.meta) trace.visible = seen(trace); });
    Plotly.newPlot(element, figure.data, figure.layout, {
      displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      showSendToCloud: false, plotlyServerURL: "",  // plotly.js offers to upload charts unless told not to
    });
  };

  // A figure is drawn when it comes near the window: the page opens at once, and closed runs cost nothing.
  const plots = document.querySelectorAll(".plot");
  const watch = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { watch.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "400px" });
  plots.forEach((element) => watch.observe(element));

  const apply = () => {
    const parts = document.querySelectorAll("[data-is]");
    parts.forEach((element) => { element.hidden = !meant(element.dataset.is); });
    plots.forEach(refresh);
  };
  document.querySelectorAll("select[data-key]").forEach((select) => select.addEventListener("change", () => {
    if (select.value) chosen.set(select.dataset.key, select.value); else chosen.delete(select.dataset.key);
    apply();
  }));
  const measure = document.getElementById("measure");
  if (measure) measure.addEventListener("change", () => document.querySelectorAll("[data-measure]").forEach((part) => {
    part.hidden = part.dataset.measure !== measure.value;
  }));
  const lines = document.querySelectorAll("button[data-line]");
  const show = (mark, on) => {
    if (on) away.delete(mark); else away.add(mark);
    lines.forEach((line) => { if (line.dataset.line === mark) line.setAttribute("aria-pressed", String(on)); });
  };
  lines.forEach((line) => {
    line.addEventListener("click", () => {
      show(line.dataset.line, away.has(line.dataset.line));
      plots.forEach(refresh);
    });
    line.addEventListener("dblclick", () => {  // alone, or all if it is alone already
      const others = [...new Set([...lines].map((other) => other.dataset.line))].filter((o) => o !== line.dataset.line);
      const alone = others.every((other) => away.has(other));
      others.forEach((other) => show(other, alone));
      show(line.dataset.line, true);
      plots.forEach(refresh);
    });
  });

  const runs = document.querySelectorAll("details.run");
  document.querySelectorAll("button[data-open]").forEach((button) => button.addEventListener("click", () =>
    runs.forEach((run) => { run.open = button.dataset.open === "1"; })));
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.matches("details.run")) { target.open = true; target.scrollIntoView(); }
  };
  document.querySelectorAll('a[href^="#run-"]').forEach((link) => link.addEventListener("click", () =>
    setTimeout(follow)));
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => plots.forEach((element) => {
    if (!element.closest("details:not([open])")) draw(element);
  }));
  follow();
})();
"""
