// What happens now: figures, what is wrong, and what changed between two looks.

import { at, duration, element, number } from "./dom.js";

const NEWS = 30;
let before = null;

/** Take in what the workers say; gives it with sums by topic, and what it was before. */
export function take(told) {
  const now = { ...sums(told), tasks: told.tasks, workers: told.workers };
  const seconds = before ? (now.when - before.when) / 1000 : 0;
  const rate = before ? Math.max(0, now.processed - before.processed) / seconds : 0;
  const restoring = told.tasks.filter((task) => task.state !== "RUNNING");
  const held = told.workers.reduce((sum, worker) => sum + worker.tasks, 0);
  at("rate").textContent = before ? number(Math.round(rate)) : "–";
  at("lag").textContent = number(now.lag);
  at("running").textContent = `${told.tasks.length - restoring.length} of ${Math.max(told.tasks.length, held) + told.unassigned.length}`;
  at("restoring").textContent = number(restoring.length);
  at("workers").textContent = number(told.workers.length);
  trouble([...told.unreachable, ...told.unassigned.map((task) => `task ${task} has no worker now`), ...restoring.map((task) => `task ${task.task} is ${restores(task)}`)]);
  if (before) happened(before, now);
  const found = { now, then: before, seconds };
  before = now;
  return found;
}

export function say(what, bad) {
  at("state").textContent = what;
  at("state").className = bad ? "bad" : "";
}

/** How far a restore is: "restoring 40 %, 6,000 records to go, about 3 s". */
export function restores(task) {
  const { store_records: all, remaining, seconds_left: left } = task.restore ?? {};
  const parts = [all ? `restoring ${Math.floor(100 * (1 - remaining / all))} %` : "restoring"];
  if (remaining) parts.push(`${number(remaining)} records to go`);
  if (remaining && left !== null) parts.push(`about ${duration(left)}`);
  return parts.join(", ");
}

/** Sums by topic (position, lag, records sent) and by step (records dropped). */
function sums(told) {
  const positions = new Map(), lags = new Map(), sent = new Map(), dropped = new Map();
  const add = (map, name, value) => map.set(name, (map.get(name) ?? 0) + value);
  let processed = 0, lag = 0;
  for (const task of told.tasks) {
    processed += task.processed;
    for (const input of task.inputs) {
      add(positions, input.topic, input.position);
      add(lags, input.topic, input.lag);
      lag += input.lag;
    }
    for (const output of task.outputs) add(sent, output.topic, output.sent);
    for (const drop of task.dropped) add(dropped, drop.step, drop.records);
  }
  return { when: performance.now(), processed, lag, positions, lags, sent, dropped };
}

function trouble(lines) {
  const shown = lines.slice(0, 20);
  if (lines.length > shown.length) shown.push(`and ${number(lines.length - shown.length)} more`);
  at("trouble").replaceChildren(...shown.map((each) => element("li", each)));
}

// A worker that was killed may be replaced between two looks, under the same address even: its name in the group tells.
function happened(then, now) {
  const lines = [];
  const here = new Set(now.workers.map((worker) => worker.id)), known = new Set(then.workers.map((worker) => worker.id));
  const name = (worker) => worker.worker || worker.id;
  for (const worker of then.workers) if (!here.has(worker.id)) lines.push(`worker ${name(worker)} is gone`);
  for (const worker of now.workers) if (!known.has(worker.id)) lines.push(`worker ${name(worker)} has come`);
  const was = new Map(then.tasks.map((task) => [task.task, task]));
  for (const task of now.tasks) {
    const old = was.get(task.task);
    if (!old) lines.push(`task ${task.task} is told of again`);
    else if (old.worker !== task.worker) lines.push(`task ${task.task} went from ${old.worker} to ${task.worker}`);
    else if (old.processed > task.processed) lines.push(`task ${task.task} began anew on ${task.worker}`);
    was.delete(task.task);
  }
  for (const gone of was.keys()) lines.push(`nothing is heard of task ${gone}`);
  if (!lines.length) return;
  const clock = new Date().toTimeString().slice(0, 8), list = at("happened");
  const shown = lines.slice(0, 10);
  if (lines.length > shown.length) shown.push(`and ${number(lines.length - shown.length)} more`);
  list.prepend(...shown.map((each) => element("li", `${clock} ${each}`)));
  while (list.children.length > NEWS) list.lastChild.remove();
}
