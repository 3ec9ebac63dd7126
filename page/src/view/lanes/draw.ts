/** Draws the lanes on the canvas. Only what is in view is looked at. */

import { duration } from "../../model/axis.ts";
import { lastAtMost } from "../../model/story.ts";
import { GLYPHS, type Ink } from "../glyphs.ts";
import { inkOf, LOUD, ORDER, stroke, type Inks } from "./inks.ts";
import { placeOf } from "../../model/spans.ts";
import { clock, cutText, fitText, niceStep } from "./words.ts";
import type { Mark } from "../../model/marks.ts";
import { BUCKET, CLOSE, fromX, laneY, PAD, TALL, toX, visibleRange, type Arrow, type Arrows, type Box, type Lane, type Scene, type Viewport } from "./scene.ts";

const PATHS = new Map<Mark, Path2D>();

function pathOf(mark: Mark): Path2D {
  let path = PATHS.get(mark);
  if (!path) {
    path = new Path2D(GLYPHS[mark].d);
    PATHS.set(mark, path);
  }
  return path;
}

interface Group {
  from: number;
  to: number;
  bucket: number;
  bar: boolean;
}

/** Lanes at least this high have room for two rows of what their agents say. */
const TWO_ROWS = 62;

/** As many signs at one place are drawn side by side where there is room. */
const SIDE_BY_SIDE = 5;

/** A sign or a bar that was drawn, for finding it again under the pointer. */
export interface Hit {
  x: number;
  y: number;
  width: number;
  lane: number;
  steps: number[];
  /** How far above and below it counts, where that is not half the lane. */
  reach?: number;
}

export interface Drawn {
  hits: Hit[];
  /** Notices in view whose arrows are left out since there are too many. */
  hidden: boolean;
}

export class Painter {
  hits: Hit[] = [];
  hidden = false;
  /** Steps that were moved a little, for their signs not to cover one another. */
  private readonly moved = new Map<number, number>();
  /** By lane: what is drawn as one, from where to where in the lane's steps. */
  private readonly groups = new Map<number, Group[]>();

  constructor(readonly ctx: CanvasRenderingContext2D, readonly ratio: number, readonly inks: Inks, readonly box: Box,
    readonly view: Viewport, readonly scene: Scene, readonly arrows: Arrows, readonly hover: number) {}

  paint(): Drawn {
    const { ctx, box, ratio, inks } = this;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = inks.bg;
    ctx.fillRect(0, 0, box.width, box.height);
    const first = Math.max(0, Math.floor(box.scroll / box.lane));
    const last = Math.min(this.scene.lanes.length - 1, Math.ceil((box.scroll + box.height - box.head) / box.lane));
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.gutter, box.head, box.width - box.gutter, box.height - box.head);
    ctx.clip();
    for (let i = first; i <= last; i++) this.stripe(i);
    this.breaks();
    for (let i = first; i <= last; i++) this.line(i);
    for (let i = first; i <= last; i++) this.spans(i);
    for (let i = first; i <= last; i++) this.arrange(i);
    this.drawArrows();
    for (let i = first; i <= last; i++) this.words(i);
    for (let i = first; i <= last; i++) this.marks(i);
    this.selection();
    this.after();
    ctx.restore();
    this.ruler();
    this.gutter(first, last);
    return { hits: this.hits, hidden: this.hidden };
  }

  private x(index: number): number {
    return this.moved.get(index) ?? toX(this.box, this.view, this.scene.axis.x[index] ?? this.scene.axis.max);
  }

  private stripe(i: number): void {
    const { ctx, box, inks, scene } = this;
    const top = laneY(box, i) - box.lane / 2;
    const chosen = scene.lanes[i]!.rank === scene.rank;
    if (i % 2 === 0 && !chosen) return;
    ctx.fillStyle = chosen ? inks.accent : inks.stripe;
    ctx.globalAlpha = chosen ? 0.09 : 1;
    ctx.fillRect(0, top, box.width, box.lane);
    ctx.globalAlpha = 1;
  }

  private breaks(): void {
    const { ctx, box, inks, view, scene } = this;
    for (const pause of scene.axis.breaks) {
      const x = toX(box, view, pause.x) - 5;
      if (x < box.gutter || x > box.width) continue;
      ctx.strokeStyle = inks.line;
      ctx.setLineDash([2, 3]);
      ctx.lineWidth = 1;
      for (const dx of [-3, 3]) {
        ctx.beginPath();
        ctx.moveTo(x + dx, box.head);
        ctx.lineTo(x + dx, box.height);
        ctx.stroke();
      }
      ctx.setLineDash([]);
    }
  }

  /** The agent's own line: firm while it works, dashed when it has finished, hatched while it waits. */
  private line(i: number): void {
    const { ctx, box, inks, scene } = this;
    const lane = scene.lanes[i]!;
    const y = laneY(box, i);
    if (!lane.steps.length) return;
    ctx.globalAlpha = lane.beside ? 0.45 : 1;
    if (!lane.agent) {
      ctx.strokeStyle = inks.line;
      ctx.lineWidth = 1;
      stroke(ctx, box.gutter, y, box.width, y);
      ctx.globalAlpha = 1;
      return;
    }
    const { phases } = lane.agent;
    const left = fromX(box, this.view, box.gutter - PAD);
    const right = fromX(box, this.view, box.width + PAD);
    for (let p = Math.max(0, lastAtMost(phases.steps, lastAtMost(scene.axis.x, left))); p < phases.steps.length; p++) {
      const from = this.x(phases.steps[p]!);
      if (scene.axis.x[phases.steps[p]!]! > right) break;
      const phase = phases.values[p]!;
      const ended = phase === "committed" || phase === "aborted";
      if (ended && p === phases.steps.length - 1) break;
      const to = p + 1 < phases.steps.length ? this.x(phases.steps[p + 1]!) : this.x(scene.story.length - 1);
      this.segment(phase, Math.max(from, box.gutter), Math.min(to, box.width), y);
    }
    ctx.globalAlpha = 1;
  }

  private segment(phase: string, from: number, to: number, y: number): void {
    const { ctx, inks } = this;
    if (to <= from) return;
    const alpha = ctx.globalAlpha;
    if (phase === "waiting") {
      ctx.save();
      ctx.beginPath();
      ctx.rect(from, y - 5, to - from, 10);
      ctx.clip();
      ctx.strokeStyle = inks.wait;
      ctx.globalAlpha *= 0.5;
      ctx.lineWidth = 1;
      ctx.beginPath();
      for (let x = from - (from % 5) - 10; x < to + 10; x += 5) {
        ctx.moveTo(x, y + 5);
        ctx.lineTo(x + 10, y - 5);
      }
      ctx.stroke();
      ctx.restore();
      return;
    }
    ctx.strokeStyle = phase === "told" ? inks.notice : inks.read;
    ctx.lineWidth = phase === "told" ? 2 : 1.2;
    ctx.globalAlpha *= phase === "told" ? 0.6 : 0.7;
    if (phase === "finished" || phase === "left") ctx.setLineDash([1.5, 4]);
    stroke(ctx, from, y, to, y);
    ctx.setLineDash([]);
    ctx.globalAlpha = alpha;
  }

  /** What is known of how long things took: bars for what ran, faint ones for what came before it. */
  private spans(i: number): void {
    const { ctx, box, inks, view, scene } = this;
    const lane = scene.lanes[i]!;
    if (scene.axis.kind !== "time" || !lane.agent || lane.beside) return;
    const y = laneY(box, i);
    const { all, ends } = lane.agent.spans;
    const { times } = scene.story;
    const [left, right] = [fromX(box, view, box.gutter), fromX(box, view, box.width)];
    const [low, high] = visibleRange(scene.axis, ends, left, Infinity);
    for (let k = low; k < high; k++) {
      const span = all[k]!;
      const from = placeOf(scene.axis, times, span.from);
      if (from > right) break;
      const x1 = Math.max(box.gutter, toX(box, view, from));
      const end = scene.axis.x[span.step]!;
      const to = span.kind === "think" ? Math.min(end, placeOf(scene.axis, times, span.to)) : end;
      const width = Math.min(box.width, toX(box, view, to)) - x1;
      if (width < 1.5) continue;
      const tall = span.kind === "run" ? 9 : span.kind === "think" ? 4 : 7;
      ctx.fillStyle = span.kind === "wait" ? inks.wait : span.kind === "think" ? inks.read : inks[GLYPHS[scene.story.marks[span.step]!].ink];
      ctx.globalAlpha = span.kind === "run" ? 0.42 : span.kind === "think" ? 0.3 : 0.26;
      ctx.beginPath();
      ctx.roundRect(x1, y - tall / 2, width, tall, Math.min(3, tall / 2));
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  }

  /** What the agent says, above what it does, as far as there is room up to what it says next. */
  private words(i: number): void {
    const { ctx, box, inks, view, scene } = this;
    const lane = scene.lanes[i]!;
    const { said } = lane;
    if (!said.length || lane.beside || box.lane < TALL) return;
    const [low, high] = visibleRange(scene.axis, said, fromX(box, view, box.gutter), fromX(box, view, box.width));
    if (high - low > box.width / 20) return;
    const rows = box.lane >= TWO_ROWS ? 2 : 1;
    const ends = [box.gutter, box.gutter];
    ctx.font = "11.5px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    for (let k = Math.max(0, low - rows); k < high; k++) {
      const index = said[k]!;
      const step = scene.story.steps[index]!;
      const row = k % rows;
      const y = laneY(box, i) - box.lane / 2 + 9 + row * 13;
      const whole = step.goal ? `▸ ${step.said}` : step.said ?? "";
      const next = k + rows < said.length ? toX(box, view, scene.axis.x[said[k + rows]!]!) - 14 : Infinity;
      let x = Math.max(box.gutter + 6, toX(box, view, scene.axis.x[index]!) - 5);
      // What is said last is seen whole, though it begins further to the left then.
      if (next === Infinity) x = Math.max(Math.min(x, box.width - 4 - ctx.measureText(whole).width), Math.min(x, ends[row]! + 10));
      const room = Math.min(next, box.width - 4) - x;
      if (room < 46) continue;
      const text = cutText(ctx, whole, room);
      ends[row] = x + ctx.measureText(text).width;
      const chosen = index === scene.selected;
      const act = lane.steps[lastAtMost(lane.steps, index) + 1] ?? index;
      ctx.globalAlpha = !scene.matches || scene.matches[index] || scene.matches[act] ? 1 : 0.35;
      ctx.strokeStyle = inks.bg;
      ctx.lineWidth = 3;
      ctx.lineJoin = "round";
      ctx.strokeText(text, x, y);
      ctx.fillStyle = chosen ? inks.accent : step.goal ? inks.dim : inks.ink;
      ctx.fillText(text, x, y);
      this.hits.push({ x, y, width: Math.max(20, ctx.measureText(text).width), lane: i, steps: [index], reach: 8 });
    }
    ctx.globalAlpha = 1;
  }

  private drawArrows(): void {
    const { box, view, scene } = this;
    const low = lastAtMost(scene.axis.x, fromX(box, view, box.gutter));
    const high = lastAtMost(scene.axis.x, fromX(box, view, box.width));
    const arrows = this.arrows.between(Math.max(0, low), high, 300, scene.matches);
    this.hidden = arrows === null;
    const { selected, related } = scene;
    for (const arrow of arrows ?? []) {
      const asked = !scene.matches || scene.matches[arrow.from] || scene.matches[arrow.to];
      const chosen = arrow.from === selected || arrow.to === selected;
      if (!chosen) this.arrow(arrow, asked ? (selected >= 0 && related.size > 0 ? 0.28 : 0.6) : 0.12, 1.2);
    }
    if (selected < 0) return;
    const step = scene.story.steps[selected]!;
    for (const to of scene.story.toldOf.get(step.n) ?? []) this.arrow({ from: selected, to }, 1, 2.2);
    for (const notice of step.notices ?? []) {
      const from = scene.story.exactly(notice.cause?.n);
      if (from >= 0) this.arrow({ from, to: selected }, 1, 2.2);
    }
    for (const to of scene.story.setOff.get(step.n) ?? []) this.arrow({ from: selected, to }, 0.9, 1.6, "again");
    const told = scene.story.answers.get(selected);
    if (told !== undefined && scene.story.groups[selected] === "repairs") this.arrow({ from: told, to: selected }, 0.9, 2, "repair");
  }

  private arrow({ from, to }: Arrow, alpha: number, width: number, ink: Ink = "notice"): void {
    const { ctx, box, inks, scene } = this;
    const a = scene.laneOf.get(scene.story.steps[from]!.rank ?? -1);
    const b = scene.laneOf.get(scene.story.steps[to]!.rank ?? -1);
    if (a === undefined || b === undefined) return;
    const [x1, y1, x2, y2] = [this.x(from), laneY(box, a), this.x(to), laneY(box, b)];
    const down = Math.sign(y2 - y1);
    const lift = box.lane * 0.4;
    ctx.globalAlpha = alpha;
    ctx.strokeStyle = ctx.fillStyle = inks[ink];
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.moveTo(x1, y1 + down * 5);
    const tip = y2 - (down || 1) * 8;
    if (down === 0) ctx.bezierCurveTo(x1 + 4, y1 - lift, x2 - 4, y2 - lift, x2, tip);
    else ctx.bezierCurveTo(x1, y1 + down * Math.max(lift, Math.abs(y2 - y1) * 0.55), x2, tip - down * Math.max(lift, Math.abs(y2 - y1) * 0.5), x2, tip);
    ctx.stroke();
    const head = down || 1;
    ctx.beginPath();
    ctx.moveTo(x2, tip + head * 3);
    ctx.lineTo(x2 - 3.4, tip - head * 3.4);
    ctx.lineTo(x2 + 3.4, tip - head * 3.4);
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  /** Signs one by one where there is room, bars with their number where there is none. */
  private arrange(i: number): void {
    const { box, view, scene } = this;
    const lane = scene.lanes[i]!;
    const [low, high] = visibleRange(scene.axis, lane.steps, fromX(box, view, box.gutter - BUCKET), fromX(box, view, box.width + BUCKET));
    const groups: Group[] = [];
    const place = (k: number): number => scene.axis.x[lane.steps[k]!]! * view.scale;
    let from = low;
    while (from < high) {
      const bucket = Math.floor(place(from) / BUCKET);
      let to = from + 1;
      let close = false;
      while (to < high && Math.floor(place(to) / BUCKET) === bucket) {
        if (place(to) - place(to - 1) < CLOSE) close = true;
        to += 1;
      }
      const beside = close && to - from <= SIDE_BY_SIDE && this.beside(lane, from, to, place);
      groups.push({ from, to, bucket, bar: close && !beside });
      from = to;
    }
    this.groups.set(i, groups);
  }

  /** Place a few steps that nearly coincide side by side, if nothing else of the lane stands there. */
  private beside(lane: Lane, from: number, to: number, place: (k: number) => number): boolean {
    const apart = CLOSE + 2.5;
    const need = (to - from - 1) * apart;
    const middle = (place(from) + place(to - 1)) / 2;
    const before = from > 0 ? place(from - 1) + apart : -Infinity;
    const after = to < lane.steps.length ? place(to) - apart : this.scene.axis.max * this.view.scale + PAD - 9;
    const start = Math.min(Math.max(middle - need / 2, before), after - need);
    if (start < before - 0.01) return false;
    const origin = toX(this.box, this.view, 0);
    for (let k = from; k < to; k++) this.moved.set(lane.steps[k]!, origin + start + (k - from) * apart);
    return true;
  }

  private marks(i: number): void {
    const lane = this.scene.lanes[i]!;
    const y = laneY(this.box, i);
    for (const { from, to, bucket, bar } of this.groups.get(i) ?? []) {
      if (bar) this.bar(lane, i, from, to, bucket, y);
      else for (let k = from; k < to; k++) this.sign(lane, i, lane.steps[k]!, y);
    }
  }

  private sign(lane: Lane, i: number, index: number, y: number): void {
    const { ctx, ratio, inks, scene } = this;
    const x = this.x(index);
    const mark = scene.story.marks[index]!;
    const glyph = GLYPHS[mark];
    const asked = !scene.matches || scene.matches[index] === 1;
    const near = lane.beside && lane.steps !== lane.agent?.acts && lane.rank >= 0;
    const step = scene.story.steps[index]!;
    const gone = step.call !== undefined && mark !== "undo" && mark !== "reverse" && scene.story.calls.get(step.call)?.states.at(scene.at) === "undone";
    ctx.globalAlpha = near ? 0.75 : !asked || lane.beside ? 0.22 : gone ? 0.45 : 1;
    ctx.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    const ink = inks[mark === "undo" && scene.story.groups[index] === "repairs" ? "repair" : glyph.ink];
    // Air around the sign, so that lines and arrows do not run into it.
    ctx.lineJoin = ctx.lineCap = "round";
    ctx.strokeStyle = inks.bg;
    ctx.lineWidth = (glyph.width ?? 0) + 3;
    ctx.stroke(pathOf(mark));
    if (glyph.fill) {
      ctx.fillStyle = ink;
      ctx.fill(pathOf(mark));
    } else {
      if (glyph.d.endsWith("Z") || mark === "running" || mark === "undo") {
        ctx.fillStyle = inks.bg;
        ctx.fill(pathOf(mark));
      }
      ctx.strokeStyle = ink;
      ctx.lineWidth = glyph.width ?? 1.5;
      ctx.stroke(pathOf(mark));
    }
    if (gone) {
      ctx.strokeStyle = inks.undone;
      ctx.lineWidth = 1.4;
      stroke(ctx, -8, 3, 8, -3);
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.globalAlpha = 1;
    this.hits.push({ x: x - 8, y, width: 16, lane: i, steps: [index] });
  }

  /** How many steps there are, and below it in colours of which kinds. */
  private bar(lane: Lane, i: number, from: number, to: number, bucket: number, y: number): void {
    const { ctx, box, view, inks, scene } = this;
    const counts: Partial<Record<Ink, number>> = {};
    let asked = 0;
    for (let k = from; k < to; k++) {
      const index = lane.steps[k]!;
      if (scene.matches && !scene.matches[index] && !lane.beside) continue;
      asked += 1;
      const ink = scene.story.groups[index] === "repairs" ? "repair" : GLYPHS[scene.story.marks[index]!].ink;
      counts[ink] = (counts[ink] ?? 0) + 1;
    }
    const x = toX(box, view, (bucket * BUCKET) / view.scale) + 1;
    const height = Math.min(20, box.lane - 8);
    const top = y - height / 2;
    const shown = ORDER.filter((ink) => counts[ink]);
    const width = BUCKET - 2;
    ctx.fillStyle = inks.bg;
    ctx.fillRect(x, top, width, height);
    ctx.fillStyle = inks[asked ? "read" : "dim"];
    ctx.globalAlpha = lane.beside || !asked ? 0.12 : Math.min(0.5, 0.12 + 0.05 * Math.log2(1 + asked));
    ctx.fillRect(x, top, width, height);
    ctx.globalAlpha = lane.beside ? 0.3 : 1;
    // What a person looks for must not drown among reads: some pixels of it are always there.
    const least = shown.map((ink): number => (LOUD.has(ink) ? 3 : 0));
    const room = width - least.reduce((sum, part) => sum + part, 0);
    let left = x;
    shown.forEach((ink, k) => {
      const part = least[k]! + (room * counts[ink]!) / asked;
      ctx.fillStyle = inks[ink];
      ctx.fillRect(left, top + height - 3.5, part, 3.5);
      left += part;
    });
    ctx.globalAlpha = 1;
    if (asked) this.barCount(x + width / 2, y - 1.5, asked);
    this.hits.push({ x, y, width, lane: i, steps: lane.steps.slice(from, to) });
  }

  private barCount(x: number, y: number, count: number): void {
    const { ctx, inks } = this;
    const text = count < 1000 ? String(count) : `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)}k`;
    ctx.font = "10.5px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = inks.ink;
    ctx.fillText(text, x, y + 0.5);
  }

  private selection(): void {
    const { ctx, box, inks, scene } = this;
    for (const [index, ink, width] of [[this.hover, inks.dim, 1.2], [scene.selected, inks.accent, 2]] as const) {
      if (index < 0 || index >= scene.story.length) continue;
      const lane = scene.laneOf.get(scene.story.steps[index]!.rank ?? -1);
      if (lane === undefined || scene.story.words.has(index)) continue;
      const x = this.x(index);
      ctx.strokeStyle = ink;
      ctx.lineWidth = width;
      ctx.beginPath();
      ctx.arc(x, laneY(box, lane), 10.5, 0, 7);
      ctx.stroke();
    }
    ctx.strokeStyle = inks.accent;
    ctx.lineWidth = 1;
    for (const index of scene.related) {
      const lane = scene.laneOf.get(scene.story.steps[index]?.rank ?? -1);
      if (lane === undefined || index === scene.selected) continue;
      ctx.beginPath();
      ctx.arc(this.x(index), laneY(box, lane), 9.5, 0, 7);
      ctx.stroke();
    }
  }

  /** Dims what comes after the moment that everything is shown as of. */
  private after(): void {
    const { ctx, box, inks, scene } = this;
    if (scene.at >= scene.story.length - 1 || scene.at < 0) return;
    const x = (this.x(scene.at) + this.x(scene.at + 1)) / 2;
    ctx.fillStyle = inks.bg;
    ctx.globalAlpha = 0.66;
    ctx.fillRect(Math.max(x, box.gutter), box.head, box.width, box.height);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = inks.accent;
    ctx.lineWidth = 1.5;
    stroke(ctx, x, box.head, x, box.height);
  }

  private ruler(): void {
    const { ctx, box, view, inks, scene } = this;
    ctx.fillStyle = inks.panel;
    ctx.fillRect(0, 0, box.width, box.head);
    ctx.strokeStyle = inks.line;
    ctx.lineWidth = 1;
    stroke(ctx, 0, box.head - 0.5, box.width, box.head - 0.5);
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.gutter, 0, box.width - box.gutter, box.head);
    ctx.clip();
    ctx.font = "10.5px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = inks.dim;
    const { axis, story } = scene;
    let before = -Infinity;
    let said = "";
    const pauses = axis.breaks.map((pause) => {
      const text = `⋯ ${duration(pause.ms)} ⋯`;
      const width = ctx.measureText(text).width + 8;
      return { text, width, x: Math.min(toX(box, view, pause.x) - 5, box.width - width / 2) };
    });
    const shortest = Math.max(0, lastAtMost(axis.x, fromX(box, view, box.gutter)));
    const gap = axis.kind === "steps" ? niceStep(90 / view.scale) : 90 / view.scale;
    for (let k = Math.ceil(axis.x[shortest]! / gap); ; k++) {
      const world = k * gap;
      const x = toX(box, view, world);
      if (x > box.width || world > axis.max + gap / 2) break;
      const index = Math.max(0, lastAtMost(axis.x, world + 1e-9));
      if (x - before < 60 || pauses.some((pause) => Math.abs(pause.x - x) < pause.width / 2 + 28)) continue;
      ctx.textAlign = x < box.gutter + 34 ? "left" : "center";
      const text = axis.kind === "steps" ? String(story.steps[index]?.n ?? "") : clock(story.times[index]! + (world - axis.x[index]!), story.times);
      if (text === said) continue;
      before = x;
      said = text;
      ctx.fillText(text, x, box.head / 2 - 1);
      stroke(ctx, x + 0.5, box.head - 4, x + 0.5, box.head);
    }
    ctx.textAlign = "center";
    ctx.fillStyle = inks.wait;
    let end = -Infinity;
    for (const pause of pauses) {
      if (pause.x - pause.width / 2 < end) continue; // beside another one there is no room for it
      end = pause.x + pause.width / 2;
      ctx.fillText(pause.text, pause.x, box.head / 2);
    }
    ctx.restore();
  }

  private gutter(first: number, last: number): void {
    const { ctx, box, inks } = this;
    ctx.fillStyle = inks.panel;
    ctx.fillRect(0, box.head, box.gutter, box.height);
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, box.head, box.gutter, box.height - box.head);
    ctx.clip();
    for (let i = first; i <= last; i++) this.label(i);
    ctx.restore();
    ctx.fillStyle = inks.panel;
    ctx.fillRect(0, 0, box.gutter, box.head - 1);
    ctx.fillStyle = inks.dim;
    ctx.font = "10.5px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(box.gutter > 100 ? "order, lowest first" : "order", 10, box.head / 2);
    ctx.strokeStyle = inks.line;
    stroke(ctx, box.gutter - 0.5, 0, box.gutter - 0.5, box.height);
  }

  private label(i: number): void {
    const { ctx, box, inks, scene } = this;
    const lane = scene.lanes[i]!;
    const y = laneY(box, i);
    if (lane.rank === scene.rank) {
      ctx.fillStyle = inks.accent;
      ctx.fillRect(0, y - box.lane / 2, 3, box.lane);
    }
    ctx.globalAlpha = lane.beside ? 0.55 : 1;
    const phase = lane.agent?.phases.at(scene.at);
    const order = lane.agent?.orders.at(scene.at);
    const tall = box.lane >= 34;
    const name = lane.agent?.name ?? "outside";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillStyle = inks.ink;
    ctx.font = "600 12.5px system-ui, sans-serif";
    const room = box.gutter - 20 - (tall ? 0 : box.gutter > 100 ? 26 : 8);
    ctx.fillText(fitText(ctx, name, room), 10, tall ? y - 7.5 : y);
    ctx.font = "11px system-ui, sans-serif";
    ctx.fillStyle = lane.agent ? inkOf(phase, inks) : inks.outside;
    const place = order === undefined ? "" : lane.agent!.rank === order ? `${order}` : `${order} (rank ${lane.agent!.rank})`;
    if (tall) {
      const words = !lane.agent ? "nobody's agent" : box.gutter < 100 ? (phase ?? "not yet") : [place, phase ?? "not yet"].filter(Boolean).join(" · ");
      ctx.fillText(fitText(ctx, words, box.gutter - 16), 10, y + 8);
    } else if (lane.agent) {
      ctx.textAlign = "right";
      if (box.gutter > 100) ctx.fillText(String(order ?? ""), box.gutter - 18, y);
      ctx.beginPath();
      ctx.arc(box.gutter - 9, y, 3.2, 0, 7);
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  }
}
