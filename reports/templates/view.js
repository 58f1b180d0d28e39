
// What only the view does: a page about something that runs puts in what has changed, and keys walk samples.

const seconds = Number(document.body.dataset.refresh);
if (seconds) {
  const lamp = document.getElementById("live");
  const busy = () =>
    document.hidden ||
    !getSelection().isCollapsed ||
    ["INPUT", "SELECT"].includes(document.activeElement?.tagName);
  // What somebody has opened, sorted or scrolled stays: a part is exchanged only where it differs.
  const exchange = (old, fresh) => {
    if (old.isEqualNode(fresh) || old.dataset.was === fresh.outerHTML) return;
    const was = fresh.outerHTML;
    const opened = [...old.querySelectorAll("details")].map((one) => one.open);
    const scrolled = [...old.querySelectorAll(".scroll, .log, .panels")].map((one) => [one.scrollLeft, one.scrollTop]);
    old.replaceWith(fresh);
    [...fresh.querySelectorAll("details")].forEach((one, i) => (one.open = opened[i] ?? one.open));
    [...fresh.querySelectorAll(".scroll, .log, .panels")].forEach((one, i) => scrolled[i] && one.scrollTo(...scrolled[i]));
    fresh.dataset.was = was;
    activate(fresh);
    activateFigures(fresh);
    makeComparable(fresh);
  };
  const again = async () => {
    if (!busy()) {
      try {
        const answer = await fetch(location.href);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const parts = (from) => [...from.querySelectorAll("main > header, main > section")];
        const [now, next] = [parts(document), parts(page)];
        if (now.map((one) => one.id).join() === next.map((one) => one.id).join()) {
          now.forEach((one, i) => exchange(one, document.importNode(next[i], true)));
        } else {
          const main = document.importNode(page.querySelector("main"), true);
          document.querySelector("main").replaceWith(main);
          activate(main);
          activateFigures(main);
          makeComparable(main);
        }
        lamp.className = "live";
        lamp.textContent = "live";
        if (!page.body.dataset.refresh) {
          lamp.remove();
          return;
        }
      } catch {
        lamp.className = "live lost";
        lamp.textContent = "no answer: is harness view still running?";
      }
    }
    setTimeout(again, 1000 * seconds);
  };
  setTimeout(again, 1000 * seconds);
}

// j and k, or the arrows, walk through a list or from sample to sample; Enter opens.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
  const rows = [...document.querySelectorAll("ol.samples .row")];
  const step = { j: 1, k: -1 }[event.key] ?? (rows.length ? 0 : { ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0);
  const turn = { ArrowRight: "next", ArrowLeft: "prev" }[event.key];
  if (rows.length && step) {
    const at = rows.indexOf(document.activeElement);
    rows[Math.min(rows.length - 1, Math.max(0, at + step))].focus();
    event.preventDefault();
  } else if (step || turn) {
    document.querySelector(`a[rel="${turn ?? (step > 0 ? "next" : "prev")}"]`)?.click();
  }
});

// Two ticked samples side by side: what a row leads to is asked for, or opens below it in a copy.
async function sampleOf(item) {
  const row = item.querySelector(".row");
  const name = every(".who > *, .tag", row).map((part) => part.textContent).join(" · ");
  let body = item.querySelector(".sample-body");
  if (!body) {
    const page = new DOMParser().parseFromString(await (await fetch(row.href)).text(), "text/html");
    body = page.querySelector(".sample-body");
  }
  const response = document.createElement("div"); // what follows the last heading
  for (let part = every("h2", body).at(-1).nextElementSibling; part; part = part.nextElementSibling) response.append(part.cloneNode(true));
  return { title: name, text: written(response) };
}

function makeComparable(part) {
  for (const item of dialog ? every("ol.samples > li:not(.none)", part) : []) {
    const label = document.createElement("label");
    label.className = "mark-pair";
    const box = Object.assign(document.createElement("input"), { type: "checkbox" });
    label.append(box, " compare");
    item.prepend(label);
    box.addEventListener("change", async () => {
      const ticked = every("ol.samples .mark-pair input:checked");
      if (ticked.length < 2) return;
      ticked.forEach((one) => (one.checked = false));
      showTexts(await Promise.all(ticked.map((one) => sampleOf(one.closest("li")))));
    });
  }
}
makeComparable(document);
