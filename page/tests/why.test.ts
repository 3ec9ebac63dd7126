import { describe, expect, it } from "vitest";
import { answersTo, chains, earlierOf, effectsOf, hadRead, ifUndone, leadsTo, readersOf, sawOf, seenBy, unrepaired, writtenKeys, wroteOf } from "../src/model/why.ts";
import { CANARY, first, GEO, storyOf } from "./canary.ts";

describe("why", () => {
  it("says who wrote what a call saw", () => {
    const story = storyOf("mtpo");
    expect(sawOf(story, first(story, "call", "2:1"), "2:1", GEO)).toEqual({ key: GEO, entry: null, v: 1 });
    expect(sawOf(story, first(story, "call", "1:3"), "1:3", GEO).v).toBe(1);
  });

  it("says what a write replaced", () => {
    const story = storyOf("mtpo");
    expect(wroteOf(story, first(story, "call", "1:3"), "1:3", GEO, 3)).toMatchObject({ before: 1, after: 3, live: true });
    const amend = first(story, "amend");
    expect(wroteOf(story, amend, "2:2", CANARY, 5)).toMatchObject({ before: 0, after: 5 });
    expect(earlierOf(story, amend, "2:2", CANARY)?.v).toBe(4);
  });

  it("leads from a cause to the notice, and from the notice to the repair", () => {
    const story = storyOf("mtpo");
    const told = first(story, "told");
    expect(effectsOf(story, first(story, "call", "1:3")).told).toEqual([told]);
    expect(answersTo(story, told)[0]).toBe(first(story, "amend"));
    expect(chains(story, story.length - 1)).toEqual([{ cause: first(story, "call", "1:3"), told, repairs: [first(story, "amend")] }]);
  });

  it("says what an agent had read before it wrote, and nothing that others or later calls read", () => {
    for (const protocol of ["mtpo", "naive"] as const) {
      const story = storyOf(protocol);
      const read = first(story, "call", "2:1");
      expect(hadRead(story, first(story, "call", "2:2"))).toEqual([{ key: GEO, part: "/spec/template", step: read }]);
      expect(hadRead(story, read)).toEqual([]);
    }
  });

  it("tells what leads to a file from what a call rests on", () => {
    const step = { n: 1, at: null, kind: "call" as const, text: "", writes: [{ key: "file:docs/a.md" }], reads: [{ key: "file:docs/a.md", part: null }] };
    for (const prefix of ["link:docs", "file:docs/a.md/", "folder:docs/a.md"]) expect(leadsTo(step, prefix, true)).toBe(true);
    for (const prefix of ["file:src/", "file:"]) expect(leadsTo(step, prefix, true)).toBe(false);
    expect(leadsTo(step, "file:docs", false)).toBe(true);
    expect(leadsTo(step, "file:docs/a.md", false)).toBe(false);
    expect(leadsTo(step, "sql:docs", false)).toBe(false);
  });

  it("does not say that an agent at work has kept what it did", () => {
    const story = storyOf("mtpo");
    const told = first(story, "told");
    expect(unrepaired(story, told, told)).toBe("open");
    expect(unrepaired(story, told, story.length - 1)).toBe("kept");
  });

  it("finds no chain where nobody was told", () => {
    expect(chains(storyOf("naive"), 99)).toEqual([]);
  });

  it("filters what an agent sees by its order, and nothing where all see all", () => {
    const story = storyOf("mtpo");
    const created = first(story, "call", "2:2");
    expect(seenBy(story, CANARY, 1, created).v).toBe(0);
    expect(seenBy(story, CANARY, 2, created).v).toBe(4);
    const naive = storyOf("naive");
    expect(seenBy(naive, CANARY, 1, first(naive, "call", "2:2")).v).toBe(4);
  });

  it("still knows who wrote a value when it is committed", () => {
    const story = storyOf("mtpo");
    expect(seenBy(story, GEO, null, story.length - 1).entry?.who).toBe("1:3");
    expect(writtenKeys(story, story.length - 1)).toEqual([GEO, CANARY, "k8s:default/deployments/web"]);
  });

  it("reckons what an undo would reach", () => {
    const story = storyOf("mtpo");
    const undone = ifUndone(story, "1:3", first(story, "told"));
    expect(undone.objects).toEqual([{ key: GEO, now: 3, then: 1, live: true }]);
    expect(undone.told).toEqual([]);
  });

  it("names the readers of a version as those to be told, and its later writers as those to run again", () => {
    const story = storyOf("mtpo");
    const n = story.lastN;
    const late = { rank: 2, state: "done" as const, text: "", at: null };
    story.append([
      { ...late, n: n + 1, kind: "call", call: "2:8", id: "B.8", tool: "get", reads: [{ key: GEO, part: null }] },
      { ...late, n: n + 2, kind: "call", call: "2:9", id: "B.9", tool: "edit", reads: [{ key: GEO, part: null }], writes: [{ key: GEO, v: 9 }], ops: [["set", GEO, 2, 9, 0, "2:9", 9]] },
    ]);
    const at = story.length - 1;
    expect(readersOf(story, first(story, "call", "1:3"), "1:3", GEO).map((i) => story.steps[i]!.call)).toEqual(["2:8", "2:9"]);
    const undone = ifUndone(story, "1:3", at);
    expect(undone.objects[0]!.live).toBe(false);
    expect(undone.again).toEqual(["2:9"]);
    expect(undone.told).toEqual([{ rank: 2, calls: ["2:8"] }]);
  });
});
