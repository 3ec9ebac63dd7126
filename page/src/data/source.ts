/** Where stories come from: the page itself (an export), or the server of `coagent ui`. */

import type { Header, Step, Value } from "../model/steps.ts";

export type ActBody =
  | { act: "undo"; agent?: number; call?: string }
  | { act: "abort"; agent: number }
  | { act: "resolve"; what: string; how: "retry" | "accept" | "drop" }
  | { act: "restore"; key: string; v: number };

export interface Preview {
  title: string;
  changes: { key: string; diff: string }[];
  lines: string[];
  /** Whether more may change than can be told before it is done. */
  unsure: boolean;
  possible: boolean;
  why_not: string | null;
  ticket: string;
}

export interface Done {
  done: boolean;
  lines: string[];
  back: ActBody | null;
}

/** How the page hears of new steps. */
export interface Live {
  steps(steps: Step[]): void;
  state(state: "live" | "reconnecting" | "gone" | "refused", why: string): void;
}

export interface Source {
  /** What the server is asked with; null where there is none. */
  token: string | null;
  stories(): Promise<{ stories: Header[]; actions: boolean }>;
  steps(story: number, after: number, limit: number): Promise<Step[]>;
  /** Null for a source that never gets new steps. Returns how to stop. */
  live: ((story: number, after: () => number, live: Live) => () => void) | null;
  values(story: number, ids: number[]): Promise<Record<string, Value>>;
  preview(story: number, body: ActBody): Promise<Preview>;
  act(story: number, body: ActBody, ticket: string): Promise<Done>;
}

/** What went wrong, and what a person can do about it. */
export class Trouble extends Error {
  /** `status` is that of HTTP; 0 where there was no answer, 1 where it was none of the server's. */
  constructor(readonly reason: string, readonly cure: string, readonly status = 0) {
    super(reason);
  }
}

/** Whether it may be over by itself: the server was not reached, or not well. */
export function passes(trouble: Trouble): boolean {
  return trouble.status === 0 || trouble.status >= 500;
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  return new Trouble(error instanceof Error ? error.message : String(error), "Load the page anew.", 1);
}
