// The tasks, with their copies on other workers. Only the rows in sight are in the page, so there may be very many.

import { at, duration, element, number } from "./dom.js";
import { restores } from "./now.js";

const ROW = 28, SPARE = 8; // pixels of a row; rows beyond what is in sight
let tasks = [], copies = new Map();

export function show(told) {
  tasks = told.tasks;
  copies = Map.groupBy ? Map.groupBy(told.standbys, (copy) => copy.task) : grouped(told.standbys);
  draw();
}

function grouped(standbys) {
  const found = new Map();
  for (const copy of standbys) found.set(copy.task, [...(found.get(copy.task) ?? []), copy]);
  return found;
}

function draw() {
  const wanted = at("task-filter").value.toLowerCase(), list = at("task-list"), all = at("task-rows");
  const found = wanted ? tasks.filter((task) => `${task.task} ${task.state} ${task.worker}`.toLowerCase().includes(wanted)) : tasks;
  all.style.height = `${found.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
  const last = Math.min(found.length, first + Math.ceil(list.clientHeight / ROW) + 2 * SPARE);
  all.replaceChildren(...found.slice(first, last).map((task, n) => row(task, (first + n) * ROW)));
  at("task-count").textContent = wanted ? `${number(found.length)} of ${number(tasks.length)} tasks` : `${number(tasks.length)} tasks`;
}

function row(task, top) {
  const drawn = element("div", undefined, "row"), running = task.state === "RUNNING";
  drawn.style.top = `${top}px`;
  const lag = task.inputs.reduce((sum, input) => sum + input.lag, 0);
  const cells = [task.task, running ? "running" : restores(task), task.worker, (copies.get(task.task) ?? []).map(copied).join("; "), number(lag), number(task.processed)];
  drawn.append(...cells.map((cell) => element("span", cell)));
  for (const span of drawn.children) span.title = span.textContent;
  drawn.children[1].className = running ? "ok" : "restoring";
  return drawn;
}

/** A copy in few words: "warm on :8081", or how far it is. */
function copied(copy) {
  const where = copy.worker.replace(/^https?:\/\/[^:/]*/, "") || copy.worker;
  if (copy.trouble) return `none on ${where}: ${copy.trouble}`;
  if (copy.warm) return `warm on ${where}`;
  const left = copy.restore.seconds_left;
  return `${number(copy.lag)} behind on ${where}${left ? `, about ${duration(left)}` : ""}`;
}

at("task-filter").addEventListener("input", () => { at("task-list").scrollTop = 0; draw(); });
at("task-list").addEventListener("scroll", draw);
