// What the page's other scripts share, and the switches at its top. Names reach the page through textContent alone.

const $ = (id) => document.getElementById(id);
const parsed = new Map();
const PAGE = 50;

function data(name) {
  if (!parsed.has(name)) {
    const block = $("data-" + name);
    parsed.set(name, block ? JSON.parse(block.textContent) : null);
  }
  return parsed.get(name);
}

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) made.append(child);
  }
  return made;
}

const button = (text, onclick, more) => el("button", { type: "button", onclick, ...more }, text);
const plural = (n, word) => n.toLocaleString("en") + " " + word + (n === 1 ? "" : "s");
const said = (status) => ({ oom: "out of memory", missing: "not run yet" })[status] || status;

function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? value.toLocaleString("en") : String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e7 ? String(Number(value.toPrecision(6))) : value.toExponential(3);
}

// --- theme and intervals

function kept(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch {
    // a page opened from disk may have no storage: the choice then lasts as long as the page
  }
  return null;
}

const THEMES = ["system", "light", "dark"];
function setTheme(theme) {
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
  $("theme").textContent = "Theme: " + theme;
  $("theme").dataset.theme = theme;
}
setTheme(THEMES.includes(kept("report-theme")) ? kept("report-theme") : "system");
$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf($("theme").dataset.theme) + 1) % THEMES.length];
  setTheme(next);
  kept("report-theme", next);
});
$("intervals").addEventListener("click", () => {
  const plain = document.body.classList.toggle("plain");
  $("intervals").setAttribute("aria-pressed", String(!plain));
});
