// The page of one application. It looks again and again, for as long as somebody sees it.

import "./theme.js";
import { ask, Refused, useToken } from "./ask.js";
import { at } from "./dom.js";
import { annotate } from "./flow.js";
import * as graph from "./graph.js";
import * as history from "./history.js";
import "./letters.js";
import * as now from "./now.js";
import * as settings from "./settings.js";
import * as stores from "./stores.js";
import * as tasks from "./tasks.js";
import * as topics from "./topics.js";

const EVERY = 1000, LONG = 3000; // milliseconds between two looks; and from when on an answer takes long

let begun = false, wake = () => {};

async function begin() {
  if (begun) return;
  await graph.load();
  await Promise.all([stores.list(), topics.list(), settings.list()]);
  at("app").textContent = `streamflow: ${(await ask("/openapi.json")).info.title.replace(/: .*$/, "")}`;
  begun = true;
}

async function look() {
  const slow = setTimeout(() => now.say(`no answer of the worker for ${LONG / 1000} s`, true), LONG);
  try {
    await begin();
    const [told] = await Promise.all([ask("/tasks?all=1"), history.follow()]);
    annotate(now.take(told));
    tasks.show(told);
    now.say(told.state.toLowerCase(), told.state !== "RUNNING");
  } catch (error) {
    if (!(error instanceof Refused)) begun = false; // who comes back may run another version of the script
    now.say(error instanceof Refused ? error.message : "the worker does not answer; trying again", true);
  } finally {
    clearTimeout(slow);
  }
}

at("login").addEventListener("submit", (event) => { event.preventDefault(); useToken(at("token").value); wake(); });
document.addEventListener("visibilitychange", () => wake());

// One look ends before the next one begins, however long it takes.
for (;;) {
  if (!document.hidden) await look();
  await new Promise((resolve) => { wake = resolve; setTimeout(resolve, EVERY); });
}
