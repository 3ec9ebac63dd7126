/** Where each step stands from left to right. */

import { lastAtMost } from "./story.ts";

export interface Break {
  /** Where the cut pause ends. */
  x: number;
  ms: number;
}

export interface Axis {
  kind: "time" | "steps";
  /** By index of the step; ascending. In ms for time (long pauses cut), in steps otherwise. */
  x: number[];
  max: number;
  breaks: Break[];
}

/** Stories of this many steps or fewer are short. */
const SHORT = 60;

/** Equal room for each step, none for those that are not shown; words stand where what follows them stands. */
export function stepAxis(length: number, silent?: ReadonlySet<number>, words?: ReadonlySet<number>): Axis {
  let place = -1;
  let before = 0;
  const x = Array.from({ length }, (_, i) => (before = Math.max(before, silent?.has(i) ? place : words?.has(i) ? place + 1 : (place += 1))));
  return { kind: "steps", x, max: Math.max(1, x.at(-1) ?? 1), breaks: [] };
}

/**
 * Room by time, where pauses that would leave no room for anything else are cut.
 *
 * A pause is cut where it is 8 % of the whole or more and 12 times the usual one between two steps; what is left
 * of it is 3 % of the rest. In a short story, for which the lanes of its steps are given, no two steps of a lane
 * stand so near that their signs would cover one another.
 */
export function timeAxis(times: readonly number[], cut = true, lanes: readonly number[] = []): Axis {
  const from = times.find((time) => !Number.isNaN(time)) ?? 0;
  const gaps: number[] = [];
  for (let i = 1; i < times.length; i++) gaps.push(Math.max(0, (times[i] ?? from) - (times[i - 1] ?? from)) || 0);
  const total = gaps.reduce((sum, gap) => sum + gap, 0);
  const real = gaps.filter((gap) => gap > 0).sort((a, b) => a - b);
  const usual = real[real.length >> 1] ?? 0;
  const long = cut && real.length > 4 ? Math.max(total * 0.08, usual * 12) : Infinity;
  const rest = gaps.reduce((sum, gap) => (gap > long ? sum : sum + gap), 0);
  const left = Math.max(rest * 0.03, usual);
  const x: number[] = times.length ? [0] : [];
  const breaks: Break[] = [];
  const least = lanes.length && lanes.length <= SHORT ? rest * 0.022 : 0;
  const lastOf = new Map<number, number>(lanes.length ? [[lanes[0]!, 0]] : []);
  gaps.forEach((gap, i) => {
    const shown = gap > long ? left : gap;
    const lane = lanes[i + 1]!;
    const before = least ? lastOf.get(lane) : undefined;
    x.push(Math.max(x[i]! + shown, before === undefined ? 0 : before + least));
    lastOf.set(lane, x[i + 1]!);
    if (gap > long) breaks.push({ x: x[i + 1]!, ms: gap });
  });
  return { kind: "time", x, max: Math.max(1, x.at(-1) ?? 1), breaks };
}

/** True where time says little: no times, or nearly all steps coincide. */
export function timesSayLittle(times: readonly number[]): boolean {
  if (times.length < 3) return true;
  const known = times.filter((time) => !Number.isNaN(time));
  if (known.length < times.length / 2) return true;
  let moments = 1;
  for (let i = 1; i < known.length; i++) if (known[i]! > known[i - 1]!) moments += 1;
  if (moments < known.length * 0.3) return true;
  return (known.at(-1)! - known[0]!) < known.length * 0.5;
}

/** Index of the step nearest to this place among the given ones (all of them where none are given), or -1. */
export function nearest(axis: Axis, x: number, among?: readonly number[]): number {
  if (!among) {
    const i = lastAtMost(axis.x, x);
    if (i < 0) return axis.x.length ? 0 : -1;
    return i + 1 < axis.x.length && axis.x[i + 1]! - x < x - axis.x[i]! ? i + 1 : i;
  }
  let low = 0;
  let high = among.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (axis.x[among[middle]!]! < x) low = middle + 1;
    else high = middle;
  }
  const after = among[low];
  const before = among[low - 1];
  if (after === undefined) return before ?? -1;
  if (before === undefined) return after;
  return axis.x[after]! - x < x - axis.x[before]! ? after : before;
}

/** Words for a length of time. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
