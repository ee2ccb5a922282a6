// Memory over time: PSS of each process, stacked; or RSS, which must not be.
"use strict";

const bytes = (value) => {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(value) < 999.5) return `${+value.toPrecision(3)} ${unit}`;
    value /= 1000;
  }
  return `${+value.toPrecision(4)} TB`;
};

class MemoryChart {
  // data: {times: seconds, processes: [{label, pss: [], rss: []}]}; gaps are null. Its axis of
  // time is that of the lanes, and so is its cursor: ``seen`` is told of an instant, or null.
  constructor(host, list, data, wall, seen) {
    Object.assign(this, { host, list, data, seen });
    this.kind = "pss";
    this.chart = null;
    this.range = [0, wall / 1e9];
    this.told = false;
    new ResizeObserver(() => this.chart?.setSize(this.size())).observe(host);
    this.draw();
  }

  show(kind) { this.kind = kind; this.draw(); }

  // The lanes show this stretch of time, in nanoseconds.
  view([from, until]) {
    this.range = [from / 1e9, until / 1e9];
    this.chart?.setScale("x", { min: this.range[0], max: this.range[1] });
  }

  // The lanes' cursor is there.
  point(instant) {
    if (!this.chart) return;
    const left = instant === null ? -10 : this.chart.valToPos(instant / 1e9, "x");
    this.told = true;
    this.chart.setCursor({ left, top: 0 });
    this.told = false;
  }

  // A tick's label, in the unit of the step between ticks; a label at the very end would be cut off.
  instant(tick, step) {
    const [from, until] = this.range;
    return tick > until - 0.02 * (until - from) ? "" : Lanes.duration(tick * 1e9, (step || tick) * 1e9);
  }

  size() { return { width: Math.max(260, this.host.clientWidth), height: 240 }; }

  draw() {
    this.chart?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const { times, processes } = this.data;
    const stacked = this.kind === "pss";
    // The main process is at the bottom; each curve is the sum up to it, and the tallest is
    // drawn first, so that what is seen of one is its own part.
    let below = times.map(() => 0);
    const curves = processes.map((process, at) => {
      const own = process[this.kind];
      const values = stacked ? own.map((value, i) => below[i] + (value ?? 0)) : own;
      if (stacked) below = values;
      return { label: process.label, own, values, shade: MemoryChart.shade(at, processes.length) };
    });
    const order = stacked ? [...curves].reverse() : curves;
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    this.chart = new uPlot({
      ...this.size(),
      padding: [8, 8, 0, 0],
      scales: {
        x: { time: false, range: () => this.range },
        y: { range: (_, low, high) => [0, high * 1.05 || 1] },
      },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => this.instant(tick, ticks[1] - ticks[0])) },
        { ...axis, size: 76, values: (_, ticks) => ticks.map(bytes) },
      ],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false },
      hooks: { setCursor: [(chart) => this.cursor(chart)] },
      series: [
        {},
        ...order.map(({ label, shade }) => ({
          label,
          stroke: shade,
          width: stacked ? 1 : 1.5,
          fill: stacked ? shade : undefined,
          points: { show: false },
          spanGaps: true,
          // Readings come soon after a change, and rarely without one: a slope from the one before
          // would show growth that was not there.
          paths: uPlot.paths.stepped({ align: 1 }),
        })),
      ],
    }, [times, ...order.map(({ values }) => values)], this.host);
    this.name(curves);
  }

  // Who is painted how, and how much it has at the cursor, or had at most.
  name(curves) {
    this.figures = curves.map(({ label, own, shade }) => {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.style.background = shade;
      const figure = document.createElement("b");
      item.append(mark, `${label} `, figure);
      const most = own.reduce((high, value) => Math.max(high, value ?? 0), 0);
      return { item, figure, own, most };
    });
    this.list.replaceChildren(...this.figures.map(({ item }) => item));
    this.tell(null);
  }

  tell(index) {
    for (const { figure, own, most } of this.figures) {
      const value = index === null ? most : own[index];
      figure.textContent = value == null ? "" : index === null ? `${bytes(value)} at most` : bytes(value);
    }
  }

  cursor(chart) {
    if (!this.figures) return;
    const inside = chart.cursor.left >= 0;
    this.tell(inside ? chart.cursor.idx ?? null : null);
    if (!this.told) this.seen(inside ? chart.posToVal(chart.cursor.left, "x") * 1e9 : null);
  }

  // Neighbours differ in lightness and not in hue alone.
  static shade(at, count) {
    if (at === 0) return "hsl(212 30% 48%)";
    const hue = 150 + ((at * 37) % 120);
    return `hsl(${hue} 38% ${at % 2 ? 62 : 44}%)`;
  }
}
