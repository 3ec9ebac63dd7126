/** What an agent did for how long, as far as its log says it. */

import { duration, type Axis } from "./axis.ts";
import { lastAtMost, type Story } from "./story.ts";
import type { Step } from "./steps.ts";

/**
 * `run`: a call of it ran. `think`: from what it heard last to its next call: it thought, or was at work on what
 * no log knows of. `wait`: for those before it in the order, or for locks.
 */
export interface Span {
  kind: "run" | "think" | "wait";
  from: number;
  to: number;
  /** Index of the step that it ends with. */
  step: number;
}

/** When a step happened: one that waited to be recorded, before that. NaN: nobody knows. */
export function momentOf(step: Step): number {
  return step.at === null || step.at === undefined ? NaN : step.at - (step.ago_ms ?? 0);
}

/** Where a moment is from left to right, between the steps around it. */
export function placeOf(axis: Axis, times: readonly number[], ms: number): number {
  const i = lastAtMost(times, ms);
  if (i < 0) return axis.x[0] ?? 0;
  const [from, to] = [times[i]!, times[i + 1]];
  const x = axis.x[i]!;
  if (to === undefined || to <= from) return x;
  return x + ((axis.x[i + 1]! - x) * (ms - from)) / (to - from);
}

const WAKES = new Set(["call", "ran", "stage", "start", "amend", "undo", "told", "commit", "abort", "restart"]);

/** Follows one agent, step by step. */
export class Spans {
  readonly all: Span[] = [];
  /** With which steps they end. */
  readonly ends: number[] = [];
  /** By index of a step: the spans that it ends. */
  readonly of = new Map<number, Span[]>();
  /** Since when nothing of it was under way that is known; NaN: not known. */
  private since = NaN;
  private waits = NaN;
  private readonly begun = new Map<string, number>();

  add(step: Step, index: number): void {
    const end = momentOf(step);
    if (WAKES.has(step.kind)) {
      this.put("wait", this.waits, end, index);
      this.waits = NaN;
    }
    switch (step.kind) {
      case "join":
      case "told":
      case "undo":
      case "restart":
        this.since = end;
        break;
      case "call":
      case "amend":
        if (step.took_ms === undefined) this.since = end;
        else {
          this.put("think", this.since, end - step.took_ms, index);
          this.put("run", end - step.took_ms, end, index);
          this.since = end;
        }
        break;
      case "again":
        if (step.took_ms !== undefined) this.put("run", end - step.took_ms, end, index);
        break;
      case "stage":
        this.put("think", this.since, end, index);
        this.since = end;
        break;
      case "start":
        this.put("think", this.since, end, index);
        this.since = NaN;
        if (step.call) this.begun.set(step.call, end);
        break;
      case "ran":
        this.put("run", this.begun.get(step.call ?? "") ?? NaN, end, index);
        this.since = end;
        break;
      case "finish":
        this.put("think", this.since, end, index);
        this.since = NaN;
        this.waits = end;
        break;
      case "block":
        this.since = NaN;
        this.waits = end;
        break;
      default:
    }
  }

  private put(kind: Span["kind"], from: number, to: number, step: number): void {
    if (!(to > from)) return;
    const span = { kind, from, to, step };
    this.all.push(span);
    this.ends.push(step);
    this.of.set(step, [...(this.of.get(step) ?? []), span]);
  }
}

const SPAN_WORDS = { run: "ran for", think: "before it, since its agent heard last:", wait: "waited for" } as const;

/** How long what a step ends took, in words; "" where nobody knows. */
export function spansWords(story: Story, index: number): string {
  const agent = story.agents.get(story.steps[index]?.rank ?? -1);
  const spans = [...(agent?.spans.of.get(index) ?? [])].reverse();
  return spans.map((span) => `${SPAN_WORDS[span.kind]} ${duration(span.to - span.from)}`).join("; ");
}
