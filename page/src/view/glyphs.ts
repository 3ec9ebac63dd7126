/** The signs of the steps: paths around (0, 0), drawn on the canvas and in the text alike. */

import type { Group, Mark } from "../model/marks.ts";

export type Ink = "read" | "write" | "bad" | "wait" | "notice" | "repair" | "again" | "undone" | "ok" | "outside" | "dim";

export interface Glyph {
  d: string;
  ink: Ink;
  fill?: boolean;
  width?: number;
}

const circle = (r: number): string => `M${r} 0A${r} ${r} 0 1 1-${r} 0A${r} ${r} 0 1 1 ${r} 0Z`;

export const GLYPHS: Record<Mark, Glyph> = {
  read: { d: circle(3.8), ink: "read", width: 1.6 },
  write: { d: circle(4.8), ink: "write", fill: true },
  failed: { d: "M-4-4L4 4M4-4L-4 4", ink: "bad", width: 2.4 },
  blocked: { d: "M-2.6-4.4V4.4M2.6-4.4V4.4", ink: "wait", width: 2.2 },
  staged: { d: "M-4-4H4V4H-4Z", ink: "wait", width: 1.7 },
  unknown: { d: "M-2.7-2.4A2.8 2.8 0 1 1 1 .5Q0 1.1 0 2.3M0 4.8V5.2", ink: "bad", width: 2 },
  running: { d: `${circle(4.6)}M0-2V0H2`, ink: "write", width: 1.5 },
  said: { d: "M-5-4.6H5V2.6H-.6L-3.4 5.2V2.6H-5Z", ink: "dim", width: 1.4 },
  amend: { d: "M0-6.4L6.4 0L0 6.4L-6.4 0Z", ink: "repair", fill: true },
  undo: { d: "M0-5.8L5.8 0L0 5.8L-5.8 0ZM-2.4 0H2.4", ink: "undone", width: 1.7 },
  again: { d: "M4.3 1.6A4.5 4.5 0 1 1 3.4-3M4.3-5.2V-2.4H1.5", ink: "again", width: 1.8 },
  reverse: { d: "M0-4.2L-4.4 0L0 4.2M-4.4 0H5", ink: "undone", width: 1.8 },
  told: { d: "M-5.6-4.2H5.6L0 5.4Z", ink: "notice", fill: true },
  join: { d: "M-3-5V5M-3 0H4", ink: "dim", width: 1.8 },
  finish: { d: "M3-5V5M-4 0H3", ink: "dim", width: 1.8 },
  commit: { d: "M-5.4 .4L-1.6 4.4L5.6-4.6", ink: "ok", width: 2.5 },
  aborting: { d: circle(6), ink: "bad", width: 1.8 },
  abort: { d: `${circle(6)}M-2.6-2.6L2.6 2.6M2.6-2.6L-2.6 2.6`, ink: "bad", width: 1.8 },
  promote: { d: "M0 5V-4.6M-3.8-.8L0-5L3.8-.8", ink: "dim", width: 1.8 },
  left: { d: "M-4.5 0H2M-1-3.4L2.4 0L-1 3.4M4.6-4.4V4.4", ink: "dim", width: 1.6 },
  attach: { d: "M4.5 0H-2M1-3.4L-2.4 0L1 3.4M-4.6-4.4V4.4", ink: "dim", width: 1.6 },
  restart: { d: "M-4-4.4V4.4M4.4-4.2L-1.8 0L4.4 4.2Z", ink: "undone", width: 1.7 },
  outside: { d: "M0-6.6L1.9-1.9L6.6 0L1.9 1.9L0 6.6L-1.9 1.9L-6.6 0L-1.9-1.9Z", ink: "outside", fill: true },
  refused: { d: `${circle(5)}M-3.4 3.4L3.4-3.4`, ink: "bad", width: 1.8 },
  stuck: { d: "M0-5.4L5.6 4.6H-5.6ZM0-1.4V1.4M0 2.8V3", ink: "bad", width: 1.6 },
  resolve: { d: "M0-.8A2.3 2.3 0 1 0 0-5.4A2.3 2.3 0 0 0 0-.8ZM-4.6 5.4A4.7 4.7 0 0 1 4.6 5.4", ink: "outside", width: 1.7 },
  effect: { d: circle(1.5), ink: "dim", fill: true },
  begin: { d: "M-4.5 0H4.5M1-3.4L4.4 0L1 3.4", ink: "dim", width: 1.6 },
};

/** The sign that stands for a kind of steps. */
export const SIGN: Record<Group, Mark> = {
  reads: "read", writes: "write", failed: "failed", waiting: "blocked", notices: "told", repairs: "amend",
  "re-runs": "again", undone: "undo", outcomes: "commit", words: "said", outside: "outside", other: "join",
};
