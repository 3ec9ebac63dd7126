import type { Header, Step, Value } from "../src/model/steps.ts";

export const VALUES: Record<string, Value>;
export function canary(protocol: string, id: number): Header & { steps: Step[] };
export function canaryData(): { stories: (Header & { steps: Step[] })[]; values: Record<string, Record<string, Value>> };
