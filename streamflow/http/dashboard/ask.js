// Questions to the worker that serves the page. It asks the others; nothing comes from elsewhere.

import { at } from "./dom.js";

const PATIENCE = 20_000; // milliseconds; a worker that hangs never answers

let token = sessionStorage.getItem("token") || "";

/** The worker answered, and said no. */
export class Refused extends Error {}

/** Ask; an `exact` answer keeps numbers that JavaScript would round, for `text` to show as they came. */
export async function ask(target, { method = "GET", exact = false } = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(target, { method, headers, signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 401) at("login").hidden = false;
  const body = await answer.text();
  let told;
  try { told = JSON.parse(exact ? kept(body) : body); } catch { told = body; }
  if (!answer.ok) throw new Refused(told?.error || `the worker answered ${answer.status}`);
  return told;
}

export function useToken(given) {
  token = given;
  sessionStorage.setItem("token", token);
  at("login").hidden = true;
}

// JSON.parse makes 9007199254740992 of 9007199254740993, and 1 of 1.0. Such numbers become texts behind a mark that
// nobody can have written, since each page makes its own.
const MARK = `\u2063${[...crypto.getRandomValues(new Uint32Array(4))].join(".")}:`;
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = new RegExp(`"${MARK}([^"]*)"`, "g");

function kept(body) {
  return body.replace(TOKENS, (part) => part[0] === '"' || String(Number(part)) === part ? part : `"${MARK}${part}"`);
}

/** A key or a value of an exact answer as it is shown: a text as it is, the rest as JSON. */
export function text(value) {
  if (typeof value === "string") return value.startsWith(MARK) ? value.slice(MARK.length) : value;
  return JSON.stringify(value).replace(MARKED, "$1");
}
