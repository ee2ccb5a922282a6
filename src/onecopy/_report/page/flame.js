// A flame graph: each box is a function at a line, as wide as the time that was spent in it and
// in what it called. A click makes a box the whole; a click on what it is in goes back.
"use strict";

class Flame {
  // tree: [name, nanoseconds, children]
  constructor(host, tree) {
    this.host = host;
    this.tree = tree;
    this.show([tree]);
  }

  // path: the box that is the whole now, and the ones that it is in.
  show(path) {
    this.host.replaceChildren();
    const top = path[path.length - 1];
    path.forEach((node, depth) => this.box(node, depth, 0, 1, path.slice(0, depth + 1), top));
    this.deepest = path.length;
    this.below(top, path, 0, 1);
    this.host.style.height = `${this.deepest * 20}px`;
  }

  below(node, path, from, wide) {
    let at = from;
    for (const child of node[2]) {
      const share = (wide * child[1]) / node[1];
      if (share > 0.002) {
        const inner = [...path, child];
        this.box(child, path.length, at, share, inner, path[path.length - 1]);
        this.deepest = Math.max(this.deepest, inner.length);
        this.below(child, inner, at, share);
      }
      at += share;
    }
  }

  box(node, depth, from, wide, path) {
    const box = document.createElement("button");
    const [name, spent] = node;
    const share = ((100 * spent) / this.tree[1]).toFixed(1);
    box.type = "button";
    box.textContent = name;
    box.title = `${name}: ${Lanes.duration(spent)}, ${share} %`;
    box.style.left = `${100 * from}%`;
    box.style.width = `calc(${100 * wide}% - 1px)`;
    box.style.top = `${20 * depth}px`;
    box.style.background = `hsl(${18 + (Flame.hash(name) % 38)} 72% 68%)`;
    box.addEventListener("click", () => this.show(path));
    this.host.append(box);
  }

  static hash(text) {
    let sum = 0;
    for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) >>> 0;
    return sum;
  }
}
