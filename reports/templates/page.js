"use strict";
// Sorting and filtering of tables, filtering of samples, the theme switch, copy buttons. The page reads
// well without any of it.

const root = document.documentElement;

document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// Numbers sort by the value behind the text, text sorts as people count (trial 2 before trial 10).
const compareText = new Intl.Collator("en", { numeric: true }).compare;

function compareCells(a, b) {
  if ("v" in a.dataset && "v" in b.dataset) return a.dataset.v - b.dataset.v;
  if ("v" in a.dataset !== "v" in b.dataset) return "v" in a.dataset ? -1 : 1;
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

function makeFilter(select) {
  select.addEventListener("change", () => {
    const table = document.querySelector(`table[data-key="${CSS.escape(select.dataset.table)}"]`);
    const wanted = [...document.querySelectorAll("select[data-table]")]
      .filter((other) => other.dataset.table === select.dataset.table && other.value)
      .map((other) => [Number(other.dataset.column), other.value]);
    for (const row of table.tBodies[0].rows) {
      row.hidden = wanted.some(([column, value]) => row.cells[column].textContent.trim() !== value);
    }
  });
}

const filters = document.getElementById("sample-filters");
if (filters) {
  const count = document.getElementById("sample-count");
  const questions = [...document.querySelectorAll(".question")];
  const apply = () => {
    const { benchmark, model, verdict, disagree, text } = filters.elements;
    const needle = text.value.trim().toLowerCase();
    let shown = 0;
    for (const question of questions) {
      const fits =
        (!benchmark.value || question.dataset.benchmark === benchmark.value) &&
        (!disagree.checked || question.dataset.disagree === "yes");
      let inside = 0;
      for (const part of question.querySelectorAll(".model")) {
        const modelFits = fits && (!model.value || part.dataset.model === model.value);
        let open = 0;
        for (const sample of part.querySelectorAll(".sample")) {
          const verdictFits =
            !verdict.value ||
            (verdict.value === "truncated"
              ? sample.dataset.truncated === "yes"
              : sample.dataset.verdict === verdict.value);
          const show = modelFits && verdictFits && (!needle || sample.textContent.toLowerCase().includes(needle));
          sample.hidden = !show;
          open += show;
        }
        part.hidden = open === 0;
        inside += open;
      }
      question.hidden = inside === 0;
      shown += inside;
    }
    count.textContent = `${shown.toLocaleString("en")} ${shown === 1 ? "sample" : "samples"}`;
  };
  filters.addEventListener("input", apply);
  filters.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

function makeCopy(button) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code); // left selected, for Ctrl-C
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// Makes a part of the page work; what a served page puts in later is activated by itself.
function activate(part) {
  part.querySelectorAll("table.sortable").forEach(makeSortable);
  part.querySelectorAll("select[data-table]").forEach(makeFilter);
  part.querySelectorAll("button.copy").forEach(makeCopy);
}
activate(document);

// The section in view is marked in the contents.
const links = new Map([...document.querySelectorAll("nav.contents a")].map((a) => [a.hash.slice(1), a]));
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
