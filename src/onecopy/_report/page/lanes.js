// Lanes: stretches of time, a lane each, on one axis that is zoomed and panned.
//
// What is drawn comes from a model, and where that comes from is not known here:
//   model.lanes    [{label, lo, hi, marks: [{from, to, kind}]}]: items lo to hi - 1 are the lane's,
//                  in order and not overlapping; marks are other stretches (start-up, lost).
//                  A lane with head is a line of text, the name of the lanes that follow; one with
//                  of shows as many lanes after it together.
//   model.from, model.until          Float64Array: an item's first and last instant.
//   model.parts    [{kind, took: Float32Array}]: what an item consists of, in this order.
//   model.bad      Uint8Array: items that went wrong.
//   model.span     [first, last] instant of all lanes; model.name(i) for labels.
//
// Any zoom is drawn exactly, and as fast with a million items as with ten: each kind's time
// is summed up once along each lane, and what a column of pixels shows is the difference of
// two such sums (in place of a pyramid of levels of detail, which would be exact only at
// its steps). A column finds its items from where the last one ended.
"use strict";

class Lanes {
  constructor(canvas, model, { onHover, onSelect, onView, onCursor }) {
    this.canvas = canvas;
    this.model = model;
    this.onHover = onHover;
    this.onSelect = onSelect;
    this.onView = onView;
    this.onCursor = onCursor;
    this.cursor = null;
    this.view = [...model.span];
    this.matches = null;
    this.selected = -1;
    this.gutter = 76;
    this.laneHeight = 22;
    this.axis = 24;
    this.sums = null;
    this.pending = false;
    this.height = this.axis + this.laneHeight * model.lanes.length + 4;
    canvas.style.height = `${this.height}px`;
    canvas.tabIndex = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  // Sums along the lanes, in pieces, so that the page stays alive meanwhile.
  async prepare() {
    const { model } = this;
    const count = model.from.length;
    const sums = model.parts.map(() => new Float64Array(count + 1));
    const bad = new Uint32Array(count + 1);
    const step = 200000;
    for (let at = 0; at < count; at += step) {
      const end = Math.min(count, at + step);
      model.parts.forEach(({ took }, p) => {
        const sum = sums[p];
        for (let i = at; i < end; i++) sum[i + 1] = sum[i] + took[i];
      });
      for (let i = at; i < end; i++) bad[i + 1] = bad[i] + (model.bad[i] ? 1 : 0);
      if (end < count) await new Promise((done) => setTimeout(done));
    }
    this.sums = sums;
    this.bad = bad;
    this.draw();
  }

  // Items to bring out; null for none.
  mark(items) {
    this.matches = items && new Uint32Array(this.model.from.length + 1);
    if (items) {
      for (let i = 0; i < items.length; i++) this.matches[i + 1] = this.matches[i] + items[i];
    }
    this.draw();
  }

  show(from, until) {
    const [first, last] = this.model.span;
    // Below 100 ns nothing is to be seen; beyond the whole there is nothing.
    const wide = Math.min(Math.max(until - from, 100), last - first);
    const start = Math.min(Math.max(from, first), last - wide);
    this.view = [start, start + wide];
    this.onView(this.view);
    this.draw();
  }

  // An instant to draw a line at; null for none.
  point(instant) {
    if (instant === this.cursor) return;
    this.cursor = instant;
    this.draw();
  }

  reset() { this.show(...this.model.span); }

  zoom(factor, around) {
    const [from, until] = this.view;
    const at = around ?? (from + until) / 2;
    this.show(at - (at - from) * factor, at + (until - at) * factor);
  }

  pan(share) {
    const wide = this.view[1] - this.view[0];
    this.show(this.view[0] + share * wide, this.view[1] + share * wide);
  }

  select(item, reveal) {
    this.selected = item;
    if (item >= 0 && reveal) {
      const took = Math.max(this.model.until[item] - this.model.from[item], 1000);
      const middle = (this.model.from[item] + this.model.until[item]) / 2;
      this.show(middle - 4 * took, middle + 4 * took);
      const top = this.axis + this.laneHeight * this.laneOf(item);
      const box = this.canvas.parentElement;
      if (top < box.scrollTop || top + this.laneHeight > box.scrollTop + box.clientHeight) {
        box.scrollTop = top - box.clientHeight / 2;
      }
    }
    this.onSelect(item);
    this.draw();
  }

  laneOf(item) {
    return this.model.lanes.findIndex(({ lo, hi }) => item >= lo && item < hi);
  }

  // The first item of lo..hi that ends after an instant.
  after(lo, hi, instant) {
    const { until } = this.model;
    while (lo < hi) {
      const middle = (lo + hi) >> 1;
      if (until[middle] <= instant) lo = middle + 1; else hi = middle;
    }
    return lo;
  }

  // Likewise, when the last answer is known and the next is near.
  gallop(lo, hi, instant) {
    const { until } = this.model;
    let step = 1;
    let end = lo;
    while (end < hi && until[end] <= instant) { lo = end + 1; end += step; step *= 2; }
    return this.after(lo, Math.min(end, hi), instant);
  }

  itemAt(x, y) {
    const lane = this.model.lanes[Math.floor((y - this.axis) / this.laneHeight)];
    if (!lane || x < this.gutter) return { item: -1, lane, instant: 0 };
    const instant = this.instantAt(x);
    const pixel = (this.view[1] - this.view[0]) / this.wide();
    let item = this.after(lane.lo, lane.hi, instant);
    if (item >= lane.hi || this.model.from[item] > instant + 2 * pixel) {
      item = item > lane.lo && this.model.until[item - 1] > instant - 2 * pixel ? item - 1 : -1;
    }
    return { item, lane, instant };
  }

  wide() { return Math.max(1, this.canvas.clientWidth - this.gutter - 8); }

  instantAt(x) {
    const [from, until] = this.view;
    return from + ((x - this.gutter) / this.wide()) * (until - from);
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      // Unless somebody works with the lanes, the wheel is the page's.
      if (!event.ctrlKey && document.activeElement !== canvas) return;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        this.pan((event.deltaX || event.deltaY) / this.wide());
      } else {
        this.zoom(Math.exp(event.deltaY * 0.002), this.instantAt(event.offsetX));
      }
      event.preventDefault();
    }, { passive: false });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = { x: event.offsetX, view: this.view, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (held && event.buttons) {
        const moved = event.offsetX - held.x;
        held.moved ||= Math.abs(moved) > 3;
        const by = (moved / this.wide()) * (held.view[1] - held.view[0]);
        if (held.moved) this.show(held.view[0] - by, held.view[1] - by);
      } else {
        this.onHover(this.itemAt(event.offsetX, event.offsetY), event);
        const instant = event.offsetX < this.gutter ? null : this.instantAt(event.offsetX);
        this.point(instant);
        this.onCursor(instant);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (held && !held.moved) this.select(this.itemAt(event.offsetX, event.offsetY).item, false);
      held = null;
    });
    canvas.addEventListener("pointerleave", () => { this.onHover(null); this.point(null); this.onCursor(null); });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 0.5 : 0.15;
    const acts = {
      ArrowLeft: () => this.pan(-step), ArrowRight: () => this.pan(step),
      a: () => this.pan(-step), d: () => this.pan(step),
      "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), w: () => this.zoom(0.6),
      "-": () => this.zoom(1 / 0.6), s: () => this.zoom(1 / 0.6),
      0: () => this.reset(), Home: () => this.reset(),
      ".": () => this.neighbour(1), ",": () => this.neighbour(-1),
      Enter: () => this.selected >= 0 && this.select(this.selected, true),
    };
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
  }

  // The next item of the lane, or the first one in view.
  neighbour(step) {
    if (this.selected < 0) {
      const lane = this.model.lanes.find(({ lo, hi }) => hi > lo);
      if (lane) this.select(Math.min(this.after(lane.lo, lane.hi, this.view[0]), lane.hi - 1), false);
      return;
    }
    const { lo, hi } = this.model.lanes[this.laneOf(this.selected)];
    const item = Math.min(hi - 1, Math.max(lo, this.selected + step));
    const [from, until] = this.view;
    const outside = this.model.until[item] < from || this.model.from[item] > until;
    this.select(item, outside);
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.paint(); });
  }

  paint() {
    const { canvas, model } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(this.height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(this.height * ratio);
    }
    const style = getComputedStyle(canvas);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim() || "#888";
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, this.height);
    pen.font = "11.5px system-ui, sans-serif";
    pen.textBaseline = "middle";
    this.paintAxis(pen, width);
    model.lanes.forEach((lane, row) => {
      const top = this.axis + row * this.laneHeight;
      if (lane.head) { this.paintHead(pen, lane, top, width); return; }
      pen.fillStyle = this.colour("soft");
      pen.fillText(lane.label, 8, top + this.laneHeight / 2, this.gutter - 14);
      pen.fillStyle = this.colour("track");
      pen.fillRect(this.gutter, top + 2, this.wide(), this.laneHeight - 4);
      pen.save();
      pen.beginPath();
      pen.rect(this.gutter, top, this.wide(), this.laneHeight);
      pen.clip();
      if (lane.of) this.paintTogether(pen, row, top + 2, this.laneHeight - 4);
      else this.paintLane(pen, lane, top + 2, this.laneHeight - 4);
      pen.restore();
    });
    if (this.cursor !== null) {
      pen.fillStyle = this.colour("ink");
      pen.fillRect(Math.round(this.xOf(this.cursor)), this.axis - 8, 1, this.height);
    }
  }

  paintAxis(pen, width) {
    const [from, until] = this.view;
    const wish = (until - from) / Math.max(2, this.wide() / 110);
    const power = 10 ** Math.floor(Math.log10(wish));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= wish);
    const origin = this.model.span[0];
    pen.strokeStyle = this.colour("line");
    pen.beginPath();
    for (let n = Math.ceil((from - origin) / step); n * step <= until - origin; n++) {
      const x = Math.round(this.xOf(origin + n * step)) + 0.5;
      pen.fillStyle = this.colour("soft");
      const text = Lanes.duration(n * step, step);
      if (x + 6 + pen.measureText(text).width < width) pen.fillText(text, x + 4, this.axis / 2);
      pen.moveTo(x, this.axis - 8);
      pen.lineTo(x, this.height);
    }
    pen.stroke();
  }

  xOf(instant) {
    const [from, until] = this.view;
    return this.gutter + ((instant - from) / (until - from)) * this.wide();
  }

  paintLane(pen, lane, top, height) {
    for (const { from, to, kind } of lane.marks) {
      const x = this.xOf(from);
      const w = Math.max(this.xOf(to) - x, 1);
      if (kind === "lost") this.hatch(pen, x, top, w, height);
      else { pen.fillStyle = this.colour(kind); pen.fillRect(x, top, w, height); }
    }
    const lo = this.after(lane.lo, lane.hi, this.view[0]);
    const hi = Math.min(lane.hi, this.after(lo, lane.hi, this.view[1]) + 1);
    if (!this.sums || hi - lo <= this.wide() / 2) this.paintItems(pen, lo, hi, top, height);
    else this.paintColumns(pen, lane, top, height);
    const { selected } = this;
    if (selected >= lane.lo && selected < lane.hi) {
      const x = this.xOf(this.model.from[selected]);
      pen.strokeStyle = this.colour("ink");
      pen.lineWidth = 1.5;
      pen.strokeRect(x, top, Math.max(this.xOf(this.model.until[selected]) - x, 2), height);
      pen.lineWidth = 1;
    }
  }

  // Few enough items to draw each.
  paintItems(pen, lo, hi, top, height) {
    const { model } = this;
    const scale = this.wide() / (this.view[1] - this.view[0]);
    for (let i = lo; i < hi; i++) {
      const found = !this.matches || this.matches[i + 1] > this.matches[i];
      pen.globalAlpha = found ? 1 : 0.25;
      let x = this.xOf(model.from[i]);
      const begin = x;
      for (const { kind, took } of model.parts) {
        const w = took[i] * scale;
        if (w > 0.02) { pen.fillStyle = this.colour(kind); pen.fillRect(x, top, Math.max(w, 0.5), height); }
        x += w;
      }
      const w = Math.max(x - begin, 0.7);
      if (model.bad[i]) { pen.fillStyle = this.colour("lost"); pen.fillRect(begin, top, Math.max(w, 2), 4); }
      if (this.matches && found) {
        pen.fillStyle = this.colour("match");
        pen.fillRect(begin, top + height - 3, Math.max(w, 2), 3);
      }
      if (w > 54) {
        pen.fillStyle = "#fff";
        const label = model.name(i).split(".").pop();
        pen.save();
        pen.beginPath();
        pen.rect(begin, top, w - 4, height);
        pen.clip();
        // White with a dark rim: a task has light and dark parts.
        pen.strokeStyle = "rgb(0 0 0 / 60%)";
        pen.lineWidth = 2.5;
        pen.lineJoin = "round";
        const [left, middle] = [Math.max(begin, this.gutter) + 5, top + height / 2 + 0.5];
        pen.strokeText(label, left, middle);
        pen.fillText(label, left, middle);
        pen.restore();
      }
      if (w > 3) { pen.fillStyle = this.colour("panel"); pen.fillRect(x - 0.6, top, 0.6, height); }
    }
    pen.globalAlpha = 1;
  }

  // Many to a pixel: how each column's time was spent, as a stack of that height.
  paintColumns(pen, lane, top, height) {
    const { model, sums } = this;
    const [from, until] = this.view;
    const columns = Math.floor(this.wide());
    const tick = (until - from) / columns;
    let lo = this.after(lane.lo, lane.hi, from);
    let before = this.spent(lane, lo, from);
    for (let column = 0; column < columns; column++) {
      const end = from + (column + 1) * tick;
      const hi = this.gallop(lo, lane.hi, end);
      const now = this.spent(lane, hi, end);
      let y = top + height;
      for (let p = 0; p < now.length; p++) {
        const share = Math.max(0, now[p] - before[p]) / tick;
        // What ran on a CPU is at the bottom: the one that all lanes are compared by.
        const tall = Math.min(share * height, y - top);
        if (tall > 0.05) {
          pen.fillStyle = this.colour(this.stack()[p].kind);
          pen.fillRect(this.gutter + column, y - tall, 1, tall);
          y -= tall;
        }
      }
      const last = Math.min(hi + 1, lane.hi);
      if (this.bad[last] > this.bad[lo]) {
        pen.fillStyle = this.colour("lost");
        pen.fillRect(this.gutter + column, top, 1, 4);
      }
      if (this.matches && this.matches[last] > this.matches[lo]) {
        pen.fillStyle = this.colour("match");
        pen.fillRect(this.gutter + column, top + height - 3, 1, 3);
      }
      lo = hi;
      before = now;
    }
  }

  // The name of the group of lanes that follows.
  paintHead(pen, lane, top, width) {
    pen.fillStyle = this.colour("ink");
    pen.save();
    pen.font = `600 ${pen.font}`;
    pen.beginPath();
    pen.rect(0, top, width - 8, this.laneHeight);
    pen.clip();
    // Over the lines of the axis, which would cross it.
    const { width: wide } = pen.measureText(lane.label);
    pen.fillStyle = this.colour("panel");
    pen.fillRect(0, top, wide + 16, this.laneHeight);
    pen.fillStyle = this.colour("ink");
    pen.fillText(lane.label, 8, top + this.laneHeight / 2 + 2);
    pen.restore();
  }

  // The lanes of a group in one: the height is the share of the time of all of them.
  paintTogether(pen, row, top, height) {
    if (!this.sums) return;
    const lanes = this.model.lanes.slice(row + 1, row + 1 + this.model.lanes[row].of);
    const [from, until] = this.view;
    const columns = Math.floor(this.wide());
    const tick = (until - from) / columns;
    const shares = new Float64Array(columns * this.stack().length);
    const kinds = this.order.length;
    for (const lane of lanes) {
      let at = this.after(lane.lo, lane.hi, from);
      let before = this.spent(lane, at, from);
      for (let column = 0; column < columns; column++) {
        const end = from + (column + 1) * tick;
        at = this.gallop(at, lane.hi, end);
        const now = this.spent(lane, at, end);
        for (let p = 0; p < kinds; p++) shares[column * kinds + p] += Math.max(0, now[p] - before[p]);
        before = now;
      }
    }
    for (let column = 0; column < columns; column++) {
      let y = top + height;
      for (let p = 0; p < kinds; p++) {
        const tall = Math.min((shares[column * kinds + p] / tick / lanes.length) * height, y - top);
        if (tall <= 0.05) continue;
        pen.fillStyle = this.colour(this.stack()[p].kind);
        pen.fillRect(this.gutter + column, y - tall, 1, tall);
        y -= tall;
      }
    }
  }

  stack() {
    this.order ??= [...this.model.parts.keys()].sort((a, b) =>
      (this.model.parts[b].kind === "running") - (this.model.parts[a].kind === "running"));
    return this.order.map((p) => this.model.parts[p]);
  }

  // Each kind's time in this lane up to an instant; item is the first that ends after it.
  spent(lane, item, instant) {
    const { model, sums } = this;
    this.stack();
    const result = this.order.map((p) => sums[p][Math.min(item, model.from.length)]);
    if (item < lane.hi && model.from[item] < instant) {
      let left = instant - model.from[item];
      model.parts.forEach(({ took }, p) => {
        const part = Math.min(left, took[item]);
        result[this.order.indexOf(p)] += part;
        left -= part;
      });
    }
    return result;
  }

  hatch(pen, x, top, w, height) {
    pen.save();
    pen.beginPath();
    pen.rect(x, top, Math.max(w, 3), height);
    pen.clip();
    pen.strokeStyle = this.colour("lost");
    pen.beginPath();
    for (let at = x - height; at < x + Math.max(w, 3); at += 5) {
      pen.moveTo(at, top + height);
      pen.lineTo(at + height, top);
    }
    pen.stroke();
    pen.strokeRect(x + 0.5, top + 0.5, Math.max(w, 3) - 1, height - 1);
    pen.restore();
  }

  // Nanoseconds for people; with a step, as many digits as tell its ticks apart.
  static duration(ns, step) {
    const size = Math.max(Math.abs(ns), step || 0);
    const [unit, factor] = size >= 1e9 ? ["s", 1e9] : size >= 1e6 ? ["ms", 1e6] : size >= 1e3 ? ["µs", 1e3] : ["ns", 1];
    if (step) return `${+(ns / factor).toFixed(Math.max(0, Math.ceil(-Math.log10(step / factor) - 1e-9)))} ${unit}`;
    return `${+(ns / factor).toPrecision(3)} ${unit}`;
  }
}
