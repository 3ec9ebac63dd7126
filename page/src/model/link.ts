/** Where the page stands, as the fragment of its address. */

import { GROUPS, type Group } from "./marks.ts";

export type MainView = "lanes" | "table" | "compare";
export type Panel = "overview" | "step" | "agent" | "object" | "state";

export interface Place {
  story: number;
  view: MainView;
  panel: Panel;
  /** Number of the selected step. */
  n: number | null;
  /** Rank of the agent that is shown and filtered by; -1 for what no agent did. */
  agent: number | null;
  /** The object that is shown and filtered by. */
  key: string | null;
  /** Everything is shown as of this step; null: as of the last one. */
  at: number | null;
  /** Whose eyes the state is seen with; null: the live state. */
  as: number | null;
  q: string;
  kinds: Group[];
  axis: "time" | "steps" | null;
  /** Whether what is newest stands on top, and the lanes go to it. */
  follow: boolean;
}

export const START: Place = {
  story: 0, view: "lanes", panel: "overview", n: null, agent: null, key: null, at: null, as: null, q: "", kinds: [], axis: null, follow: false,
};

function number(text: string | null): number | null {
  return text !== null && /^-?\d+$/.test(text) ? Number(text) : null;
}

function oneOf<T extends string>(text: string | null, all: readonly T[], otherwise: T): T {
  return all.find((one) => one === text) ?? otherwise;
}

export function parsePlace(fragment: string): Place {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const n = number(given.get("n"));
  const key = given.get("key");
  const agent = number(given.get("agent"));
  const panel = n !== null ? "step" : key !== null ? "object" : agent !== null ? "agent" : "overview";
  const axis = given.get("axis");
  return {
    story: number(given.get("story")) ?? 0,
    view: oneOf(given.get("view"), ["lanes", "table", "compare"], "lanes"),
    panel: oneOf(given.get("panel"), ["overview", "step", "agent", "object", "state"], panel),
    n, agent, key,
    at: number(given.get("at")),
    as: number(given.get("as")),
    q: given.get("q") ?? "",
    kinds: (given.get("kinds") ?? "").split(",").filter((kind): kind is Group => (GROUPS as readonly string[]).includes(kind)),
    axis: axis === "time" || axis === "steps" ? axis : null,
    follow: given.get("follow") === "1",
  };
}

export function formatPlace(place: Place): string {
  const parts = new URLSearchParams();
  if (place.story) parts.set("story", String(place.story));
  if (place.view !== "lanes") parts.set("view", place.view);
  if (place.n !== null) parts.set("n", String(place.n));
  if (place.agent !== null) parts.set("agent", String(place.agent));
  if (place.key !== null) parts.set("key", place.key);
  if (place.at !== null) parts.set("at", String(place.at));
  if (place.as !== null) parts.set("as", String(place.as));
  if (place.q) parts.set("q", place.q);
  if (place.kinds.length) parts.set("kinds", place.kinds.join(","));
  if (place.axis) parts.set("axis", place.axis);
  if (place.follow) parts.set("follow", "1");
  // The panel is said only where the rest does not tell it.
  if (parsePlace(parts.toString()).panel !== place.panel) parts.set("panel", place.panel);
  const text = parts.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text ? `#${text}` : "";
}
