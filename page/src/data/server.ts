/** Stories from the server of `coagent ui`, with the token that its address carried. */

import type { Header, Step, Value } from "../model/steps.ts";
import { EventReader } from "./events.ts";
import { pauseAfter } from "./pauses.ts";
import { Trouble, type ActBody, type Done, type Live, type Preview, type Source } from "./source.ts";

const REOPEN = "Open the address that `coagent ui` printed.";
/** The server says something at least every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000;

async function troubleFrom(answer: Response): Promise<Trouble> {
  if (answer.status === 401) return new Trouble("The token is wrong, or the server was started anew.", REOPEN, 401);
  try {
    const { error } = (await answer.json()) as { error: { cause: string; cure: string } };
    return new Trouble(error.cause, error.cure, answer.status);
  } catch {
    return new Trouble(`The server answered ${answer.status}.`, "Look at what `coagent ui` printed.", answer.status);
  }
}

export function server(token: string, get: typeof fetch = (input, init) => fetch(input, init)): Source {
  const headers = { Authorization: `Bearer ${token}` };

  async function ask<T>(path: string, body?: unknown): Promise<T> {
    let answer: Response;
    try {
      answer = await get(`api/${path}`, body === undefined
        ? { headers }
        : { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) });
    } catch {
      throw new Trouble("The server does not answer.", "See whether `coagent ui` still runs, and start it again.");
    }
    if (!answer.ok) throw await troubleFrom(answer);
    try {
      return (await answer.json()) as T;
    } catch {
      throw new Trouble("The answer of the server broke off.", "See whether `coagent ui` still runs, and start it again.");
    }
  }

  return {
    token,
    stories: () => ask<{ stories: Header[]; actions: boolean }>("stories"),
    steps: async (id, after, limit) => (await ask<{ steps: Step[] }>(`${id}/steps?after=${after}&limit=${limit}`)).steps,
    values: async (id, ids) => {
      const found: Record<string, Value> = {};
      // A line of an address has bounds; two hundred ids are well within them.
      for (let i = 0; i < ids.length; i += 200) {
        Object.assign(found, await ask<Record<string, Value>>(`${id}/values?v=${ids.slice(i, i + 200).join(",")}`));
      }
      return found;
    },
    preview: (id, body) => ask<Preview>(`${id}/preview`, body),
    act: (id, body: ActBody, ticket) => ask<Done>(`${id}/act`, { ...body, ticket }),
    live: (id, after, live) => follow((n, signal) => get(`api/${id}/live?after=${n}`, { headers, signal }), after, live),
  };
}

type Open = (after: number, signal: AbortSignal) => Promise<Response>;

/** Read new steps until stopped; reconnect with growing pauses, and at once when the page is seen again. */
export function follow(open: Open, after: () => number, live: Live): () => void {
  let stopped = false;
  let tries = 0;
  let connection = new AbortController();
  let wake = (): void => undefined;
  let heard = Date.now();

  async function once(): Promise<void> {
    connection = new AbortController();
    const answer = await open(after(), connection.signal);
    if (!answer.ok || !answer.body) throw await troubleFrom(answer);
    heard = Date.now();
    const events = new EventReader();
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    live.state("live", "");
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard = Date.now();
      tries = 0;
      for (const event of events.push(decoder.decode(value, { stream: true }))) {
        if (event.name === "steps") live.steps((JSON.parse(event.data) as { steps: Step[] }).steps);
        else if (event.name === "gone") live.state("gone", (JSON.parse(event.data) as { why: string }).why);
      }
    }
  }

  async function run(): Promise<void> {
    while (!stopped) {
      let why = "The connection ended.";
      try {
        await once();
      } catch (error) {
        if (error instanceof Trouble && error.status === 401) {
          live.state("refused", `${error.reason} ${error.cure}`);
          return;
        }
        why = error instanceof Trouble ? error.reason : "The server does not answer.";
      }
      if (stopped) return;
      tries += 1;
      const pause = pauseAfter(tries);
      wake = pause.end;
      live.state("reconnecting", `${why} ${pause.words}`);
      await pause.over;
    }
  }

  function stale(): void {
    if (Date.now() - heard > SILENCE_MS) connection.abort();
  }
  function seenAgain(): void {
    if (document.visibilityState === "visible") stale();
  }
  const watch = setInterval(stale, 10_000);
  document.addEventListener("visibilitychange", seenAgain);
  addEventListener("online", seenAgain);
  void run();
  return () => {
    stopped = true;
    clearInterval(watch);
    document.removeEventListener("visibilitychange", seenAgain);
    removeEventListener("online", seenAgain);
    connection.abort();
    wake();
  };
}
