// Topics to look into: the last records, those from an offset on, or those of a key.

import { ask, text } from "./ask.js";
import { at, fill, line, time } from "./dom.js";

const LOOK = 100;

export async function list() {
  const { topics } = await ask("/topics");
  fill(at("topic"), topics.map((topic) => [topic.name, topic.name, ""]));
}

/** Choose a topic and look into it. */
export function open(name) {
  at("topic").value = name;
  for (const id of ["partition", "from", "topic-key"]) at(id).value = "";
  at("topics").scrollIntoView();
  look();
}

async function look() {
  const topic = at("topic").value, given = new URLSearchParams({ limit: String(LOOK) });
  if (!topic) return;
  for (const [name, id] of [["partition", "partition"], ["from", "from"], ["key", "topic-key"]]) if (at(id).value) given.set(name, at(id).value);
  try {
    const told = await ask(`/topics/${encodeURIComponent(topic)}/records?${given}`, { exact: true });
    at("records").replaceChildren(...told.records.map((each) => line([each.partition, text(each.offset), time(each.timestamp), text(each.key), text(each.value)])));
    at("records-say").textContent = `${told.records.length} records`;
  } catch (error) {
    at("records").replaceChildren();
    at("records-say").textContent = error.message;
  }
}

at("topic-form").addEventListener("submit", (event) => { event.preventDefault(); look(); });
