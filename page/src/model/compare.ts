/** Two stories of the same work, and how they end. */

import { duration } from "./axis.ts";
import type { Story } from "./story.ts";
import { seenBy } from "./why.ts";

export interface End {
  key: string;
  a: number | null;
  b: number | null;
}

/** The live version of every object that either story has written, as of a step of each; the last by default. */
export function ends(a: Story, b: Story, atA = a.length - 1, atB = b.length - 1, most = 300): End[] {
  const found: End[] = [];
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    const inA = seenBy(a, key, null, atA);
    const inB = seenBy(b, key, null, atB);
    const written = [a, b].some((story) => (story.objects.get(key)?.writes.length ?? 0) > 0);
    if (written) found.push({ key, a: inA.v, b: inB.v });
    if (found.length >= most) break;
  }
  return found.sort((x, y) => (x.key < y.key ? -1 : 1));
}

function many(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** One line on how a story went, up to a step; the last by default. */
export function sentence(story: Story, last = story.length - 1): string {
  const counts = story.countsAt(last);
  const phases = story.phasesAt(last);
  const parts = [many(counts.calls, "call")];
  if (counts.failed) parts.push(`${counts.failed} failed`);
  parts.push(counts.notices ? many(counts.notices, "notice") : "nobody was told anything");
  if (counts.repairs) parts.push(many(counts.repairs, "repair"));
  if (counts.waiting) parts.push(counts.waiting === 1 ? "once waiting" : `${counts.waiting} times waiting`);
  if (counts.undone) parts.push(`${counts.undone} undone`);
  parts.push(`${phases.committed} of ${many(story.agents.size, "agent")} committed`);
  const took = (story.times[last] ?? NaN) - (story.times.find((time) => !Number.isNaN(time)) ?? NaN);
  if (took > 0) parts.push(`in ${duration(took)}`);
  return parts.join(", ");
}
