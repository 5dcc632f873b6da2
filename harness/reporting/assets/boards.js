// Leaderboards: sorting by a column and filtering rows.

function compare(a, b, sign) {
  if (a === b) return 0;
  if (a === null) return 1; // what has no value stays last, whichever the direction
  if (b === null) return -1;
  const order = typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
  return sign * order;
}

// The next direction of a header that was clicked: its first one, the other, and then the original order.
function turnHeader(th, first) {
  const other = first === "descending" ? "ascending" : "descending";
  const before = th.getAttribute("aria-sort");
  const direction = before === null ? first : before === first ? other : null;
  th.closest("thead").querySelectorAll("th[aria-sort]").forEach((h) => h.removeAttribute("aria-sort"));
  if (direction) th.setAttribute("aria-sort", direction);
  return direction;
}

function sortKey(cell) {
  if (cell.tagName === "TH") return cell.textContent.trim();
  return cell.dataset.v === undefined ? null : Number(cell.dataset.v.replace("inf", "Infinity"));
}

const boards = new WeakMap(); // what the reader has done to a board, and how to do it again

function setupBoard(board) {
  const bodies = [...board.querySelectorAll("tbody")];
  const limit = Number(board.dataset.shown);
  const input = board.querySelector("input[type=search]");
  const found = board.querySelector(".found");
  const all = board.querySelector("button.all");
  let whole = false;
  const texts = new Map();
  const rowsOf = (body) => [...body.rows].filter((row) => !row.classList.contains("group"));
  const originally = new Map(bodies.flatMap(rowsOf).map((row, n) => [row, n]));
  const total = originally.size;

  // what rows are found by, collected when the reader turns to the filter
  function collectTexts() {
    if (texts.size) return;
    for (const body of bodies) {
      const group = body.querySelector("tr.group")?.textContent ?? "";
      for (const row of rowsOf(body)) {
        const names = [...row.cells].filter((cell) => cell.tagName === "TH").map((cell) => cell.textContent);
        texts.set(row, [...names, group].join(" ").toLowerCase());
      }
    }
  }

  function refresh() {
    collectTexts();
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = 0;
    for (const body of bodies) {
      let visible = 0;
      for (const row of rowsOf(body)) {
        const text = texts.get(row);
        const matches = words.every((word) => text.includes(word));
        if (matches) matching += 1;
        const hidden = !matches || (!whole && matching > limit);
        if (row.hidden !== hidden) row.hidden = hidden;
        if (!hidden) visible += 1;
      }
      const group = body.querySelector("tr.group");
      if (group) group.hidden = visible === 0;
    }
    found.textContent = matching === total ? plural(total, "row") : `${matching} of ${plural(total, "row")}`;
    if (all) all.hidden = whole || matching <= limit;
  }

  function sortRows(th, direction) {
    const sign = direction === "ascending" ? 1 : -1;
    for (const body of bodies) {
      const rows = rowsOf(body);
      if (direction) {
        const keys = new Map(rows.map((row) => [row, sortKey(row.cells[Number(th.dataset.at)])]));
        rows.sort((a, b) => compare(keys.get(a), keys.get(b), sign) || originally.get(a) - originally.get(b));
      } else rows.sort((a, b) => originally.get(a) - originally.get(b));
      body.append(...rows);
    }
    refresh();
  }

  board.querySelectorAll("th[data-at]").forEach((th) => {
    th.querySelector("button").addEventListener("click", () => {
      sortRows(th, turnHeader(th, th.dataset.first === "desc" ? "descending" : "ascending"));
    });
  });
  input.addEventListener("focus", collectTexts);
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    if (total > 500) waiting = setTimeout(refresh, 120); // a long table waits until the typing stops
    else refresh();
  });
  if (all) all.addEventListener("click", () => { whole = true; refresh(); });

  boards.set(board, {
    read() {
      const sorted = board.querySelector("th[aria-sort]");
      const sort = sorted && { key: sorted.dataset.key, direction: sorted.getAttribute("aria-sort") };
      return { filter: input.value, whole, sort };
    },
    restore(before) {
      input.value = before.filter;
      whole = before.whole;
      const th = before.sort && [...board.querySelectorAll("th[data-key]")].find((h) => h.dataset.key === before.sort.key);
      if (th) {
        th.setAttribute("aria-sort", before.sort.direction);
        sortRows(th, before.sort.direction);
      } else refresh();
    },
  });
}
