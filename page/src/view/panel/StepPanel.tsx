/** A step: what was done, why, and what came of it. */

import type { ComponentChildren } from "preact";
import { WORD } from "../../model/marks.ts";
import { spansWords } from "../../model/spans.ts";
import type { Notice, Step } from "../../model/steps.ts";
import { answersTo, earlierOf, effectsOf, hadRead, ifUndone, isRepair, leadsTo, readersOf, sawOf, wroteOf } from "../../model/why.ts";
import type { Ctx } from "../ctx.ts";
import { AgentLink, CallLink, KeyLink, StepLink, Writer } from "../links.tsx";
import { clock, VIRTUAL } from "../lanes/words.ts";
import { Sign } from "../Sign.tsx";
import { GivenDiff, Long, VersionDiff } from "../text.tsx";

export function Section({ title, children, note }: { title: string; children: ComponentChildren; note?: string }) {
  return (
    <section>
      <h3>{title}{note && <span class="dim"> {note}</span>}</h3>
      {children}
    </section>
  );
}

function when(ms: number): string {
  if (ms < VIRTUAL) return `at ${clock(ms, [])}`;
  return Number.isFinite(ms) ? new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "time not known";
}

const NOTICE_WORD: Record<Notice["kind"], string> = {
  changed: "changed", withdrawn: "was withdrawn", would_succeed: "would succeed now", failure_changed: "fails in another way now", overruled: "was overruled", stuck: "is stuck",
};

function NoticeView({ ctx, notice, index }: { ctx: Ctx; notice: Notice; index: number }) {
  const cause = notice.cause;
  const from = ctx.story.exactly(cause?.n);
  return (
    <div class="card notice-card">
      <div><KeyLink ctx={ctx} k={notice.key} />{notice.part ? <code> {notice.part}</code> : null} {NOTICE_WORD[notice.kind]}</div>
      {cause && (
        <div class="line"><span class="dim">set off by</span> {from >= 0 ? <StepLink ctx={ctx} index={from} short /> : <b>{cause.name}</b>}
          {cause.rank !== null ? <> <span class="dim">of</span> <AgentLink ctx={ctx} rank={cause.rank} /></> : <span class="outside"> (outside)</span>}</div>
      )}
      <GivenDiff text={notice.diff} />
      {notice.calls.length > 0 && <div class="line"><span class="dim">saw the old value:</span> {notice.calls.map((uid) => <CallLink ctx={ctx} uid={uid} before={from >= 0 ? from : index} />)}</div>}
      {notice.dependents.length > 0 && <div class="line"><span class="dim">may rest on it:</span> {notice.dependents.map((uid) => <CallLink ctx={ctx} uid={uid} before={index} />)}</div>}
      {notice.stale.map((stale) => (
        <div class="line stale"><CallLink ctx={ctx} uid={stale.call} before={index} /> <span class="dim">still carries</span> {stale.argument} = <del>{stale.old}</del>{stale.new !== null && <> <span class="dim">now</span> <ins>{stale.new}</ins></>}</div>
      ))}
    </div>
  );
}

function Told({ ctx, index, step }: { ctx: Ctx; index: number; step: Step }) {
  const answers = answersTo(ctx.story, index);
  const repairs = answers.filter((i) => isRepair(ctx.story.steps[i]!));
  const others = answers.filter((i) => !isRepair(ctx.story.steps[i]!));
  return (
    <>
      <Section title={step.notices?.length === 1 ? "What the agent was told" : `What the agent was told: ${step.notices?.length ?? 0} notices`}>
        {step.notices?.map((notice) => <NoticeView ctx={ctx} notice={notice} index={index} />)}
      </Section>
      <Section title="The repair">
        {repairs.length ? <ul>{repairs.map((i) => <li><StepLink ctx={ctx} index={i} /></li>)}</ul>
          : <p class="dim">{others.length ? "It amended and undid nothing." : "Nothing followed: the agent kept what it had done, or has not answered yet."}</p>}
        {others.length > 0 && <><p class="dim">New calls after it:</p><ul>{others.slice(0, 12).map((i) => <li><StepLink ctx={ctx} index={i} /></li>)}</ul></>}
      </Section>
    </>
  );
}

function Why({ ctx, index, step }: { ctx: Ctx; index: number; step: Step }) {
  const { story } = ctx;
  const uid = step.call!;
  const told = story.answers.get(index);
  const repair = told !== undefined && story.groups[index] === "repairs";
  const cause = step.cause;
  const causeStep = story.exactly(cause?.n);
  const reads = (step.reads ?? []).filter((read) => !leadsTo(step, read.key, false));
  const before = step.writes?.length ? hadRead(story, index) : [];
  const scans = (step.scans ?? []).filter((scan) => !leadsTo(step, scan.prefix, true)).map((scan) => ({ scan, keys: story.keys().filter((key) => key.startsWith(scan.prefix)).length }));
  const full = scans.filter(({ keys }) => keys > 0);
  const empty = scans.filter(({ keys }) => keys === 0);
  if (!repair && told === undefined && !cause && !reads.length && !scans.length && !before.length) return null;
  return (
    <Section title="Why">
      {cause && <p>Set off by {causeStep >= 0 ? <StepLink ctx={ctx} index={causeStep} short /> : <b>{cause.name}</b>} of <AgentLink ctx={ctx} rank={cause.rank} />.</p>}
      {told !== undefined && (
        <p>{repair ? "Answers the notice" : "After the notice"} <StepLink ctx={ctx} index={told} short />{" "}
          {story.steps[told]!.notices?.slice(0, 3).map((notice) => {
            const from = story.exactly(notice.cause?.n);
            return <span class="line">{notice.key}, set off by {from >= 0 ? <StepLink ctx={ctx} index={from} short /> : notice.cause?.name ?? "outside"}</span>;
          })}
        </p>
      )}
      {reads.length + full.length > 0 && (
        <table class="plain">
          <thead><tr><th>it read</th><th>and saw the work of</th></tr></thead>
          <tbody>
            {reads.slice(0, 40).map((read) => {
              const saw = sawOf(story, index, uid, read.key);
              return <tr><td><KeyLink ctx={ctx} k={read.key} />{read.part ? <code> {read.part}</code> : null}</td><td><Writer ctx={ctx} who={saw.entry?.who ?? null} step={saw.entry?.step} /></td></tr>;
            })}
            {full.slice(0, 20).map(({ scan, keys }) => (
              <tr><td><code>{scan.prefix}*</code>{scan.part ? ` ${scan.part}` : ""}</td><td class="dim">all under it: {keys} known object{keys === 1 ? "" : "s"}</td></tr>
            ))}
          </tbody>
        </table>
      )}
      {before.length > 0 && (
        <table class="plain">
          <thead><tr><th>before it, its agent had read</th><th>and seen the work of</th></tr></thead>
          <tbody>
            {before.map((read) => {
              const saw = sawOf(story, read.step, story.steps[read.step]!.call!, read.key);
              return <tr><td><KeyLink ctx={ctx} k={read.key} />{read.part ? <code> {read.part}</code> : null} <span class="dim">by</span> <StepLink ctx={ctx} index={read.step} short /></td><td><Writer ctx={ctx} who={saw.entry?.who ?? null} step={saw.entry?.step} /></td></tr>;
            })}
          </tbody>
        </table>
      )}
      {empty.length > 0 && <p class="dim">It also rests on there being nothing at {empty.slice(0, 12).map(({ scan }, i) => <>{i ? ", " : ""}<code>{scan.prefix}*</code></>)}.</p>}
    </Section>
  );
}

function Writes({ ctx, index, step }: { ctx: Ctx; index: number; step: Step }) {
  const { story } = ctx;
  return (
    <Section title={step.kind === "undo" || step.kind === "reverse" ? "What it took back" : "What it wrote"}>
      {step.writes!.slice(0, 30).map((write) => {
        if (step.kind === "undo" || step.kind === "reverse") return <div class="card"><KeyLink ctx={ctx} k={write.key} /></div>;
        const wrote = wroteOf(story, index, step.call!, write.key, write.v);
        const readers = readersOf(story, index, step.call!, write.key, 12);
        const earlier = story.marks[index] === "amend" || story.marks[index] === "again" ? earlierOf(story, index, step.call!, write.key) : null;
        return (
          <div class="card">
            <div><KeyLink ctx={ctx} k={write.key} /> {!wrote.live && <span class="chip dim">not the live value: later work in the order stands above it</span>}</div>
            {earlier ? (
              <>
                <div class="dim">against what it wrote before</div>
                <VersionDiff ctx={ctx} before={earlier.v} after={wrote.after} />
                <details><summary class="dim">against what stands below it in the order</summary><VersionDiff ctx={ctx} before={wrote.before} after={wrote.after} /></details>
              </>
            ) : <VersionDiff ctx={ctx} before={wrote.before} after={wrote.after} />}
            {readers.length > 0 && <div class="line"><span class="dim">read by</span> {readers.map((i) => <StepLink ctx={ctx} index={i} short />)}</div>}
          </div>
        );
      })}
    </Section>
  );
}

function Effects({ ctx, index }: { ctx: Ctx; index: number }) {
  const { told, again } = effectsOf(ctx.story, index);
  if (!told.length && !again.length) return null;
  return (
    <Section title="What came of it">
      <ul>
        {told.slice(0, 30).map((i) => {
          const repairs = answersTo(ctx.story, i).filter((k) => isRepair(ctx.story.steps[k]!));
          return (
            <li><StepLink ctx={ctx} index={i} short />
              {repairs.length > 0 && <>, and repaired: {repairs.slice(0, 5).map((k) => <StepLink ctx={ctx} index={k} short />)}</>}</li>
          );
        })}
        {again.slice(0, 30).map((i) => <li>ran again or was taken back: <StepLink ctx={ctx} index={i} short /></li>)}
      </ul>
    </Section>
  );
}

function IfUndone({ ctx, uid }: { ctx: Ctx; uid: string }) {
  const undone = ifUndone(ctx.story, uid, ctx.at);
  if (!undone.objects.length) return null;
  const state = ctx.story.agents.get(Number(uid.split(":")[0]))?.phases.at(ctx.at);
  return (
    <details class="undo-details">
      <summary>What would undoing it do?</summary>
      {state === "committed" && <p class="dim">Its agent has committed, so this is what a later undo would have to reach.</p>}
      {undone.objects.map((object) => (
        <div class="card">
          <div><KeyLink ctx={ctx} k={object.key} /> {!object.live && <span class="dim">the live value stays: later work stands above it</span>}</div>
          <VersionDiff ctx={ctx} before={object.now} after={object.then} />
        </div>
      ))}
      {undone.again.length > 0 && <p>Run again on what is left: {undone.again.map((one) => <CallLink ctx={ctx} uid={one} />)}</p>}
      {undone.told.map(({ rank, calls }) => <p><AgentLink ctx={ctx} rank={rank} /> would be told: {calls.map((one) => <CallLink ctx={ctx} uid={one} />)} saw it.</p>)}
      {!undone.again.length && !undone.told.length && <p class="dim">Nobody else has read it.</p>}
      <p class="dim">Reckoned from this story{ctx.session.actions ? "; Undo shows what the log itself says, before anything is done" : ""}.</p>
    </details>
  );
}

type How = "retry" | "accept" | "drop";
/** What a person can decide about a call of which nobody knows whether it had an effect, and about an object that is stuck. */
const UNKNOWN: [How, string][] = [["retry", "Run it again"], ["accept", "Count it as made"], ["drop", "Count it as not made"]];
const STUCK: [How, string][] = [["retry", "Put it there again"], ["accept", "Keep what is there"]];

function StepActions({ ctx, step }: { ctx: Ctx; step: Step }) {
  if (!ctx.session.actions) return null;
  const call = step.call ? ctx.story.calls.get(step.call) : undefined;
  const state = call?.states.last;
  const stuck = step.kind === "stuck" && step.key;
  const decided = stuck ? ctx.story.decided(stuck) : -1;
  if (decided >= 0) return <p>Decided since: <StepLink ctx={ctx} index={decided} /></p>;
  return (
    <div class="buttons">
      {call && (state === "done" || state === "staged") && step.kind !== "undo" && <button onClick={() => ctx.ask({ act: "undo", call: call.uid })}>Undo {call.id} …</button>}
      {call && state === "unknown" && UNKNOWN.map(([how, words]) => <button onClick={() => ctx.ask({ act: "resolve", what: call.id, how })}>{words} …</button>)}
      {stuck && STUCK.map(([how, words]) => <button onClick={() => ctx.ask({ act: "resolve", what: stuck, how })}>{words} …</button>)}
    </div>
  );
}

function Call({ step }: { step: Step }) {
  const args = Object.entries(step.args ?? {});
  return (
    <>
      {args.length > 0 && (
        <Section title="Arguments">
          <table class="plain args"><tbody>{args.map(([name, text]) => <tr><th>{name}</th><td><Long text={text} /></td></tr>)}</tbody></table>
        </Section>
      )}
      {step.error && <Section title="Error"><div class="bad"><Long text={step.error} /></div></Section>}
      {step.result && <Section title="Result"><Long text={step.result} /></Section>}
    </>
  );
}

function History({ ctx, uid, index }: { ctx: Ctx; uid: string; index: number }) {
  const steps = ctx.story.calls.get(uid)?.steps ?? [];
  if (steps.length < 2) return null;
  return (
    <Section title="The whole life of this call">
      <ul>{steps.map((i) => <li class={i === index ? "here" : ""}><StepLink ctx={ctx} index={i} /></li>)}</ul>
    </Section>
  );
}

export function StepPanel({ ctx }: { ctx: Ctx }) {
  const { story, selected: index } = ctx;
  const step = story.steps[index];
  if (!step) return <p class="dim pad">Choose a step in the lanes or in the list: here stands what it did, why, and what came of it.</p>;
  const mark = story.marks[index]!;
  const call = step.call ? story.calls.get(step.call) : undefined;
  const state = call?.states.at(ctx.at) ?? call?.states.last;
  const said = story.saidBefore(index);
  const spans = spansWords(story, index);
  return (
    <>
      <header class="panel-head">
        <h2><Sign mark={mark} repair={story.groups[index] === "repairs"} /> {call ? <>{call.id} <span class="tool">{call.tool}</span></> : WORD[mark]}</h2>
        <div class="facts">
          {step.rank !== undefined && step.rank !== null && <AgentLink ctx={ctx} rank={step.rank} />}
          <span>{step.goal ? "is to" : WORD[mark]}</span>
          {state && <span class={`chip state-${state}`}>{state}</span>}
          {step.irreversible && <span class="chip waiting">irreversible</span>}
          <span class="num dim">step {step.n}</span>
          <span class="dim">{when(story.times[index]!)}</span>
        </div>
        <p>{step.said ?? step.text}</p>
        {step.call && said >= 0 && <p class="said"><Sign mark="said" /> <StepLink ctx={ctx} index={said} words /></p>}
        {spans && <p class="dim">{spans}</p>}
        {step.reason && <p class="dim">{step.reason}</p>}
        {step.by && step.by.length > 0 && <p>Waits for {step.by.map((rank) => <AgentLink ctx={ctx} rank={rank} />)}</p>}
        <StepActions ctx={ctx} step={step} />
      </header>
      {step.kind === "told" && <Told ctx={ctx} index={index} step={step} />}
      {step.call && <Why ctx={ctx} index={index} step={step} />}
      {step.key && <Section title="Object"><div class="card"><KeyLink ctx={ctx} k={step.key} />{step.diff && <GivenDiff text={step.diff} />}</div></Section>}
      {step.call && step.writes && step.writes.length > 0 && <Writes ctx={ctx} index={index} step={step} />}
      <Effects ctx={ctx} index={index} />
      {step.call && step.kind !== "undo" && <IfUndone ctx={ctx} uid={step.call} />}
      {step.call && <Call step={step} />}
      {step.call && <History ctx={ctx} uid={step.call} index={index} />}
    </>
  );
}
