import { afterEach, describe, expect, it, vi } from "vitest";
import { embedded } from "../src/data/embedded.ts";
import { EventReader } from "../src/data/events.ts";
import { follow, server } from "../src/data/server.ts";
import { pauseAfter } from "../src/data/pauses.ts";
import { Session } from "../src/data/session.ts";
import { Trouble } from "../src/data/source.ts";
import { Values } from "../src/data/values.ts";
import { canaryData } from "../look/canary.mjs";
import type { Step } from "../src/model/steps.ts";

describe("events from the server", () => {
  it("are whole however the text was cut", () => {
    const text = 'event: steps\nid: 4\ndata: {"steps":[]}\n\n: a comment\n\nevent: ping\r\n\r\n';
    for (let cut = 1; cut < text.length; cut++) {
      const reader = new EventReader();
      const events = [...reader.push(text.slice(0, cut)), ...reader.push(text.slice(cut))];
      expect(events).toEqual([{ name: "steps", data: '{"steps":[]}' }, { name: "ping", data: "" }]);
    }
  });
});

describe("an export", () => {
  it("gives its steps in pieces, from a number on", async () => {
    const source = embedded(JSON.stringify(canaryData()));
    const all = await source.steps(1, 0, 5000);
    const after = await source.steps(1, all[4]!.n, 3);
    expect(after.map((step) => step.n)).toEqual(all.slice(5, 8).map((step) => step.n));
    expect(await source.steps(1, all.at(-1)!.n, 5)).toEqual([]);
    expect((await source.stories()).actions).toBe(false);
    await expect(source.preview(0, { act: "abort", agent: 1 })).rejects.toBeInstanceOf(Trouble);
  });

  it("says what to do where it is not whole", () => {
    expect(() => embedded('{"stories":[')).toThrow(Trouble);
  });
});

describe("the server", () => {
  it("is asked with the token, and its errors are told with their cure", async () => {
    const asked: [string, RequestInit | undefined][] = [];
    const source = server("t0k", (input, init) => {
      asked.push([String(input), init]);
      return Promise.resolve(new Response(JSON.stringify({ error: { cause: "gone", cure: "look" } }), { status: 409 }));
    });
    await expect(source.act(2, { act: "undo", call: "1:2" }, "ticket")).rejects.toMatchObject({ reason: "gone", cure: "look", status: 409 });
    expect(asked[0]![0]).toBe("api/2/act");
    expect(asked[0]![1]!.headers).toMatchObject({ Authorization: "Bearer t0k" });
    expect(JSON.parse(String(asked[0]![1]!.body))).toEqual({ act: "undo", call: "1:2", ticket: "ticket" });
  });
});

describe("following", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("connects anew after a break, and asks for what came after the last step it has", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("document", new EventTarget());
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("removeEventListener", () => undefined);
    const steps: Step[] = [];
    const asked: number[] = [];
    const states: string[] = [];
    const stop = follow(
      (after) => {
        asked.push(after);
        if (asked.length === 2) return Promise.reject(new TypeError("no network"));
        return Promise.resolve(new Response(`event: steps\ndata: {"steps":[{"n":${after + 1},"at":null,"kind":"outside","text":""}]}\n\n`));
      },
      () => steps.at(-1)?.n ?? 10,
      { steps: (more) => steps.push(...more), state: (state) => states.push(state) },
    );
    while (asked.length < 3 || steps.length < 2) await vi.advanceTimersByTimeAsync(1000);
    stop();
    expect(asked.slice(0, 3)).toEqual([10, 11, 11]);
    expect(steps.slice(0, 2).map((step) => step.n)).toEqual([11, 12]);
    expect(states).toContain("reconnecting");
    expect(states.at(-1)).not.toBe("refused");
  });

  it("stops where the token is refused", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("document", new EventTarget());
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("removeEventListener", () => undefined);
    const states: string[] = [];
    let asked = 0;
    const stop = follow(() => Promise.resolve(new Response("", { status: (asked += 1) && 401 })), () => 0, { steps: () => undefined, state: (state, why) => states.push(`${state}: ${why}`) });
    await vi.advanceTimersByTimeAsync(60_000);
    stop();
    expect(asked).toBe(1);
    expect(states[0]).toMatch(/^refused: The token is wrong/);
  });
});

describe("pauses between tries", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("grow, and are over at once when the page is seen again", async () => {
    vi.useFakeTimers();
    const seen = Object.assign(new EventTarget(), { visibilityState: "hidden" });
    vi.stubGlobal("document", seen);
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("removeEventListener", () => undefined);
    const lasted = async (tries: number): Promise<number> => {
      const from = Date.now();
      let over = false;
      void pauseAfter(tries).over.then(() => (over = true));
      while (!over) await vi.advanceTimersByTimeAsync(50);
      return Date.now() - from;
    };
    expect(await lasted(1)).toBeLessThan(1500);
    expect(await lasted(9)).toBeGreaterThan(11_000);
    expect(await lasted(9)).toBeLessThan(19_000);
    let over = false;
    void pauseAfter(9).over.then(() => (over = true));
    seen.dispatchEvent(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(0);
    expect(over).toBe(false);
    seen.visibilityState = "visible";
    seen.dispatchEvent(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(0);
    expect(over).toBe(true);
  });
});

describe("a session", () => {
  it("asks again by itself while there is no answer, and not where it was refused", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("document", new EventTarget());
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("removeEventListener", () => undefined);
    for (const [status, tries] of [[0, 3], [503, 3], [401, 1], [400, 1]] as const) {
      let asked = 0;
      const source = { ...embedded('{"stories":[]}'), stories: () => {
        asked += 1;
        return asked < 3 ? Promise.reject(new Trouble("no", "look", status)) : Promise.resolve({ stories: [], actions: false });
      } };
      const session = new Session(source);
      void session.start();
      await vi.advanceTimersByTimeAsync(30_000);
      expect([asked, session.ready, session.waits, session.trouble?.status ?? null]).toEqual([tries, tries === 3, "", tries === 3 ? null : status]);
    }
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
});

describe("values", () => {
  it("are asked for once, many at a time", async () => {
    const asked: number[][] = [];
    let told = 0;
    const values = new Values((ids) => {
      asked.push(ids);
      return Promise.resolve({ 1: { kind: "text" as const, text: "one", size: 3, cut: false } });
    }, () => (told += 1));
    expect([values.get(1), values.get(0), values.get(1), values.get(null)]).toEqual([undefined, undefined, undefined, null]);
    await vi.waitUntil(() => told > 0);
    expect(asked).toEqual([[1, 0]]);
    expect(values.get(1)?.text).toBe("one");
    expect(values.get(0)?.kind).toBe("absent");
  });
});
