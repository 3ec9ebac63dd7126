import { describe, expect, it } from "vitest";
import { seen, Trajectory, versionAt, writerAt } from "../src/model/trajectory.ts";

function sample(ordered: boolean): Trajectory {
  const trajectory = new Trajectory(ordered);
  trajectory.add(0, ["base", "kv:x", 1]);
  trajectory.add(1, ["set", "kv:x", 3, 1, 0, "3:1", 30]);
  trajectory.add(2, ["set", "kv:x", 1, 4, 0, "1:4", 10]);
  trajectory.add(3, ["set", "kv:x", 3, 1, 0, "3:1", 31]);
  trajectory.add(5, ["del", "kv:x", 1, 4, 0]);
  trajectory.add(5, ["base", "kv:x", 10]);
  return trajectory;
}

describe("a trajectory", () => {
  it("keeps writes in order of position, whatever the order they arrived in", () => {
    expect(sample(true).at(2).entries.map((entry) => entry.v)).toEqual([10, 30]);
  });

  it("knows before the first touch what that found, and that it may have found nothing that is known", () => {
    expect(sample(true).at(-1)).toEqual({ base: 1, origin: 1, settled: [], entries: [] });
    const unknown = new Trajectory(true);
    unknown.add(3, ["base", "kv:x", null]);
    expect(unknown.at(2)).toEqual({ base: null, origin: null, settled: [], entries: [] });
  });

  it("keeps them in order of arrival where the protocol has no order", () => {
    expect(sample(false).at(2).entries.map((entry) => entry.v)).toEqual([30, 10]);
  });

  it("shows an agent what stands below it, and its own", () => {
    const state = sample(true).at(3);
    expect([1, 2, 3, null].map((order) => versionAt(state, seen(state, order)))).toEqual([10, 10, 31, 31]);
    expect(versionAt(state, seen(state, 0))).toBe(1);
  });

  it("gives the same at a step, whether come to from before or from behind", () => {
    const forward = sample(true);
    const backward = sample(true);
    const there = [0, 1, 2, 3, 4, 5].map((step) => JSON.stringify(forward.at(step)));
    const back = [5, 4, 3, 2, 1, 0].map((step) => JSON.stringify(backward.at(step))).reverse();
    expect(back).toEqual(there);
  });

  it("leaves what it handed out as it was", () => {
    const trajectory = sample(true);
    const early = trajectory.at(1);
    trajectory.at(5);
    expect(early.entries.map((entry) => entry.v)).toEqual([30]);
  });

  it("remembers who committed the base", () => {
    const state = sample(true).at(5);
    expect(state.base).toBe(10);
    expect(state.origin).toBe(1);
    expect(writerAt(state, -1)?.who).toBe("1:4");
  });

  it("takes a new base that no agent gave for one from outside", () => {
    const trajectory = new Trajectory(true);
    trajectory.add(0, ["base", "kv:x", 1]);
    trajectory.add(4, ["base", "kv:x", 2]);
    expect(trajectory.at(4).settled.map(({ who, v }) => [who, v])).toEqual([["outside", 2]]);
  });

  it("lists every version with what ended it", () => {
    expect(sample(true).versions().map(({ v, until, replaced }) => [v, until, replaced])).toEqual([[30, 3, true], [10, 5, false], [31, null, false]]);
  });
});
