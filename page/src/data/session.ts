/** The stories that the page shows: loaded in pieces, then followed. */

import type { Header } from "../model/steps.ts";
import { Story } from "../model/story.ts";
import { pauseAfter } from "./pauses.ts";
import { passes, troubleOf, type Source, type Trouble } from "./source.ts";
import { Values } from "./values.ts";

export interface Shown {
  story: Story;
  values: Values;
  status: "loading" | "live" | "reconnecting" | "gone" | "refused" | "finished" | "failed";
  why: string;
  /** Grows with every change. */
  version: number;
}

const PIECE = 5000;
/** How long the page may be busy with steps before it paints and answers. */
const BUSY_MS = 60;

export class Session {
  stories: Shown[] = [];
  actions = false;
  trouble: Trouble | null = null;
  ready = false;
  /** Why the stories are not here yet, and when they are asked for again. */
  waits = "";
  private readonly listeners = new Set<() => void>();

  constructor(readonly source: Source) {}

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private changed = (): void => {
    for (const listener of this.listeners) listener();
  };

  async start(): Promise<void> {
    try {
      const { stories, actions } = await this.kept(() => this.source.stories(), (why) => {
        this.waits = why;
        this.changed();
      });
      this.actions = actions;
      this.stories = stories.map((header) => this.shown(header));
      this.ready = true;
      this.changed();
      for (const shown of this.stories) await this.load(shown);
    } catch (error) {
      this.trouble = troubleOf(error);
      this.changed();
    }
  }

  /** Ask until there is an answer, as long as that may help. */
  private async kept<T>(ask: () => Promise<T>, told: (why: string) => void): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        const found = await ask();
        if (tries > 1) told("");
        return found;
      } catch (error) {
        const trouble: Trouble = troubleOf(error);
        if (!passes(trouble)) throw trouble;
        const pause = pauseAfter(tries);
        told(`${trouble.reason} ${trouble.cure} ${pause.words}`);
        await pause.over;
      }
    }
  }

  private shown(header: Header): Shown {
    const values = new Values((ids) => this.source.values(header.id, ids), this.changed);
    return { story: new Story(header), values, status: "loading", why: "", version: 0 };
  }

  private async load(shown: Shown): Promise<void> {
    const { story } = shown;
    let began = performance.now();
    try {
      for (;;) {
        const steps = await this.kept(() => this.source.steps(story.header.id, story.lastN, PIECE), (why) => {
          shown.why = why;
          this.touch(shown);
        });
        if (!steps.length) break;
        story.append(steps);
        this.touch(shown);
        if (performance.now() - began > BUSY_MS || story.length === steps.length) {
          await new Promise((resolve) => setTimeout(resolve, 0));
          began = performance.now();
        }
        if (steps.length < PIECE && !this.source.live) break;
      }
    } catch (error) {
      const trouble = troubleOf(error);
      shown.status = trouble.status === 401 ? "refused" : "failed";
      shown.why = `${trouble.reason} ${trouble.cure}`;
      this.touch(shown);
      return;
    }
    shown.status = this.source.live ? "live" : "finished";
    this.touch(shown);
    this.source.live?.(story.header.id, () => story.lastN, {
      steps: (steps) => {
        story.append(steps);
        this.touch(shown);
      },
      state: (state, why) => {
        shown.status = state;
        shown.why = why;
        this.touch(shown);
      },
    });
  }

  private touch(shown: Shown): void {
    shown.version += 1;
    this.changed();
  }
}
