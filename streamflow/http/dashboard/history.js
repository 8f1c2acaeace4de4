// The last hour, as the workers remember it: it is there also when the page was opened a moment ago.

import { ask } from "./ask.js";
import { at, number, time } from "./dom.js";

const HOUR = 3_600_000;
let points = [], step = 0, next = 0;

/** Fetch what is new, when there may be some. */
export async function follow() {
  if (Date.now() < next) return;
  // The newest points are asked for again: when they came, another worker may not have had its part of them.
  const since = points.length ? points.at(-1).time - 2 * step : 0;
  const told = await ask(`/history?all=1&since=${since}`);
  step = told.step_ms;
  next = Date.now() + step;
  points = [...points.filter((point) => point.time < since), ...told.points];
  const last = points.at(-1)?.time ?? 0;
  points = points.filter((point) => point.time > last - HOUR);
  draw("rate", points.map((point) => point.rate));
  draw("history-lag", points.map((point) => point.lag));
}

function draw(what, values) {
  const chart = at(`${what}-chart`), most = values.reduce((high, value) => Math.max(high, value), 0), first = points[0]?.time ?? 0;
  chart.setAttribute("viewBox", `0 0 ${Math.max((points.at(-1)?.time ?? 0) - first, 60_000)} 100`);
  chart.setAttribute("preserveAspectRatio", "none");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  drawn.setAttribute("points", values.map((value, n) => `${points[n].time - first},${98 - (value / Math.max(most, 1)) * 94}`).join(" "));
  chart.replaceChildren(drawn);
  at(`${what}-most`).textContent = points.length ? `, ${number(Math.round(most))} at most since ${time(first).slice(11, 19)} UTC` : "; the first point comes within 10 s";
}
