// Links into the page: headings that can be linked to, folded parts that unfold, records that open.

function followHash() {
  const hash = hashNow();
  if (namesRecords(hash)) {
    const ids = hash.slice(hash.indexOf("-") + 1).split(".");
    const numbers = ids.map((id) => index.id.indexOf(id)).filter((n) => n >= 0);
    if (numbers.length === 1) openRecord(numbers[0], false);
    else if (numbers.length) openMany(numbers);
    else show("No such record", [el("p", {}, "This page has no record ", el("code", {}, ids.join(", ")), ".")], false, hash);
    return;
  }
  if (dialog.open) dialog.close();
  const target = hash && $(hash);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target.scrollIntoView();
}

function linkHeadings(within) {
  const linked = [...within.querySelectorAll("details[id] > summary > h3, .plot[id] > h3, .suite > .head > h2")];
  for (const heading of linked) {
    const part = heading.tagName === "H2" ? heading.closest(".suite") : heading.closest("[id]:not(h3)");
    if (!part || heading.querySelector(".link")) continue;
    heading.append(el("a", { class: "link", href: "#" + part.id, "aria-label": "Link to " + heading.textContent }, "#"));
  }
}

$("fold").addEventListener("click", () => {
  const fold = $("fold").getAttribute("aria-pressed") !== "true";
  document.querySelectorAll("#suites details").forEach((part) => { part.open = !fold; });
  $("fold").setAttribute("aria-pressed", String(fold));
});
