/** Two stories of the same work, one above the other on one scale. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Session, Shown } from "../data/session.ts";
import { duration, stepAxis, timeAxis, timesSayLittle, type Axis } from "../model/axis.ts";
import { ends, sentence } from "../model/compare.ts";
import { diffLines } from "../model/diff.ts";
import { lastAtMost } from "../model/story.ts";
import type { Value } from "../model/steps.ts";
import type { Ctx } from "./ctx.ts";
import type { LaneCanvas } from "./lanes/canvas.ts";
import { Lanes } from "./lanes/Lanes.tsx";
import { lanesFor, type Scene } from "./lanes/scene.ts";
import { DiffView } from "./text.tsx";

const NONE: ReadonlySet<number> = new Set();

function sceneOf(shown: Shown, axis: Axis): Scene {
  const { story } = shown;
  const lanes = lanesFor(story, null, true);
  return {
    story, axis, lanes, laneOf: new Map(lanes.map((lane, i) => [lane.rank, i])), matches: null, at: story.length - 1, selected: -1, related: NONE, rank: null,
  };
}

function words(value: Value | null | undefined): string {
  if (value === undefined) return "…";
  if (value === null) return "not known";
  return value.kind === "absent" ? "does not exist" : value.kind === "binary" ? "binary" : value.text;
}

function EndRow({ left, right, k, names, onOpen }: { left: Value | null | undefined; right: Value | null | undefined; k: string; names: [string, string]; onOpen(which: 0 | 1): void }) {
  const lines = left && right ? diffLines(words(left), words(right)) : [];
  return (
    <div class="card">
      <div class="line"><b class="key">{k}</b> {names.map((name, i) => <button class="more" onClick={() => onOpen(i as 0 | 1)}>why in {name}</button>)}</div>
      {lines.length ? <DiffView lines={lines} /> : <div class="dim">{words(left)} / {words(right)}</div>}
    </div>
  );
}

/** Plays both stories, from their beginning to the end of the longer one. */
function useShares(share: number | null, setShare: (share: number | null) => void): [boolean, () => void] {
  const [playing, setPlaying] = useState(false);
  const now = useRef(share);
  now.current = share;
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => {
      const next = (now.current ?? 0) + 0.01;
      setShare(next >= 1 ? null : next);
      if (next >= 1) setPlaying(false);
    }, 120);
    return () => clearInterval(timer);
  }, [playing]);
  return [playing, () => {
    if (!playing && share === null) setShare(0);
    setPlaying(!playing);
  }];
}

export function Compare({ ctx, session, theme }: { ctx: Ctx; session: Session; theme: string }) {
  const [a, b] = session.stories as [Shown, Shown];
  const [kind, setKind] = useState<"time" | "steps" | null>(null);
  const first = useRef<LaneCanvas | null>(null);
  const second = useRef<LaneCanvas | null>(null);
  const chosen = kind ?? (timesSayLittle(a.story.times) || timesSayLittle(b.story.times) ? "steps" : "time");
  /** How far both are shown, as a share of the longer one; null: to their ends. */
  const [share, setShare] = useState<number | null>(null);
  const whole = useMemo(() => {
    const axes = [a, b].map(({ story }) => (chosen === "steps" ? stepAxis(story.length, story.silent, story.words) : timeAxis(story.times, false)));
    const max = Math.max(...axes.map((axis) => axis.max));
    return [a, b].map((shown, i) => sceneOf(shown, { ...axes[i]!, max })) as [Scene, Scene];
  }, [a, b, a.version, b.version, chosen]);
  const max = whole[0].axis.max;
  const scenes = useMemo(() => whole.map((scene) => ({ ...scene, at: share === null ? scene.at : lastAtMost(scene.axis.x, share * max + 1e-9) })) as [Scene, Scene], [whole, share]);
  const [atA, atB] = [scenes[0].at, scenes[1].at];
  const found = useMemo(() => ends(a.story, b.story, atA, atB), [a, b, a.version, b.version, atA, atB]);
  const [playing, togglePlay] = useShares(share, setShare);
  const rows = found.map((end) => ({ ...end, left: a.values.get(end.a), right: b.values.get(end.b) }));
  const other = rows.filter(({ left, right }) => left !== undefined && right !== undefined && words(left) !== words(right));
  const waiting = rows.some(({ left, right }) => left === undefined || right === undefined);
  const names: [string, string] = [a.story.header.name, b.story.header.name];

  const into = (share ?? 1) * max;
  const moment = chosen === "time" ? `${duration(into)} after they began` : `after ${Math.floor(into) + 1} steps`;

  function open(which: 0 | 1, key: string): void {
    const shown = which === 0 ? a : b;
    ctx.go({ story: shown.story.header.id, view: "lanes", key, panel: "object", n: null, agent: null, at: null, as: null });
  }
  function same(from: LaneCanvas | null, to: LaneCanvas | null): void {
    if (!from || !to || (Math.abs(from.view.x0 - to.view.x0) < 1e-6 && from.view.scale === to.view.scale)) return;
    const room = (from.box.width - from.box.gutter - 32) / from.view.scale;
    to.show(from.view.x0, from.view.x0 + room);
  }

  return (
    <main class="compare">
      <div class="compare-line" role="status">
        {[a, b].map((shown, i) => <p><b>{names[i]}</b>: {scenes[i]!.at < 0 ? "has not begun" : sentence(shown.story, scenes[i]!.at)}.</p>)}
        <p>{waiting ? "Comparing how they end …" : other.length ? <><b>{other.length} of {rows.length}</b> written objects {share === null ? "end otherwise" : "are otherwise by then"}: {other.slice(0, 3).map((row) => row.key).join(", ")}{other.length > 3 ? " …" : ""}</> : share === null ? `All ${rows.length} written objects end the same.` : "All objects are the same by then."}</p>
        <span class="tabs" role="group" aria-label="From left to right">{(["time", "steps"] as const).map((one) => <button aria-pressed={chosen === one} onClick={() => setKind(one)}>{one}</button>)}</span>
      </div>
      {scenes.map((scene, i) => (
        <div class="compare-lanes" style={{ flexBasis: `${58 + Math.min(9, scene.lanes.length) * 52}px` }}>
          <h2>{names[i]}</h2>
          <Lanes
            scene={scene} theme={theme} label={`Lanes of ${names[i]}: ${sentence(scene.story)}`} handle={i === 0 ? first : second}
            onSelect={(index) => ctx.go({ story: scene.story.header.id, view: "lanes", n: scene.story.steps[index]!.n, panel: "step", at: null, key: null, agent: null })}
            onAgent={(rank) => ctx.go({ story: scene.story.header.id, view: "lanes", agent: rank, panel: "agent", n: null, key: null, at: null })}
            onView={() => (i === 0 ? same(first.current, second.current) : same(second.current, first.current))}
          />
        </div>
      ))}
      <div class="scrubber">
        <button class="play" onClick={togglePlay} aria-label={playing ? "Pause" : "Play"}>{playing ? "❚❚" : "▶"}</button>
        <input type="range" min={0} max={1000} value={Math.round((share ?? 1) * 1000)} aria-label="Show both as of this moment" aria-valuetext={share === null ? "their ends" : moment} onInput={(event) => setShare(Number(event.currentTarget.value) >= 1000 ? null : Number(event.currentTarget.value) / 1000)} />
        <span class="at num">{share === null ? "to their ends" : moment}</span>
        {share !== null && <button onClick={() => setShare(null)}>to the end</button>}
      </div>
      <div class="compare-ends">
        <h2>{share === null ? "How the objects end" : "What the objects hold by then"} <span class="dim">− {names[0]}, + {names[1]}</span></h2>
        {other.slice(0, 60).map((row) => <EndRow key={row.key} k={row.key} left={row.left} right={row.right} names={names} onOpen={(which) => open(which, row.key)} />)}
        {!waiting && !other.length && <p class="dim">No difference.</p>}
      </div>
    </main>
  );
}
