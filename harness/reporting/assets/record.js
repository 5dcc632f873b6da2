// One record in full, the records behind a number, and the dialog that shows them.

function list(entries) {
  const made = el("dl");
  for (const [key, value] of entries) made.append(el("dt", {}, key), el("dd", {}, value));
  return made;
}

function tree(value) {
  if (value === null || typeof value !== "object") return document.createTextNode(shown(value));
  if (Array.isArray(value)) {
    if (value.every((v) => v === null || typeof v !== "object")) {
      return document.createTextNode(value.map(shown).join(", ") || "–");
    }
    return list(value.map((v, n) => [String(n + 1), tree(v)]));
  }
  const entries = Object.entries(value);
  return entries.length ? list(entries.map(([k, v]) => [k, tree(v)])) : document.createTextNode("–");
}

function folded(title, content, open) {
  const made = el("details", { open: Boolean(open) }, el("summary", {}, title));
  const fill = () => { if (made.open && made.children.length === 1) made.append(content()); };
  made.addEventListener("toggle", fill);
  fill();
  return made;
}

function numbers(title, values) {
  const entries = Object.entries(values || {});
  if (!entries.length) return [];
  return [el("h4", {}, title), list(entries.map(([k, v]) => [k, shown(v)]))];
}

function predictions(samples, pictures) {
  if (samples.answers) return answers(samples, pictures);
  const parts = [el("h4", {}, "Predictions")];
  if (!samples.rows) return [...parts, el("p", { class: "caption" }, samples.note || "")];
  const { columns, rows, hit, names = {} } = samples;
  const told = hit
    ? `${plural(samples.hits, "hit")} and ${plural(samples.total - samples.hits, "miss").replace("misss", "misses")} in ${plural(samples.total, "sample")}. `
    : plural(samples.total, "sample") + ". ";
  const cut = rows.length < samples.total ? `Shown: ${rows.length}${hit ? ", the most confident of each" : ""}.` : "";
  parts.push(el("p", { class: "caption" }, told + cut));
  const called = (column, value) => {
    const name = column === "target" || column === "prediction" ? names[String(value)] : undefined;
    return name === undefined ? shown(value) : `${value} · ${name}`;
  };
  const brief = (value) => names[String(value)] ?? shown(value);
  const places = { target: columns.indexOf("target"), prediction: columns.indexOf("prediction") };
  const thumbs = el("ul", { class: "thumbs" });
  const body = el("tbody");

  function fill(which) {
    const wanted = (n) => which === "all" || !hit || Boolean(hit[n]) === (which === "hits");
    thumbs.replaceChildren(...(samples.thumbs || []).filter(([n]) => wanted(n)).map(([n, picture]) => {
      const row = rows[n];
      const good = hit && hit[n];
      const words = places.target < 0 ? String(row[columns.indexOf("id")])
        : good ? brief(row[places.target])
        : `${brief(row[places.prediction])}, truly ${brief(row[places.target])}`;
      const source = pictures[picture];
      const image = el("img", { src: source, alt: "", loading: "lazy", class: source.startsWith("data:image/png") ? "pixels" : undefined });
      return el("li", { class: good ? "" : hit ? "miss" : "" },
        el("figure", {}, image, el("figcaption", {}, (hit ? (good ? "✓ " : "✗ ") : "") + words)));
    }));
    thumbs.hidden = !thumbs.children.length;
    body.replaceChildren(...rows.map((row, n) => [row, n]).filter(([, n]) => wanted(n)).map(([row, n]) =>
      el("tr", {},
        ...(hit ? [el("td", { class: hit[n] ? "hit" : "miss" }, hit[n] ? "✓ hit" : "✗ miss")] : []),
        ...row.map((value, c) => (typeof value === "number"
          ? el("td", {}, called(columns[c], value))
          : el("td", { class: "text" }, shown(value)))))));
  }

  if (hit) {
    const choices = ["all", "misses", "hits"].map((which) => button(which, () => {
      choices.forEach((b) => b.setAttribute("aria-pressed", String(b.textContent === which)));
      fill(which);
    }, { "aria-pressed": String(which === "all") }));
    parts.push(el("div", { class: "filters", role: "group", "aria-label": "Which predictions" }, ...choices));
  }
  if (samples.without) parts.push(el("p", { class: "caption" }, "No thumbnails: " + samples.without));
  const header = el("tr", {}, ...(hit ? [el("th", { scope: "col" }, "")] : []), ...columns.map((c) => el("th", { scope: "col" }, c)));
  parts.push(thumbs, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Predictions" },
    el("table", { "aria-label": "Predictions" }, el("thead", {}, header), body)));
  fill("all");
  return parts;
}

// Where the details of records are: in the page's own blocks, unless a server has them (live.js).
let fetchDetail = null;

function withDetail(n, use) {
  if (fetchDetail) return fetchDetail(n, use);
  const block = data("details-" + Math.floor(n / index.chunk));
  return use({ detail: block && block[n % index.chunk], pool: data("pool"), pictures: data("pictures") });
}

function record(n, { detail, pool, pictures }) {
  const reason = text(index.reason, n);
  const at = Object.keys(index.at).map((name) => [name, text(index.at[name], n)]).filter(([, v]) => v !== "");
  const parts = [el("p", {}, badge(n), " ", reason ? el("span", { class: "problem" }, reason) : "")];
  const remarks = text(index.remarks, n);
  if (remarks) {
    parts.push(el("h4", {}, "Remarks"), el("ul", { class: "remarks" }, ...remarks.split("\n").map((line) => el("li", {}, line))));
  }
  if (!detail) {
    return [...parts, list(at), el("p", { class: "caption" }, "There is no record of this cell yet.")];
  }
  const counted = detail.count === undefined ? [] : [["samples", shown(detail.count)]];
  parts.push(list([...at, ...counted]));
  parts.push(...numbers("Metrics", detail.metrics), ...numbers("Cost", detail.cost));
  if (detail.traceback !== undefined) {
    parts.push(folded("Traceback", () => el("pre", { tabindex: 0 }, pool[detail.traceback]), true));
  }
  if (detail.samples) parts.push(...predictions(detail.samples, pictures));
  parts.push(el("h4", {}, "How it was made"));
  if (detail.notes !== undefined) parts.push(folded("Notes", () => tree(pool[detail.notes])));
  const provenance = { ...detail.run };
  for (const [key, place] of Object.entries(detail.provenance || {})) provenance[key] = pool[place];
  parts.push(folded("Provenance", () => tree(provenance)));
  const cell = {};
  for (const [key, place] of Object.entries(detail.parts || {})) cell[key] = pool[place];
  parts.push(folded("Cell: plugins, versions and options", () => tree(cell)));
  if (Object.keys(pool[detail.tags] || {}).length) parts.push(folded("Tags", () => tree(pool[detail.tags])));
  const others = pool[detail.files] || [];
  if (others.length) parts.push(el("p", { class: "caption" }, "Also in the store: " + others.join(", ") + "."));
  const link = el("a", { href: "#record-" + index.id[n], title: "Link to this record" }, el("code", {}, index.id[n]));
  parts.push(el("p", { class: "caption" }, "Record ", link));
  return parts;
}

// --- the dialog

const dialog = $("dialog");
let opener = null;
let many = null;
let opened = null; // id of the record that is shown
let turn = 0;

function show(title, content, back, hash) {
  $("dialog-title").textContent = title;
  $("content").replaceChildren(...content);
  $("content").scrollTop = 0;
  $("back").hidden = !back;
  setHash(hash);
  if (!dialog.open) dialog.showModal();
  $("dialog-title").focus();
}

function openRecord(n, back) {
  const mine = turn += 1;
  const id = index.id[n];
  const title = label(n);
  if (fetchDetail) show(title, [el("p", { class: "caption" }, "Loading …")], back, "record-" + id);
  withDetail(n, (found) => {
    if (mine !== turn) return; // closed, or another was opened meanwhile
    opened = id;
    show(title, record(index.id.indexOf(id), found), back, "record-" + id);
  });
}

function openMany(numbers) {
  turn += 1;
  opened = null;
  many = numbers;
  const shared = metrics.filter((name) => numbers.some((n) => index.metrics[name][n] !== null)).slice(0, 4);
  // what all of them have in common is said once: names cut on a narrow page would all look the same
  const own = naming.filter((name) => numbers.some((n) => text(index.at[name], n) !== text(index.at[name], numbers[0])));
  const common = own.length ? label(numbers[0], naming.filter((name) => !own.includes(name))) : "";
  const body = el("tbody");
  const more = button("", () => fill(), { class: "all" });
  let filled = 0;
  function fill() {
    const rows = numbers.slice(filled, filled + 100).map((n) => el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "open", "data-one": n }, el("span", { class: "name" }, label(n, own.length ? own : naming)))),
      el("td", {}, badge(n)),
      ...shared.map((name) => el("td", {}, shown(index.metrics[name][n])))));
    body.append(...rows);
    filled += rows.length;
    more.hidden = filled >= numbers.length;
    more.textContent = `Show more (${(numbers.length - filled).toLocaleString("en")} left)`;
  }
  fill();
  const header = ["record", "status", ...shared].map((name) => el("th", { scope: "col", class: shared.includes(name) ? "value" : undefined }, name));
  show(plural(numbers.length, "record"), [
    common ? el("p", { class: "caption" }, common) : "",
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Records behind the number" },
      el("table", { "aria-label": "Records behind the number" }, el("thead", {}, el("tr", {}, ...header)), body)),
    more], false, numbers.length <= LINKED ? "records-" + numbers.map((n) => index.id[n]).join(".") : "");
}

document.addEventListener("click", (event) => {
  const one = event.target.closest("button[data-one]");
  if (one) return openRecord(Number(one.dataset.one), true);
  const open = event.target.closest("button[data-r]");
  if (!open) return undefined;
  opener = open;
  const numbers = open.dataset.r.split(" ").map(Number);
  return numbers.length === 1 ? openRecord(numbers[0], false) : openMany(numbers);
});
$("back").addEventListener("click", () => openMany(many));
$("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  turn += 1;
  opened = null;
  $("content").replaceChildren();
  if (namesRecords(hashNow())) setHash("");
  if (opener && opener.isConnected) opener.focus();
});
