/** What every part of the page is handed. */

import type { Session, Shown } from "../data/session.ts";
import type { ActBody } from "../data/source.ts";
import type { Values } from "../data/values.ts";
import type { Place } from "../model/link.ts";
import type { Story } from "../model/story.ts";

export interface Ctx {
  session: Session;
  shown: Shown;
  story: Story;
  values: Values;
  place: Place;
  /** Index of the step that everything is shown as of. */
  at: number;
  /** Index of the selected step, or -1. */
  selected: number;
  go(change: Partial<Place>, how?: "push" | "replace"): void;
  ask(body: ActBody): void;
}
