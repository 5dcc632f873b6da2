// Leaderboards: sorting by a column and filtering rows.

function compare(a, b, sign) {
  if (a === b) return 0;
  if (a === null) return 1; // what has no value stays last, whichever the direction
  if (b === null) return -1;
  const order = typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
  return sign * order;
}

function sortKey(cell) {
  if (cell.tagName === "TH") return cell.textContent.trim();
  return cell.dataset.v === undefined ? null : Number(cell.dataset.v.replace("inf", "Infinity"));
}

function setupBoard(board) {
  const bodies = [...board.querySelectorAll("tbody")];
  const limit = Number(board.dataset.shown);
  const input = board.querySelector("input[type=search]");
  const found = board.querySelector(".found");
  const all = board.querySelector("button.all");
  let whole = false;
  const texts = new Map();
  const rowsOf = (body) => [...body.rows].filter((row) => !row.classList.contains("group"));
  const total = bodies.reduce((n, body) => n + rowsOf(body).length, 0);

  function refresh() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = 0;
    for (const body of bodies) {
      let visible = 0;
      for (const row of rowsOf(body)) {
        if (!texts.has(row)) {
          const group = body.querySelector("tr.group");
          texts.set(row, [...row.querySelectorAll("th"), ...(group ? [group] : [])]
            .map((c) => c.textContent).join(" ").toLowerCase());
        }
        const matches = words.every((word) => texts.get(row).includes(word));
        if (matches) matching += 1;
        row.hidden = !matches || (!whole && matching > limit);
        if (!row.hidden) visible += 1;
      }
      const group = body.querySelector("tr.group");
      if (group) group.hidden = visible === 0;
    }
    found.textContent = matching === total ? plural(total, "row") : `${matching} of ${plural(total, "row")}`;
    if (all) all.hidden = whole || matching <= limit;
  }

  board.querySelectorAll("th[data-at]").forEach((th) => {
    th.querySelector("button").addEventListener("click", () => {
      const before = th.getAttribute("aria-sort");
      const first = th.dataset.first === "desc" ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const direction = before === first ? other : first;
      board.querySelectorAll("th[aria-sort]").forEach((h) => h.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      for (const body of bodies) {
        const keyed = rowsOf(body).map((row) => [sortKey(row.cells[Number(th.dataset.at)]), row]);
        keyed.sort((a, b) => compare(a[0], b[0], sign));
        body.append(...keyed.map((k) => k[1]));
      }
      refresh();
    });
  });
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    if (total > 500) waiting = setTimeout(refresh, 120); // a long table waits until the typing stops
    else refresh();
  });
  if (all) all.addEventListener("click", () => { whole = true; refresh(); });
}
document.querySelectorAll(".board").forEach(setupBoard);
