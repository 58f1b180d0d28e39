
// Figures that answer: the values under the pointer or by the arrow keys, a key that takes lines out, noisy curves
// smoothed, a brush over parallel coordinates, and one trial lit in every figure and table. All of it is read from the
// drawings themselves: a curve's vertices and its axes' limits give its values.

const SVG = "http://www.w3.org/2000/svg";
const NEAR_CURVE = 30, NEAR_MARK = 14; // in units of the drawing, 1/72 inch
const NOISY = 20; // vertices from which on a curve can be smoothed

const tip = document.createElement("div");
tip.className = "tip";
tip.setAttribute("role", "status");
document.body.append(tip);
const pin = document.createElement("button");
pin.type = "button";
pin.className = "pinned";
pin.hidden = true;
pin.addEventListener("click", () => pinTo(""));
document.body.append(pin);

// A trial, by what its marks, curves and rows are tagged with, stands out everywhere; "" is none.
let pinned = "";
function light(of) {
  every(".lit").forEach((one) => one.classList.remove("lit"));
  every("svg.lighting").forEach((one) => one.classList.remove("lighting"));
  if (!of) return;
  for (const one of every(`[data-of="${CSS.escape(of)}"]`)) {
    one.classList.add("lit");
    one.closest("svg")?.classList.add("lighting");
  }
}

function pinTo(of, name = "") {
  pinned = of === pinned ? "" : of;
  pin.hidden = !pinned;
  pin.textContent = `${name} ×`;
  pin.setAttribute("aria-label", `${name} is highlighted; let go`);
  light(pinned);
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && pinned) pinTo("");
});
addEventListener("scroll", () => tip.classList.contains("shown") && placeTip(), { passive: true, capture: true });

// The points of a path: from one to the next in steps after "l", as "M" and "L" say otherwise.
function vertices(path) {
  const points = [];
  let command = "M", x = 0, y = 0, first = null;
  for (const [piece] of path.getAttribute("d").matchAll(/[MLl]|-?(?:\d+\.?\d*|\.\d+)/g)) {
    if (/[MLl]/.test(piece)) command = piece;
    else if (first === null) first = Number(piece);
    else {
      [x, y] = command === "l" ? [x + first, y + Number(piece)] : [first, Number(piece)];
      points.push([x, y]);
      first = null;
    }
  }
  return points;
}
// A step of training is a whole number, however far its curve goes.
const shortX = ({ xname }, value) => (xname === "training step" ? Math.round(value).toLocaleString("en") : short(value));
const short = (value) => (Number.isInteger(value) ? value : Number(value.toPrecision(3))).toLocaleString("en", { maximumSignificantDigits: 6 });

// From places in a drawing to values, by the limits that its axes are tagged with.
function readFrame(patch) {
  const box = patch.getBBox();
  const told = JSON.parse(patch.dataset.axes);
  const along = ([low, high], log, share) => (log ? low * (high / low) ** share : low + share * (high - low));
  return {
    ...told,
    box,
    valueX: (x) => along(told.x, told.log.includes("x"), (x - box.x) / box.width),
    valueY: (y) => along(told.y, told.log.includes("y"), 1 - (y - box.y) / box.height),
    placeY: (value) => box.y + box.height * (1 - (value - told.y[0]) / (told.y[1] - told.y[0])),
    placeX: (value) => box.x + ((value - told.x[0]) / (told.x[1] - told.x[0])) * box.width,
  };
}

// A row of a heat map is a curve through its cells, each with words of its own.
function readGrid(element, frame) {
  const { rows, columns, shares } = JSON.parse(element.dataset.grid);
  const box = element.getBBox();
  return rows.map((row, i) => ({
    element,
    frame,
    curve: true,
    points: columns.map((_, j) => [box.x + ((j + 0.5) * box.width) / columns.length, box.y + ((i + 0.5) * box.height) / rows.length]),
    tips: columns.map((column, j) => `${row} · ${column}: ${shares[i][j] === null ? "not asked" : `${shares[i][j]}% of samples correct`}`),
  }));
}

// What a drawing holds: curves with their vertices, and marks with one point each.
function readDrawing(svg) {
  const found = [];
  for (const patch of every("[data-axes]", svg)) {
    const frame = readFrame(patch);
    for (const element of every("[data-grid]", patch.parentElement)) found.push(...readGrid(element, frame));
    for (const element of every("[data-curve], [data-tip]", patch.parentElement)) {
      const path = "curve" in element.dataset ? element.querySelector(":scope > path") : null;
      let points = path ? vertices(path) : [];
      if (!points.length) {
        const box = (element.querySelector("use") ?? element).getBBox();
        points = [[box.x + box.width / 2, box.y + box.height / 2]];
      }
      found.push({ element, frame, points, curve: Boolean(path), ...element.dataset });
    }
  }
  return found.sort((a, b) => a.points[0][0] - b.points[0][0] || a.points[0][1] - b.points[0][1]);
}

// The vertex of a curve that is nearest along x, and how far the curve itself is from (x, y).
function onCurve({ points }, x, y) {
  const next = points.findIndex(([at]) => at >= x);
  if (next <= 0) {
    const end = next === 0 ? 0 : points.length - 1;
    return [end, Math.hypot(points[end][0] - x, points[end][1] - y)];
  }
  const [[x0, y0], [x1, y1]] = [points[next - 1], points[next]];
  const height = x1 > x0 ? y0 + ((x - x0) / (x1 - x0)) * (y1 - y0) : y1;
  return [x - x0 < x1 - x ? next - 1 : next, Math.abs(height - y)];
}

function nearest(drawing, x, y) {
  let best = null, least = Infinity;
  for (const series of drawing) {
    if (series.element.closest(".off, .out")) continue;
    const [vertex, away] = series.curve ? onCurve(series, x, y) : [0, Math.hypot(series.points[0][0] - x, series.points[0][1] - y)];
    const weighed = series.curve ? away + 0.01 : away; // a mark before the curve it sits on
    if (away <= (series.curve ? NEAR_CURVE : NEAR_MARK) && weighed < least) [best, least] = [{ series, vertex }, weighed];
  }
  return best;
}

function sentence({ series, vertex }) {
  const told = series.tips?.[vertex] ?? series.tip;
  if (told) return told;
  const { frame } = series;
  const [x, y] = series.points[vertex];
  const smoothed = series.element.smoothed ? `, smoothed ${short(frame.valueY(series.element.smoothed[vertex][1]))}` : "";
  return `${series.curve === undefined ? "" : series.element.dataset.curve} · ${frame.xname} ${shortX(frame, frame.valueX(x))}: ${short(frame.valueY(y))}${smoothed}`;
}

function show(svg, found) {
  every("svg.plot > .cursor").forEach((one) => one.remove());
  tip.classList.toggle("shown", Boolean(found));
  if (!found) {
    light(pinned);
    return;
  }
  const [x, y] = found.series.points[found.vertex];
  const dot = document.createElementNS(SVG, "circle");
  for (const [key, value] of Object.entries({ class: "cursor", cx: x, cy: y, r: 4 })) dot.setAttribute(key, value);
  svg.append(dot);
  const text = sentence(found);
  if (tip.textContent !== text) tip.textContent = text;
  placeTip();
  light(found.series.of ?? pinned);
}

// Beside the point that it tells of, wherever the page has been scrolled to.
function placeTip() {
  const dot = document.querySelector("svg.plot > .cursor");
  if (!dot) return;
  const at = new DOMPoint(dot.getAttribute("cx"), dot.getAttribute("cy"));
  const place = at.matrixTransform(dot.ownerSVGElement.getScreenCTM());
  tip.style.left = "0"; // measured where there is room
  const left = Math.min(innerWidth - tip.offsetWidth - 8, Math.max(8, place.x - tip.offsetWidth / 2));
  const above = place.y - tip.offsetHeight - 12;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : place.y + 14}px`;
}

function nameOf(series) {
  return series.element.dataset.curve ?? series.tip.split(/[:·]/)[0].trim();
}

function makeLive(panel) {
  const svg = panel.querySelector("svg.plot");
  if (!svg?.querySelector("[data-axes]") || !svg.querySelector("[data-curve], [data-tip], [data-grid]")) return;
  let drawing = null, at = null;
  const read = () => (drawing ??= readDrawing(svg));
  const under = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return nearest(read(), place.x, place.y);
  };
  svg.classList.add("answers-pointer");
  svg.addEventListener("pointermove", (event) => !svg.classList.contains("brushing") && show(svg, (at = under(event))));
  svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && show(svg, (at = null)));
  svg.addEventListener("click", (event) => {
    const found = under(event);
    if (found?.series.of) pinTo(found.series.of, nameOf(found.series));
  });
  panel.tabIndex = 0;
  panel.setAttribute("role", "group");
  panel.setAttribute("aria-label", `${panel.dataset.panel}: arrow keys tell its values, Enter keeps a trial highlighted`);
  panel.addEventListener("blur", () => show(svg, (at = null)));
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at?.series.of) return pinTo(at.series.of, nameOf(at.series));
    const [along, across] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    if (!along && !across) return;
    event.preventDefault();
    event.stopPropagation();
    const shown = read().filter((series) => !series.element.closest(".off, .out"));
    if (!shown.length) return;
    const place = at ? shown.indexOf(at.series) : -1;
    const inside = place >= 0 && along && at.vertex + along in at.series.points;
    if (inside) at = { series: at.series, vertex: at.vertex + along };
    else if (place < 0 || across || !at.series.curve) {
      const series = shown[place < 0 ? 0 : (place + (along || across) + shown.length) % shown.length];
      at = { series, vertex: at ? Math.min(at.vertex, series.points.length - 1) : 0 };
    }
    show(svg, at);
  });
}

// An entry of the key is a switch for what it stands for: what is tagged with it, else what has its colour.
function makeKey(figure) {
  for (const entry of every(".key li", figure)) {
    const { entry: name, colour } = entry.dataset;
    const tagged = figure.querySelector("svg.plot [data-entry]");
    const own = tagged
      ? every(`svg.plot [data-entry="${CSS.escape(name)}"]`, figure)
      : every(`svg.plot [stroke="${colour}"], svg.plot [fill="${colour}"]`, figure).filter((one) => !one.closest("defs"));
    if (!own.length || every(".key li", figure).length < 2 || (!tagged && entry.dataset.neutral)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.title = "Show or hide";
    button.append(...entry.childNodes);
    entry.append(button);
    button.addEventListener("click", () => {
      const off = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!off));
      own.forEach((one) => one.classList.toggle("off", off));
    });
  }
}

// A running mean that forgets by ``keep`` per unit of x, taken from both sides: it does not lag behind a trend.
function smooth(points, keep, valueX) {
  const there = runningMean(points, keep, valueX);
  const back = runningMean(points.toReversed(), keep, valueX).toReversed();
  return points.map(([x], i) => [x, (there[i] + back[i]) / 2]);
}

function runningMean(points, keep, valueX) {
  let mean = 0, weight = 0, before = null;
  return points.map(([x, y]) => {
    const kept = keep ** (before === null ? 1 : Math.max(1, Math.abs(valueX(x) - before)));
    before = valueX(x);
    mean = mean * kept + y * (1 - kept);
    weight = weight * kept + 1 - kept;
    return mean / weight;
  });
}

function makeSmooth(figure) {
  const noisy = every('svg.plot [data-curve]:not([data-curve="forecast"]) > path', figure).filter(
    (path) => path.parentElement.parentElement.querySelector('[data-axes*="training step"]') && vertices(path).length > NOISY,
  );
  if (!noisy.length) return;
  const label = document.createElement("label");
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 0.98, step: 0.02, value: 0, className: "smoothing" });
  const told = document.createElement("output");
  told.textContent = "off";
  label.append("Smoothing ", slider, told);
  figure.querySelector(".block-head").append(label);
  slider.addEventListener("input", () => {
    const keep = Number(slider.value);
    told.textContent = keep ? keep.toFixed(2) : "off";
    for (const path of noisy) {
      const group = path.parentElement;
      group.querySelector(":scope > .smoothed")?.remove();
      path.classList.toggle("raw", keep > 0);
      group.smoothed = null;
      if (!keep) continue;
      const { valueX } = readFrame(group.parentElement.querySelector("[data-axes]"));
      group.smoothed = smooth(vertices(path), keep, valueX);
      const drawn = path.cloneNode();
      drawn.setAttribute("class", "smoothed");
      drawn.setAttribute("d", group.smoothed.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join(""));
      group.append(drawn);
    }
  });
}

// What an axis of parallel coordinates has at a height between 0 and 1, in words.
function valueAt({ choices, ends, log }, height) {
  if (choices) return choices[Math.round(height * (choices.length - 1))];
  const [low, high] = [ends[0], ends.at(-1)];
  return short(log ? low * (high / low) ** height : low + height * (high - low));
}

// Dragged along an axis of parallel coordinates, or set with its two sliders, a brush keeps the trials that pass
// through it, in the table too.
function makeBrush(figure) {
  const svg = figure.querySelector('svg.plot [data-axes*=\'"brush"\']')?.closest("svg");
  if (!svg) return;
  const told = Object.assign(document.createElement("output"), { className: "brushed" });
  const reset = Object.assign(document.createElement("button"), { type: "button", className: "tool", textContent: "All trials", hidden: true });
  figure.querySelector(".block-head").append(told, reset);
  figure.querySelector("figcaption").append(" Drag along an axis to keep the trials that pass there; click the axis to let go.");
  const brushes = new Map(); // axis -> { rect, low, high } in the drawing's own units
  const scales = JSON.parse(svg.querySelector("[data-axes]").dataset.axes).brush;
  let frame = null, drawing = null, dragged = null;
  const ranges = makeRanges(scales, (axis, least, most) => {
    readOnce();
    if (least <= 0 && most >= 1) drop(axis);
    else keep(axis, frame.placeY(most), frame.placeY(least));
    narrow();
  });
  figure.querySelector(".panels").after(ranges.element);
  const readOnce = () => {
    frame ??= readFrame(svg.querySelector("[data-axes]"));
    drawing ??= readDrawing(svg).filter((series) => series.curve);
  };
  const narrow = () => {
    const inside = (series) => [...brushes].every(([axis, { low, high }]) =>
      series.points.some(([x, y]) => Math.round(frame.valueX(x)) === axis && y >= low - 0.5 && y <= high + 0.5));
    const kept = drawing.filter(inside).map((series) => series.of);
    const sweep = drawing[0].of.replace(/\d+$/, ""); // a trial without a value is not among its lines, and not kept
    for (const one of every(`[data-of^="${CSS.escape(sweep)}"]`)) {
      one.classList.toggle("out", brushes.size > 0 && !kept.includes(one.dataset.of));
    }
    told.textContent = brushes.size ? `${kept.length} of ${drawing.length} trials` : "";
    reset.hidden = !brushes.size;
    scales.forEach((_, axis) => {
      const brush = brushes.get(axis);
      ranges.set(axis, brush ? frame.valueY(brush.high) : 0, brush ? frame.valueY(brush.low) : 1);
    });
  };
  const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const drop = (axis) => {
    brushes.get(axis)?.rect.remove();
    brushes.delete(axis);
  };
  const keep = (axis, low, high) => {
    if (!brushes.has(axis)) {
      const rect = document.createElementNS(SVG, "rect");
      rect.setAttribute("class", "brush");
      svg.append(rect);
      brushes.set(axis, { rect });
    }
    const brush = Object.assign(brushes.get(axis), { low, high });
    const box = { x: frame.placeX(axis) - 6, y: low - 1, width: 12, height: high - low + 2, rx: 2 };
    for (const [key, value] of Object.entries(box)) brush.rect.setAttribute(key, value);
  };
  svg.classList.add("brushable");
  svg.addEventListener("pointerdown", (event) => {
    readOnce();
    const { x, y } = place(event);
    const axis = Math.round(frame.valueX(x));
    if (Math.abs(frame.placeX(axis) - x) > 12 || !(axis in scales)) return;
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("brushing");
    show(svg, null);
    drop(axis);
    dragged = { axis, from: y };
  });
  svg.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    const { y } = place(event);
    if (!brushes.has(dragged.axis) && Math.abs(y - dragged.from) < 2) return;
    keep(dragged.axis, Math.min(y, dragged.from), Math.max(y, dragged.from));
    narrow();
  });
  const end = () => {
    if (!dragged) return;
    dragged = null;
    svg.classList.remove("brushing");
    narrow();
  };
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", end);
  reset.addEventListener("click", () => {
    [...brushes.keys()].forEach(drop);
    narrow();
  });
}

// Two sliders for each axis, for whoever has no pointer; ``changed`` is told an axis and its range within 0 and 1.
function makeRanges(scales, changed) {
  const element = Object.assign(document.createElement("details"), { className: "ranges" });
  element.append(Object.assign(document.createElement("summary"), { textContent: "Keep trials by range" }));
  const rows = scales.map((scale, axis) => {
    const steps = scale.choices ? Math.max(1, scale.choices.length - 1) : 50;
    const line = document.createElement("div");
    const told = document.createElement("output");
    const [least, most] = [["least", 0], ["most", steps]].map(([end, value]) => {
      const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: steps, value });
      slider.setAttribute("aria-label", `${scale.name}, ${end}`);
      return slider;
    });
    const tell = () => {
      const [from, to] = [least, most].map((slider) => valueAt(scale, slider.value / steps));
      told.textContent = from === to ? from : `${from} to ${to}`;
      least.setAttribute("aria-valuetext", from);
      most.setAttribute("aria-valuetext", to);
    };
    for (const slider of [least, most]) {
      slider.addEventListener("input", () => {
        if (Number(least.value) > Number(most.value)) (slider === least ? most : least).value = slider.value;
        changed(axis, least.value / steps, most.value / steps);
      });
    }
    line.append(Object.assign(document.createElement("span"), { textContent: scale.name }), least, most, told);
    element.append(line);
    tell();
    return { least, most, steps, tell };
  });
  const set = (axis, low, high) => {
    const { least, most, steps, tell } = rows[axis];
    least.value = Math.round(low * steps);
    most.value = Math.round(high * steps);
    tell();
  };
  return { element, set };
}

function activateFigures(part) {
  every("figure.block", part).forEach((figure) => {
    every(".panel", figure).forEach(makeLive);
    makeKey(figure);
    makeSmooth(figure);
    makeBrush(figure);
  });
  for (const row of every("tr[data-of]", part)) {
    row.addEventListener("pointerenter", () => light(row.dataset.of));
    row.addEventListener("pointerleave", () => light(pinned));
    row.addEventListener("click", (event) => {
      if (!event.target.closest("a") && getSelection().isCollapsed) pinTo(row.dataset.of, row.dataset.name);
    });
  }
  if (pinned) light(pinned);
}
activateFigures(document);
