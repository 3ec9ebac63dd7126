import { canary } from "../look/canary.mjs";
import { Story } from "../src/model/story.ts";

export function storyOf(protocol: "mtpo" | "naive"): Story {
  const { steps, ...header } = canary(protocol, 0);
  const story = new Story(header);
  story.append(steps);
  return story;
}

export const GEO = "k8s:default/deployments/geo";
export const CANARY = "k8s:default/deployments/geo-canary";

/** Index of the first step of this kind, with this call where one is given. */
export function first(story: Story, kind: string, call?: string): number {
  return story.steps.findIndex((step) => step.kind === kind && (call === undefined || step.call === call));
}
