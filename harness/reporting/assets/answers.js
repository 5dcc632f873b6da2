// The answers of one record: the question with its images, what was said, read and accepted, and filters by outcome.

function asked([role, ...parts], pictures) {
  const made = el("div", { class: "asked" }, role === "user" ? "" : el("span", { class: "role" }, role + ": "));
  for (const part of parts) {
    if (typeof part === "string") made.append(part);
    else if (part < 0) made.append(el("span", { class: "unseen" }, " [image not shown here] "));
    else {
      const source = pictures[part];
      made.append(el("img", { src: source, alt: "image of the question", loading: "lazy", class: source.startsWith("data:image/png") ? "pixels" : undefined }));
    }
  }
  return made;
}

function answerCard(answer, columns, pictures) {
  const turns = answer.turns || [];
  const before = turns.slice(0, -1);
  const entries = [["answer", shown(answer.answer)]];
  for (const name of ["extracted", "accepted"]) if (columns.includes(name)) entries.push([name, shown(answer[name])]);
  if (answer.reason) entries.push(["reason", answer.reason]);
  for (const [name, value] of Object.entries(answer.scores || {})) entries.push([name, shown(value)]);
  entries.push(...Object.entries(answer.further || {}));
  const good = answer.outcome === "right" || answer.outcome === "answered";
  return el("li", { "data-outcome": answer.outcome },
    el("header", {}, el("span", { class: "status" + (good ? " ok" : "") }, answer.outcome),
      el("span", { class: "role" }, answer.id + (answer.order ? `, choices turned by ${answer.order}` : ""))),
    before.length ? folded(plural(before.length, "turn") + " before", () => el("div", {}, ...before.map((turn) => asked(turn, pictures)))) : null,
    turns.length ? asked(turns[turns.length - 1], pictures) : null,
    list(entries));
}

function answers(samples, pictures) {
  const { total, outcomes, answers: all, columns, without } = samples;
  const counted = Object.entries(outcomes);
  const told = plural(total, "answer") + ". " + (all.length < total ? `Shown: ${all.length}, some of every outcome.` : "");
  const cards = el("ul", { class: "answers" });
  const found = el("p", { class: "caption", role: "status" });
  function fill(which) {
    const wanted = all.filter((answer) => which === "all" || answer.outcome === which);
    cards.replaceChildren(...wanted.map((answer) => answerCard(answer, columns, pictures)));
    const of = which === "all" ? total : outcomes[which];
    found.textContent = `${wanted.length.toLocaleString("en")} of ${of.toLocaleString("en")}${which === "all" ? "" : " " + which} shown`;
  }
  const choices = [["all", total], ...counted].map(([which, count]) => button(`${which} ${count.toLocaleString("en")}`, () => {
    choices.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.outcome === which)));
    fill(which);
  }, { "data-outcome": which, "aria-pressed": String(which === "all") }));
  fill("all");
  return [el("h4", {}, "Answers"), el("p", { class: "caption" }, told),
    el("div", { class: "filters", role: "group", "aria-label": "Answers by outcome" }, ...choices), found,
    without ? el("p", { class: "caption" }, "No thumbnails: " + without) : "", cards];
}
