/** Which steps a person asked for. */

import type { Group } from "./marks.ts";
import type { Step } from "./steps.ts";
import type { Story } from "./story.ts";

export interface Filter {
  q: string;
  groups: readonly Group[];
  rank: number | null;
  key: string | null;
}

export function isEmpty(filter: Filter): boolean {
  return !filter.q.trim() && filter.groups.length === 0 && filter.rank === null && filter.key === null;
}

/** A pattern with `*` and `?` as a regular expression over whole keys. */
export function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${escaped}$`, "i");
}

/** Every key that a step speaks of. */
export function keysOf(step: Step): string[] {
  const keys = [
    ...(step.reads ?? []).map((read) => read.key),
    ...(step.writes ?? []).map((write) => write.key),
    ...(step.notices ?? []).map((notice) => notice.key),
  ];
  if (step.key) keys.push(step.key);
  return keys;
}

function touches(step: Step, key: string): boolean {
  return keysOf(step).includes(key) || (step.scans ?? []).some((scan) => key.startsWith(scan.prefix));
}

/** A word of the search: a name of an agent, a key by prefix or glob, or part of the step's text. */
function wordTest(story: Story, word: string): (step: Step) => boolean {
  const low = word.toLowerCase();
  const pattern = /[*?]/.test(word) ? glob(word) : null;
  const ranks = new Set<number>();
  for (const agent of story.agents.values()) {
    const name = agent.name.toLowerCase();
    if (name === low || (pattern ? pattern.test(name) : false)) ranks.add(agent.rank);
  }
  const keys = new Set<string>();
  for (const key of story.objects.keys()) {
    const lowKey = key.toLowerCase();
    if (pattern ? pattern.test(key) : lowKey.startsWith(low)) keys.add(key);
  }
  return (step) =>
    (step.rank !== undefined && ranks.has(step.rank)) ||
    (keys.size > 0 && keysOf(step).some((key) => keys.has(key))) ||
    (!pattern && (step.text.toLowerCase().includes(low) || (step.id?.toLowerCase() ?? "") === low || step.tool?.toLowerCase() === low));
}

export function matcher(story: Story, filter: Filter): (index: number) => boolean {
  const words = filter.q.trim().split(/\s+/).filter(Boolean).map((word) => wordTest(story, word));
  const groups = new Set(filter.groups);
  return (index) => {
    const step = story.steps[index]!;
    if (filter.rank !== null && step.rank !== filter.rank && !(filter.rank < 0 && step.rank === undefined)) return false;
    if (groups.size > 0 && !groups.has(story.groups[index]!)) return false;
    if (filter.key !== null && !touches(step, filter.key)) return false;
    return words.every((test) => test(step));
  };
}
