// Small words for making and finding elements. What is shown is put in as text, never as markup: keys and values are
// whatever somebody wrote.

export const at = (id) => document.getElementById(id);

export function element(name, content, kind) {
  const made = document.createElement(name);
  if (content !== undefined) made.textContent = content;
  if (kind) made.className = kind;
  return made;
}

export function button(label, press) {
  const made = element("button", label);
  made.type = "button";
  made.addEventListener("click", press);
  return made;
}

/** A row of a table. */
export function line(cells) {
  const row = element("tr");
  row.append(...cells.map((cell) => element("td", String(cell))));
  return row;
}

/** The options of a select: [value, label, kind], the chosen one kept. */
export function fill(select, options) {
  const kept = select.value;
  select.replaceChildren(...options.map(([value, label, kind]) => {
    const option = element("option", label);
    option.value = value;
    option.dataset.kind = kind;
    return option;
  }));
  if (options.some(([value]) => value === kept)) select.value = kept;
}

const format = new Intl.NumberFormat("en");
export const number = (value) => format.format(value);

/** A time in milliseconds as people read it, in UTC. */
export function time(stamp) {
  if (stamp === null || stamp === undefined) return "";
  const date = new Date(stamp);
  return Number.isNaN(date.getTime()) ? String(stamp) : date.toISOString().replace("T", " ").replace("Z", "");
}

/** How long something still takes, as far as one can tell. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
