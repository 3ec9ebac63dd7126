/** The page: lanes, list, panel, and what moves between them. */

import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import type { Session, Shown } from "../data/session.ts";
import type { ActBody } from "../data/source.ts";
import { nearest, stepAxis, timeAxis, timesSayLittle } from "../model/axis.ts";
import { isEmpty, matcher, type Filter } from "../model/filter.ts";
import type { Panel, Place } from "../model/link.ts";
import { effectsOf } from "../model/why.ts";
import type { Story } from "../model/story.ts";
import { Act } from "./Act.tsx";
import { Alone, NoEntry } from "./Alone.tsx";
import { Compare } from "./Compare.tsx";
import { CopyLink } from "./CopyLink.tsx";
import type { Ctx } from "./ctx.ts";
import { FilterBar, Head } from "./Head.tsx";
import { Help } from "./Help.tsx";
import type { LaneCanvas } from "./lanes/canvas.ts";
import { lanesFor, type Scene } from "./lanes/scene.ts";
import { AgentPanel } from "./panel/AgentPanel.tsx";
import { ObjectPanel } from "./panel/ObjectPanel.tsx";
import { OverviewPanel } from "./panel/OverviewPanel.tsx";
import { StatePanel } from "./panel/StatePanel.tsx";
import { StepPanel } from "./panel/StepPanel.tsx";
import { StepList } from "./StepList.tsx";
import { Timeline } from "./Timeline.tsx";
import { useKeys } from "./useKeys.ts";
import { usePlay } from "./usePlay.ts";
import { usePlace, useTheme } from "./usePlace.ts";

const PANELS: [Panel, string][] = [["overview", "Overview"], ["step", "Step"], ["agent", "Agent"], ["object", "Object"], ["state", "State"]];

/** Steps that the selected one has to do with. */
function relatedTo(story: Story, index: number): ReadonlySet<number> {
  const related = new Set<number>();
  const step = story.steps[index];
  if (!step) return related;
  const { told, again } = effectsOf(story, index);
  for (const i of [...told, ...again]) related.add(i);
  for (const notice of step.notices ?? []) related.add(story.exactly(notice.cause?.n));
  related.add(story.exactly(step.cause?.n));
  const answered = story.answers.get(index);
  if (answered !== undefined && story.groups[index] === "repairs") related.add(answered);
  related.delete(-1);
  return related;
}

function useMatches(shown: Shown, place: Place): Uint8Array | null {
  const { story } = shown;
  return useMemo(() => {
    const filter: Filter = { q: place.q, groups: place.kinds, rank: place.agent, key: place.key };
    if (isEmpty(filter)) return null;
    const test = matcher(story, filter);
    const matches = new Uint8Array(story.length);
    for (let i = 0; i < story.length; i++) matches[i] = test(i) ? 1 : 0;
    return matches;
  }, [story, shown.version, place.q, place.kinds.join(), place.agent, place.key]);
}

function useScene(ctx: Ctx, matches: Uint8Array | null): Scene {
  const { story, shown, place, selected, at } = ctx;
  const kind = useMemo(() => place.axis ?? (timesSayLittle(story.times) ? "steps" : "time"), [story, shown.version, place.axis]);
  const axis = useMemo(() => (kind === "steps" ? stepAxis(story.length, story.silent, story.words) : timeAxis(story.times, true, story.length <= 60 ? story.steps.map((step, i) => (step.kind === "said" ? -2 - i : step.rank ?? -1)) : [])), [story, shown.version, kind]);
  const lanes = useMemo(() => lanesFor(story, matches, story.agents.size <= 10), [story, shown.version, matches]);
  const laneOf = useMemo(() => new Map(lanes.map((lane, i) => [lane.rank, i])), [lanes]);
  const related = useMemo(() => relatedTo(story, selected), [story, shown.version, selected]);
  return useMemo(
    () => ({ story, axis, lanes, laneOf, matches, at, selected, related, rank: place.agent }),
    [story, axis, lanes, laneOf, matches, at, selected, related, place.agent],
  );
}

function PanelView({ ctx, matches, narrow }: { ctx: Ctx; matches: Uint8Array | null; narrow: boolean }) {
  const { place } = ctx;
  const [steps, setSteps] = useState(false);
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    setSteps(false);
    body.current?.scrollTo(0, 0);
  }, [place.panel, place.n, place.key, place.agent]);
  const listed = narrow && steps;
  return (
    <aside class="panel" id="panel" tabIndex={-1} aria-label="Details">
      <nav class="tabs" role="tablist" aria-label="What the details are about">
        {PANELS.map(([panel, word]) => <button role="tab" aria-selected={!listed && place.panel === panel} onClick={() => { setSteps(false); ctx.go({ panel }); }}>{word}</button>)}
        {narrow && <button role="tab" aria-selected={listed} onClick={() => setSteps(true)}>Steps</button>}
      </nav>
      <div class="panel-body" ref={body} role="tabpanel">
        {listed ? <StepList key={String(place.follow)} ctx={ctx} matches={matches} flat={place.follow} newest={place.follow} />
          : place.panel === "step" ? <StepPanel ctx={ctx} />
          : place.panel === "agent" ? <AgentPanel ctx={ctx} />
          : place.panel === "object" ? <ObjectPanel ctx={ctx} />
          : place.panel === "state" ? <StatePanel ctx={ctx} />
          : <OverviewPanel ctx={ctx} />}
      </div>
    </aside>
  );
}

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => innerWidth < 860);
  useEffect(() => {
    const changed = (): void => setNarrow(innerWidth < 860);
    addEventListener("resize", changed);
    return () => removeEventListener("resize", changed);
  }, []);
  return narrow;
}

/** Says new steps to those who listen instead of look, seldom enough to be heard out. */
function Announcer({ ctx }: { ctx: Ctx }) {
  const [text, setText] = useState("");
  const said = useRef({ length: 0, time: 0 });
  useEffect(() => {
    if (ctx.shown.status === "loading" || said.current.length === 0) {
      said.current.length = ctx.story.length;
      return;
    }
    const fresh = ctx.story.length - said.current.length;
    if (fresh <= 0) return;
    const wait = Math.max(0, 4000 - (Date.now() - said.current.time));
    const later = setTimeout(() => {
      said.current = { length: ctx.story.length, time: Date.now() };
      setText(`${fresh} new step${fresh === 1 ? "" : "s"}. ${ctx.story.steps.at(-1)?.text ?? ""}`);
    }, wait);
    return () => clearTimeout(later);
  }, [ctx.shown.version]);
  const step = ctx.story.steps[ctx.selected];
  return (
    <>
      <div class="sr" aria-live="polite">{text}</div>
      <div class="sr" aria-live="polite">{step ? `Step ${step.n}, ${ctx.story.agentOf(step.rank)}: ${step.text}` : ""}</div>
    </>
  );
}

/** How far a long story has been loaded. */
function loaded(story: Story): string {
  const { first, last } = story.header;
  const share = last && last > first ? Math.floor((100 * (story.lastN - first)) / (last - first)) : 0;
  return `${story.length.toLocaleString()} steps loaded${share > 0 && share < 100 ? `, ${share} %` : ", more to come"} …`;
}

function Main({ session, shown, place, go }: { session: Session; shown: Shown; place: Place; go: Ctx["go"] }) {
  const { story } = shown;
  const [theme, drawn, nextTheme] = useTheme();
  const [help, setHelp] = useState(false);
  const [link, setLink] = useState(false);
  const [act, setAct] = useState<ActBody | null>(null);
  const lanes = useRef<LaneCanvas | null>(null);
  const narrow = useNarrow();
  const last = story.length - 1;
  const at = place.at === null ? last : Math.max(0, Math.min(last, story.indexOf(place.at)));
  const ctx: Ctx = { session, shown, story, values: shown.values, place, at, selected: story.exactly(place.n), go, ask: setAct };
  useEffect(() => {
    document.title = `CoAgent: ${story.header.domain ?? story.header.name}`;
  }, [story]);
  const matches = useMatches(shown, place);
  const found = useMemo(() => (matches ? matches.reduce((sum, one) => sum + one, 0) : null), [matches]);
  const scene = useScene(ctx, matches);
  const toAt = (index: number): void => {
    go({ at: index >= story.length - 1 ? null : story.steps[index]!.n }, "replace");
    lanes.current?.reveal(index);
  };
  const [playing, togglePlay] = usePlay(story, at, toAt);
  // Whoever follows sees what has just happened, in whichever lane, until a step is chosen.
  const followed = place.follow && place.at === null && ctx.selected < 0 ? last : -1;
  useEffect(() => lanes.current?.reveal(followed >= 0 ? followed : ctx.selected, place.agent), [followed, ctx.selected, place.view, place.agent, place.key, place.q, shown.status === "loading"]);

  function besides(step: number): void {
    const row = scene.laneOf.get(story.steps[ctx.selected]?.rank ?? -1) ?? -1;
    for (let i = row + step; i >= 0 && i < scene.lanes.length; i += step) {
      const index = nearest(scene.axis, scene.axis.x[Math.max(0, ctx.selected)] ?? 0, scene.lanes[i]!.steps);
      if (index >= 0) return go({ n: story.steps[index]!.n, panel: "step" }, "replace");
    }
  }
  function along(step: number): void {
    const lane = scene.lanes[scene.laneOf.get(story.steps[ctx.selected]?.rank ?? -1) ?? 0];
    if (!lane) return;
    const asked = scene.matches ? lane.steps.filter((i) => scene.matches![i]) : lane.steps;
    const where = asked.indexOf(ctx.selected);
    const index = where < 0 ? asked[0] : asked[Math.max(0, Math.min(asked.length - 1, where + step))];
    if (index !== undefined) go({ n: story.steps[index]!.n, panel: "step" }, "replace");
  }
  useKeys({
    ArrowLeft: () => along(-1), ArrowRight: () => along(1), ArrowUp: () => besides(-1), ArrowDown: () => besides(1),
    Enter: () => document.getElementById("panel")?.focus(),
    Escape: () => go({ n: null, panel: place.panel === "step" ? "overview" : place.panel }),
    "/": () => document.getElementById("search")?.focus(),
    "?": () => setHelp(true), " ": togglePlay,
    "+": () => lanes.current?.zoom(1.6), "=": () => lanes.current?.zoom(1.6), "-": () => lanes.current?.zoom(1 / 1.6), "0": () => lanes.current?.fit(),
    "[": () => toAt(Math.max(0, at - 1)), "]": () => toAt(Math.min(last, at + 1)),
    f: () => go({ view: "lanes", follow: !place.follow }),
    t: () => go({ view: place.view === "table" ? "lanes" : "table" }),
  });

  const compare = place.view === "compare" && session.stories.length >= 2;
  return (
    <div class={`page ${narrow ? "narrow" : ""} view-${compare ? "compare" : place.view}`} style={{ "--lanes": `${90 + scene.lanes.length * 46}px` }}>
      <Head ctx={ctx} theme={theme} onTheme={nextTheme} onHelp={() => setHelp(true)} onLink={() => setLink(true)} />
      {shown.why && shown.status !== "live" && <div class="banner" role="status">{shown.why}{(shown.status === "failed") && <button onClick={() => location.reload()}>Load anew</button>}</div>}
      {compare ? <Compare ctx={ctx} session={session} theme={drawn} /> : (
        <>
          <FilterBar ctx={ctx} found={found} />
          {shown.status === "loading" && story.length > 0 && <div class="progress" role="status">{loaded(story)}</div>}
          <main class="main">
            {place.view === "lanes" && <Timeline ctx={ctx} scene={scene} theme={drawn} narrow={narrow} handle={lanes} playing={playing} onPlay={togglePlay} onAt={toAt} />}
            {(!narrow || place.view === "table") && (
              <section class="list" aria-label="Steps">
                <nav class="tabs" aria-label="How steps are listed">
                  <button aria-pressed={place.view === "lanes" && !place.follow} onClick={() => go({ view: "lanes", follow: false })}>by agent</button>
                  <button aria-pressed={place.view === "lanes" && place.follow} onClick={() => go({ view: "lanes", follow: true })} title="The newest step on top, and its lane in view (f)">newest</button>
                  <button aria-pressed={place.view === "table"} onClick={() => go({ view: "table" })}>table</button>
                </nav>
                <StepList key={`${place.view} ${place.follow}`} ctx={ctx} matches={matches} flat={place.view === "table" || place.follow} newest={place.view !== "table" && place.follow} />
              </section>
            )}
          </main>
          <PanelView ctx={ctx} matches={matches} narrow={narrow} />
        </>
      )}
      <Announcer ctx={ctx} />
      {help && <Help onClose={() => setHelp(false)} />}
      {link && <CopyLink place={place} token={session.source.token} onClose={() => setLink(false)} />}
      {act && <Act source={session.source} story={story.header.id} body={act} onClose={() => setAct(null)} />}
    </div>
  );
}

export function App({ session }: { session: Session }) {
  const [place, go] = usePlace();
  const [, redraw] = useReducer((n: number, _: void) => n + 1, 0);
  useEffect(() => {
    let planned = 0;
    let drawn = 0;
    const draw = (): void => {
      planned = 0;
      drawn = performance.now();
      redraw();
    };
    // Many pieces may come within one frame; while a long story loads, drawing it must not hold it up.
    const stop = session.subscribe(() => {
      const busy = session.stories.some((shown) => shown.status === "loading" && shown.story.length > 5000);
      planned ||= setTimeout(draw, busy ? Math.max(0, 900 - (performance.now() - drawn)) : 0) as unknown as number;
    });
    redraw();
    return () => {
      stop();
      clearTimeout(planned);
    };
  }, [session]);
  if (session.trouble) return <NoEntry trouble={session.trouble} />;
  const shown = session.stories.find((one) => one.story.header.id === place.story) ?? session.stories[0];
  if (!shown) return <Alone>{session.ready ? "There is no story here." : session.waits || "Loading …"}</Alone>;
  if (!shown.story.length) {
    const waits = shown.status === "loading" ? "Loading the steps …" : "Nothing has happened yet in this log. Steps appear here as agents join.";
    return <Alone>{shown.why || waits}</Alone>;
  }
  return <Main session={session} shown={shown} place={place} go={go} />;
}
