// All records in brief: searched, sorted, a page at a time.

const index = data("index");
const text = (column, n) => column[0][column[1][n]];
const varying = Object.keys(index.at).filter((name) => index.at[name][0].length > 1);
const coordinates = varying.length ? varying : Object.keys(index.at).slice(0, 1);
const metrics = Object.keys(index.metrics);
const naming = Object.keys(index.at).filter((name) => varying.includes(name) || ["model", "method", "dataset"].includes(name));

function label(n, names = naming) {
  const words = names.map((name) => {
    const value = text(index.at[name], n);
    return /^-?[\d.]+$/.test(value) ? name + " " + value : value;
  });
  return words.filter(Boolean).join(" · ") || index.id[n];
}

function badge(n) {
  const status = text(index.status, n);
  return el("span", { class: "status " + (/^[a-z]+$/.test(status) ? status : "") }, said(status));
}

function setupExplorer() {
  const several = index.suite[0].length > 1;
  const shownMetrics = metrics.slice(0, 4);
  const at = (name) => ({ name, value: (n) => text(index.at[name], n) });
  const columns = [
    ...coordinates.slice(0, 1).map(at),
    { name: "status", value: (n) => text(index.status, n) },
    ...(several ? [{ name: "suite", value: (n) => text(index.suite, n) }] : []),
    ...coordinates.slice(1).map(at),
    ...shownMetrics.map((name) => ({ name, number: true, value: (n) => index.metrics[name][n] })),
  ];
  const order = index.id.map((_, n) => n);
  let matching = order.slice();
  let page = 0;
  let haystack = null;

  const search = el("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false" });
  const status = el("select", { id: "status" }, el("option", { value: "" }, "any status"));
  for (const value of index.status[0]) status.append(el("option", { value }, said(value)));
  const suite = el("select", { id: "suite" }, el("option", { value: "" }, "any suite"));
  for (const value of index.suite[0]) suite.append(el("option", { value }, value));
  const count = el("span", { class: "found", role: "status", id: "found" });
  const body = el("tbody");
  const heads = columns.map((column) => {
    const sort = button("", () => sortColumn(column), { class: "sort" });
    sort.append(el("span", {}, column.name));
    column.th = el("th", { scope: "col", class: column.number ? "value" : undefined }, sort);
    return column.th;
  });
  const previous = button("← Previous", () => turn(-1));
  const next = button("Next →", () => turn(1));
  const where = el("span", { role: "status" });

  function sortColumn(column) {
    const before = column.th.getAttribute("aria-sort");
    const first = column.number ? "descending" : "ascending";
    const direction = before === first ? (first === "ascending" ? "descending" : "ascending") : first;
    heads.forEach((th) => th.removeAttribute("aria-sort"));
    column.th.setAttribute("aria-sort", direction);
    const keys = index.id.map((_, n) => column.value(n));
    const sign = direction === "ascending" ? 1 : -1;
    order.sort((a, b) => compare(keys[a] === "" ? null : keys[a], keys[b] === "" ? null : keys[b], sign) || a - b);
    filter();
  }

  function filter() {
    haystack = haystack || index.id.map((id, n) =>
      [id, text(index.suite, n), ...Object.values(index.at).map((c) => text(c, n)), text(index.reason, n)]
        .join(" ").toLowerCase());
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    matching = order.filter((n) =>
      (!status.value || text(index.status, n) === status.value)
      && (!suite.value || text(index.suite, n) === suite.value)
      && words.every((word) => haystack[n].includes(word)));
    page = 0;
    show();
  }

  function turn(step) {
    page += step;
    show();
  }

  function show() {
    const pages = Math.max(1, Math.ceil(matching.length / PAGE));
    const rows = matching.slice(page * PAGE, (page + 1) * PAGE).map((n) => {
      const cells = columns.slice(1).map((column) => {
        if (column === columns[1]) return el("td", { class: "badge" }, badge(n));
        if (column.number) return el("td", {}, shown(column.value(n)));
        return el("td", { class: "text" }, el("span", { class: "name" }, column.value(n) || "–"));
      });
      const first = columns[0].value(n) || "(none)";
      const open = el("button", { type: "button", class: "open", "data-r": n, "aria-label": "Open " + label(n) },
        el("span", { class: "name" }, first));
      return el("tr", {}, el("th", { scope: "row" }, open), ...cells);
    });
    body.replaceChildren(...rows);
    count.textContent = matching.length === order.length
      ? plural(order.length, "record") : `${matching.length.toLocaleString("en")} of ${plural(order.length, "record")}`;
    where.textContent = `Page ${page + 1} of ${pages}`;
    previous.disabled = page === 0;
    next.disabled = page >= pages - 1;
  }

  search.addEventListener("input", filter);
  status.addEventListener("change", filter);
  suite.addEventListener("change", filter);
  $("explorer").append(
    el("div", { class: "tools" },
      el("label", {}, "Search ", search),
      el("label", {}, "Status ", status),
      several ? el("label", {}, "Suite ", suite) : null,
      count),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Records" },
      el("table", { "aria-label": "Records" }, el("thead", {}, el("tr", {}, ...heads)), body)),
    el("nav", { class: "pager", "aria-label": "Pages of records" }, previous, where, next));
  show();
}
