import { useEffect, useRef, useState } from "preact/hooks";
import type { Story } from "../model/story.ts";

/** The whole story in this time at most, a step in this time at least. */
const WHOLE_MS = 30_000;
const STEP_MS = 700;

export function usePlay(story: Story, at: number, toAt: (index: number) => void): [boolean, () => void] {
  const [playing, setPlaying] = useState(false);
  const now = useRef({ at, toAt });
  now.current = { at, toAt };
  useEffect(() => {
    if (!playing) return;
    const pause = Math.max(40, Math.min(STEP_MS, WHOLE_MS / story.length));
    const stride = Math.max(1, Math.round((story.length * pause) / WHOLE_MS));
    const timer = setInterval(() => {
      const next = now.current.at + stride;
      now.current.toAt(Math.min(story.length - 1, next));
      if (next >= story.length - 1) setPlaying(false);
    }, pause);
    return () => clearInterval(timer);
  }, [playing, story]);
  function toggle(): void {
    if (!playing && at >= story.length - 1) toAt(0);
    setPlaying(!playing);
  }
  return [playing, toggle];
}
