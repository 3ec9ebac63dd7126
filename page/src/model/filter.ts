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

/** Marks the steps that touched one of these objects. */
function touched(story: Story, keys: Iterable<string>): Uint8Array {
  const marks = new Uint8Array(story.length);
  for (const key of keys) for (const i of story.objects.get(key)?.steps ?? []) marks[i] = 1;
  return marks;
}

/** A word of the search: a name of an agent, a key by prefix or glob, or part of the step's text. */
function wordTest(story: Story, word: string): (step: Step, index: number) => boolean {
  const low = word.toLowerCase();
  const pattern = /[*?]/.test(word) ? glob(word) : null;
  const ranks = new Set<number>();
  for (const agent of story.agents.values()) {
    const name = agent.name.toLowerCase();
    if (name === low || (pattern ? pattern.test(name) : false)) ranks.add(agent.rank);
  }
  const marks = touched(story, story.keys().filter((key) => (pattern ? pattern.test(key) : key.toLowerCase().startsWith(low))));
  return (step, index) =>
    marks[index] === 1 ||
    (step.rank !== undefined && ranks.has(step.rank)) ||
    (!pattern && (step.text.toLowerCase().includes(low) || (step.id?.toLowerCase() ?? "") === low || step.tool?.toLowerCase() === low));
}

export function matcher(story: Story, filter: Filter): (index: number) => boolean {
  const words = filter.q.trim().split(/\s+/).filter(Boolean).map((word) => wordTest(story, word));
  const groups = new Set(filter.groups);
  const { key } = filter;
  const ofKey = key === null ? null : touched(story, [key]);
  return (index) => {
    const step = story.steps[index]!;
    if (filter.rank !== null && step.rank !== filter.rank && !(filter.rank < 0 && step.rank === undefined)) return false;
    if (groups.size > 0 && !groups.has(story.groups[index]!)) return false;
    // A scan saw all that stands under its prefix, and what does not.
    if (ofKey && !ofKey[index] && !(step.scans ?? []).some((scan) => key!.startsWith(scan.prefix))) return false;
    return words.every((test) => test(step, index));
  };
}
