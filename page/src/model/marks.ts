/** What a step looks like, and under which word it is found. */

import type { Step } from "./steps.ts";

export const MARKS = [
  "read", "write", "failed", "blocked", "staged", "unknown", "running", "amend", "undo", "again", "reverse", "told",
  "said", "join", "finish", "commit", "aborting", "abort", "promote", "left", "attach", "restart", "outside", "refused", "stuck",
  "resolve", "begin", "effect",
] as const;
export type Mark = (typeof MARKS)[number];

export const GROUPS = ["reads", "writes", "failed", "waiting", "notices", "repairs", "re-runs", "undone", "outcomes", "words", "outside", "other"] as const;
export type Group = (typeof GROUPS)[number];

const GROUP_OF: Record<Mark, Group> = {
  read: "reads", write: "writes", failed: "failed", blocked: "waiting", staged: "waiting", unknown: "failed",
  running: "writes", amend: "repairs", undo: "undone", again: "re-runs", reverse: "undone", told: "notices",
  said: "words", join: "other", finish: "outcomes", commit: "outcomes", aborting: "outcomes", abort: "outcomes", promote: "other", left: "other",
  attach: "other", restart: "undone", outside: "outside", refused: "failed", stuck: "failed", resolve: "outside",
  begin: "other", effect: "other",
};

/** Words for people. */
export const WORD: Record<Mark, string> = {
  read: "read", write: "write", failed: "failed", blocked: "waiting", staged: "staged", unknown: "unknown outcome",
  running: "under way", amend: "repair: amended", undo: "undone", again: "ran again", reverse: "taken back to make room",
  told: "told", said: "says", join: "joined", finish: "finished", commit: "committed", aborting: "is being aborted", abort: "aborted", promote: "promoted",
  left: "left", attach: "came back", restart: "restarted", outside: "outside write", refused: "refused by the target",
  stuck: "stuck", resolve: "decided by a person", begin: "begins here", effect: "values put",
};

export function markOf(step: Step): Mark {
  switch (step.kind) {
    case "call":
    case "ran":
      if (step.state === "failed") return "failed";
      if (step.state === "staged") return "staged";
      if (step.state === "unknown") return "unknown";
      if (step.state === "running") return "running";
      return step.writes?.length || step.irreversible ? "write" : "read";
    case "again":
      return step.state === "failed" ? "failed" : "again";
    case "amend":
      return step.state === "failed" ? "failed" : "amend";
    case "stage":
      return "staged";
    case "start":
      return "running";
    case "lost":
      return "unknown";
    case "block":
      return "blocked";
    default:
      return step.kind;
  }
}

export function groupOf(mark: Mark, answered: boolean): Group {
  // An agent's own undo after a notice is a repair as much as an amended call is.
  return mark === "undo" && answered ? "repairs" : GROUP_OF[mark];
}
