import { describe, expect, it } from "vitest";
import { Story } from "../src/model/story.ts";
import type { Header, Step } from "../src/model/steps.ts";
import { keysWritten } from "../src/model/why.ts";
import { canary } from "../look/canary.mjs";
import { first, storyOf } from "./canary.ts";

const HEADER: Header = { id: 0, name: "x", protocol: "mtpo", order: "early", log: "memory:", domain: null, first: 0 };

describe("a story", () => {
  it("counts calls, failures, notices and repairs", () => {
    const story = storyOf("mtpo");
    expect(story.countsAt(story.length - 1)).toEqual({ calls: 7, failed: 1, notices: 1, repairs: 1, undone: 0, waiting: 1 });
    expect(story.phasesAt(story.length - 1).committed).toBe(2);
    expect(story.countsAt(first(story, "told")).repairs).toBe(0);
  });

  it("counts what an agent had done by a step", () => {
    const story = storyOf("mtpo");
    const b = story.agents.get(2)!;
    expect(story.countsOf(b, first(story, "told"))).toMatchObject({ calls: 2, notices: 1, repairs: 0 });
    expect(story.countsOf(b, story.length - 1)).toEqual({ calls: 3, failed: 0, notices: 1, repairs: 1, undone: 0, waiting: 1 });
  });

  it("takes what a person has undone for no repair of the agent's", () => {
    const { steps, ...header } = canary("mtpo", 0);
    const amended = steps.findIndex((step) => step.kind === "amend");
    const undone = (person?: string): Step[] => [...steps.slice(0, amended), { ...steps[amended]!, kind: "undo", state: "undone", ...(person ? { person } : {}) }];
    for (const [person, repairs] of [[undefined, 1], ["ann", 0]] as const) {
      const story = new Story(header);
      story.append(undone(person));
      expect(story.countsAt(story.length - 1)).toMatchObject({ repairs, undone: 1 });
    }
  });

  it("is the same in pieces, and takes no step twice", () => {
    const { steps, ...header } = canary("mtpo", 0);
    const pieces = new Story(header);
    for (const step of steps) pieces.append([step]);
    pieces.append(steps.slice(3));
    expect(pieces.length).toBe(steps.length);
    expect(pieces.countsAt(pieces.length - 1)).toEqual(storyOf("mtpo").countsAt(steps.length - 1));
  });

  it("knows which phase an agent was in at each step", () => {
    const story = storyOf("mtpo");
    const b = story.agents.get(2)!;
    expect(b.phases.at(first(story, "join"))).toBeUndefined();
    expect(b.phases.at(first(story, "told"))).toBe("told");
    expect(b.phases.at(first(story, "amend"))).toBe("working");
    expect(b.phases.last).toBe("committed");
  });

  it("lets no clock run backwards", () => {
    const story = new Story(HEADER);
    const step = (n: number, at: number | null): Step => ({ n, at, kind: "outside", key: "kv:x", text: "" });
    story.append([step(1, null), step(2, 50), step(3, 20), step(4, null), step(5, 60)]);
    expect(story.times).toEqual([NaN, 50, 50, 50, 60]);
  });

  it("takes an aborted agent's calls as undone", () => {
    const story = new Story(HEADER);
    story.append([
      { n: 1, at: 0, kind: "join", rank: 1, name: "A", order: 1, text: "" },
      { n: 2, at: 0, kind: "call", rank: 1, call: "1:1", id: "A.1", tool: "put", state: "done", text: "", writes: [{ key: "kv:x", v: 1 }] },
      { n: 3, at: 0, kind: "abort", rank: 1, text: "", reason: "gave up" },
    ]);
    expect(story.calls.get("1:1")!.states.at(1)).toBe("done");
    expect(story.calls.get("1:1")!.states.at(2)).toBe("undone");
    expect(story.countsAt(2).undone).toBe(1);
  });

  it("takes all steps of a piece that have one number, and finds the first by it", () => {
    const story = new Story(HEADER);
    const step = (n: number, kind: "finish" | "commit", rank: number): Step => ({ n, at: 0, kind, rank, text: "" });
    story.append([step(1, "finish", 1), step(1, "commit", 1), step(1, "commit", 2)]);
    story.append([step(1, "commit", 2), step(2, "finish", 3)]);
    expect(story.steps.map((one) => one.kind)).toEqual(["finish", "commit", "commit", "finish"]);
    expect(story.exactly(1)).toBe(0);
  });

  it("applies what an effect says, and shows it to nobody", () => {
    const story = new Story(HEADER);
    story.append([{ n: 1, at: 0, kind: "effect", text: "", ops: [["base", "kv:x", 7]] }]);
    expect(story.objects.get("kv:x")!.trajectory.at(0).base).toBe(7);
    expect([story.outside, [...story.silent]]).toEqual([[], [0]]);
  });

  it("begins in the middle where what was before is not kept", () => {
    const story = new Story({ ...HEADER, first: 900 });
    story.append([{
      n: 901, at: null, kind: "begin", text: "", agents: [{ rank: 7, name: "G", order: 3, phase: "finished" }],
      calls: [{ call: "7:2", id: "G.2", tool: "put", state: "done", writes: [{ key: "kv:x", v: 4 }] }], ops: [["base", "kv:x", 3], ["set", "kv:x", 3, 2, 0, "7:2", 4]],
    }]);
    expect(story.agentOf(7)).toBe("G");
    expect(story.nameOf("7:2")).toBe("G.2");
    expect(keysWritten(story, "7:2")).toEqual(["kv:x"]);
    expect(story.objects.get("kv:x")!.trajectory.at(0).entries.map((entry) => entry.v)).toEqual([4]);
  });

  it("knows that what is stuck has been decided, unless it got stuck again", () => {
    const story = new Story(HEADER);
    const step = (n: number, kind: Step["kind"]): Step => ({ n, at: null, kind, text: "", key: "sql:items/1" }) as Step;
    story.append([step(1, "stuck")]);
    expect(story.decided("sql:items/1")).toBe(-1);
    story.append([step(2, "resolve")]);
    expect(story.decided("sql:items/1")).toBe(1);
    story.append([step(3, "stuck")]);
    expect(story.decided("sql:items/1")).toBe(-1);
  });
});
