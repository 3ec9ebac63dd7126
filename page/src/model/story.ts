/** The story so far, folded step by step into agents, calls and objects. */

import { groupOf, markOf, type Group, type Mark } from "./marks.ts";
import type { CallFields, CallState, Header, Step, Uid } from "./steps.ts";
import { momentOf, Spans } from "./spans.ts";
import { Trajectory } from "./trajectory.ts";

export type Phase = "working" | "told" | "waiting" | "finished" | "aborting" | "committed" | "aborted" | "left";

/** What changed at which step; the last one at or before a step holds there. */
export class Changes<T> {
  readonly steps: number[] = [];
  readonly values: T[] = [];

  put(step: number, value: T): void {
    if (this.values.at(-1) === value) return;
    this.steps.push(step);
    this.values.push(value);
  }

  at(step: number): T | undefined {
    const found = lastAtMost(this.steps, step);
    return found < 0 ? undefined : this.values[found];
  }

  get last(): T | undefined {
    return this.values.at(-1);
  }
}

/** Index of the last number that is at most this one, or -1. */
export function lastAtMost(sorted: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export interface Agent {
  rank: number;
  name: string;
  /** Indexes of its steps. */
  steps: number[];
  /** Those of them that are no words. */
  acts: number[];
  /** Indexes of what it said, and of what it is to reach. */
  said: number[];
  spans: Spans;
  orders: Changes<number>;
  phases: Changes<Phase>;
  tolds: number[];
  counts: Counts;
}

export interface Call {
  uid: Uid;
  rank: number;
  /** The id for people. */
  id: string;
  tool: string;
  steps: number[];
  states: Changes<CallState>;
  /** The steps that say what it read and wrote: its first run and those after it. */
  runs: number[];
}

export interface Obj {
  key: string;
  trajectory: Trajectory;
  /** Indexes of the steps that read, wrote or told of it. */
  steps: number[];
  reads: number[];
  writes: number[];
}

export interface Counts {
  calls: number;
  failed: number;
  notices: number;
  repairs: number;
  undone: number;
  waiting: number;
}

const COUNTED = ["calls", "failed", "notices", "repairs", "undone", "waiting"] as const;
const RUNS = new Set(["call", "ran", "again", "amend", "stage", "start"]);
const NO_COUNTS: Counts = { calls: 0, failed: 0, notices: 0, repairs: 0, undone: 0, waiting: 0 };

/** The lane of what no agent did. */
export const OUTSIDE = -1;

export class Story {
  readonly steps: Step[] = [];
  readonly marks: Mark[] = [];
  readonly groups: Group[] = [];
  /** Unix ms, never running backwards; NaN where no step so far had a time. */
  readonly times: number[] = [];
  readonly agents = new Map<number, Agent>();
  readonly calls = new Map<Uid, Call>();
  readonly objects = new Map<string, Obj>();
  readonly outside: number[] = [];
  /** Steps that are not shown. */
  readonly silent = new Set<number>();
  /** Steps in which an agent says something: they stand above what it does. */
  readonly words = new Set<number>();
  /** By the number of a step: the indexes of the steps that told of it, and of those that it set off. */
  readonly toldOf = new Map<number, number[]>();
  readonly setOff = new Map<number, number[]>();
  /** Of an amended or undone call, or one made after a notice: the index of the step that told its agent. */
  readonly answers = new Map<number, number>();
  private readonly sums: Record<keyof Counts, number[]> = { calls: [], failed: [], notices: [], repairs: [], undone: [], waiting: [] };
  private readonly kept: string[] = [];
  private sortedAt = 0;
  /** How many calls the last abort or restart took back. */
  private withdrawn = 0;

  constructor(readonly header: Header) {}

  get length(): number {
    return this.steps.length;
  }

  get lastN(): number {
    return this.steps.at(-1)?.n ?? 0;
  }

  /** Everybody sees what was written last, unless the protocol filters by order. */
  get filters(): boolean {
    return this.header.protocol === "mtpo";
  }

  append(steps: readonly Step[]): void {
    // Within one piece numbers may come twice: in old logs a commit has that of the step which it follows from.
    const last = this.steps.length ? this.lastN : -Infinity;
    for (const step of steps) if (step.n > last) this.add(step);
  }

  /** Index of the step with this number, or of the last one before it; -1 where there is none. */
  indexOf(n: number): number {
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle]!.n <= n) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Index of the first step with exactly this number, or -1. */
  exactly(n: number | null | undefined): number {
    if (n === null || n === undefined) return -1;
    let index = this.indexOf(n);
    while (index > 0 && this.steps[index - 1]!.n === n) index -= 1;
    return index >= 0 && this.steps[index]!.n === n ? index : -1;
  }

  countsAt(index: number): Counts {
    if (index < 0) return NO_COUNTS;
    const { sums } = this;
    return {
      calls: sums.calls[index] ?? 0, failed: sums.failed[index] ?? 0, notices: sums.notices[index] ?? 0,
      repairs: sums.repairs[index] ?? 0, undone: sums.undone[index] ?? 0, waiting: sums.waiting[index] ?? 0,
    };
  }

  /** What an agent had done by this step. */
  countsOf(agent: Agent, at: number): Counts {
    if (at >= (agent.steps.at(-1) ?? 0)) return agent.counts;
    const counts = { ...NO_COUNTS };
    for (const i of agent.steps) {
      if (i > at) break;
      for (const name of COUNTED) counts[name] += this.sums[name][i]! - (this.sums[name][i - 1] ?? 0);
    }
    return counts;
  }

  /** What some steps come to. */
  countsIn(steps: readonly number[]): Counts {
    const counts = { ...NO_COUNTS };
    for (const i of steps) for (const name of COUNTED) counts[name] += this.sums[name][i]! - (this.sums[name][i - 1] ?? 0);
    return counts;
  }

  phasesAt(index: number): Record<Phase, number> {
    const counts: Record<Phase, number> = { working: 0, told: 0, waiting: 0, finished: 0, aborting: 0, committed: 0, aborted: 0, left: 0 };
    for (const agent of this.agents.values()) {
      const phase = agent.phases.at(index);
      if (phase) counts[phase] += 1;
    }
    return counts;
  }

  /** What an agent had said last by a step, or is to reach; -1 where nothing is known. */
  saidBy(agent: Agent, at: number): number {
    return agent.said[lastAtMost(agent.said, at)] ?? -1;
  }

  /** What was said right before a step of an agent. */
  saidBefore(index: number): number {
    const agent = this.agents.get(this.steps[index]?.rank ?? -1);
    const said = agent ? this.saidBy(agent, index) : -1;
    return said >= 0 && !this.steps[said]!.goal ? said : -1;
  }

  /** Agents in serialization order, the lowest first. */
  lanes(): Agent[] {
    return [...this.agents.values()].sort((a, b) => (a.orders.last ?? a.rank) - (b.orders.last ?? b.rank) || a.rank - b.rank);
  }

  /** Keys of all objects, sorted. */
  keys(): readonly string[] {
    if (this.sortedAt !== this.objects.size) {
      this.kept.splice(0, this.kept.length, ...[...this.objects.keys()].sort());
      this.sortedAt = this.objects.size;
    }
    return this.kept;
  }

  /** Index of the step in which a person decided about an object that had been stuck; -1 while it still is. */
  decided(key: string): number {
    const last = this.objects.get(key)?.steps.findLast((i) => ["stuck", "resolve"].includes(this.steps[i]!.kind));
    return last !== undefined && this.steps[last]!.kind === "resolve" ? last : -1;
  }

  nameOf(uid: Uid | null | undefined): string {
    if (!uid) return "";
    if (uid === "outside") return "outside";
    return this.calls.get(uid)?.id ?? uid;
  }

  agentOf(rank: number | null | undefined): string {
    if (rank === null || rank === undefined || rank < 0) return "outside";
    return this.agents.get(rank)?.name ?? `#${rank}`;
  }

  private agent(rank: number, name?: string): Agent {
    let agent = this.agents.get(rank);
    if (!agent) {
      agent = { rank, name: name ?? `#${rank}`, steps: [], acts: [], said: [], spans: new Spans(), orders: new Changes(), phases: new Changes(), tolds: [], counts: { ...NO_COUNTS } };
      this.agents.set(rank, agent);
    }
    if (name) agent.name = name;
    return agent;
  }

  private object(key: string): Obj {
    let object = this.objects.get(key);
    if (!object) {
      object = { key, trajectory: new Trajectory(this.filters), steps: [], reads: [], writes: [] };
      this.objects.set(key, object);
    }
    return object;
  }

  private touch(key: string, index: number, how?: "reads" | "writes"): void {
    const object = this.object(key);
    if (object.steps.at(-1) !== index) object.steps.push(index);
    if (how && object[how].at(-1) !== index) object[how].push(index);
  }

  private noteCall(uid: Uid, fields: CallFields, index: number, run: boolean): Call {
    let call = this.calls.get(uid);
    if (!call) {
      const rank = Number(uid.split(":")[0]);
      call = { uid, rank, id: fields.id ?? uid, tool: fields.tool ?? "", steps: [], states: new Changes(), runs: [] };
      this.calls.set(uid, call);
    }
    if (fields.id) call.id = fields.id;
    if (fields.tool) call.tool = fields.tool;
    if (fields.state) call.states.put(index, fields.state);
    call.steps.push(index);
    if (run) call.runs.push(index);
    for (const read of fields.reads ?? []) this.touch(read.key, index, "reads");
    for (const write of fields.writes ?? []) this.touch(write.key, index, "writes");
    return call;
  }

  private add(step: Step): void {
    const index = this.steps.length;
    const mark = markOf(step);
    this.steps.push(step);
    this.marks.push(mark);
    const before = this.times.at(-1) ?? NaN;
    const moment = momentOf(step);
    this.times.push(Number.isNaN(moment) ? before : Number.isNaN(before) ? moment : Math.max(before, moment));
    if (step.kind === "begin") this.begin(step, index);
    if (step.call) this.noteStepCall(step.call, step, index);
    if (step.key) this.touch(step.key, index, step.kind === "outside" ? "writes" : undefined);
    for (const notice of step.notices ?? []) this.noteNotice(notice.key, notice.cause?.n, index);
    if (step.kind !== "told" && step.cause && step.cause.n !== null) listed(this.setOff, step.cause.n, index);
    for (const op of step.ops ?? []) {
      const object = this.object(op[1]);
      object.trajectory.add(index, op);
    }
    const agent = step.rank === undefined || step.rank === null ? null : this.agent(step.rank, step.name);
    // An effect only changes trajectories; there is nothing in it to be shown to people.
    if (step.kind === "effect") this.silent.add(index);
    else if (agent) this.noteAgent(agent, step, index);
    else if (step.kind !== "begin") this.outside.push(index);
    for (const [rank, order] of step.orders ?? []) this.agent(rank).orders.put(index, order);
    this.groups.push(groupOf(mark, this.answers.has(index)));
    this.count(step, mark, index, agent);
  }

  private begin(step: Step, index: number): void {
    for (const fields of step.agents ?? []) {
      const agent = this.agent(fields.rank, fields.name);
      agent.orders.put(index, fields.order);
      agent.phases.put(index, phaseOf(fields.phase));
    }
    for (const fields of step.calls ?? []) if (fields.call) this.noteCall(fields.call, fields, index, true);
  }

  private noteStepCall(uid: Uid, step: Step, index: number): void {
    const call = this.noteCall(uid, step, index, RUNS.has(step.kind));
    if (step.kind === "undo") call.states.put(index, "undone");
    else if (step.kind === "reverse") call.states.put(index, "reversed");
    else if (step.kind === "lost") call.states.put(index, "unknown");
  }

  private noteNotice(key: string, cause: number | null | undefined, index: number): void {
    this.touch(key, index);
    if (cause !== null && cause !== undefined) listed(this.toldOf, cause, index);
  }

  private noteAgent(agent: Agent, step: Step, index: number): void {
    agent.steps.push(index);
    agent.spans.add(step, index);
    if (step.kind === "said") {
      agent.said.push(index);
      this.words.add(index);
    } else agent.acts.push(index);
    if (step.order !== undefined) agent.orders.put(index, step.order);
    if (step.kind === "told") agent.tolds.push(index);
    const told = agent.tolds.at(-1);
    if (told !== undefined && !step.person && ["amend", "undo", "call", "stage"].includes(step.kind)) this.answers.set(index, told);
    const phase = phaseAfter(step, agent.phases.last);
    if (phase) agent.phases.put(index, phase);
    if (step.kind === "abort" || step.kind === "restart") this.withdraw(agent, index);
  }

  /** With an abort or a restart all calls of the agent are taken back. */
  private withdraw(agent: Agent, index: number): void {
    this.withdrawn = 0;
    const own = new Set(agent.steps.map((i) => this.steps[i]!.call).filter((uid) => uid !== undefined));
    for (const uid of own) {
      const call = this.calls.get(uid);
      if (!call || call.states.last === "failed" || call.states.last === "undone") continue;
      call.states.put(index, "undone");
      this.withdrawn += 1;
    }
  }

  private count(step: Step, mark: Mark, index: number, agent: Agent | null): void {
    const told = mark === "told" ? Math.max(1, step.notices?.length ?? 1) : 0;
    const added: Counts = {
      calls: step.kind === "call" || step.kind === "stage" || step.kind === "start" ? 1 : 0,
      failed: mark === "failed" ? 1 : 0,
      notices: told,
      repairs: mark === "amend" || (mark === "undo" && this.answers.has(index)) ? 1 : 0,
      undone: mark === "undo" ? 1 : mark === "abort" || mark === "restart" ? this.withdrawn : 0,
      waiting: mark === "blocked" || mark === "staged" ? 1 : 0,
    };
    // A call that was started and then ran is one call.
    if (step.kind === "start" && step.call && this.calls.get(step.call)!.steps.length > 1) added.calls = 0;
    for (const name of COUNTED) {
      this.sums[name].push((this.sums[name].at(-1) ?? 0) + added[name]);
      if (agent) agent.counts[name] += added[name];
    }
  }
}

function listed(map: Map<number, number[]>, n: number, index: number): void {
  const list = map.get(n);
  if (!list) map.set(n, [index]);
  else if (list.at(-1) !== index) list.push(index);
}

function phaseOf(text: string): Phase {
  const known: Phase[] = ["working", "told", "waiting", "finished", "aborting", "committed", "aborted", "left"];
  return known.find((phase) => phase === text) ?? (text === "active" ? "working" : text === "blocked" ? "waiting" : "working");
}

/** The phase that a step of an agent leaves it in; null where it stays as it was. */
function phaseAfter(step: Step, before: Phase | undefined): Phase | null {
  switch (step.kind) {
    case "finish":
      return "finished";
    case "commit":
      return "committed";
    case "aborting":
      return "aborting";
    case "abort":
      return "aborted";
    case "left":
      return before === "aborting" ? null : "left";
    case "block":
      return "waiting";
    case "told":
      return "told";
    case "attach": // whoever ends it
      return before === "aborting" ? null : "working";
    case "join":
    case "restart":
      return "working";
    case "call":
    case "stage":
    case "amend":
    case "undo":
      return before === "aborting" || before === "committed" || before === "aborted" ? null : "working";
    default:
      return before === undefined ? "working" : null;
  }
}
