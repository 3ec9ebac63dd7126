/** The trajectory of one object: its writes in order of position, at any step of the story. */

import type { Op } from "./steps.ts";

export interface Entry {
  order: number;
  seq: number;
  sub: number;
  /** The call that wrote it, or `"outside"`. */
  who: string;
  v: number;
  /** Index of the step that put this version there. */
  step: number;
}

export interface Standing {
  /** What was there before all writes; null where nobody knows. */
  base: number | null;
  /** What was committed into the base, in the order of that; the first base was there before all of it. */
  origin: number | null;
  settled: readonly Entry[];
  entries: readonly Entry[];
}

/** All writes that what stands rests on: the committed ones, then those that stand above the base. */
export function chain(standing: Standing): Entry[] {
  return [...standing.settled, ...standing.entries];
}

/** A version that stood once, and what became of it. */
export interface Version extends Entry {
  /** Index of the step that ended it, or null while it stands. */
  until: number | null;
  /** True where a newer version of the same call took its place. */
  replaced: boolean;
}

function compare(a: Entry, order: number, seq: number, sub: number): number {
  return a.order - order || a.seq - seq || a.sub - sub;
}

const SAVED_EVERY = 32;

interface Saved {
  applied: number;
  base: number | null;
  origin: number | null | undefined;
  settled: Entry[];
  entries: Entry[];
}

/** Keeps the changes of one object, and moves along them: forward by what is new, backward from what was saved. */
export class Trajectory {
  readonly steps: number[] = [];
  private readonly ops: Op[] = [];
  private readonly saved: Saved[] = [];
  private firstSet = Infinity;
  private applied = 0;
  private base: number | null = null;
  private origin: number | null | undefined;
  private settled: Entry[] = [];
  private entries: Entry[] = [];

  /** `ordered`: by position, as MTPO has it; otherwise in order of arrival. */
  constructor(private readonly ordered: boolean) {}

  add(step: number, op: Op): void {
    // Not the first base: that only says what was there.
    if (this.firstSet === Infinity && (op[0] === "set" || this.ops.some((one) => one[0] === "base" && one[2] !== op[2] && op[0] === "base"))) this.firstSet = step;
    this.steps.push(step);
    this.ops.push(op);
  }

  /** Whether somebody had written it by this step, even if that was taken back. */
  written(step: number): boolean {
    return this.firstSet <= step;
  }

  /** What stands after the step with this index. */
  at(step: number): Standing {
    if (this.applied > 0 && this.steps[this.applied - 1]! > step) this.goBack(step);
    if (this.applied < this.ops.length && this.steps[this.applied]! <= step) {
      // Whoever was handed these before keeps them as they were.
      this.entries = this.entries.slice();
      this.settled = this.settled.slice();
    }
    while (this.applied < this.ops.length && this.steps[this.applied]! <= step) {
      this.applyStep();
      if (this.applied >= (this.saved.at(-1)?.applied ?? 0) + SAVED_EVERY) this.save();
    }
    // What was there when it was first touched was there before, as far as anybody knows.
    const first = this.ops[0]?.[0] === "base" ? this.ops[0][2] : null;
    const base = this.applied > 0 ? this.base : first;
    return { base, origin: this.origin === undefined ? first : this.origin, settled: this.settled, entries: this.entries };
  }

  private save(): void {
    const { applied, base, origin } = this;
    this.saved.push({ applied, base, origin, settled: this.settled.slice(), entries: this.entries.slice() });
  }

  private goBack(step: number): void {
    let i = this.saved.length - 1;
    while (i >= 0 && this.steps[this.saved[i]!.applied - 1]! > step) i -= 1;
    const from = this.saved[i] ?? { applied: 0, base: null, origin: undefined, settled: [], entries: [] };
    this.applied = from.applied;
    this.base = from.base;
    this.origin = from.origin;
    this.settled = from.settled;
    this.entries = from.entries;
  }

  /** Apply all changes of the next step, since a commit is known by a new base and what it took from the writes. */
  private applyStep(): void {
    const step = this.steps[this.applied]!;
    const gone: Entry[] = [];
    let based = false;
    let first = false;
    for (; this.applied < this.ops.length && this.steps[this.applied] === step; this.applied++) {
      const op = this.ops[this.applied]!;
      if (op[0] === "base") {
        first ||= this.origin === undefined;
        if (this.origin === undefined) this.origin = op[2];
        based ||= !first && op[2] !== this.base;
        this.base = op[2];
      } else this.put(op, step, gone);
    }
    if (!based || first) return;
    if (gone.length) this.settled.push(...gone.sort((a, b) => compare(a, b.order, b.seq, b.sub)));
    else this.settled.push({ order: -1, seq: 0, sub: 0, who: "outside", v: this.base ?? 0, step });
  }

  private put(op: Exclude<Op, ["base", string, number | null]>, step: number, gone: Entry[]): void {
    const [, , order, seq, sub] = op;
    const found = this.entries.findIndex((entry) => compare(entry, order, seq, sub) === 0);
    if (op[0] === "del") {
      if (found >= 0) gone.push(...this.entries.splice(found, 1));
      return;
    }
    const entry: Entry = { order, seq, sub, who: op[5], v: op[6], step };
    if (found >= 0) {
      this.entries[found] = entry;
      return;
    }
    let place = this.entries.length;
    if (this.ordered) while (place > 0 && compare(this.entries[place - 1]!, order, seq, sub) > 0) place -= 1;
    this.entries.splice(place, 0, entry);
  }

  /** Every version that ever stood, in the order in which they came. */
  versions(): Version[] {
    const all: Version[] = [];
    const standing: Version[] = [];
    this.ops.forEach((op, i) => {
      if (op[0] === "base") return;
      const step = this.steps[i]!;
      const [, , order, seq, sub] = op;
      const found = standing.findIndex((entry) => compare(entry, order, seq, sub) === 0);
      if (found >= 0) {
        standing[found]!.until = step;
        standing[found]!.replaced = op[0] === "set";
        standing.splice(found, 1);
      }
      if (op[0] === "set") {
        const version: Version = { order, seq, sub, who: op[5], v: op[6], step, until: null, replaced: false };
        all.push(version);
        standing.push(version);
      }
    });
    return all;
  }
}

/** Index of the entry that an agent of this order sees, or -1 for the base. `order` null: whoever sees all. */
export function seen(standing: Standing, order: number | null): number {
  const { entries } = standing;
  let i = entries.length - 1;
  if (order !== null) while (i >= 0 && entries[i]!.order > order) i -= 1;
  return i;
}

/** The version at this index of the entries, -1 being the base. */
export function versionAt(standing: Standing, index: number): number | null {
  return index < 0 ? standing.base : standing.entries[index]!.v;
}

/** Whose write it is; for the base, whoever's was committed last, or null where nobody wrote it. */
export function writerAt(standing: Standing, index: number): Entry | null {
  return index < 0 ? (standing.settled.at(-1) ?? null) : standing.entries[index]!;
}
