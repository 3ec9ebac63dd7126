/** The colours of the lanes. */

import type { Ink } from "../glyphs.ts";

export type Inks = Record<Ink | "ink" | "bg" | "panel" | "line" | "accent" | "stripe", string>;

export const LOUD: ReadonlySet<Ink> = new Set(["bad", "repair", "notice"]);

/** Which parts of a bar come first. */
export const ORDER: Ink[] = ["bad", "repair", "notice", "undone", "again", "wait", "outside", "ok", "write", "read", "dim"];

export function inkOf(phase: string | undefined, inks: Inks): string {
  if (phase === "committed") return inks.ok;
  if (phase === "aborted" || phase === "aborting") return inks.bad;
  if (phase === "told") return inks.notice;
  if (phase === "waiting") return inks.wait;
  if (phase === "working") return inks.write;
  return inks.dim;
}

export function stroke(ctx: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}
