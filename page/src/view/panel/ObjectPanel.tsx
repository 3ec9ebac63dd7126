/** An object: its value with who last changed each line, and all its versions. */

import { useMemo, useState } from "preact/hooks";
import { blame, type BlamedLine } from "../../model/diff.ts";
import { formatPlace } from "../../model/link.ts";
import type { Story } from "../../model/story.ts";
import { chain, versionAt, type Entry, type Version } from "../../model/trajectory.ts";
import { earlierOf, orderFor, seenBy, standing } from "../../model/why.ts";
import { seen } from "../../model/trajectory.ts";
import type { Ctx } from "../ctx.ts";
import { AgentLink, KeyLink, StepLink, Writer } from "../links.tsx";
import { ValueView, VersionDiff } from "../text.tsx";
import { Section } from "./StepPanel.tsx";

/** Whose eyes the state is seen with. */
export function AsWhom({ ctx }: { ctx: Ctx }) {
  return (
    <label class="as">
      as{" "}
      <select value={ctx.place.as === null ? "" : String(ctx.place.as)} onChange={(event) => ctx.go({ as: event.currentTarget.value === "" ? null : Number(event.currentTarget.value) }, "replace")}>
        <option value="">it is live</option>
        {ctx.story.lanes().map((agent) => <option value={String(agent.rank)}>{agent.name} sees it</option>)}
      </select>
    </label>
  );
}

/** Before a call's version the ones that it wrote itself earlier, on the same version below: so an amended line shows as amended. */
function withEarlier(story: Story, k: string, writes: Entry[]): Entry[] {
  const versions = story.objects.get(k)!.trajectory.versions();
  return writes.flatMap((entry) => {
    const ground = below(story, k, entry);
    return [...versions.filter((one) => one.who === entry.who && one.who !== "outside" && one.step < entry.step && below(story, k, one) === ground), entry];
  });
}

function BlameView({ ctx, k }: { ctx: Ctx; k: string }) {
  const state = standing(ctx.story, k, ctx.at);
  const place = seen(state, orderFor(ctx.story, ctx.place.as, ctx.at));
  const writes = withEarlier(ctx.story, k, chain(state).slice(0, state.settled.length + place + 1));
  const now = ctx.values.get(versionAt(state, place));
  const origin = ctx.values.get(state.origin);
  const values = writes.map((entry) => ctx.values.get(entry.v));
  const all = [origin, ...values].every((value) => value !== undefined);
  const lines = useMemo(() => {
    if (!all || !now || (now.kind !== "text" && now.kind !== "json")) return null;
    const first = { by: null as Entry | null, text: origin?.text ?? "" };
    return blame([first, ...writes.map((entry, i) => ({ by: entry as Entry | null, text: values[i]?.text ?? "" }))]);
  }, [all, now, writes.length, writes.at(-1)?.v, k]);
  if (!lines || lines.length > 3000) return <ValueView value={now} />;
  return (
    <>
      {now?.cut && <div class="dim">only the beginning is kept here: {now.text.length} of {now.size} characters</div>}
      <div class="blame" role="table" aria-label="Each line with the call that last changed it">
        {runsOf(lines).map((run) => <BlameRun key={`${k} ${run.from}`} ctx={ctx} run={run} fold={lines.length > 24} />)}
      </div>
    </>
  );
}

interface Run {
  from: number;
  by: Entry | null;
  lines: string[];
}

/** Lines that follow one another and were last changed by the same call. */
function runsOf(lines: BlamedLine<Entry | null>[]): Run[] {
  const runs: Run[] = [];
  lines.forEach(({ text, by }, i) => {
    const last = runs.at(-1);
    if (last && last.by === by) last.lines.push(text);
    else runs.push({ from: i, by, lines: [text] });
  });
  return runs;
}

/** What nobody changed is not what is looked for: of many such lines the middle is folded. */
function BlameRun({ ctx, run, fold }: { ctx: Ctx; run: Run; fold: boolean }) {
  const [all, setAll] = useState(false);
  const step = run.by ? ctx.story.steps[run.by.step] : undefined;
  const middle = fold && !all && run.by === null && run.lines.length > 9 ? run.lines.length - 4 : 0;
  const row = (text: string, i: number) => (
    <div role="row" class={`${i === 0 ? "first" : ""} ${run.by ? "" : "base"}`}>
      <span role="cell" class="who">
        {i > 0 ? null : step ? (
          <a href={formatPlace({ ...ctx.place, n: step.n, panel: "step" })} title={step.text} onClick={(event) => { event.preventDefault(); ctx.go({ n: step.n, panel: "step" }); }}>{ctx.story.nameOf(run.by!.who)} <span class="num dim">{step.n}</span></a>
        ) : <span class="dim">{run.by ? ctx.story.nameOf(run.by.who) : "start"}</span>}
      </span>
      <code role="cell">{text || " "}</code>
    </div>
  );
  if (!middle) return <>{run.lines.map(row)}</>;
  return (
    <>
      {run.lines.slice(0, 2).map(row)}
      <div role="row" class="base"><span role="cell" class="who" /><button class="more" onClick={() => setAll(true)}>⋯ {middle} lines as at the start</button></div>
      {run.lines.slice(-2).map((text) => row(text, 1))}
    </>
  );
}

function fate(story: Story, version: Version, at: number): string {
  if (version.step > at) return "not yet";
  if (version.until === null || version.until > at) return "stands";
  if (version.replaced) return `replaced by ${story.marks[version.until] === "amend" ? "an amended call" : "its own new run"}`;
  const kind = story.steps[version.until]!.kind;
  return ({ commit: "committed", undo: "undone", abort: "aborted", reverse: "taken back to make room", amend: "amended away", restart: "restarted" } as Record<string, string>)[kind]
    ?? (kind === "promote" ? "moved with its agent" : "taken out");
}

function below(story: Story, k: string, version: Entry): number | null {
  const state = standing(story, k, version.step);
  const found = state.entries.findLastIndex((entry) => entry.who === version.who && entry.v === version.v);
  return versionAt(state, (found < 0 ? state.entries.length : found) - 1);
}

function VersionRow({ ctx, k, version, eyes }: { ctx: Ctx; k: string; version: Version; eyes: string[] }) {
  const { story } = ctx;
  const words = fate(story, version, ctx.at);
  const stands = words === "stands" || words === "committed";
  const [chosen, setOpen] = useState<boolean | null>(null);
  const open = chosen ?? stands;
  const rank = version.who === "outside" ? null : Number(version.who.split(":")[0]);
  const told = story.answers.get(version.step);
  const causes = told === undefined ? [] : [...new Set((story.steps[told]!.notices ?? []).map((notice) => story.exactly(notice.cause?.n)))].filter((i) => i >= 0).slice(0, 3);
  const earlier = version.who === "outside" ? null : earlierOf(story, version.step, version.who, k);
  return (
    <div class={`version ${stands ? "stands" : "gone"} ${words === "not yet" ? "later" : ""}`}>
      <div class="version-head">
        <button class="more" aria-expanded={open} aria-label={`Version of ${story.nameOf(version.who)}`} onClick={() => setOpen(!open)}>{open ? "▾" : "▸"}</button>
        <StepLink ctx={ctx} index={version.step} short /> <AgentLink ctx={ctx} rank={rank} />
        <span class={`chip fate ${words.split(" ")[0]}`}>{words}</span>
        {version.until !== null && version.until <= ctx.at && words !== "committed" && <StepLink ctx={ctx} index={version.until} short />}
        {eyes.length > 0 && <span class="eyes" title="who sees this version now">seen by {eyes.slice(0, 6).join(", ")}{eyes.length > 6 ? ` and ${eyes.length - 6} more` : ""}</span>}
      </div>
      {open && (
        <>
          {told !== undefined && story.groups[version.step] === "repairs" && <div class="line"><span class="dim">answers the notice</span> <StepLink ctx={ctx} index={told} short />{causes.map((i) => <>, <span class="dim">set off by</span> <StepLink ctx={ctx} index={i} short /></>)}</div>}
          {earlier && <><div class="dim">against what it wrote before</div><VersionDiff ctx={ctx} before={earlier.v} after={version.v} /></>}
          {earlier ? <details><summary class="dim">against the version below</summary><VersionDiff ctx={ctx} before={below(story, k, version)} after={version.v} /></details>
            : <VersionDiff ctx={ctx} before={below(story, k, version)} after={version.v} />}
          {ctx.session.actions && <button onClick={() => ctx.ask({ act: "restore", key: k, v: version.v })}>Restore this version …</button>}
        </>
      )}
    </div>
  );
}

export function ObjectPanel({ ctx }: { ctx: Ctx }) {
  const { story } = ctx;
  const k = ctx.place.key;
  const object = k === null ? undefined : story.objects.get(k);
  if (k === null || !object) return <ObjectList ctx={ctx} missing={k} />;
  const state = standing(story, k, ctx.at);
  const eyes = new Map<string, string[]>();
  for (const agent of story.lanes()) {
    const phase = agent.phases.at(ctx.at);
    if (!phase || phase === "committed" || phase === "aborted") continue;
    const sees = seenBy(story, k, agent.rank, ctx.at).entry;
    const id = sees ? `${sees.who} ${sees.v}` : "base";
    eyes.set(id, [...(eyes.get(id) ?? []), agent.name]);
  }
  const versions = object.trajectory.versions().sort((a, b) => (story.filters ? a.order - b.order || a.seq - b.seq || a.sub - b.sub : 0) || a.step - b.step);
  const seenNow = seenBy(story, k, ctx.place.as, ctx.at);
  return (
    <>
      <header class="panel-head">
        <h2 class="key">{k}</h2>
        <div class="facts"><AsWhom ctx={ctx} /> <span class="dim">written by</span> <Writer ctx={ctx} who={seenNow.entry?.who ?? null} step={seenNow.entry?.step} /></div>
      </header>
      <Section title="Its value" note={ctx.at < story.length - 1 ? `as of step ${story.steps[ctx.at]?.n}` : ""}>
        <BlameView ctx={ctx} k={k} />
      </Section>
      <Section title="Its versions" note={story.filters ? "in serialization order, the last one is live" : "in order of arrival"}>
        <details class="version base">
          <summary><span class="chip">base</span> as it was at the start {eyes.get("base") && <span class="eyes">seen by {eyes.get("base")!.slice(0, 6).join(", ")}</span>}</summary>
          <ValueView value={ctx.values.get(state.origin)} />
          {ctx.session.actions && state.origin !== null && <button onClick={() => ctx.ask({ act: "restore", key: k, v: state.origin! })}>Restore this version …</button>}
        </details>
        {versions.slice(-200).map((version) => <VersionRow key={`${version.who} ${version.step}`} ctx={ctx} k={k} version={version} eyes={(version.step <= ctx.at && (version.until === null || version.until > ctx.at)) ? eyes.get(`${version.who} ${version.v}`) ?? [] : []} />)}
      </Section>
      <Section title="Steps that touched it" note={String(object.steps.length)}>
        <ul>{object.steps.slice(0, 40).map((i) => <li><StepLink ctx={ctx} index={i} /></li>)}</ul>
        {object.steps.length > 40 && <p class="dim">and {object.steps.length - 40} more: they are filtered in the list.</p>}
      </Section>
    </>
  );
}

function ObjectList({ ctx, missing }: { ctx: Ctx; missing: string | null }) {
  const q = ctx.place.q.trim().toLowerCase();
  const keys = ctx.story.keys();
  const written = keys.filter((key) => (ctx.story.objects.get(key)!.writes.length > 0) && (!q || key.toLowerCase().includes(q.replaceAll("*", ""))));
  return (
    <div class="pad">
      {missing !== null && <p>Nothing is known here of <code>{missing}</code>.</p>}
      <p class="dim">{written.length} of {keys.length} objects were written{q ? " and match the search" : ""}. Choose one:</p>
      <ul class="keys">{written.slice(0, 300).map((key) => <li><KeyLink ctx={ctx} k={key} /> <span class="dim num">{ctx.story.objects.get(key)!.writes.length}×</span></li>)}</ul>
      {written.length > 300 && <p class="dim">and {written.length - 300} more: search for a prefix, such as <code>file:src/</code></p>}
    </div>
  );
}
