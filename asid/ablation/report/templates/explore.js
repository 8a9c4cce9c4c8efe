// What can be touched on the page. Without this script the page is complete: it only adds.
"use strict";
(() => {
const study = JSON.parse(document.getElementById("explorable").textContent);
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "circle", "path", "text"].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
const decimals = (value, digits) => value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
const signed = (value, digits) => (value >= 0 ? "+" : "") + decimals(value, digits);
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;

// Tables: a click on a header sorts; a field above filters.

function number(text) {
  const value = parseFloat(text.replace(/[\s ]/g, "").replace("−", "-").replace(/^[<\[]/, ""));
  return Number.isNaN(value) ? null : value;
}
function sort(table, column, header) {
  const up = header.getAttribute("aria-sort") === "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  const texts = new Map(rows.map(row => [row, row.cells[column].innerText.trim()]));
  const numeric = rows.some(row => number(texts.get(row)) !== null) && column > 0;
  const value = row => numeric ? number(texts.get(row)) : texts.get(row).toLowerCase();
  rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
  });
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const act = () => sort(table, column, header);
    header.tabIndex = 0;
    header.title = "Sort";
    header.addEventListener("click", act);
    header.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); }
    });
  });
  if (table.tBodies[0].rows.length < 4) continue;
  const filter = element("input", {
    type: "search", class: "filter", placeholder: "Filter rows", "aria-label": "Filter rows",
    oninput: () => {
      const wanted = filter.value.toLowerCase().split(/\s+/);
      for (const row of table.tBodies[0].rows) {
        const text = row.innerText.toLowerCase();
        row.hidden = !wanted.every(word => text.includes(word));
      }
    },
  });
  table.closest(".scroll").before(filter);
}

// Each figure to download. An SVG is kept as text: as an address it is a third larger.

for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("script");
  const url = URL.createObjectURL(new Blob([svg.textContent], { type: svg.type }));
  figure.append(element("p", { class: "downloads" },
    element("a", { href: url, download: `${figure.id}.svg` }, "SVG"),
    element("a", { href: figure.querySelector("img").src, download: `${figure.id}.png` }, "PNG")));
}

// The card of a run.

function card(run) {
  const variant = study.variants.find(other => other.name === run.variant);
  const dialog = element("dialog", { class: "card", "aria-label": `${run.variant}, seed ${run.seed}` });
  const facts = [
    ["change", variant.change],
    ["control of", variant.control],
    ["parameters", variant.parameters.toLocaleString("en").replaceAll(",", " ")],
    ["multiply-adds", `${variant.macs.toFixed(1)} G for ${study.output.join("×")}`],
    ["steps", String(run.steps)],
    ["training", run.seconds === null ? null : `${Math.round(run.seconds)} s`],
    ...Object.entries(run.scores).map(([data, scores]) => [data,
      `${decimals(scores.psnr, 3)} dB, SSIM ${decimals(scores.ssim, 4)}` +
      (scores.psnr_uniform_maps == null ? "" : `, map use ${decimals(scores.psnr - scores.psnr_uniform_maps, 2)} dB`)]),
  ].filter(([, value]) => value && value !== "–");
  const links = element("p", { class: "downloads" },
    element("a", { href: encodeURI(`${run.folder}/record.json`) }, "record.json"),
    ...(run.notebook ? [element("a", { href: encodeURI(`${run.folder}/run.ipynb`) }, "executed notebook")] : []));
  const list = element("dl");
  for (const [name, value] of facts) list.append(element("dt", {}, name), element("dd", {}, value));
  dialog.append(
    element("h3", {}, `${run.variant}, seed ${run.seed}`), list, curve(run), links,
    element("button", { onclick: () => dialog.close() }, "Close"));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}
function curve(run) {
  if (run.curve.length < 2) return "";
  const [width, height, edge] = [440, 130, 34];
  const [steps, psnr] = [run.curve.map(point => point[0]), run.curve.map(point => point[1])];
  const [low, high] = [Math.min(...psnr), Math.max(...psnr)];
  const x = step => edge + (width - edge - 8) * (step - steps[0]) / (steps.at(-1) - steps[0] || 1);
  const y = value => height - 20 - (height - 32) * (value - low) / (high - low || 1);
  return element("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img",
    "aria-label": `Validation PSNR from ${decimals(low, 2)} to ${decimals(high, 2)} dB` },
    element("path", { d: "M" + run.curve.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join("L") }),
    element("text", { x: 0, y: y(high) + 4 }, decimals(high, 2)), element("text", { x: 0, y: y(low) + 4 }, decimals(low, 2)),
    element("text", { x: edge, y: height - 4 }, `validation PSNR (dB), steps ${steps[0]} to ${steps.at(-1)}`));
}

// The chart: every training, by what it costs and what it brings.

const AXES = {
  macs: `multiply-adds (G), ${study.output.join("×")} output`,
  parameters: "parameters (thousands)",
  latency: "time in the network (ms an image)",
};
const place = { parameters: variant => variant.parameters / 1000, macs: variant => variant.macs, latency: variant => variant.latency };

function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9; tick += step) found.push(tick);
  return [found, Math.max(0, -Math.floor(Math.log10(step)))];
}
function draw(data, axis, withReferences, chart, tooltip) {
  const [width, height, left, right, bottom, top] = [900, 430, 58, 150, 48, 14];
  const runs = study.runs.filter(run => run.scores[data]?.psnr != null);
  const variants = study.variants.filter(variant => place[axis](variant) !== null && runs.some(run => run.variant === variant.name));
  const xs = variants.map(place[axis]), lines = withReferences ? Object.entries(study.lines[data]).filter(([, psnr]) => psnr !== null) : [];
  const ys = [...runs.map(run => run.scores[data].psnr), ...lines.map(([, psnr]) => psnr)];
  const room = (values, share) => {
    const [low, high] = [Math.min(...values), Math.max(...values)], more = share * (high - low || Math.abs(high) || 1);
    return [low - more, high + more];
  };
  const [x0, x1] = room(xs, 0.08), [y0, y1] = room(ys, 0.06);
  const x = value => left + (width - left - right) * (value - x0) / (x1 - x0);
  const y = value => height - bottom - (height - bottom - top) * (value - y0) / (y1 - y0);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `PSNR on ${data} against ${AXES[axis]}` });
  const [across, digitsX] = ticks(x0, x1), [along, digitsY] = ticks(y0, y1);
  for (const tick of along) svg.append(element("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
    element("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, decimals(tick, digitsY)));
  for (const tick of across) svg.append(element("text", { x: x(tick), y: height - bottom + 18, "text-anchor": "middle" }, decimals(tick, digitsX)));
  svg.append(element("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, AXES[axis]),
    element("text", { transform: `translate(14 ${(height - bottom + top) / 2}) rotate(-90)`, "text-anchor": "middle" }, `PSNR (dB), ${data}`));
  for (const [name, psnr] of lines) svg.append(element("line", { class: "reference", x1: left, x2: width - right, y1: y(psnr), y2: y(psnr) }),
    element("text", { x: width - right + 6, y: y(psnr) + 4 }, `${name} ${decimals(psnr, 2)}`));
  const baseOf = new Map(runs.filter(run => run.variant === study.base).map(run => [run.seed, run.scores[data].psnr]));
  const taken = [];
  for (const variant of variants) {
    const colour = variant.colour ?? "var(--soft)";
    const own = runs.filter(run => run.variant === variant.name);
    const centre = [x(place[axis](variant)), y(mean(own.map(run => run.scores[data].psnr)))];
    for (const run of own) {
      const psnr = run.scores[data].psnr, base = baseOf.get(run.seed);
      const text = `${variant.name}, seed ${run.seed}: ${decimals(psnr, 3)} dB` +
        (variant.name === study.base || base === undefined ? "" : `, ${signed(psnr - base, 3)} against ${study.base}`);
      const show = event => {
        tooltip.textContent = text;
        const box = chart.getBoundingClientRect(), point = event.target.getBoundingClientRect();
        tooltip.hidden = false;
        tooltip.style.left = `${Math.min(point.left - box.left + 14, box.width - tooltip.offsetWidth)}px`;
        tooltip.style.top = `${point.top - box.top - tooltip.offsetHeight - 4}px`;
      };
      const hide = () => { tooltip.hidden = true; };
      svg.append(element("circle", { class: "run", cx: centre[0], cy: y(psnr), r: 6, fill: colour, tabindex: 0, role: "button", "aria-label": text,
        onpointerenter: show, onpointerleave: hide, onfocus: show, onblur: hide,
        onclick: () => { hide(); card(run); }, onkeydown: event => { if (event.key === "Enter") { hide(); card(run); } } }));
    }
    svg.append(element("line", { class: "mean", stroke: colour, x1: centre[0] - 11, x2: centre[0] + 11, y1: centre[1], y2: centre[1] }));
    let [labelX, labelY] = [centre[0] + 14, centre[1] + 4];
    const labelEnd = labelX + 7.5 * variant.name.length;
    while (taken.some(([start, end, other]) => start < labelEnd && labelX < end && Math.abs(other - labelY) < 14)) labelY += 14;
    taken.push([labelX, labelEnd, labelY]);
    svg.append(element("text", { class: "label", x: labelX, y: labelY }, variant.name));
  }
  chart.replaceChildren(svg, tooltip);
}
function choice(label, options, act) {
  const select = element("select", { onchange: () => act(select.value) },
    ...options.map(([value, text]) => element("option", { value }, text)));
  return [element("label", {}, `${label} `, select), select];
}
{
  const chart = element("div", { class: "chart" }), tooltip = element("div", { class: "tooltip", role: "status", hidden: true });
  const untrained = Object.keys(study.lines[study.sets[0]]);
  const known = Object.keys(AXES).filter(axis => study.variants.some(variant => place[axis](variant) !== null));
  const update = () => draw(data.value, axis.value, references.checked, chart, tooltip);
  const references = element("input", { type: "checkbox", onchange: update });
  const [dataLabel, data] = choice("on", study.sets.map(name => [name, name]), update);
  const [axisLabel, axis] = choice("against", known.map(name => [name, AXES[name]]), update);
  document.getElementById("chart").append(element("p", { class: "controls" }, dataLabel, axisLabel, ...(untrained.length ? [element("label", {}, references, ` with ${untrained.join(" and ")}`)] : [])), chart,
    element("p", { class: "hint" }, "A point is one training; the dash is the mean of its variant. Hover for its numbers, click for its card."));
  update();
}

// Samples: one detail, two variants, a divider between them, zoom for both.

if (study.samples.length) {
  document.getElementById("samples").hidden = false;
  const frame = element("div", { class: "frame" }), note = element("p", { class: "hint" });
  const view = { zoom: 1, x: 0.5, y: 0.5, divider: 0.5 };
  const canvases = ["left", "right"].map(side => element("canvas", { class: side }));
  const knob = element("div", { class: "knob", tabindex: 0, role: "slider", "aria-label": "Divider", "aria-valuemin": 0, "aria-valuemax": 100 });
  const captions = ["left", "right"].map(side => element("span", { class: `caption ${side}` }));
  frame.append(...canvases, knob, ...captions);
  const describe = sample => `${sample.image}${study.sets.length > 1 ? ` (${sample.data})` : ""}` +
    (sample.change === null ? "" : ` ${signed(sample.change, 2)} dB`);
  const [sampleLabel, chosen] = choice("image", study.samples.map((sample, index) => [index, describe(sample)]), show);
  const names = [...new Set(study.samples.flatMap(sample => sample.crops.map(crop => crop.name)))];
  const [leftLabel, left] = choice("left", names.map(name => [name, name]), show);
  const [rightLabel, right] = choice("right", names.map(name => [name, name]), show);
  const error = element("input", { type: "checkbox", onchange: show });
  left.value = names.includes("bicubic") ? "bicubic" : names[0];
  right.value = names.includes(study.base) ? study.base : names.at(-1);
  document.getElementById("browser").append(
    element("p", { class: "controls" }, sampleLabel, leftLabel, rightLabel, element("label", {}, error, " error (SR − HR), ×8")), frame, note);

  async function pixels(crop) {
    const image = new Image();
    image.src = `data:image/png;base64,${crop.png}`;
    await image.decode();
    const canvas = element("canvas", { width: image.width, height: image.height });
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [canvas, context.getImageData(0, 0, image.width, image.height)];
  }
  async function show() {
    const sample = study.samples[chosen.value];
    const [, original] = await pixels(sample.crops[0]);
    for (const [index, name] of [left.value, right.value].entries()) {
      const crop = sample.crops.find(other => other.name === name);
      captions[index].textContent = crop ? crop.name + (crop.psnr === null ? "" : ` ${decimals(crop.psnr, 2)} dB`) : `${name}: no image`;
      const target = canvases[index], context = target.getContext("2d");
      [target.width, target.height] = [original.width, original.height];
      if (!crop) continue;
      const [, found] = await pixels(crop);
      if (error.checked) found.data.forEach((value, i) => {
        if (i % 4 < 3) found.data[i] = 128 + 8 * (value - original.data[i]);
      });
      context.putImageData(found, 0, 0);
    }
    frame.style.aspectRatio = `${original.width} / ${original.height}`;
    note.textContent = "Drag the divider, or use the arrow keys on it. Wheel or double click zooms both sides; drag the picture to move it. " +
      (sample.whole ? `The whole image, ${original.width}×${original.height} pixels.` : `The ${original.width}×${original.height} pixels with the strongest edges of the image; PSNR is of the whole image.`) + " Grey in the error map: no error.";
    update();
  }
  function update() {
    view.x = Math.min(1 - 0.5 / view.zoom, Math.max(0.5 / view.zoom, view.x));
    view.y = Math.min(1 - 0.5 / view.zoom, Math.max(0.5 / view.zoom, view.y));
    for (const canvas of canvases) {
      canvas.style.transform = `translate(${(0.5 - view.x * view.zoom) * 100}%, ${(0.5 - view.y * view.zoom) * 100}%) scale(${view.zoom})`;
    }
    // The clip is in the coordinates of the untransformed canvas.
    const cut = 100 * ((view.divider - 0.5) / view.zoom + view.x);
    canvases[1].style.clipPath = `inset(0 0 0 ${Math.min(100, Math.max(0, cut))}%)`;
    knob.style.left = `${100 * view.divider}%`;
    knob.setAttribute("aria-valuenow", Math.round(100 * view.divider));
  }
  const inside = event => {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  function zoom(factor, [px, py]) {
    const before = view.zoom;
    view.zoom = Math.min(10, Math.max(1, view.zoom * factor));
    view.x += (px - 0.5) * (1 / before - 1 / view.zoom);
    view.y += (py - 0.5) * (1 / before - 1 / view.zoom);
    update();
  }
  frame.addEventListener("wheel", event => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, inside(event)); }, { passive: false });
  frame.addEventListener("dblclick", event => zoom(view.zoom > 5 ? 0.01 : 2, inside(event)));
  let held = null;
  frame.addEventListener("pointerdown", event => {
    held = { divider: event.target === knob, from: inside(event), x: view.x, y: view.y };
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", event => {
    if (!held) return;
    const [px, py] = inside(event);
    if (held.divider) view.divider = Math.min(1, Math.max(0, px));
    else [view.x, view.y] = [held.x - (px - held.from[0]) / view.zoom, held.y - (py - held.from[1]) / view.zoom];
    update();
  });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { held = null; });
  knob.addEventListener("keydown", event => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    view.divider = Math.min(1, Math.max(0, view.divider + step));
    update();
  });
  show();
}
})();
