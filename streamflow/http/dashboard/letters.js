// Dead letters to read and to send again: one, those in sight, or all that wait, which is asked twice.

import { ask, text } from "./ask.js";
import { at, button, line, number, time } from "./dom.js";

const LOOK = 100;
let shown = [];

async function look() {
  try {
    const told = await ask(`/dead-letters?pending=1&limit=${LOOK}`, { exact: true });
    shown = told.letters.map((each) => `${text(each.partition)}:${text(each.offset)}`);
    at("letter-rows").replaceChildren(...told.letters.map(row));
    at("replay-shown").textContent = `Send ${shown.length === 1 ? "this one" : `these ${number(shown.length)}`} again`;
    at("replay-all").textContent = `Send all ${number(told.count)} again`;
    at("replay-shown").hidden = !shown.length;
    at("replay-all").hidden = told.count <= shown.length;
    at("letters-say").textContent = told.count ? `${number(told.count)} letters wait${told.count > shown.length ? `; the newest ${number(shown.length)} are shown` : ""}` : "none waits";
  } catch (error) {
    shown = [];
    at("letter-rows").replaceChildren();
    at("replay-shown").hidden = at("replay-all").hidden = true;
    at("letters-say").textContent = error.message;
  }
}

function row(each) {
  const why = each.reason, drawn = line([`${why.topic} ${why.partition}/${why.offset}`, time(each.timestamp), why.step, `${why.exception}: ${why.message}`, text(each.key), text(each.value)]);
  const cell = document.createElement("td");
  cell.append(button("Send again", () => replay(`letters=${text(each.partition)}:${text(each.offset)}`)));
  drawn.append(cell);
  return drawn;
}

async function replay(which) {
  let said;
  try {
    const told = await ask(`/dead-letters/replay?${which}`, { method: "POST" });
    said = `${number(told.replayed.length)} sent again, as they came`;
  } catch (error) { said = error.message; }
  await look();
  at("letters-say").textContent += `; ${said}`;
}

/** Ask before anything is sent; the dialog's first button, which Enter presses, is the one that does nothing. */
function sure(question, which) {
  at("sure-question").textContent = question;
  at("sure").returnValue = "";
  at("sure").onclose = () => { if (at("sure").returnValue === "yes") replay(which); };
  at("sure").showModal();
}

at("letter-form").addEventListener("submit", (event) => { event.preventDefault(); look(); });
at("replay-shown").addEventListener("click", () => sure(`${at("replay-shown").textContent}? Each goes to the topic it came from, once.`, `letters=${shown.join(",")}`));
at("replay-all").addEventListener("click", () => sure(`${at("replay-all").textContent}, also those that are not shown? Each goes to the topic it came from, once.`, "all=1"));
