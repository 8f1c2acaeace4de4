// The topology, drawn in layers: from left to right or from top to bottom, whichever can be larger in its place. dagre
// finds the places; what is drawn is SVG, so that a step is a button for mouse, keyboard and screen reader.

import { ask } from "./ask.js";
import * as dagre from "./dagre.esm.js";
import { at, button } from "./dom.js";
import * as stores from "./stores.js";
import * as topics from "./topics.js";
import { walk } from "./walk.js";

const WIDTH = 190, HEIGHT = 60, HEAD = 18, LABEL = 110, SMALLEST = 0.72, TALLEST = 720;
let told = null, chosen = "", whole = false;

/** Steps by name, and what goes from one to another: {from, to, topic}; topic is empty within a sub-topology. */
export const steps = new Map();
export let edges = [];

export async function load() {
  told = await ask("/topology");
  if (told.globals.length) told.subtopologies.push({ number: "whole", title: "On every worker", steps: told.globals.map(everywhere) });
  steps.clear();
  for (const sub of told.subtopologies) for (const step of sub.steps) steps.set(step.name, step);
  edges = [...steps.values()].flatMap((step) => [
    ...step.parents.map((from) => ({ from, to: step.name, kind: "edge", topic: "" })),
    ...step.asks.filter((from) => from !== step.name && !step.parents.includes(from)).map((from) => ({ from, to: step.name, kind: "asks", topic: "" })),
    ...(step.whole ? step.children.map((to) => ({ from: step.name, to, kind: "asks", topic: "" })) : []),
    ...[...steps.values()].filter((writer) => writer.writes && step.reads.includes(writer.writes)).map((writer) => ({ from: writer.name, to: step.name, kind: "between", topic: writer.writes })),
  ]);
  draw();
}

const fits = ({ width, height }) => Math.min(1, at("graph").clientWidth / width, TALLEST / height);

/** A table that every worker has whole, as a step like others. No task reads it. */
function everywhere(table) {
  return { name: table.name, kind: "GlobalTable", parents: [], children: table.asked_by, asks: [], topics: [table.topic], types: table.types, stores: [table.store], where: table.where, reads: [table.topic], writes: null, whole: true };
}

function draw() {
  const across = layout("LR"), down = layout("TB"), graph = fits(across.graph()) >= fits(down.graph()) ? across : down;
  const { width, height } = graph.graph();
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, "data-width": width, "data-height": height });
  const tip = svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" });
  tip.append(svg("path", { d: "M0 0 L8 4 L0 8 z", class: "tip" }));
  const defs = svg("defs");
  defs.append(tip);
  drawn.append(defs, ...told.subtopologies.flatMap((sub) => frame(sub, graph.node(`sub ${sub.number}`))));
  drawn.append(...edges.map((edge, n) => line(edge, graph, n)));
  drawn.append(...edges.flatMap((edge, n) => edge.topic ? [label(place(graph, edge, n), n)] : []));
  drawn.append(...[...steps.values()].map((step) => box(step, graph.node(`step ${step.name}`))));
  at("graph").replaceChildren(drawn);
  walk(drawn, chosen);
  size();
}

function layout(rankdir) {
  const graph = new dagre.Graph({ compound: true, multigraph: true });
  graph.setGraph({ rankdir, ranksep: 34, nodesep: 26, edgesep: 12, marginx: 10, marginy: HEAD + 8 });
  for (const sub of told.subtopologies) {
    graph.setNode(`sub ${sub.number}`, {});
    for (const step of sub.steps) {
      graph.setNode(`step ${step.name}`, { width: WIDTH, height: HEIGHT });
      graph.setParent(`step ${step.name}`, `sub ${sub.number}`);
    }
  }
  edges.forEach((edge, n) => graph.setEdge(`step ${edge.from}`, `step ${edge.to}`, edge.topic ? { width: LABEL, height: 16, labelpos: "c" } : {}, String(n)));
  dagre.layout(graph);
  return graph;
}

function frame(sub, place) {
  const left = place.x - place.width / 2, top = place.y - place.height / 2 - HEAD;
  return [svg("rect", { class: "group", x: left, y: top, width: place.width, height: place.height + HEAD, rx: 8 }), words(sub.title ?? `Sub-topology ${sub.number}`, left + 10, top + 15, "small", "start")];
}

/** A curve out of the middle of one box and into that of the other, through the lanes that dagre keeps free between. */
function line(edge, graph, n) {
  const down = graph.graph().rankdir === "TB", from = graph.node(`step ${edge.from}`), to = graph.node(`step ${edge.to}`);
  const side = (place, way) => down ? { x: place.x, y: place.y + way * HEIGHT / 2 } : { x: place.x + way * WIDTH / 2, y: place.y };
  let last = side(from, 1), path = `M${last.x} ${last.y}`;
  for (const next of [...place(graph, edge, n).points.slice(1, -1), side(to, -1)]) {
    const half = down ? (last.y + next.y) / 2 : (last.x + next.x) / 2;
    path += down ? ` C${last.x} ${half} ${next.x} ${half} ${next.x} ${next.y}` : ` C${half} ${last.y} ${half} ${next.y} ${next.x} ${next.y}`;
    last = next;
  }
  return svg("path", { class: edge.kind, d: path, "marker-end": "url(#tip)" });
}

const place = (graph, edge, n) => graph.edge({ v: `step ${edge.from}`, w: `step ${edge.to}`, name: String(n) });

function label(place, n) {
  const drawn = words("", place.x, place.y + 4, "live");
  drawn.dataset.flow = n;
  return drawn;
}

function box(step, place) {
  const kind = step.stores.length ? "store" : step.topics.length ? "topic" : "step", left = place.x - WIDTH / 2, top = place.y - HEIGHT / 2;
  const note = step.topics.length ? step.topics.join(", ") : step.stores.length ? `${step.kind}: ${step.stores.join(", ")}` : step.kind;
  const drawn = svg("g", { role: "button", "aria-pressed": step.name === chosen, "aria-description": `${step.name}, ${step.kind}`, "data-step": step.name });
  drawn.append(svg("rect", { class: kind, x: left, y: top, width: WIDTH, height: HEIGHT, rx: step.topics.length ? 20 : 6 }),
    words(short(step.name, 26), place.x, top + 20), words(short(note, 32), place.x, top + 36, "small"), words("", place.x, top + 51, "live"));
  drawn.addEventListener("click", () => choose(step));
  drawn.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(step); }
  });
  return drawn;
}

function choose(step) {
  chosen = step.name;
  for (const node of at("graph").querySelectorAll("[data-step]")) node.setAttribute("aria-pressed", String(node.dataset.step === chosen));
  const typed = step.types.length ? ` (key ${step.types[0]}, value ${step.types[1]})` : "";
  const kept = (name) => { const store = told.stores.find((each) => each.name === name); return store ? `${name} (${store.kind}, key ${store.key}, value ${store.value})` : name; };
  const parts = [`${step.name}: ${step.kind}`, step.where && `written at ${step.where}`, step.topics.length && `${step.reads.length ? "reads" : "writes"} ${step.topics.join(", ")}${typed}`,
    step.stores.length && `keeps or asks ${step.stores.map(kept).join(", ")}`, step.children.length ? `goes to ${step.children.join(", ")}` : !step.writes && "nothing comes after it"];
  at("step").textContent = parts.filter(Boolean).join(" · ");
  const known = (name) => [...at("store").options].some((option) => option.value === name);
  at("step-doors").replaceChildren(...step.stores.filter(known).map((name) => button(`Look into store ${name}`, () => stores.open(name))),
    ...[...step.reads, step.writes].filter(Boolean).map((name) => button(`Look into topic ${name}`, () => topics.open(name))));
}

// A graph that is larger than its place is made smaller as long as it can be read; beyond that it scrolls, and that is said.
function size() {
  const place = at("graph"), drawn = place.querySelector("svg");
  if (!drawn) return;
  const { width, height } = drawn.dataset, scale = whole ? fits(drawn.dataset) : Math.max(SMALLEST, fits(drawn.dataset));
  drawn.setAttribute("width", width * scale);
  drawn.setAttribute("height", height * scale);
  const beyond = place.scrollWidth > place.clientWidth + 1 || place.scrollHeight > place.clientHeight + 1;
  at("graph-more").hidden = !beyond && !whole;
  at("graph-hint").textContent = whole ? "" : "The graph goes on: scroll in it, or see it whole.";
  at("graph-whole").textContent = whole ? "Readable size" : "See it whole";
}

function svg(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function words(text, x, y, kind = "", anchor = "middle") {
  const made = svg("text", { x, y, class: kind, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

/** As much as fits, the ends kept: names differ there. */
function short(text, letters) {
  const half = (letters - 1) >> 1;
  return text.length <= letters ? text : `${text.slice(0, half)}…${text.slice(-half)}`;
}

at("graph-whole").addEventListener("click", () => { whole = !whole; size(); });
new ResizeObserver(size).observe(at("graph"));
