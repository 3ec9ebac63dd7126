/** Values of versions: fetched once, many at a time, and kept; they never change. */

import type { Value } from "../model/steps.ts";

export const ABSENT: Value = { kind: "absent", text: "", size: 0, cut: false };
const MISSING: Value = { kind: "text", text: "(not kept in this file)", size: 0, cut: true };

export class Values {
  private readonly kept = new Map<number, Value>();
  private readonly wanted = new Set<number>();
  private readonly asked = new Set<number>();
  private planned = false;

  constructor(private readonly fetchMany: (ids: number[]) => Promise<Record<string, Value>>, private readonly changed: () => void) {}

  /** The value, or undefined while it is on its way. Null stands for what nobody knows. */
  get(v: number | null): Value | null | undefined {
    if (v === null) return null;
    const kept = this.kept.get(v);
    if (kept) return kept;
    if (!this.asked.has(v)) {
      this.wanted.add(v);
      if (!this.planned) {
        this.planned = true;
        setTimeout(() => void this.fetchWanted(), 0);
      }
    }
    return undefined;
  }

  private async fetchWanted(): Promise<void> {
    this.planned = false;
    const ids = [...this.wanted];
    this.wanted.clear();
    for (const id of ids) this.asked.add(id);
    try {
      const found = await this.fetchMany(ids);
      for (const id of ids) this.kept.set(id, found[id] ?? (id === 0 ? ABSENT : MISSING));
    } catch {
      // Asked for again when it is next looked at.
      setTimeout(() => ids.forEach((id) => this.asked.delete(id)), 3000);
    }
    this.changed();
  }
}
