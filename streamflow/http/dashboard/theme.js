// Dark or light: as the system says, until somebody chooses.

import { at } from "./dom.js";

const root = document.documentElement, KEPT = "streamflow-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const shown = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");

if (localStorage.getItem(KEPT)) root.dataset.theme = localStorage.getItem(KEPT);

at("theme").addEventListener("click", () => {
  root.dataset.theme = shown() === "dark" ? "light" : "dark";
  localStorage.setItem(KEPT, root.dataset.theme);
});
