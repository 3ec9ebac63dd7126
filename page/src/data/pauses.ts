/** Pauses between tries: they grow, and end at once when the page is seen again or the network is back. */

const FIRST_MS = 500;
const MOST_MS = 15_000;

export interface Pause {
  /** In words: when it is tried again. */
  words: string;
  over: Promise<void>;
  /** End it now. */
  end(): void;
}

/** Begin the pause after so many tries in a row that came to nothing. */
export function pauseAfter(tries: number): Pause {
  const ms = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(tries, 6)) * (0.75 + Math.random() / 2);
  let end = (): void => undefined;
  const over = new Promise<void>((resolve) => {
    const seen = (): void => {
      if (document.visibilityState === "visible") end();
    };
    const timer = setTimeout(() => end(), ms);
    end = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      removeEventListener("online", seen);
      resolve();
    };
    document.addEventListener("visibilitychange", seen);
    addEventListener("online", seen);
  });
  return { words: `Trying again in ${Math.max(1, Math.round(ms / 1000))} s.`, over, end: () => end() };
}
