// Stores to look into: rows by key, from a key to a key or by a prefix; windows and sessions of a key by time.

import { ask, text } from "./ask.js";
import { at, fill, line, time } from "./dom.js";

const LOOK = 100;
let asked = null; // the question whose next rows "Next rows" brings, and their cursor

export async function list() {
  const { stores } = await ask("/stores");
  fill(at("store"), stores.map((store) => [store.name, `${store.name} (${store.kind})`, store.kind]));
  fields();
}

/** Choose a store and look into it. */
export function open(name) {
  at("store").value = name;
  for (const id of ["key", "key-from", "key-to", "key-prefix", "time-from", "time-to", "as-of"]) at(id).value = "";
  fields();
  at("stores").scrollIntoView();
  look();
}

const kind = () => at("store").selectedOptions[0]?.dataset.kind;
const timed = () => kind() === "window" || kind() === "session";

function fields() {
  for (const each of document.querySelectorAll("[data-for]")) each.hidden = !each.dataset.for.split(" ").includes(kind());
}

async function look() {
  if (!kind()) return;
  const base = `/stores/${encodeURIComponent(at("store").value)}`, key = at("key").value;
  asked = null;
  try {
    if (timed()) {
      if (!key) throw new Error(`a store of ${kind()}s is asked by key`);
      const told = await ask(`${base}/${kind()}s/${encodeURIComponent(key)}?${times()}`, { exact: true });
      show(told.map((each) => [`${key} ${time(each.start)} – ${time(each.end)}`, text(each.value), time(each.timestamp)]));
    } else if (key) {
      const told = await ask(`${base}/keys/${encodeURIComponent(key)}?${validAt()}`, { exact: true });
      show([entry(told)]);
    } else {
      await page({ base, given: among() });
    }
  } catch (error) {
    show([]);
    at("rows-say").textContent = error.message;
  }
}

async function next() {
  try { await page(asked); } catch (error) { at("rows-say").textContent = error.message; }
}

/** A page of rows; a cursor belongs to the question it came with, whatever stands in the form by now. */
async function page({ base, given, cursor }) {
  if (cursor) given.set("cursor", cursor);
  const told = await ask(`${base}/keys?${given}`, { exact: true });
  asked = told.cursor === null ? null : { base, given, cursor: told.cursor };
  show(told.entries.map(entry));
}

const entry = (each) => [text(each.key), text(each.value), time(each.timestamp)];

function among() {
  const given = new URLSearchParams({ limit: String(LOOK) });
  for (const name of ["from", "to", "prefix"]) if (at(`key-${name}`).value) given.set(name, at(`key-${name}`).value);
  return given;
}

function times() {
  const given = new URLSearchParams({ limit: "1000" });
  for (const name of ["from", "to"]) if (written(`time-${name}`)) given.set(name, stamp(written(`time-${name}`)));
  return given;
}

/** Of a versioned table: when the row was valid. */
const validAt = () => new URLSearchParams(kind() === "versioned" && written("as-of") ? { as_of: stamp(written("as-of")) } : {});

const written = (id) => at(id).value.trim();

/** Milliseconds of what somebody wrote; without a time zone it is UTC. */
function stamp(text) {
  const found = /^\d+$/.test(text) ? text : Date.parse(/[zZ]$|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`);
  if (Number.isNaN(found)) throw new Error(`${text} is no time; write 2026-01-31 12:00 (UTC) or milliseconds`);
  return String(found);
}

function show(found) {
  at("rows").replaceChildren(...found.map(line));
  at("more").hidden = asked === null;
  at("rows-say").textContent = found.length ? `${found.length} rows` : "no row";
}

at("store").addEventListener("change", fields);
at("store-form").addEventListener("submit", (event) => { event.preventDefault(); look(); });
at("more").addEventListener("click", next);
