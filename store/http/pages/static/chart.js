// Charts of prices, from the pieces that /v1/course answers: what was seen, what lies between two polls, what is not
// known. Amounts are made numbers here to be drawn, and nowhere else.
"use strict";

const COLOURS = { light: ["#2c6fad", "#b75d00", "#2f7d3b", "#b8332f", "#7a4f9a", "#8a6d00", "#00777a", "#8c4f3d"],
  dark: ["#7db4e8", "#f5a65b", "#7fcf8b", "#f28b82", "#c9a3e3", "#e3c95c", "#6fd0cf", "#d3a08e"] };
const NAMED = 8;
const holder = document.getElementById("chart");
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The endpoints of the table that are shown, by name, in its order; all there are where it is empty. */
function shownRefs(pieces) {
  const rows = [...document.querySelectorAll("#endpoints tbody tr:not([hidden])")];
  const empty = !document.getElementById("endpoints");
  return new Set(empty ? pieces.map((piece) => piece.ref) : rows.map((row) => row.dataset.ref));
}

/** Pieces by endpoint, in the order of the endpoints. */
function traced(pieces) {
  const found = new Map([...shownRefs(pieces)].map((ref) => [ref, { ref, label: "", pieces: [] }]));
  for (const piece of pieces) {
    const trace = found.get(piece.ref);
    if (!trace) continue;
    trace.label = piece.label;
    trace.pieces.push(piece);
  }
  return [...found.values()].filter((trace) => trace.pieces.length);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Days, or hours where they are shown; the year where it is another than before. All UTC. */
function dates(_, instants, __, ___, step) {
  let year = null;
  return instants.map((at) => {
    const date = new Date(at * 1e3);
    const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    const told = step < 86400 && at % 86400 ? date.toISOString().slice(11, 16) : day;
    const first = year !== date.getUTCFullYear();
    year = date.getUTCFullYear();
    return first ? `${told}\n${year}` : told;
  });
}

/** Columns for uPlot: the instants at which anything begins or ends, and each trace's price as it was seen there. */
function aligned(traces, meter) {
  const instants = new Set();
  for (const trace of traces) {
    for (const piece of trace.pieces) if (piece.meter === meter) instants.add(piece.since).add(piece.until);
  }
  const times = [...instants].sort((one, other) => one - other);
  const columns = traces.map((trace) => {
    const column = new Array(times.length).fill(null);
    const seen = trace.pieces.filter((piece) => piece.meter === meter && piece.kind !== "between");
    for (const piece of seen) {
      let place = times.indexOf(piece.since);
      for (; place < times.length && times[place] <= piece.until; place += 1) {
        if (piece.kind === "seen" || column[place] === null) column[place] = piece.amount;
      }
    }
    return column;
  });
  return [times, ...columns];
}

const DASHES = { seen: [], unseen: [2, 4], corrected: [6, 3], stated: [8, 3, 2, 3] };

/** Draw the pieces of one trace. */
function drawn(plot, trace, meter, stroke, named) {
  const { ctx } = plot;
  const x = (at) => plot.valToPos(at, "x", true);
  const y = (amount) => plot.valToPos(amount, "y", true);
  const scale = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  ctx.clip();
  ctx.strokeStyle = ctx.fillStyle = stroke;
  for (const piece of trace.pieces.filter((one) => one.meter === meter)) {
    const [from, to, level] = [x(piece.since), x(piece.until), y(piece.amount)];
    if (piece.kind === "between") {
      const other = y(piece.other);
      ctx.globalAlpha = named ? 0.28 : 0.12;
      ctx.fillRect(from, Math.min(level, other), Math.max(to - from, scale), Math.abs(level - other));
      ctx.globalAlpha = named ? 0.9 : 0.4;
      ctx.lineWidth = scale;
      ctx.setLineDash([]);
      ctx.beginPath();
      ctx.moveTo(to, level);
      ctx.lineTo(to, other);
      ctx.stroke();
      continue;
    }
    ctx.globalAlpha = piece.kind === "seen" ? (named ? 1 : 0.45) : named ? 0.75 : 0.35;
    ctx.lineWidth = (piece.kind === "seen" ? (named ? 2 : 1) : 1.25) * scale;
    ctx.setLineDash(DASHES[piece.kind].map((length) => length * scale));
    ctx.beginPath();
    ctx.moveTo(from, level);
    ctx.lineTo(Math.max(to, from + 0.1), level);
    ctx.stroke();
    if (piece.kind === "seen") {
      ctx.beginPath();
      ctx.arc(from, level, (named ? 2.4 : 1.4) * scale, 0, 2 * Math.PI);
      ctx.fill();
    }
  }
  ctx.restore();
}

function short(value) {
  return value === null || value === undefined ? "" : String(Number(value.toPrecision(6)));
}

/** From nothing up, unless prices lie far apart: then by their ratios, and what is free at the bottom. */
function scaled(amounts) {
  const positive = amounts.filter((amount) => amount > 0);
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  if (!positive.length || most < 8 * least) return { range: () => [0, positive.length ? most * 1.08 : 1] };
  if (positive.length === amounts.length) return { distr: 3, range: () => [least / 1.3, most * 1.3] };
  return { distr: 4, asinh: least, range: () => [0, most * 1.3] };
}

class Charts {
  constructor(pieces, range) {
    this.pieces = pieces;
    this.range = range;
    this.plots = [];
    this.zoomed = null;
  }

  /** Draw all charts anew: other endpoints are shown, or other colours. */
  draw() {
    for (const plot of this.plots) plot.destroy();
    const traces = traced(this.pieces);
    const colours = COLOURS[dark.matches ? "dark" : "light"];
    const grey = colour("--soft");
    this.plots = [...holder.querySelectorAll(".plot")].map((box) => this.plot(box, traces, colours, grey));
    this.tell(traces, colours);
  }

  plot(box, traces, colours, grey) {
    const meter = box.dataset.meter;
    const ink = colour("--soft");
    const line = colour("--line");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 },
      font: "12px system-ui, sans-serif" };
    const charts = this;
    const amounts = traces.flatMap((trace) => trace.pieces.filter((one) => one.meter === meter).map((one) => one.amount));
    const options = {
      width: box.clientWidth,
      height: box.clientHeight,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "prices" }, points: { show: false } },
      legend: { show: false },
      scales: {
        x: { time: true, range: () => charts.zoomed || charts.range },
        y: scaled(amounts),
      },
      axes: [{ ...axis, values: dates, space: 70 }, { ...axis, size: 62, values: (_, values) => values.map((value) => (value === null || value < 0 ? "" : short(value))) }],
      series: [{}, ...traces.map((trace) => ({ label: trace.label, paths: () => null, points: { show: false } }))],
      hooks: {
        draw: [(plot) => {
          traces.map((trace, place) => [trace, place]).reverse().forEach(([trace, place]) => {
            const named = place < NAMED;
            drawn(plot, trace, meter, named ? colours[place] : grey, named);
          });
        }],
        setSelect: [(plot) => {
          if (plot.select.width < 6) return;
          const ends = [plot.select.left, plot.select.left + plot.select.width].map((left) => plot.posToVal(left, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          charts.zoom(ends);
        }],
        setCursor: [(plot) => charts.read(plot, meter)],
      },
    };
    const plot = new uPlot(options, aligned(traces, meter), box);
    plot.root.setAttribute("aria-hidden", "true");
    return plot;
  }

  /** Show a stretch of time; null: all of it. The address keeps it. */
  zoom(ends) {
    this.zoomed = ends;
    for (const plot of this.plots) plot.setScale("x", { min: (ends || this.range)[0], max: (ends || this.range)[1] });
    const text = (at) => new Date(Math.round(at) * 1e3).toISOString().replace(".000", "");
    keepInAddress(ends ? { since: text(ends[0]), until: text(ends[1]) } : { since: "", until: "" });
  }

  /** Who is who. */
  tell(traces, colours) {
    const keys = holder.querySelector(".keys");
    keys.replaceChildren(...traces.slice(0, NAMED).map((trace, place) => {
      const item = document.createElement("li");
      item.style.setProperty("--key", colours[place]);
      item.append(trace.label, document.createElement("output"));
      return item;
    }));
    if (traces.length > NAMED) {
      const item = document.createElement("li");
      item.append(`${traces.length - NAMED} more`);
      keys.append(item);
    }
    this.traces = traces;
  }

  /** Tell the prices under the pointer. */
  read(plot, meter) {
    const place = plot.cursor.idx;
    if (plot.cursor.left === undefined || this.traces === undefined) return;
    holder.querySelectorAll(".keys output").forEach((told, number) => {
      const value = plot.cursor.left < 0 || place === null ? null : plot.data[number + 1]?.[place];
      if (meter === "input") told.dataset.input = short(value);
      else told.dataset.output = short(value);
      const { input, output } = told.dataset;
      told.textContent = input || output ? `${input || "–"} / ${output || "–"}` : "";
    });
  }
}

async function start() {
  const answer = await fetch(holder.dataset.from);
  if (!answer.ok) throw new Error(String(answer.status));
  const seconds = (text) => Date.parse(text) / 1e3;
  const pieces = (await answer.json()).map((row) => ({ ...row, since: seconds(row.since), until: seconds(row.until),
    amount: Number(row.amount), other: row.other === null ? null : Number(row.other) }));
  if (!pieces.length) return;
  const asked = new URL(holder.dataset.from, location.href).searchParams;
  const first = Math.max(seconds(asked.get("since")), Math.min(...pieces.map((piece) => piece.since)));
  const last = asked.get("until") ? seconds(asked.get("until")) : Math.max(...pieces.map((piece) => piece.until));
  holder.hidden = false;
  const charts = new Charts(pieces, [first, last > first ? last : first + 3600]);
  charts.draw();
  holder.dataset.ready = "";
  const redraw = () => charts.draw();
  document.getElementById("endpoints")?.addEventListener("reordered", redraw);
  dark.addEventListener("change", redraw);
  new ResizeObserver(() => {
    for (const plot of charts.plots) {
      const box = plot.root.parentElement;
      plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    }
  }).observe(holder);
  holder.querySelector("[data-reset]").addEventListener("click", () => charts.zoom(null));
}

if (holder) start().catch(() => { document.querySelector("[data-failed]").hidden = false; });
