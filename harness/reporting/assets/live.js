// A page that its server keeps up to date: what has changed takes the place of the old, and the reader keeps theirs.

const OFTEN = 1500; // milliseconds between two questions
const SELDOM = 10000; // of a page that nobody sees
let version = "";
let asking = 0;

async function ask(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function poll() {
  clearTimeout(asking);
  try {
    const update = await ask("/update?since=" + encodeURIComponent(version));
    if (update.version !== version) keepPlace(() => takeIn(update));
    version = update.version;
    keepPlace(() => showRuns(update.runs));
    tell(update.problem ? "problem" : update.runs.length ? "running" : "live", update.problem);
  } catch (error) {
    tell("not connected", String(error));
  }
  asking = setTimeout(poll, document.hidden ? SELDOM : OFTEN);
}

function tell(state, why) {
  const shown = $("live");
  if (shown.textContent !== state) shown.textContent = state; // read out when it changes only
  shown.className = state.replace(" ", "-");
  shown.title = why || "";
}

// --- the reader's place

// What the reader sees stays where it is, though parts above it grow or shrink.
function keepPlace(change) {
  const under = document.querySelector(".top").getBoundingClientRect().bottom;
  const parts = [$("overview"), $("under-way"), ...document.querySelectorAll("#suites > .suite > [id]"), $("records")];
  const tops = scrollY > 0 ? parts.map((part) => [part.id, part.getBoundingClientRect()])
    .filter(([, box]) => box.bottom > under && box.top < innerHeight) : [];
  change();
  const stays = tops.find(([id]) => $(id)); // the part that was on top may be gone
  if (stays) scrollBy(0, $(stays[0]).getBoundingClientRect().top - stays[1].top);
}

function readPart(part) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  return {
    board: boards.has(part) ? boards.get(part).read() : null,
    open: [...part.querySelectorAll("details"), part].filter((e) => e.tagName === "DETAILS").map((e) => e.open),
    scrolled: [...part.querySelectorAll(".scroll")].map((e) => [e.scrollLeft, e.scrollTop]),
    focus: focused && {
      n: [...part.querySelectorAll("button, input, a, summary, [tabindex]")].indexOf(focused),
      selection: focused.tagName === "INPUT" ? [focused.selectionStart, focused.selectionEnd] : null,
    },
  };
}

function restorePart(part, before) {
  if (part.classList.contains("board")) {
    setupBoard(part);
    if (before && before.board) boards.get(part).restore(before.board);
  }
  if (!before) return;
  [...part.querySelectorAll("details"), part].filter((e) => e.tagName === "DETAILS")
    .forEach((e, n) => { if (n < before.open.length) e.open = before.open[n]; });
  part.querySelectorAll(".scroll").forEach((e, n) => {
    if (before.scrolled[n]) [e.scrollLeft, e.scrollTop] = before.scrolled[n];
  });
  const focus = before.focus && part.querySelectorAll("button, input, a, summary, [tabindex]")[before.focus.n];
  if (focus) {
    focus.focus({ preventScroll: true });
    if (before.focus.selection) focus.setSelectionRange(...before.focus.selection);
  }
}

// --- parts of the page

function makePart(html) {
  const template = document.createElement("template");
  template.innerHTML = html; // the server's, in which every name is escaped
  return template.content.firstElementChild;
}

function takeIn(update) {
  document.title = update.title;
  document.querySelector(".top .brand").textContent = update.title;
  if (update.index) {
    const ids = index.id;
    const status = opened && text(index.status, ids.indexOf(opened));
    useIndex(update.index);
    renumber(ids, status);
  }
  for (const [id, html] of Object.entries(update.parts)) {
    const old = $(id);
    if (old) replacePart(old, makePart(html));
  }
  const suites = update.layout.map(([id, parts]) => {
    const suite = $(id) || el("section", { class: "suite", id });
    arrange(suite, parts.map((part) => $(part) || newPart(update.parts[part])).filter(Boolean));
    return suite;
  });
  arrange($("suites"), suites);
  linkHeadings(document);
}

function replacePart(old, part) {
  const before = readPart(old);
  const numbers = readNumbers(old);
  old.replaceWith(part);
  restorePart(part, before);
  markFresh(part, numbers);
}

function newPart(html) {
  const part = html && makePart(html);
  if (part) restorePart(part, null);
  return part;
}

// Put the children in this order, and move only those that stand elsewhere: a moved one loses its focus.
function arrange(holder, children) {
  const wanted = new Set(children);
  [...holder.children].filter((child) => !wanted.has(child)).forEach((child) => child.remove());
  children.forEach((child, n) => {
    if (holder.children[n] !== child) holder.insertBefore(child, holder.children[n] || null);
  });
}

// Numbers of a board by the names of their rows and columns.
function readNumbers(part) {
  const numbers = new Map();
  if (!part.classList.contains("board")) return numbers;
  const keys = new Map([...part.querySelectorAll("th[data-at]")].map((th) => [Number(th.dataset.at), th.dataset.key]));
  for (const row of part.querySelectorAll("tbody tr:not(.group)")) {
    const name = [...row.cells].filter((c) => c.tagName === "TH").map((c) => c.textContent).join("\u001f");
    [...row.cells].forEach((cell, n) => {
      if (cell.tagName === "TD") numbers.set(name + "\u001e" + keys.get(n), cell);
    });
  }
  return numbers;
}

function markFresh(part, before) {
  for (const [key, cell] of readNumbers(part)) {
    const old = before.get(key);
    if (cell.dataset.v !== undefined && (!old || old.dataset.v !== cell.dataset.v)) cell.classList.add("fresh");
  }
}

// --- records

// Records have other numbers now: what shows some of them goes on showing the same ones.
function renumber(ids, status) {
  const searching = document.activeElement && document.activeElement.id === "search"
    ? [$("search").selectionStart, $("search").selectionEnd] : null;
  explorer = setupExplorer(explorer.read());
  if (searching) {
    $("search").focus({ preventScroll: true });
    $("search").setSelectionRange(...searching);
  }
  const places = new Map(index.id.map((id, n) => [id, n]));
  const moved = (n) => places.get(ids[n]);
  if (many) many = many.map(moved).filter((n) => n !== undefined);
  document.querySelectorAll("#content [data-one]").forEach((button) => {
    const n = moved(Number(button.dataset.one));
    if (n !== undefined) button.dataset.one = n;
  });
  const n = opened === null ? undefined : places.get(opened);
  if (n !== undefined && text(index.status, n) !== status) openRecord(n, !$("back").hidden);
}

fetchDetail = (n, use) => {
  ask("/record?id=" + encodeURIComponent(index.id[n])).then(use, () => {
    $("content").replaceChildren(el("p", { class: "problem" }, "The server does not answer: is harness serve still running?"));
  });
};

// --- what is under way

function since(time) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function progress(done, total) {
  return el("progress", { max: total, value: Math.min(done, total), "aria-label": `${done} of ${total}` });
}

function showRuns(runs) {
  const holder = $("under-way");
  const focused = holder.contains(document.activeElement) ? document.activeElement.closest("[data-cell]") : null;
  holder.hidden = !runs.length;
  const parts = runs.map((run) => el("div", { class: "run" },
    el("p", { class: "run-head" }, el("strong", {}, run.title), " ",
      el("span", { class: "state" }, `${run.done} of ${plural(run.total, "cell")} · ${since(run.started)}`)),
    progress(run.done, run.total),
    run.command ? el("p", { class: "state" }, el("code", {}, run.command)) : null,
    el("div", { class: "cells" }, ...run.cells.map(showCell))));
  holder.replaceChildren(el("h2", {}, "Under way"), ...parts);
  const again = focused && [...holder.querySelectorAll("[data-cell]")].find((e) => e.dataset.cell === focused.dataset.cell);
  if (again) again.querySelector("summary, a").focus({ preventScroll: true });
}

const FEW = 4; // curves of a cell that are shown without being asked for
const unfolded = new Set();

function showCell(cell) {
  const files = Object.entries(cell.curves);
  const charts = files.flatMap(([file, columns]) => Object.entries(columns)
    .map(([name, points]) => drawCurve(files.length > 1 ? `${file}: ${name}` : name, points)));
  const made = el("article", { class: "cell", "data-cell": cell.id },
    el("h3", {}, el("a", { href: "#record-" + cell.id }, cell.shown)),
    el("p", { class: "state" }, cell.total ? `${cell.done.toLocaleString("en")} of ${cell.total.toLocaleString("en")} · ` : "", since(cell.started)),
    cell.total ? progress(cell.done, cell.total) : null,
    charts.length ? el("div", { class: "charts" }, ...charts.slice(0, FEW)) : null);
  if (charts.length > FEW) {
    const more = el("details", { open: unfolded.has(cell.id) },
      el("summary", {}, `${charts.length - FEW} more`), el("div", { class: "charts" }, ...charts.slice(FEW)));
    more.addEventListener("toggle", () => (more.open ? unfolded.add(cell.id) : unfolded.delete(cell.id)));
    made.append(more);
  }
  return made;
}

function startLive() {
  version = data("live").version;
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
}
