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
  // data: {times: seconds, processes: [{label, pss: [], rss: []}]}; gaps are null.
  constructor(host, data) {
    this.host = host;
    this.data = data;
    this.kind = "pss";
    this.chart = null;
    new ResizeObserver(() => this.chart?.setSize(this.size())).observe(host);
    this.draw();
  }

  show(kind) { this.kind = kind; this.draw(); }

  size() { return { width: Math.max(260, this.host.clientWidth), height: 260 }; }

  draw() {
    this.chart?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const { times, processes } = this.data;
    const stacked = this.kind === "pss";
    // The owner is at the bottom; each curve is the sum up to it, and the tallest is drawn
    // first, so that what is seen of one is its own part.
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
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high * 1.05 || 1] } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => `${+tick.toPrecision(6)} s`) },
        { ...axis, size: 72, values: (_, ticks) => ticks.map(bytes) },
      ],
      legend: { show: order.length <= 16 },
      cursor: { drag: { x: true, y: false } },
      series: [
        { label: "time", value: (_, at) => (at == null ? "" : `${at.toFixed(2)} s`) },
        ...order.map(({ label, own, shade }) => ({
          label,
          stroke: shade,
          width: stacked ? 1 : 1.5,
          fill: stacked ? shade : undefined,
          points: { show: false },
          spanGaps: true,
          value: (_, at, series, index) => (index == null || own[index] == null ? "" : bytes(own[index])),
        })),
      ],
    }, [times, ...order.map(({ values }) => values)], this.host);
  }

  // Neighbours differ in lightness and not in hue alone.
  static shade(at, count) {
    if (at === 0) return "hsl(212 30% 48%)";
    const hue = 150 + ((at * 37) % 120);
    return `hsl(${hue} 38% ${at % 2 ? 62 : 44}%)`;
  }
}
