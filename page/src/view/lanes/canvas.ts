/** The one canvas of the lanes: zoom, pan, pointing, choosing. */

import { Painter, type Hit } from "./draw.ts";
import type { Inks } from "./inks.ts";
import { Arrows, fitScale, fromX, laneY, toX, type Box, type Scene, type Viewport } from "./scene.ts";

export interface Wishes {
  select(index: number): void;
  agent(rank: number): void;
  hover(steps: number[], x: number, y: number): void;
  viewed(view: Viewport, box: Box, hidden: boolean): void;
}

const INKS = ["read", "write", "bad", "wait", "notice", "repair", "again", "undone", "ok", "outside", "dim", "ink", "bg", "panel", "line", "accent", "stripe"] as const;

export function inksOf(element: Element): Inks {
  const style = getComputedStyle(element);
  return Object.fromEntries(INKS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Inks;
}

interface Drag {
  id: number;
  x: number;
  y: number;
  x0: number;
  scroll: number;
  moved: boolean;
}

export class LaneCanvas {
  view: Viewport = { x0: 0, scale: 1 };
  scene: Scene | null = null;
  box: Box = { width: 0, height: 0, gutter: 160, head: 22, lane: 36, scroll: 0 };
  private inks: Inks;
  private readonly ctx: CanvasRenderingContext2D;
  private arrows = new Arrows();
  private hits: Hit[] = [];
  private hover = -1;
  /** The whole story is shown, and stays so as it grows. */
  private fitted = true;
  private planned = 0;
  /** What is to be brought into view as soon as there is something to see. */
  private wanted: { index: number; rank: number | null } | null = null;
  private drag: Drag | null = null;
  private readonly pinch = new Map<number, { x: number; y: number }>();
  private readonly stop = new AbortController();

  constructor(private readonly canvas: HTMLCanvasElement, private readonly scroller: HTMLElement, private readonly wishes: Wishes) {
    this.ctx = canvas.getContext("2d", { alpha: false })!;
    this.inks = inksOf(canvas);
    const { signal } = this.stop;
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false, signal });
    canvas.addEventListener("pointerdown", (event) => this.down(event), { signal });
    canvas.addEventListener("pointermove", (event) => this.move(event), { signal });
    canvas.addEventListener("pointerup", (event) => this.up(event), { signal });
    canvas.addEventListener("pointercancel", (event) => this.lost(event), { signal });
    canvas.addEventListener("pointerleave", () => this.point(-1, [], 0, 0), { signal });
    canvas.addEventListener("dblclick", (event) => this.zoom(2.5, event.offsetX), { signal });
    scroller.addEventListener("scroll", () => this.plan(), { signal });
  }

  dispose(): void {
    this.stop.abort();
    cancelAnimationFrame(this.planned);
  }

  setScene(scene: Scene): void {
    const other = this.scene?.story !== scene.story || this.scene.axis.kind !== scene.axis.kind;
    const atEnd = this.scene !== null && fromX(this.box, this.view, this.box.width) >= this.scene.axis.max;
    const grown = this.scene !== null && scene.axis.max > this.scene.axis.max;
    if (this.scene?.story !== scene.story) this.arrows = new Arrows();
    this.scene = scene;
    this.arrows.update(scene.story);
    if (other) this.fitted = true;
    else if (!this.fitted && atEnd && grown) this.view = { ...this.view, x0: scene.axis.max - (this.box.width - this.box.gutter - 60) / this.view.scale };
    this.plan();
  }

  resize(width: number, height: number, lane: number): void {
    this.box = { ...this.box, width, height, lane, gutter: width < 560 ? 88 : 164 };
    this.plan();
  }

  retheme(): void {
    this.inks = inksOf(this.canvas);
    this.plan();
  }

  fit(): void {
    this.fitted = true;
    this.plan();
  }

  zoom(factor: number, at = this.box.gutter + (this.box.width - this.box.gutter) / 2): void {
    if (!this.scene) return;
    const least = fitScale(this.box, this.scene.axis);
    const most = Math.max(least * 4, this.scene.axis.kind === "steps" ? 90 : (this.scene.axis.x.length / this.scene.axis.max) * 400);
    const scale = Math.min(most, Math.max(least, this.view.scale * factor));
    const world = fromX(this.box, this.view, at);
    this.fitted = scale <= least * 1.0001;
    this.view = { scale, x0: world - (at - toX(this.box, { scale, x0: 0 }, 0)) / scale };
    this.plan();
  }

  /** Show a part of the axis. */
  show(from: number, to: number): void {
    if (!this.scene) return;
    const least = fitScale(this.box, this.scene.axis);
    const scale = Math.max(least, (this.box.width - this.box.gutter - 32) / Math.max(1e-9, to - from));
    this.fitted = scale <= least * 1.0001;
    this.view = { x0: from, scale };
    this.plan();
  }

  panTo(x0: number): void {
    this.view = { ...this.view, x0 };
    this.plan();
  }

  /** Bring a step, or else an agent's lane, into view with the next frame, moving no more than needed. */
  reveal(index: number, rank: number | null = null): void {
    this.wanted = { index, rank };
    this.plan();
  }

  private bringIntoView({ index, rank }: { index: number; rank: number | null }): void {
    const { scene } = this;
    if (!scene) return;
    if (index >= 0) this.revealPlace(index);
    this.revealLane(index >= 0 ? (scene.story.steps[index]?.rank ?? -1) : rank);
  }

  private revealPlace(index: number): void {
    const { box } = this;
    const scene = this.scene!;
    const x = toX(box, this.view, scene.axis.x[index]!);
    if (!this.fitted && (x < box.gutter + 30 || x > box.width - 30)) {
      this.panTo(scene.axis.x[index]! - (box.width - box.gutter) / 2 / this.view.scale);
    }
  }

  private revealLane(rank: number | null): void {
    const { scene, box } = this;
    const lane = rank === null ? undefined : scene?.laneOf.get(rank);
    if (lane === undefined) return;
    const y = laneY(box, lane);
    if (y < box.head + box.lane / 2) this.scroller.scrollTop -= box.head + box.lane - y;
    else if (y > box.height - box.lane / 2) this.scroller.scrollTop += y - box.height + box.lane;
  }

  plan(): void {
    if (!this.planned) this.planned = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.planned = 0;
    const { scene, box, canvas } = this;
    if (!scene || box.width <= 0) return;
    box.scroll = this.scroller.scrollTop;
    this.clamp(scene);
    if (this.wanted) {
      const { wanted } = this;
      this.wanted = null;
      this.bringIntoView(wanted);
      this.clamp(scene);
      box.scroll = this.scroller.scrollTop;
    }
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.width = `${box.width}px`;
      canvas.style.height = `${box.height}px`;
    }
    const drawn = new Painter(this.ctx, ratio, this.inks, box, this.view, scene, this.arrows, this.hover).paint();
    this.hits = drawn.hits;
    this.wishes.viewed(this.view, box, drawn.hidden);
  }

  private clamp(scene: Scene): void {
    const least = fitScale(this.box, scene.axis);
    if (this.fitted || this.view.scale < least) this.view = { x0: 0, scale: least };
    const room = (this.box.width - this.box.gutter - 32) / this.view.scale;
    this.view.x0 = Math.max(0, Math.min(this.view.x0, scene.axis.max - room));
  }

  private wheel(event: WheelEvent): void {
    // Over the names the wheel moves the lanes up and down, as anywhere else.
    if (event.offsetX < this.box.gutter && !event.ctrlKey) return;
    event.preventDefault();
    this.point(-1, [], 0, 0);
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.shiftKey ? event.deltaY || event.deltaX : event.deltaX) * unit;
      this.fitted = false;
      this.panTo(this.view.x0 + by / this.view.scale);
      return;
    }
    this.zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0022)), event.offsetX);
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pinch.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.drag = { id: event.pointerId, x: event.offsetX, y: event.offsetY, x0: this.view.x0, scroll: this.scroller.scrollTop, moved: this.pinch.size > 1 };
  }

  private move(event: PointerEvent): void {
    const { drag } = this;
    if (this.pinch.size === 2 && this.pinch.has(event.pointerId)) {
      const [a, b] = [...this.pinch.values()] as [{ x: number; y: number }, { x: number; y: number }];
      const before = Math.hypot(a.x - b.x, a.y - b.y);
      this.pinch.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      const [c, d] = [...this.pinch.values()] as [{ x: number; y: number }, { x: number; y: number }];
      if (before > 0) this.zoom(Math.hypot(c.x - d.x, c.y - d.y) / before, (c.x + d.x) / 2);
      return;
    }
    if (!drag || drag.id !== event.pointerId) {
      this.pointAt(event.offsetX, event.offsetY);
      return;
    }
    const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 5) return;
    drag.moved = true;
    this.canvas.style.cursor = "grabbing";
    this.scroller.scrollTop = drag.scroll - dy;
    if (drag.x >= this.box.gutter) {
      this.fitted = this.view.scale <= fitScale(this.box, this.scene!.axis) * 1.0001;
      this.panTo(drag.x0 - dx / this.view.scale);
    }
    this.plan();
  }

  private up(event: PointerEvent): void {
    const { drag } = this;
    this.lost(event);
    if (drag && drag.id === event.pointerId && !drag.moved) this.click(event.offsetX, event.offsetY);
  }

  private lost(event: PointerEvent): void {
    this.pinch.delete(event.pointerId);
    this.drag = null;
    this.canvas.style.cursor = "";
  }

  private hitAt(x: number, y: number): Hit | null {
    let best: Hit | null = null;
    for (const hit of this.hits) {
      if (Math.abs(y - hit.y) > (hit.reach ?? this.box.lane / 2) || x < hit.x - 2 || x > hit.x + hit.width + 2) continue;
      if (hit.reach) return hit;
      if (!best || Math.abs(x - hit.x - hit.width / 2) < Math.abs(x - best.x - best.width / 2)) best = hit;
    }
    return best;
  }

  private pointAt(x: number, y: number): void {
    const hit = x >= this.box.gutter && y >= this.box.head ? this.hitAt(x, y) : null;
    this.canvas.style.cursor = hit || x < this.box.gutter ? "pointer" : "grab";
    this.point(hit?.steps.length === 1 ? hit.steps[0]! : -1, hit?.steps ?? [], x, y);
  }

  private point(index: number, steps: number[], x: number, y: number): void {
    this.wishes.hover(steps, x, y);
    if (index === this.hover) return;
    this.hover = index;
    this.plan();
  }

  private click(x: number, y: number): void {
    const { scene, box } = this;
    if (!scene || y < box.head) return;
    const lane = scene.lanes[Math.floor((y - box.head + box.scroll) / box.lane)];
    if (x < box.gutter) {
      if (lane) this.wishes.agent(lane.rank);
      return;
    }
    const hit = this.hitAt(x, y);
    if (!hit) return;
    if (hit.steps.length === 1) this.wishes.select(hit.steps[0]!);
    else {
      const from = scene.axis.x[hit.steps[0]!]!;
      const to = scene.axis.x[hit.steps.at(-1)!]!;
      const air = Math.max((to - from) * 0.4, scene.axis.max / scene.axis.x.length);
      if (this.view.scale * (to - from + air * 2) > box.width * 0.6) this.wishes.select(hit.steps[0]!);
      else this.show(from - air, to + air);
    }
  }
}
