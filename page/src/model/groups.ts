/** The list of steps: by agent, with like calls folded, or one after the other. */

import type { Mark } from "./marks.ts";
import type { Story } from "./story.ts";

export type Row =
  | { kind: "agent"; rank: number; open: boolean; steps: number }
  | { kind: "fold"; id: string; steps: number[]; open: boolean; depth: number }
  /** What an agent said, with the calls that it made then; `id` is null where there are too few to be folded. */
  | { kind: "said"; id: string | null; index: number; steps: number[]; open: boolean }
  | { kind: "step"; index: number; depth: number };

const FOLD_FROM = 4;
/** As many calls after words are folded under them. */
const FOLD_SAID_FROM = 3;
/** What follows words and is not folded under them: a person looks for it. */
const APART: ReadonlySet<Mark> = new Set(["told", "join", "finish", "commit", "abort", "promote", "left", "attach", "restart", "stuck", "said"]);

function likeness(story: Story, index: number): string {
  const mark = story.marks[index]!;
  // What a person looks for stands alone: only what reads, writes or waits without trouble is folded.
  if (mark !== "read" && mark !== "write" && mark !== "again" && mark !== "blocked") return `!${index}`;
  return `${mark} ${story.steps[index]!.tool ?? ""}`;
}

/** Rows of one agent's steps; runs of like calls become one row that opens. */
export function foldSteps(story: Story, steps: readonly number[], open: ReadonlySet<string>, depth = 1): Row[] {
  const rows: Row[] = [];
  let from = 0;
  while (from < steps.length) {
    const like = likeness(story, steps[from]!);
    let to = from + 1;
    while (to < steps.length && likeness(story, steps[to]!) === like) to += 1;
    const run = steps.slice(from, to);
    if (run.length >= FOLD_FROM) {
      const id = `f${story.steps[run[0]!]!.n}`;
      rows.push({ kind: "fold", id, steps: run, open: open.has(id), depth });
      if (open.has(id)) for (const index of run) rows.push({ kind: "step", index, depth: depth + 1 });
    } else for (const index of run) rows.push({ kind: "step", index, depth });
    from = to;
  }
  return rows;
}

/** Rows of one agent: what it said, and under that what it did then. */
export function rowsOf(story: Story, steps: readonly number[], open: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  let from = 0;
  while (from < steps.length) {
    const first = steps[from]!;
    const words = story.marks[first] === "said" && !story.steps[first]!.goal;
    let to = from + 1;
    while (to < steps.length && (words ? !APART.has(story.marks[steps[to]!]!) : story.marks[steps[to]!] !== "said")) to += 1;
    const under = steps.slice(words ? from + 1 : from, to);
    if (!words) rows.push(...foldSteps(story, under, open));
    else {
      const id = under.length >= FOLD_SAID_FROM ? `w${story.steps[first]!.n}` : null;
      const isOpen = id === null || open.has(id);
      rows.push({ kind: "said", id, index: first, steps: under, open: isOpen });
      if (isOpen) rows.push(...foldSteps(story, under, open, 2));
    }
    from = to;
  }
  return rows;
}

export function rowsByAgent(story: Story, matches: (index: number) => boolean, open: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  const lanes: { rank: number; steps: number[] }[] = story.lanes();
  if (story.outside.length) lanes.unshift({ rank: -1, steps: story.outside });
  for (const { rank, steps } of lanes) {
    const shown = steps.filter(matches);
    if (!shown.length) continue;
    const isOpen = open.has(`a${rank}`);
    rows.push({ kind: "agent", rank, open: isOpen, steps: shown.length });
    if (isOpen) rows.push(...rowsOf(story, shown, open));
  }
  return rows;
}
