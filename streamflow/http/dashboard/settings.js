// How the application was told to run. Secrets never come here.

import { ask } from "./ask.js";
import { at, element, line } from "./dom.js";

export async function list() {
  const { settings } = await ask("/settings");
  at("setting-rows").replaceChildren(...settings.map((each) => {
    const row = line([each.name.replaceAll("_", " "), each.value ?? "not set", each.default ? "default" : "given"]);
    row.className = each.default ? "dim" : "";
    return row;
  }));
}
