"use strict";
// Tables that sort, filter, fold into cards and can be copied; one filter of benchmark and model; samples that
// are searched, walked through and compared; the theme; copy buttons. The page reads well without any of it.

const root = document.documentElement;
const every = (selector, within = document) => [...within.querySelectorAll(selector)];

// The theme that was chosen last, on every page of this program; a browser that keeps nothing follows the system.
const kept = {
  get: () => { try { return localStorage.getItem("harness-theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("harness-theme", theme); } catch { /* not kept */ } },
};
if (["light", "dark"].includes(kept.get())) root.dataset.theme = kept.get();
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  kept.set(root.dataset.theme);
});

// Numbers sort by the value behind the text, text sorts as people count (trial 2 before trial 10).
const compareText = new Intl.Collator("en", { numeric: true }).compare;

// The number of a cell: behind its text, or the text itself; null in a column of words.
function numberOf(cell) {
  if ("v" in cell.dataset) return Number(cell.dataset.v);
  const text = cell.textContent.trim().replaceAll(",", "");
  return cell.className || !text || Number.isNaN(Number(text)) ? null : Number(text);
}

function compareCells(a, b) {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return x - y;
  if ((x === null) !== (y === null)) return x === null ? 1 : -1;
  return compareText(a.textContent.trim(), b.textContent.trim());
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const numeric = heading.classList.contains("num");
      const now = heading.getAttribute("aria-sort");
      const next = now ? (now === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => sign * compareCells(a.cells[column], b.cells[column]));
      table.tBodies[0].append(...rows);
    });
  });
}

// What the whole page is narrowed to: a benchmark, a model, and the group that comparisons know the model by.
function chosenScope() {
  const fields = document.getElementById("scope")?.elements;
  const model = fields?.model;
  return {
    benchmark: fields?.benchmark?.value ?? "",
    model: model?.value ?? "",
    group: model?.selectedOptions[0]?.dataset.group ?? "",
  };
}

// The rows of a table that its own filters and the page's let through.
function narrow(table) {
  const scope = chosenScope();
  const headings = [...table.tHead.rows[0].cells].map((heading) => heading.dataset.key);
  const own = every("select[data-table]")
    .filter((select) => select.dataset.table === table.dataset.key && select.value)
    .map((select) => [Number(select.dataset.column), (text) => text === select.value]);
  const shared = {
    benchmark: (text) => text === scope.benchmark,
    model: (text) => text === scope.model,
    pair: (text) => text.split(" − ").includes(scope.group),
  };
  const wanted = own.concat(
    headings.flatMap((key, column) => {
      const asked = key === "benchmark" ? scope.benchmark : key in shared ? scope.model : "";
      return asked ? [[column, shared[key]]] : [];
    }),
  );
  for (const row of table.tBodies[0].rows) {
    row.hidden = wanted.some(([column, fits]) => !fits(row.cells[column].textContent.trim()));
  }
}

// A table in full for a spreadsheet: numbers with six digits, intervals as columns of their own.
function asRows(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const bounded = headings.map((_, column) => body.some((row) => "ci" in row.cells[column].dataset));
  const same = Object.entries(JSON.parse(table.dataset.same ?? "{}"));
  const head = headings.flatMap((heading, column) => {
    const name = heading.textContent.trim();
    return bounded[column] ? [name, `${name} low`, `${name} high`] : [name];
  });
  const line = (row) => [...row.cells].flatMap((cell, column) => {
    const plain = cell.cloneNode(true);
    every(".ci, svg", plain).forEach((part) => part.remove());
    const value = String(numberOf(cell) ?? plain.textContent.trim());
    return bounded[column] ? [value, ...(cell.dataset.ci ?? " ").split(" ")] : [value];
  });
  return [[...head, ...same.map(([name]) => name)], ...body.map((row) => [...line(row), ...same.map(([, text]) => text)])];
}

// Text that a spreadsheet would take for a formula has an apostrophe in front; a number has none.
const csvCell = (text) => {
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

function makeTakeable(button) {
  button.addEventListener("click", async () => {
    const table = button.closest(".block").querySelector("table");
    const rows = asRows(table);
    if (button.dataset.take === "copy") {
      await copyText(rows.map((row) => row.map((text) => text.replace(/\s+/g, " ")).join("\t")).join("\n"), table);
      say(button, "Copied");
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([rows.map((row) => row.map(csvCell).join(",")).join("\n") + "\n"], { type: "text/csv" }));
    link.download = `${table.dataset.key}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}

async function copyText(text, visible) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(visible); // left selected, for Ctrl-C
    document.execCommand("copy");
  }
}

function say(button, text) {
  const before = button.textContent;
  button.textContent = text;
  setTimeout(() => (button.textContent = before), 1500);
}

// The first columns stay where a table is wider than its place, and a shadow shows on which side there is more.
// On a phone a row becomes a card, its cells named by their headings.
function makeWide(table) {
  const headings = [...table.tHead.rows[0].cells];
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => (cell.dataset.label = headings[column].textContent.trim()));
  }
  table.classList.add("folds");
  const scroll = table.parentElement;
  const look = () => {
    const leading = Number(table.dataset.leading);
    table.style.setProperty("--second", `${headings[0].offsetWidth}px`);
    const fixed = headings.slice(0, leading).reduce((sum, heading) => sum + heading.offsetWidth, 0);
    const more = scroll.scrollWidth - scroll.clientWidth;
    table.dataset.stays = more > 1 && fixed < scroll.clientWidth / 2 ? leading : 0;
    scroll.parentElement.classList.toggle("more", more > 1 && scroll.scrollLeft < more - 1);
    scroll.parentElement.classList.toggle("less", more > 1 && scroll.scrollLeft > 1);
    const below = scroll.scrollHeight - scroll.clientHeight - scroll.scrollTop;
    scroll.parentElement.classList.toggle("below", below > 1);
  };
  scroll.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(scroll);
}

function makeFilter(select) {
  select.addEventListener("change", () => {
    narrow(document.querySelector(`table[data-key="${CSS.escape(select.dataset.table)}"]`));
  });
}

function makeCopy(button) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    await copyText(code.textContent, code);
    say(button, "Copied");
  });
}

// A share and its interval as a bar from 0 to 1, in the columns that say so.
function drawBars(table) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    if (!("bar" in heading.dataset)) return;
    for (const { cells } of table.tBodies[0].rows) {
      const [low, high] = (cells[column].dataset.ci ?? "-1 -1").split(" ").map((end) => 100 * end);
      if (low < 0 || high > 100) continue;
      cells[column].prepend(drawn("interval", "0 0 100 12",
        ["path", { d: "M0 6H100", stroke: "#dfe3e8" }],
        ["path", { d: `M${low} 6H${high}`, stroke: "#0072b2", "stroke-width": 2 }],
        ["circle", { cx: 100 * numberOf(cells[column]), cy: 6, r: 3, fill: "#0072b2" }]));
    }
  });
}

function drawn(name, viewBox, ...shapes) {
  const make = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = make("svg", { class: name, viewBox, "aria-hidden": true });
  svg.append(...shapes.map(([tag, attributes]) => make(tag, attributes)));
  return svg;
}

// Makes a part of the page work; what a served page puts in later is activated by itself.
function activate(part) {
  every("table.sortable", part).forEach(makeSortable);
  every("table.sortable", part).forEach(drawBars);
  every("table.wide", part).forEach(makeWide);
  every("select[data-table]", part).forEach(makeFilter);
  every("button.take", part).forEach(makeTakeable);
  every("button.copy", part).forEach(makeCopy);
}
activate(document);

// What a model answered, as a bar of the largest classes of equal answers, the right one in blue.
for (const head of every(".model-head")) {
  const [correct, samples] = head.querySelector(".share").textContent.split("/").map(Number);
  const classes = every(".tally > span:not(.none)", head).map((one) => [Number(one.lastChild.textContent.split("×").at(-1)), one.classList.contains("right")]);
  let x = 0;
  const bars = (classes.length ? classes : [[correct, true]]).map(([count, right]) => {
    const width = (200 * count) / samples;
    x += width;
    return ["rect", { x: x - width, y: 0, width: classes.length ? Math.max(width - 0.6, 0.2) : width, height: 8, fill: right ? "#0072b2" : "#aab3be" }];
  });
  const svg = drawn("votes", "0 0 200 8", ...bars);
  svg.setAttribute("preserveAspectRatio", "none");
  head.querySelector(".share").after(svg);
}

// Two samples of a question that are ticked stand side by side.
const boxes = new Map();
for (const sample of every(".question .sample")) {
  const label = document.createElement("label");
  label.className = "mark-pair";
  const box = document.createElement("input");
  box.type = "checkbox";
  label.append(box, " compare");
  box.addEventListener("change", () => {
    const question = sample.closest(".question");
    const ticked = every(".mark-pair input:checked", question);
    if (ticked.length < 2) return;
    showPair(ticked.slice(0, 2).map((one) => one.closest("label").nextElementSibling));
    ticked.forEach((one) => (one.checked = false));
  });
  sample.before(label);
  boxes.set(sample, label);
}

// Samples: what fits the page's filter and the section's own.
const filters = document.getElementById("sample-filters");
const questions = every(".question");

function narrowSamples() {
  if (!filters) return;
  const scope = chosenScope();
  const { verdict, kind, text, source } = filters.elements;
  const needle = text.value.trim().toLowerCase();
  document.getElementById("samples").classList.toggle("source", source.checked);
  let shown = 0;
  for (const question of questions) {
    const about = `${question.querySelector("h3").textContent} ${question.querySelector(".asked")?.textContent ?? ""}`;
    const named = !needle || about.toLowerCase().includes(needle);
    const fits =
      (!scope.benchmark || question.dataset.benchmark === scope.benchmark) &&
      (!kind.value || (kind.value === "disagree" ? question.dataset.disagree === "yes" : question.dataset.turn === kind.value));
    let inside = 0, counted = false;
    for (const part of every(".model", question)) {
      const modelFits = fits && (!scope.model || part.dataset.model === scope.model);
      const inPart = every(".sample", part);
      let open = 0;
      for (const sample of inPart) {
        const verdictFits =
          !verdict.value ||
          (verdict.value === "truncated" ? sample.dataset.truncated === "yes" : sample.dataset.verdict === verdict.value);
        const show = modelFits && verdictFits && (named || sample.textContent.toLowerCase().includes(needle));
        sample.hidden = !show;
        boxes.get(sample).hidden = !show;
        open += show;
      }
      part.hidden = open === 0 && !(modelFits && named && !verdict.value && !inPart.length); // of some only counts are shown
      inside += open;
      counted ||= !part.hidden;
    }
    question.hidden = !counted;
    shown += inside;
  }
  document.getElementById("sample-count").textContent = `${shown.toLocaleString("en")} ${shown === 1 ? "sample" : "samples"}`;
}

function narrowPage() {
  const { benchmark } = chosenScope();
  every("table.sortable").forEach(narrow);
  const known = every("#scope [name=benchmark] option").map((option) => option.value);
  for (const part of every(".card[data-benchmark], .panel[data-panel]")) {
    const of = part.dataset.benchmark ?? part.dataset.panel;
    part.hidden = Boolean(benchmark) && known.includes(of) && of !== benchmark;
  }
  narrowSamples();
}

if (filters) {
  for (const kind of ["input", "change"]) filters.addEventListener(kind, narrowSamples);
  filters.addEventListener("submit", (event) => event.preventDefault());
}
document.getElementById("scope")?.addEventListener("change", narrowPage);
if (filters) narrowSamples();

// A link to a question, or to what a model wrote to it, finds it whatever is filtered, and opens the samples.
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const question = target?.closest(".question");
  if (!question) return;
  if (!target.checkVisibility()) {
    document.getElementById("scope")?.reset();
    filters.reset();
    narrowPage();
  }
  const model = target.closest(".model");
  if (model) model.querySelector(".sample")?.setAttribute("open", "");
  target.scrollIntoView();
}
addEventListener("hashchange", follow);
if (location.hash) follow();

// What a model wrote, as it wrote it: a drawn formula by its source.
function written(sample) {
  const copy = sample.cloneNode(true);
  every("math, summary, .answers, .detail", copy).forEach((part) => part.remove());
  return every("pre", copy).map((part) => part.textContent).join("\n\n");
}

// The words of two texts that stand in no longest common subsequence of both; equal ends are taken off first.
const MOST_WORDS = 2500;
function differing(a, b) {
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const [x, y] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  const marks = [a.map(() => false), b.map(() => false)];
  if (x.length > MOST_WORDS || y.length > MOST_WORDS) {
    x.forEach((_, i) => (marks[0][start + i] = true));
    y.forEach((_, i) => (marks[1][start + i] = true));
    return marks;
  }
  const width = y.length + 1;
  const longest = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      longest[i * width + j] = x[i] === y[j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { i++; j++; }
    else if (j === y.length || (i < x.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) marks[0][start + i++] = true;
    else marks[1][start + j++] = true;
  }
  return marks;
}

const dialog = document.getElementById("pair");
function showPair(samples) {
  showTexts(samples.map((sample) => {
    const named = every("summary .tag, summary .n", sample).map((part) => part.textContent);
    return { title: [sample.closest(".model").dataset.model, ...named].join(" · "), text: written(sample) };
  }));
}

// Two texts side by side, each below its title, with the words marked that only one of them has.
function showTexts(texts) {
  const words = texts.map(({ text }) => text.match(/\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? []);
  const marks = differing(...words);
  const columns = texts.map((each, side) => {
    const column = document.createElement("section");
    const title = document.createElement("h4");
    title.textContent = each.title;
    const text = document.createElement("pre");
    text.dir = "ltr";
    words[side].forEach((word, place) => {
      if (!marks[side][place] || !word.trim()) return text.append(word);
      const mark = document.createElement("mark");
      mark.textContent = word;
      text.append(mark);
    });
    text.normalize();
    column.append(title, text);
    return column;
  });
  dialog.querySelector(".pair").replaceChildren(...columns);
  dialog.showModal();
}

// j and k go from sample to sample, Enter opens one, the arrows go from question to question.
if (filters) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    if (event.target.closest?.(".scroll, .panels")) return; // arrows scroll there
    const step = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = every("#samples .sample > summary").filter((one) => one.checkVisibility());
    const at = all.indexOf(document.activeElement);
    let next = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + step))];
    if (event.key.startsWith("Arrow")) {
      const heads = all.filter((one, i) => i === 0 || one.closest(".question") !== all[i - 1].closest(".question"));
      const here = at < 0 ? -1 : heads.findIndex((one) => one.closest(".question") === all[at].closest(".question"));
      next = heads[Math.min(heads.length - 1, Math.max(0, here + step))];
    }
    if (!next) return;
    next.focus();
    (event.key.startsWith("Arrow") ? next.closest(".question") : next).scrollIntoView({ block: event.key.startsWith("Arrow") ? "start" : "nearest" });
    event.preventDefault();
  });
}

// The section in view is marked in the contents.
const links = new Map(every("nav.contents a").map((a) => [a.hash.slice(1), a]));
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-15% 0px -75% 0px" },
);
for (const section of document.querySelectorAll("main > section[id]")) watcher.observe(section);
