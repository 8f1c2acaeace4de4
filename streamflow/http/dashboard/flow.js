// What flows through the graph, by what the tasks say: a source's rate and lag, what a sink has written, what a step dropped,
// and on the way from a sink to its reader both. Nothing is counted within a chain of steps: it is one function, and a
// counter at every step would cost each record more than the step does.

import { at, number } from "./dom.js";
import { edges, steps } from "./graph.js";

export function annotate({ now, then, seconds }) {
  const grew = (of, topic) => {
    const sum = now[of].get(topic), was = then?.[of].get(topic);
    return sum === undefined || was === undefined ? 0 : Math.max(0, sum - was) / seconds;
  };
  const lagOf = (topics) => topics.reduce((sum, topic) => sum + (now.lags.get(topic) ?? 0), 0);
  const shown = (rate) => `${number(rate >= 10 ? Math.round(rate) : Math.round(rate * 10) / 10)}/s`;
  for (const node of at("graph").querySelectorAll("[data-step]")) {
    const step = steps.get(node.dataset.step), parts = [], drops = now.dropped.get(step.name) ?? 0;
    if (step.reads.length && !step.whole) parts.push(shown(step.reads.reduce((sum, topic) => sum + grew("positions", topic), 0)), `lag ${number(lagOf(step.reads))}`);
    if (step.writes) parts.push(`${shown(grew("sent", step.writes))} out`);
    if (drops) parts.push(`${number(drops)} dropped`);
    const live = node.querySelector(".live");
    live.textContent = parts.join(", ");
    live.classList.toggle("bad", drops > 0);
  }
  for (const label of at("graph").querySelectorAll("[data-flow]")) {
    const { topic } = edges[label.dataset.flow];
    label.textContent = `${shown(grew("sent", topic))}, lag ${number(lagOf([topic]))}`;
  }
}
