// One stop of the Tab key for the whole graph; from there the arrow keys go to the next step in their direction.

const WAYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const ASIDE = 3; // how much more it counts to go aside than to go on

/** Let the steps of a drawing be walked through; the first one is the stop of Tab, later the last one that had the focus. */
export function walk(drawn, first) {
  const nodes = [...drawn.querySelectorAll("[data-step]")];
  const stop = (node) => { for (const each of nodes) each.setAttribute("tabindex", each === node ? 0 : -1); };
  stop(nodes.find((node) => node.dataset.step === first) ?? nodes[0]);
  for (const node of nodes) {
    node.addEventListener("focus", () => stop(node));
    node.addEventListener("keydown", (event) => {
      if (!(event.key in WAYS)) return;
      event.preventDefault(); // which would scroll; the browser scrolls to what gets the focus
      next(nodes, node, WAYS[event.key])?.focus();
    });
  }
}

function next(nodes, from, [x, y]) {
  const middle = (node) => { const box = node.querySelector("rect").getBBox(); return [box.x + box.width / 2, box.y + box.height / 2]; };
  const [left, top] = middle(from);
  let best = null, least = Infinity;
  for (const node of nodes) {
    const [toX, toY] = middle(node), on = (toX - left) * x + (toY - top) * y, aside = Math.abs((toX - left) * y) + Math.abs((toY - top) * x);
    if (on > 1 && on + ASIDE * aside < least) { best = node; least = on + ASIDE * aside; }
  }
  return best;
}
