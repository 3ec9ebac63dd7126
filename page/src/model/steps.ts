/** What the page is given: the steps of a domain, as `coagent.story` writes them. */

/** A call for ever: `"RANK:SEQ"`. (`A.3` is for people; names may come again.) */
export type Uid = string;

export interface Cause {
  rank: number | null;
  call: Uid | null;
  name: string;
  n: number | null;
}

export interface Stale {
  call: Uid;
  argument: string;
  old: string;
  new: string | null;
}

export interface Notice {
  key: string;
  part: string | null;
  kind: "changed" | "withdrawn" | "would_succeed" | "failure_changed" | "overruled" | "stuck";
  cause: Cause | null;
  calls: Uid[];
  dependents: Uid[];
  stale: Stale[];
  diff: string;
}

export type CallState = "done" | "failed" | "staged" | "running" | "unknown" | "undone" | "reversed";

/** What a step says of a call. */
export interface CallFields {
  call?: Uid;
  id?: string;
  tool?: string;
  args?: Record<string, string>;
  state?: CallState;
  irreversible?: boolean;
  error?: string | null;
  result?: string | null;
  reads?: { key: string; part: string | null }[];
  scans?: { prefix: string; part: string | null }[];
  writes?: { key: string; v?: number }[];
}

/** A change of a trajectory; see `trajectory.ts`. */
export type Op =
  | ["base", string, number | null]
  | ["set", string, number, number, number, string, number]
  | ["del", string, number, number, number];

export type Kind =
  | "begin" | "join" | "said" | "call" | "stage" | "start" | "ran" | "again" | "amend" | "lost" | "stuck" | "undo" | "reverse"
  | "told" | "finish" | "commit" | "aborting" | "abort" | "promote" | "left" | "attach" | "restart" | "block" | "outside"
  | "refused" | "resolve" | "effect";

export interface AgentFields {
  rank: number;
  name: string;
  order: number;
  phase: string;
}

export interface Step extends CallFields {
  n: number;
  at: number | null;
  kind: Kind;
  rank?: number;
  text: string;
  name?: string;
  order?: number;
  pinned?: boolean;
  /** What an agent said, or what it is to reach. */
  said?: string;
  goal?: boolean;
  /** How long a run took, and how long before its record it had ended: ms. */
  took_ms?: number;
  ago_ms?: number;
  orders?: [number, number][];
  ops?: Op[];
  cause?: Cause | null;
  notices?: Notice[];
  reason?: string | null;
  by?: number[];
  key?: string;
  /** Who did it, where it was a person by CoAgent's own means. */
  person?: string;
  diff?: string;
  v?: number;
  agents?: AgentFields[];
  calls?: CallFields[];
}

export interface Header {
  id: number;
  name: string;
  protocol: "mtpo" | "naive" | "2pl" | "occ" | "serial";
  order: "early" | "fixed";
  log: string;
  domain: string | null;
  first: number;
  /** Number of the last record when the page asked; only a server says it. */
  last?: number;
}

export interface Value {
  kind: "absent" | "text" | "json" | "binary";
  text: string;
  size: number;
  cut: boolean;
}
