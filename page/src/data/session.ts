/** The stories that the page shows: loaded in pieces, then followed. */

import type { Header } from "../model/steps.ts";
import { Story } from "../model/story.ts";
import { Trouble, troubleOf, type Source } from "./source.ts";
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
      const { stories, actions } = await this.source.stories();
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

  private shown(header: Header): Shown {
    const values = new Values((ids) => this.source.values(header.id, ids), this.changed);
    return { story: new Story(header), values, status: "loading", why: "", version: 0 };
  }

  private async load(shown: Shown): Promise<void> {
    const { story } = shown;
    let began = performance.now();
    try {
      for (;;) {
        const steps = await this.source.steps(story.header.id, story.lastN, PIECE);
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
