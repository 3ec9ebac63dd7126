/** What the lanes show at a moment, and where things are on the canvas. */

import type { Axis } from "../../model/axis.ts";
import { lastAtMost, OUTSIDE, type Agent, type Story } from "../../model/story.ts";

export interface Lane {
  rank: number;
  agent: Agent | null;
  steps: readonly number[];
  /** What its agent said, which stands above them. */
  said: readonly number[];
  /** Shown only because of what it has to do with the lanes asked for. */
  beside: boolean;
}

export interface Scene {
  story: Story;
  axis: Axis;
  lanes: Lane[];
  laneOf: Map<number, number>;
  /** By index of step, 1 where it is among those asked for; null where all are. */
  matches: Uint8Array | null;
  at: number;
  selected: number;
  /** Index of steps that the selected one has to do with. */
  related: ReadonlySet<number>;
  rank: number | null;
}

export interface Box {
  width: number;
  height: number;
  gutter: number;
  head: number;
  lane: number;
  scroll: number;
}

export interface Viewport {
  /** Place on the axis at the left edge, and pixels for a unit of it. */
  x0: number;
  scale: number;
}

export const PAD = 16;
export const BUCKET = 26;
/** Signs closer than this are drawn as one bar with their number. */
export const CLOSE = 10;
/** Lanes at least this high have room for what their agents say. */
export const TALL = 44;

export function toX(box: Box, view: Viewport, x: number): number {
  return box.gutter + PAD + (x - view.x0) * view.scale;
}

export function fromX(box: Box, view: Viewport, px: number): number {
  return view.x0 + (px - box.gutter - PAD) / view.scale;
}

export function fitScale(box: Box, axis: Axis): number {
  return Math.max(1, box.width - box.gutter - 2 * PAD) / axis.max;
}

export function laneY(box: Box, lane: number): number {
  return box.head + lane * box.lane - box.scroll + box.lane / 2;
}

/** The first and last place in a lane's steps that the viewport may show. */
export function visibleRange(axis: Axis, steps: readonly number[], from: number, to: number): [number, number] {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (axis.x[steps[middle]!]! < from) low = middle + 1;
    else high = middle;
  }
  const first = low;
  high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (axis.x[steps[middle]!]! <= to) low = middle + 1;
    else high = middle;
  }
  return [first, low];
}

export interface Arrow {
  from: number;
  to: number;
}

/** Arrows of notices by the step that told, kept while the story grows. */
export class Arrows {
  readonly all: Arrow[] = [];
  /** Indexes of the telling steps, ascending. */
  private readonly tos: number[] = [];
  private read = 0;
  private longest = 0;

  update(story: Story): void {
    for (; this.read < story.length; this.read++) {
      const step = story.steps[this.read]!;
      if (step.kind !== "told") continue;
      const causes = new Set<number>();
      for (const notice of step.notices ?? []) causes.add(story.exactly(notice.cause?.n));
      for (const from of causes) {
        if (from < 0) continue;
        this.all.push({ from, to: this.read });
        this.tos.push(this.read);
        this.longest = Math.max(this.longest, this.read - from);
      }
    }
  }

  /** Arrows that cross the steps from `low` to `high`; of more than `most` only those asked for, and null where these are too many. */
  between(low: number, high: number, most: number, matches: Uint8Array | null): Arrow[] | null {
    return this.some(low, high, most, null) ?? (matches && this.some(low, high, most, matches));
  }

  private some(low: number, high: number, most: number, matches: Uint8Array | null): Arrow[] | null {
    const found: Arrow[] = [];
    for (let i = lastAtMost(this.tos, low - 1) + 1; i < this.all.length; i++) {
      const arrow = this.all[i]!;
      if (arrow.to > high + this.longest) break;
      if (arrow.from > high || (matches && !matches[arrow.from] && !matches[arrow.to])) continue;
      if (found.length >= most) return null;
      found.push(arrow);
    }
    return found;
  }
}

/**
 * Lanes in serialization order; while something is asked for, those that have to do with it.
 *
 * Of a lane that is there only for its notices, the steps are shown that told, or set off, something asked for.
 */
export function lanesFor(story: Story, matches: Uint8Array | null, keepAll: boolean): Lane[] {
  const lanes: Lane[] = story.lanes().map((agent) => ({ rank: agent.rank, agent, steps: agent.acts, said: agent.said, beside: false }));
  if (story.outside.length) lanes.unshift({ rank: OUTSIDE, agent: null, steps: story.outside, said: [], beside: false });
  if (!matches) return lanes;
  const asked = new Set<number>();
  const near = new Map<number, Set<number>>();
  const note = (index: number): void => {
    if (index < 0) return;
    const rank = story.steps[index]!.rank ?? OUTSIDE;
    if (!near.has(rank)) near.set(rank, new Set());
    near.get(rank)!.add(index);
  };
  for (const lane of lanes) {
    for (const i of lane.steps) {
      if (!matches[i]) continue;
      asked.add(lane.rank);
      const step = story.steps[i]!;
      for (const notice of step.notices ?? []) note(story.exactly(notice.cause?.n));
      for (const told of story.toldOf.get(step.n) ?? []) note(told);
    }
  }
  return lanes
    .filter((lane) => keepAll || asked.has(lane.rank) || near.has(lane.rank))
    .map((lane) => (asked.has(lane.rank) || keepAll ? { ...lane, beside: !asked.has(lane.rank) }
      : { ...lane, beside: true, steps: [...near.get(lane.rank)!].sort((a, b) => a - b) }));
}
