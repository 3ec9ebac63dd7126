import { describe, expect, it } from "vitest";
import { nearest, stepAxis, timeAxis, timesSayLittle } from "../src/model/axis.ts";
import { ends, sentence } from "../src/model/compare.ts";
import { blame, diffLines, givenDiff } from "../src/model/diff.ts";
import { glob, matcher } from "../src/model/filter.ts";
import { foldSteps, rowsByAgent } from "../src/model/groups.ts";
import { formatPlace, parsePlace, START, type Place } from "../src/model/link.ts";
import { CANARY, first, GEO, storyOf } from "./canary.ts";

describe("the axis", () => {
  it("cuts a long pause, and says where", () => {
    const times = [0, 1000, 2000, 3000, 4000, 5000, 3_605_000, 3_606_000];
    const axis = timeAxis(times);
    expect(axis.breaks).toEqual([{ x: axis.x[6], ms: 3_600_000 }]);
    expect(axis.max).toBeLessThan(10_000);
    expect([...axis.x].sort((a, b) => a - b)).toEqual(axis.x);
  });

  it("gives signs of one lane room in a short story", () => {
    const axis = timeAxis([0, 0, 1000], true, [1, 1, 2]);
    expect(axis.x[1]).toBeGreaterThan(axis.x[0]!);
  });

  it("finds the nearest step among some", () => {
    const axis = stepAxis(100);
    expect(nearest(axis, 41.4, [10, 40, 43])).toBe(40);
    expect(nearest(axis, 41.6, [10, 40, 43])).toBe(43);
    expect(nearest(axis, 41.6)).toBe(42);
    expect(nearest(axis, 5, [])).toBe(-1);
  });

  it("gives room by steps where times say little", () => {
    expect(timesSayLittle([NaN, NaN, NaN, 5])).toBe(true);
    expect(timesSayLittle([7, 7, 7, 7, 7, 8])).toBe(true);
    expect(timesSayLittle([0, 1000, 2500, 4000])).toBe(false);
  });
});

describe("differences", () => {
  it("shows what went and what came, with the lines beside it", () => {
    expect(diffLines("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\n", 1).map((line) => `${line.kind} ${line.text}`)).toEqual([
      "skip 2 lines the same", "same c", "del d", "add D", "same e", "skip 1 line the same",
    ]);
    expect(diffLines("same\n", "same\n")).toEqual([]);
  });

  it("reads a difference that was given as text", () => {
    expect(givenDiff("-old\n+new\n same").map((line) => line.kind)).toEqual(["del", "add", "same"]);
    expect(givenDiff("/spec/image: a:1 -> b:2").map((line) => `${line.kind} ${line.text}`)).toEqual(["skip /spec/image", "del a:1", "add b:2"]);
    expect(givenDiff("1 -> 6").map((line) => line.text)).toEqual(["1", "6"]);
    const kinds = (text: string): string[] => givenDiff(text).map((line) => `${line.kind} ${line.text}`);
    expect(kinds("one\ntwo -> x\n -> (absent)")).toEqual(["del one", "del two -> x", "skip does not exist any more"]);
    expect(kinds("(absent) -> one\n-two\n")).toEqual(["skip did not exist", "add one", "add -two"]);
    expect(kinds("/a: 1 -> 2\n/b: (absent) -> 3")).toEqual(["skip /a", "del 1", "add 2", "skip /b", "del (absent)", "add 3"]);
  });

  it("says who last changed each line", () => {
    const lines = blame([{ by: "base", text: "a\nb\nc\n" }, { by: "A.1", text: "a\nB\nc\n" }, { by: "B.1", text: "a\nB\nc\nd\n" }]);
    expect(lines.map(({ text, by }) => `${by} ${text}`)).toEqual(["base a", "A.1 B", "base c", "B.1 d"]);
  });
});

describe("the filter", () => {
  it("finds by agent, by prefix and glob of an object, and by words", () => {
    const story = storyOf("mtpo");
    const find = (q: string): string[] => story.steps.filter((_, i) => matcher(story, { q, groups: [], rank: null, key: null })(i)).map((step) => step.kind);
    expect(find("B")).toContain("told");
    expect(find("k8s:default/deployments/geo-can*")).toEqual(["call", "amend"]);
    expect(find("k8s:default/deployments/geo-can")).toEqual(["call", "amend"]);
    expect(find("send_mail")).toEqual(["stage", "ran"]);
    expect(find("A commits")).toEqual(["commit"]);
  });

  it("takes a scan for a touch of all under its prefix", () => {
    const story = storyOf("mtpo");
    const test = matcher(story, { q: "", groups: [], rank: null, key: CANARY });
    expect(test(first(story, "call", "1:1"))).toBe(true);
    expect(test(first(story, "call", "1:3"))).toBe(false);
  });

  it("takes no sign of a key for more than itself", () => {
    expect(glob("file:a.(b)*").test("file:a.(b)/c")).toBe(true);
    expect(glob("file:a.b").test("file:aXb")).toBe(false);
  });
});

describe("the list", () => {
  it("folds like calls that follow one another, and nothing that went wrong", () => {
    const story = storyOf("naive");
    const n = story.lastN;
    for (let i = 1; i <= 6; i++) {
      story.append([{ n: n + i, at: null, kind: "call", rank: 1, call: `1:${20 + i}`, tool: "get", state: i === 6 ? "failed" : "done", text: "", reads: [{ key: GEO, part: null }] }]);
    }
    const steps = Array.from({ length: 6 }, (_, i) => story.length - 6 + i);
    expect(foldSteps(story, steps, new Set()).map((row) => row.kind)).toEqual(["fold", "step"]);
    expect(foldSteps(story, steps, new Set([`f${n + 1}`])).map((row) => row.kind)).toEqual(["fold", "step", "step", "step", "step", "step", "step"]);
  });

  it("keeps an agent's steps under it, and what no agent did by itself", () => {
    const rows = rowsByAgent(storyOf("mtpo"), () => true, new Set());
    expect(rows.map((row) => (row.kind === "agent" ? row.rank : null))).toEqual([-1, 1, 2]);
  });
});

describe("two stories", () => {
  it("are told apart in one line each, and by how their objects end", () => {
    const [naive, mtpo] = [storyOf("naive"), storyOf("mtpo")];
    expect(sentence(naive)).toBe("6 calls, 1 failed, nobody was told anything, 2 of 2 agents committed, in 33 s");
    expect(sentence(mtpo)).toBe("7 calls, 1 failed, 1 notice, 1 repair, once waiting, 2 of 2 agents committed, in 47 s");
    expect(ends(naive, mtpo).find((end) => end.key === CANARY)).toEqual({ key: CANARY, a: 4, b: 5 });
  });
});

describe("a link", () => {
  it("says where the page stands, and nothing that goes without saying", () => {
    const place: Place = { ...START, story: 1, panel: "object", n: null, key: "file:src/a b&c.py", agent: 3, at: 17, q: "x y", kinds: ["failed", "notices"] };
    expect(parsePlace(formatPlace(place))).toEqual(place);
    expect(formatPlace(START)).toBe("");
    expect(formatPlace({ ...START, n: 12, panel: "step" })).toBe("#n=12");
  });

  it("takes what it does not understand for what goes without saying", () => {
    expect(parsePlace("#n=x&view=moon&kinds=failed,wild&token=secret")).toEqual({ ...START, kinds: ["failed"] });
  });
});
