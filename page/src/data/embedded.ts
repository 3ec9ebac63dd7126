/** Stories that stand in the page itself; no request is ever made. */

import type { Header, Step, Value } from "../model/steps.ts";
import { Trouble, type Source } from "./source.ts";

interface Embedded {
  stories: (Header & { steps: Step[] })[];
  values?: Record<string, Record<string, Value>>;
}

export function embedded(text: string): Source {
  let data: Embedded;
  try {
    data = JSON.parse(text) as Embedded;
  } catch {
    throw new Trouble("The story in this file is not whole.", "Export it again with `coagent ui LOG --export FILE`.");
  }
  const offered = (): Promise<never> => Promise.reject(new Trouble("This file is an export.", "Actions need `coagent ui LOG`."));
  const story = (id: number) => data.stories.find((one) => one.id === id) ?? data.stories[0];
  return {
    stories: () => Promise.resolve({ stories: data.stories.map(({ steps: _, ...header }) => header), actions: false }),
    steps: (id, after, limit) => {
      const steps = story(id)?.steps ?? [];
      let from = 0;
      if (after > 0) {
        let high = steps.length;
        while (from < high) {
          const middle = (from + high) >> 1;
          if (steps[middle]!.n <= after) from = middle + 1;
          else high = middle;
        }
      }
      return Promise.resolve(steps.slice(from, from + limit));
    },
    token: null,
    live: null,
    values: (id, ids) => {
      const kept = data.values?.[String(id)] ?? {};
      const found: Record<string, Value> = {};
      for (const v of ids) if (kept[v]) found[v] = kept[v];
      return Promise.resolve(found);
    },
    preview: offered,
    act: offered,
  };
}
