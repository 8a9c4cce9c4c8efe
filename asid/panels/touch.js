// Cards with an image and a map over it, drawn here, so that a move of the pointer needs no picture from the kernel.
//
// Coordinates are LR pixels: pixel (r, c) covers rows r to r + 1 and columns c to c + 1. A map is a table of cells in
// some rows and columns of the image; the kernel has coloured it, and its values are only shown under the pointer.

const RED = "#d62728";

function element(name, className, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}
const bytes = view => new Uint8ClampedArray(view.buffer, view.byteOffset, view.byteLength);
const number = value => Number(value.toPrecision(3)).toString();

class Cells {
  // The cells of a map, decoded once for each message.
  constructor(map) {
    this.rows = map.rows;
    this.columns = map.columns;
    this.side = map.side;
    const raster = new OffscreenCanvas(this.columns.length, this.rows.length);
    const image = new ImageData(bytes(map.colours), this.columns.length, this.rows.length);
    raster.getContext("2d").putImageData(image, 0, 0);
    this.raster = raster;
    this.colours = image.data;
    const { buffer, byteOffset, byteLength } = map.values;
    this.values = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  }
  draw(context) {
    const [height, width] = [this.rows.length, this.columns.length];
    const last = list => list[list.length - 1] - list[0] + 1;
    if (last(this.rows) === height && last(this.columns) === width && this.side === 1) {
      context.drawImage(this.raster, this.columns[0], this.rows[0], width, height);
      return;
    }
    context.strokeStyle = "white";
    context.lineWidth = 0.06 * this.side;
    this.rows.forEach((row, i) => this.columns.forEach((column, j) => {
      const [red, green, blue, alpha] = this.colours.subarray(4 * (i * width + j));
      const corner = [column + 0.5 - this.side / 2, row + 0.5 - this.side / 2, this.side, this.side];
      context.fillStyle = `rgba(${red},${green},${blue},${alpha / 255})`;
      context.fillRect(...corner);
      context.strokeRect(...corner);
    }));
  }
  // The cell under a place: its row, column and value.
  at(row, column) {
    const near = (list, at) => list.findIndex(start => Math.abs(start + 0.5 - at) <= this.side / 2);
    const [i, j] = [near(this.rows, row), near(this.columns, column)];
    if (i < 0 || j < 0) return null;
    return [this.rows[i], this.columns[j], this.values[i * this.columns.length + j]];
  }
}

class Canvas {
  constructor(className) {
    this.node = element("canvas", className);
    this.context = this.node.getContext("2d");
  }
  // Begin to draw the part [top, left, bottom, right] of the image.
  begin([top, left, bottom, right]) {
    this.part = [top, left, bottom, right];
    this.node.style.aspectRatio = `${right - left} / ${bottom - top}`;
    const width = Math.max(1, Math.round(this.node.clientWidth * (window.devicePixelRatio || 1)));
    const height = Math.max(1, Math.round(width * (bottom - top) / (right - left)));
    if (this.node.width !== width || this.node.height !== height) [this.node.width, this.node.height] = [width, height];
    const scale = width / (right - left);
    this.context.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    this.context.imageSmoothingEnabled = false;
    this.context.clearRect(left, top, right - left, bottom - top);
    this.pixel = 1 / scale * (window.devicePixelRatio || 1);
    return this.context;
  }
  ground(photo, kind) {
    const [top, left, bottom, right] = this.part;
    this.context.fillStyle = "white";
    this.context.fillRect(left, top, right - left, bottom - top);
    if (kind === "none" || !photo) return;
    this.context.save();
    if (kind === "pale") [this.context.filter, this.context.globalAlpha] = ["grayscale(1)", 0.45];
    this.context.drawImage(photo, 0, 0);
    this.context.restore();
  }
  // Where a pointer is, in rows and columns of the image.
  place(event) {
    const box = this.node.getBoundingClientRect();
    const [top, left, bottom, right] = this.part;
    return [
      top + (event.clientY - box.top) / box.height * (bottom - top),
      left + (event.clientX - box.left) / box.width * (right - left),
    ];
  }
}

class Card {
  constructor(view, card) {
    this.view = view;
    this.title = element("div", "asid-touch-title");
    this.canvas = new Canvas("asid-touch-large");
    this.readout = element("div", "asid-touch-readout");
    this.bar = element("canvas", "asid-touch-colours");
    this.low = element("span", "");
    this.high = element("span", "");
    this.label = element("span", "asid-touch-label");
    this.legend = element("div", "asid-touch-bar", this.low, this.bar, this.high);
    this.multiples = element("div", "asid-touch-multiples");
    this.small = card.multiples.map(multiple => this.table(multiple));
    const main = [this.title, this.canvas.node, this.readout, this.legend, this.label];
    if (this.small.length) {
      this.node = element("div", "asid-touch-card asid-touch-many", element("div", "asid-touch-main", ...main), this.multiples);
    } else this.node = element("div", "asid-touch-card", ...main);
    this.canvas.node.addEventListener("pointermove", event => this.hover(event));
    this.canvas.node.addEventListener("pointerleave", () => { this.readout.textContent = this.data.note; });
    this.canvas.node.addEventListener("pointerdown", event => this.data.touch && view.start(event, this.canvas));
  }
  // Small maps in a table of groups and steps.
  table(multiple) {
    const items = multiple.items.map((item, index) => {
      const canvas = new Canvas("");
      const button = element("button", "asid-touch-small", canvas.node);
      button.addEventListener("click", () => this.view.choose(this.data.multiples[this.small.indexOf(found)].items[index].key));
      return { canvas, button };
    });
    const grid = element("div", "asid-touch-grid", ...items.map(item => item.button));
    grid.style.gridTemplateColumns = `repeat(${multiple.columns}, minmax(0, 1fr))`;
    const found = { items };
    this.multiples.append(element("div", "asid-touch-table", element("div", "asid-touch-name", multiple.name), grid));
    return found;
  }
  update(data) {
    this.data = data;
    this.cells = data.map && new Cells(data.map);
    this.title.textContent = data.title;
    this.readout.textContent = data.note;
    this.canvas.node.classList.toggle("asid-touch-target", data.touch);
    this.legend.hidden = this.label.hidden = !data.bar;
    if (data.bar) {
      [this.low.textContent, this.high.textContent, this.label.textContent] = [data.bar.low, data.bar.high, data.bar.label];
      const colours = bytes(data.bar.colours);
      [this.bar.width, this.bar.height] = [colours.length / 4, 1];
      this.bar.getContext("2d").putImageData(new ImageData(colours, colours.length / 4, 1), 0, 0);
    }
    data.multiples.forEach((multiple, table) => multiple.items.forEach((item, index) => {
      const { button } = this.small[table].items[index];
      button.title = button.ariaLabel = item.label;
      button.ariaPressed = String(item.chosen);
    }));
    this.draw();
  }
  draw() {
    const context = this.canvas.begin(this.data.part);
    this.canvas.ground(this.view.photo, this.data.ground);
    this.cells?.draw(context);
    const outlined = (this.view.dragged && this.data.touch && this.view.moved(this.data.boxes)) || this.data.boxes;
    context.strokeStyle = RED;
    context.lineWidth = 1.6 * this.canvas.pixel;
    for (const [top, left, height, width] of outlined) context.strokeRect(left, top, width, height);
    context.fillStyle = "white";
    context.strokeStyle = "#222";
    context.lineWidth = 0.5 * this.canvas.pixel;
    for (const row of this.data.dots.rows) {
      for (const column of this.data.dots.columns) {
        const side = 3.2 * this.canvas.pixel;
        context.fillRect(column + 0.5 - side / 2, row + 0.5 - side / 2, side, side);
        context.strokeRect(column + 0.5 - side / 2, row + 0.5 - side / 2, side, side);
      }
    }
    const query = (this.data.touch && this.view.dragged) || this.data.query;
    if (query) {
      const [row, column, arm] = [query[0] + 0.5, query[1] + 0.5, 5 * this.canvas.pixel];
      context.strokeStyle = RED;
      context.lineWidth = 2 * this.canvas.pixel;
      context.beginPath();
      for (const way of [1, -1]) {
        context.moveTo(column - arm, row - way * arm);
        context.lineTo(column + arm, row + way * arm);
      }
      context.stroke();
    }
    this.data.multiples.forEach((multiple, table) => multiple.items.forEach((item, index) => {
      const { canvas } = this.small[table].items[index];
      const small = canvas.begin(item.part);
      canvas.ground(null, "none");
      new Cells(item.map).draw(small);
    }));
  }
  hover(event) {
    const place = this.canvas.place(event);
    const cell = this.cells?.at(...place);
    if (cell && !Number.isNaN(cell[2])) {
      this.readout.textContent = `${this.data.axes[0]} ${cell[0]}, ${this.data.axes[1]} ${cell[1]}: ${number(cell[2])}${this.data.unit}`;
    } else if (!this.cells) this.readout.textContent = `row ${Math.floor(place[0])}, column ${Math.floor(place[1])}`;
    else this.readout.textContent = this.data.note;
  }
}

class View {
  constructor(model, el) {
    this.model = model;
    this.cards = [];
    this.photo = null;
    this.dragged = null;
    this.row = element("div", "asid-touch-cards");
    this.row.tabIndex = 0;
    this.row.role = "application";
    // JupyterLab's own keys would move to another cell.
    this.row.dataset.lmSuppressShortcuts = "true";
    this.row.addEventListener("keydown", event => this.key(event));
    el.append(this.row);
    this.handlers = {
      "change:cards": () => this.update(),
      "change:photo": () => this.load(),
      "change:help": () => this.describe(),
    };
    for (const [name, handler] of Object.entries(this.handlers)) model.on(name, handler);
    this.describe();
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.row);
    this.update();
    this.load();
  }
  describe() {
    this.row.ariaLabel = this.model.get("help");
  }
  async load() {
    const png = this.model.get("photo");
    if (!png?.byteLength) return;
    const photo = await createImageBitmap(new Blob([png]));
    if (png !== this.model.get("photo")) return; // another one has come meanwhile
    this.photo = photo;
    this.draw();
  }
  update() {
    const cards = this.model.get("cards");
    const shape = card => card.multiples.map(({ name, columns, items }) => [name, columns, items.length]);
    const shapes = JSON.stringify(cards.map(shape));
    if (shapes !== this.shapes) {
      this.shapes = shapes;
      this.cards = cards.map(card => new Card(this, card));
      this.row.replaceChildren(...this.cards.map(card => card.node));
    }
    this.cards.forEach((card, index) => card.update(cards[index]));
  }
  draw() {
    for (const card of this.cards) card.draw();
  }
  start(event, canvas) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.row.focus({ preventScroll: true });
    canvas.node.setPointerCapture(event.pointerId);
    const move = ({ clientX, clientY }) => this.drag(canvas.place({ clientX, clientY }), this.model.get("live"));
    const end = () => {
      canvas.node.removeEventListener("pointermove", move);
      canvas.node.removeEventListener("pointerup", end);
      canvas.node.removeEventListener("pointercancel", end);
      this.send(this.dragged);
      this.dragged = null;
    };
    canvas.node.addEventListener("pointermove", move);
    canvas.node.addEventListener("pointerup", end);
    canvas.node.addEventListener("pointercancel", end);
    move(event);
  }
  drag(place, send) {
    const [rows, columns] = this.model.get("size");
    const inside = (at, count) => Math.min(Math.max(Math.floor(at), 0), count - 1);
    this.dragged = [inside(place[0], rows), inside(place[1], columns)];
    if (send) this.send(this.dragged);
    this.draw();
  }
  // The boxes with their middle at the dragged pixel, while the kernel has not answered.
  moved(boxes) {
    if (this.model.get("live")) return null;
    return boxes.map(([, , height, width]) => [this.dragged[0] - height / 2, this.dragged[1] - width / 2, height, width]);
  }
  // What was not sent while the kernel was busy is sent as its last value.
  send(pixel) {
    this.model.set("pixel", pixel);
    this.model.save_changes();
  }
  choose(key) {
    this.model.send({ choose: key });
  }
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const way = ways[event.key];
    const chooses = this.cards.some(card => card.small.length);
    if (way && (event.shiftKey || !chooses)) {
      const [row, column] = this.model.get("pixel");
      this.drag([row + way[0], column + way[1]], true);
      this.dragged = null;
    } else if (way) this.model.send({ step: way });
    else if (event.key === "n" || event.key === "p") this.model.send({ next: event.key === "n" ? 1 : -1 });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  remove() {
    this.resized.disconnect();
    for (const [name, handler] of Object.entries(this.handlers)) this.model.off(name, handler);
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.remove();
  },
};
