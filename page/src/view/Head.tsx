/** The head of the page: which log, how it stands, and what is asked for. */

import { useEffect, useRef, useState } from "preact/hooks";
import { GROUPS, type Group } from "../model/marks.ts";
import type { Ctx } from "./ctx.ts";
import { SIGN } from "./glyphs.ts";
import { Sign } from "./Sign.tsx";

const STATUS: Record<string, string> = {
  loading: "loading", live: "live", reconnecting: "reconnecting", gone: "log gone", refused: "not allowed", finished: "finished", failed: "not loaded",
};

function Count({ n, word, kind, onClick }: { n: number; word: string; kind?: string; onClick?: () => void }) {
  const inner = <><b class="num">{n.toLocaleString()}</b> {word}</>;
  return onClick ? <button class={`count ${kind ?? ""}`} onClick={onClick}>{inner}</button> : <span class={`count ${kind ?? ""}`}>{inner}</span>;
}

export function Head(props: { ctx: Ctx; theme: string; onTheme(): void; onHelp(): void; onLink(): void }) {
  const { ctx } = props;
  const { story, shown, session, place } = ctx;
  const { header } = story;
  const counts = story.countsAt(ctx.at);
  const phases = story.phasesAt(ctx.at);
  const only = (kind: Group) => () => ctx.go({ kinds: place.kinds.length === 1 && place.kinds[0] === kind ? [] : [kind] });
  const ended = shown.status === "finished" && phases.working + phases.told + phases.waiting + phases.finished > 0 ? "at work when exported" : STATUS[shown.status];
  const idle = shown.status === "live" && story.agents.size > 0 && phases.working + phases.told + phases.waiting + phases.finished === 0;
  return (
    <header class="head">
      <h1 title={header.log}>
        <span class="brand">CoAgent</span> <span class="log">{header.domain ?? header.name}</span> {header.log !== header.name && <span class="dim log-path">{header.log}</span>}
      </h1>
      {session.stories.length > 1 ? (
        <nav class="tabs" aria-label="Stories">
          {session.stories.map((one) => (
            <button aria-pressed={place.view !== "compare" && one === shown} onClick={() => ctx.go({ story: one.story.header.id, view: place.view === "compare" ? "lanes" : place.view, n: null, at: null, agent: null, as: null, panel: place.key ? "object" : "overview" })}>{one.story.header.name}</button>
          ))}
          {session.stories.length >= 2 && <button aria-pressed={place.view === "compare"} onClick={() => ctx.go({ view: "compare" })}>compare</button>}
        </nav>
      ) : null}
      <span class={session.stories.length > 1 ? "chip second" : "chip"}>{header.protocol}</span>
      <span class={`pill ${shown.status} ${idle ? "idle" : ""}`} title={shown.why || header.log}>{idle ? "live, all done" : ended}</span>
      {place.view !== "compare" || session.stories.length < 2 ? <div class="counts-line">
        <Count n={phases.working + phases.told + phases.waiting + phases.aborting} word="at work" />
        {phases.finished > 0 && <Count n={phases.finished} word="finished" />}
        <Count n={phases.committed} word="committed" kind="ok" />
        {phases.aborted > 0 && <Count n={phases.aborted} word="aborted" kind="bad" />}
        <i class="sep" />
        <Count n={counts.calls} word={counts.calls === 1 ? "call" : "calls"} />
        {counts.failed > 0 && <Count n={counts.failed} word="failed" kind="bad" onClick={only("failed")} />}
        <Count n={counts.notices} word={counts.notices === 1 ? "notice" : "notices"} kind="notice" onClick={only("notices")} />
        <Count n={counts.repairs} word={counts.repairs === 1 ? "repair" : "repairs"} kind="repair" onClick={only("repairs")} />
        {counts.undone > 0 && <Count n={counts.undone} word="undone" kind="undone" onClick={only("undone")} />}
      </div> : <i class="spacer" />}
      <div class="head-buttons">
        <button onClick={props.onLink} title="Copy a link to what is shown">link</button>
        <button onClick={props.onTheme} title={`Theme: ${props.theme}`} aria-label={`Theme: ${props.theme}. Change it.`}>{props.theme === "dark" ? "☾" : props.theme === "light" ? "☀" : "◐"}</button>
        <button onClick={props.onHelp} title="Signs and keys (?)" aria-label="Help: signs and keys">?</button>
      </div>
    </header>
  );
}

export function FilterBar({ ctx, found }: { ctx: Ctx; found: number | null }) {
  const { place, story } = ctx;
  const [text, setText] = useState(place.q);
  const later = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => setText(place.q), [place.q]);
  const present = new Set(story.groups.length > 20_000 ? GROUPS : story.groups);
  function typed(value: string): void {
    setText(value);
    if (later.current) clearTimeout(later.current);
    later.current = setTimeout(() => ctx.go({ q: value }, "replace"), 160);
  }
  function toggle(kind: Group): void {
    ctx.go({ kinds: place.kinds.includes(kind) ? place.kinds.filter((one) => one !== kind) : [...place.kinds, kind] });
  }
  const filtered = place.q || place.kinds.length || place.agent !== null || place.key !== null;
  return (
    <div class="filter" role="search">
      <input id="search" type="search" placeholder="agent, object (file:src/*), or words  /" aria-label="Search steps by agent, object or words" value={text} onInput={(event) => typed(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
      <div class="kinds" role="group" aria-label="Kinds of steps">
        {GROUPS.filter((kind) => present.has(kind) || place.kinds.includes(kind)).map((kind) => (
          <button class="kind" aria-pressed={place.kinds.includes(kind)} onClick={() => toggle(kind)}><Sign mark={SIGN[kind]} />{kind}</button>
        ))}
      </div>
      {place.agent !== null && <button class="chip clear" onClick={() => ctx.go({ agent: null, panel: place.panel === "agent" ? "overview" : place.panel })}>agent {story.agentOf(place.agent)} <b aria-hidden="true">×</b><span class="sr">, clear</span></button>}
      {place.key !== null && <button class="chip clear" onClick={() => ctx.go({ key: null, panel: place.panel === "object" ? "overview" : place.panel })}>{place.key} <b aria-hidden="true">×</b><span class="sr">, clear</span></button>}
      {filtered && <span class="dim num">{(found ?? 0).toLocaleString()} step{found === 1 ? "" : "s"}</span>}
      {filtered && <button class="clear-all" onClick={() => ctx.go({ q: "", kinds: [], agent: null, key: null, panel: place.panel === "agent" || place.panel === "object" ? "overview" : place.panel })}>clear</button>}
    </div>
  );
}
