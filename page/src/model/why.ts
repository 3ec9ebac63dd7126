/** What rests on what: who wrote what a call saw, which notice led to which repair, what an undo would reach. */

import { lastAtMost, type Story } from "./story.ts";
import { chain, seen, versionAt, writerAt, type Entry, type Standing } from "./trajectory.ts";
import type { Step, Uid } from "./steps.ts";

const NOTHING: Standing = { base: null, origin: null, settled: [], entries: [] };

export function standing(story: Story, key: string, index: number): Standing {
  return story.objects.get(key)?.trajectory.at(index) ?? NOTHING;
}

/** The order by which an agent's view is filtered at a step; null where everybody sees all. */
export function orderFor(story: Story, rank: number | null, index: number): number | null {
  if (!story.filters || rank === null) return null;
  const agent = story.agents.get(rank);
  return agent?.orders.at(index) ?? agent?.orders.last ?? null;
}

export interface Saw {
  key: string;
  /** The write that it saw, or null for what was there before all writes. */
  entry: Entry | null;
  v: number | null;
}

/** What a call at its place saw of an object when it ran at this step. */
export function sawOf(story: Story, index: number, uid: Uid, key: string): Saw {
  const state = standing(story, key, index);
  const [rank, seq] = uid.split(":").map(Number) as [number, number];
  const order = orderFor(story, rank, index);
  let i = state.entries.length - 1;
  while (i >= 0) {
    const entry = state.entries[i]!;
    const below = order === null ? !(entry.step === index && entry.who === uid) : entry.order < order || (entry.order === order && entry.seq < seq);
    if (below) break;
    i -= 1;
  }
  return { key, entry: writerAt(state, i), v: versionAt(state, i) };
}

export interface Wrote {
  key: string;
  /** The version below its own, and its own; null where not known. */
  before: number | null;
  after: number | null;
  below: Entry | null;
  /** False where later work in the order stands above it, so that the live value is another. */
  live: boolean;
}

/** What a call's write to an object replaced, as the trajectory stood at this step. */
export function wroteOf(story: Story, index: number, uid: Uid, key: string, v: number | undefined): Wrote {
  const state = standing(story, key, index);
  const found = state.entries.findLastIndex((entry) => entry.who === uid);
  if (found < 0) {
    const saw = sawOf(story, index, uid, key);
    return { key, before: saw.v, after: v ?? null, below: saw.entry, live: false };
  }
  return {
    key,
    before: versionAt(state, found - 1),
    after: state.entries[found]!.v,
    below: writerAt(state, found - 1),
    live: found === state.entries.length - 1,
  };
}

/** The version that the same call wrote before this step, or null. */
export function earlierOf(story: Story, index: number, uid: Uid, key: string): Entry | null {
  const versions = story.objects.get(key)?.trajectory.versions() ?? [];
  return versions.findLast((version) => version.who === uid && version.step < index) ?? null;
}

const ANSWERS = new Set(["amend", "undo", "call", "stage"]);

/** The steps by which an agent answered a notice: what it did until it was told again. */
export function answersTo(story: Story, told: number): number[] {
  const step = story.steps[told];
  const agent = step?.rank === undefined ? undefined : story.agents.get(step.rank);
  if (!agent) return [];
  const next = agent.tolds[lastAtMost(agent.tolds, told) + 1] ?? Infinity;
  const answers: number[] = [];
  for (let k = lastAtMost(agent.steps, told) + 1; k < agent.steps.length && agent.steps[k]! < next; k++) {
    if (ANSWERS.has(story.steps[agent.steps[k]!]!.kind)) answers.push(agent.steps[k]!);
  }
  return answers;
}

/** What an agent that repaired nothing has made of a notice: while it is at work, that is not known. */
export function unrepaired(story: Story, told: number, at: number): "kept" | "open" {
  const rank = story.steps[told]?.rank;
  const phase = rank === undefined ? undefined : story.agents.get(rank)?.phases.at(at);
  return phase === "committed" || phase === "aborted" || phase === "finished" ? "kept" : "open";
}

export function isRepair(step: Step): boolean {
  return step.kind === "amend" || (step.kind === "undo" && !step.person);
}

/** What came of a step: who was told because of it, and which calls ran again. */
export function effectsOf(story: Story, index: number): { told: number[]; again: number[] } {
  const n = story.steps[index]!.n;
  return { told: story.toldOf.get(n) ?? [], again: story.setOff.get(n) ?? [] };
}

/** Calls that read the version which this call wrote, while it stood: indexes of their steps. */
export function readersOf(story: Story, index: number, uid: Uid, key: string, most = 40): number[] {
  const found: number[] = [];
  for (const i of story.objects.get(key)?.reads ?? []) {
    if (i <= index || found.length >= most) continue;
    const reader = story.steps[i]!.call;
    if (reader && reader !== uid && sawOf(story, i, reader, key).entry?.who === uid) found.push(i);
  }
  return found;
}

export interface Undone {
  /** Objects: what would stand in place of its version, and whether the live value changes. */
  objects: { key: string; now: number | null; then: number | null; live: boolean }[];
  /** Calls that would run again, and agents that would be told, with the calls that saw the version. */
  again: Uid[];
  told: { rank: number; calls: Uid[] }[];
}

/**
 * What taking a call back would reach, reckoned from the story at this step.
 *
 * Readers that wrote the same object would run again on what is left; others would be told.
 */
export function ifUndone(story: Story, uid: Uid, at: number): Undone {
  const result: Undone = { objects: [], again: [], told: [] };
  const call = story.calls.get(uid);
  if (!call) return result;
  const told = new Map<number, Uid[]>();
  for (const key of keysWritten(story, uid)) {
    const state = standing(story, key, at);
    const writes = chain(state);
    const found = writes.findLastIndex((entry) => entry.who === uid);
    if (found < 0) continue;
    const live = found === writes.length - 1;
    result.objects.push({ key, now: writes[found]!.v, then: found > 0 ? writes[found - 1]!.v : state.origin, live });
    for (const i of readersOf(story, writes[found]!.step, uid, key)) {
      const reader = story.steps[i]!.call!;
      const readerCall = story.calls.get(reader)!;
      if (i > at || readerCall.states.at(at) !== "done") continue;
      if (keysWritten(story, reader).includes(key)) result.again.push(reader);
      else told.set(readerCall.rank, [...(told.get(readerCall.rank) ?? []), reader]);
    }
  }
  result.again = [...new Set(result.again)];
  result.told = [...told].map(([rank, calls]) => ({ rank, calls: [...new Set(calls)] }));
  return result;
}

export function keysWritten(story: Story, uid: Uid): string[] {
  const run = story.calls.get(uid)?.runs.at(-1);
  const step = run === undefined ? undefined : story.steps[run];
  const fields = step?.call === uid ? step : step?.calls?.find((call) => call.call === uid);
  return fields?.writes?.map((write) => write.key) ?? [];
}

/** The version that an agent sees of an object after a step. `rank` null: the live one. */
export function seenBy(story: Story, key: string, rank: number | null, index: number): { v: number | null; entry: Entry | null } {
  const state = standing(story, key, index);
  const i = seen(state, orderFor(story, rank, index));
  return { v: versionAt(state, i), entry: writerAt(state, i) };
}

/** Objects that somebody had written by this step, even if that was taken back. */
export function writtenKeys(story: Story, index: number): string[] {
  return story.keys().filter((key) => story.objects.get(key)!.trajectory.written(index));
}

/** Chains for people in a hurry: a notice, what caused it, and the repair that answered it. */
export interface Chain {
  cause: number;
  told: number;
  repairs: number[];
}

export function chains(story: Story, upTo: number, most = Infinity): Chain[] {
  const found: Chain[] = [];
  for (const agent of story.agents.values()) {
    for (const told of agent.tolds) {
      if (told > upTo) break;
      const causes = new Set((story.steps[told]!.notices ?? []).map((notice) => story.exactly(notice.cause?.n)));
      const repairs = answersTo(story, told).filter((i) => i <= upTo && isRepair(story.steps[i]!));
      for (const cause of causes) found.push({ cause, told, repairs });
    }
  }
  return found.sort((a, b) => Number(b.repairs.length > 0) - Number(a.repairs.length > 0) || a.told - b.told).slice(0, most);
}

const ON_THE_WAY = /^(file|link|folder):/;

function pathOf(key: string): string {
  return key.slice(key.indexOf(":") + 1).replace(/\/$/, "");
}

/** Whether a call looked at this only to find the way to one of its files: a folder above it, or a link in its place. */
export function leadsTo(step: Step, key: string, scanned: boolean): boolean {
  const path = pathOf(key);
  if (!path || !ON_THE_WAY.test(key)) return false;
  const files = [...(step.reads ?? []), ...(step.writes ?? [])].map((one) => one.key).filter((one) => ON_THE_WAY.test(one)).map(pathOf);
  const itself = scanned || !key.startsWith("file:");
  return files.some((one) => one.startsWith(`${path}/`) || (itself && one === path));
}

export interface Read {
  key: string;
  part: string | null;
  /** The step by which its agent saw it last. */
  step: number;
}

/** What earlier calls of an agent had read when a call was made, the last first: what it had to go by. */
export function hadRead(story: Story, index: number, most = 12): Read[] {
  const step = story.steps[index];
  const agent = step?.rank === undefined ? undefined : story.agents.get(step.rank);
  if (!step?.call || !agent) return [];
  const own = new Set((step.reads ?? []).map((read) => read.key));
  const found: Read[] = [];
  for (let k = lastAtMost(agent.steps, index) - 1; k >= 0 && found.length < most; k--) {
    const earlier = story.steps[agent.steps[k]!]!;
    if (!ANSWERS.has(earlier.kind) || earlier.kind === "undo" || earlier.call === step.call) continue;
    for (const { key, part } of earlier.reads ?? []) {
      if (own.has(key) || leadsTo(earlier, key, false)) continue;
      own.add(key);
      found.push({ key, part, step: agent.steps[k]! });
    }
  }
  return found.slice(0, most);
}
