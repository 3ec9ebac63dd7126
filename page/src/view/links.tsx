/** Links to steps, agents and objects: real addresses, that may be copied and opened apart. */

import type { ComponentChildren } from "preact";
import { WORD } from "../model/marks.ts";
import { formatPlace, type Place } from "../model/link.ts";
import type { Ctx } from "./ctx.ts";
import { Sign } from "./Sign.tsx";

function To(props: { ctx: Ctx; change: Partial<Place>; title?: string; kind?: string; children: ComponentChildren }) {
  const { ctx, change } = props;
  return (
    <a
      class={`to ${props.kind ?? ""}`}
      href={formatPlace({ ...ctx.place, ...change }) || "#"}
      title={props.title}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        ctx.go(change);
      }}
    >
      {props.children}
    </a>
  );
}

/** A step, by its sign, the id of its call and what it did. */
export function StepLink({ ctx, index, short, words }: { ctx: Ctx; index: number; short?: boolean; words?: boolean }) {
  const step = ctx.story.steps[index];
  if (!step) return <span class="dim">a step that is not kept</span>;
  const mark = ctx.story.marks[index]!;
  if (words) return <To ctx={ctx} change={{ n: step.n, panel: "step" }} title={step.text} kind="to-step">{step.said}</To>;
  const what = step.id ? `${step.id} ${step.tool ?? ""}` : `${ctx.story.agentOf(step.rank)} ${WORD[mark]}`;
  return (
    <To ctx={ctx} change={{ n: step.n, panel: "step" }} title={step.text} kind="to-step">
      <Sign mark={mark} repair={ctx.story.groups[index] === "repairs"} />
      <span class="num">{step.n}</span> {short ? <span class="what">{what}</span> : <span>{step.text || what}</span>}
    </To>
  );
}

/** A call, at its last run so far, or at the last one before a step. */
export function CallLink({ ctx, uid, before = Infinity }: { ctx: Ctx; uid: string; before?: number }) {
  const call = ctx.story.calls.get(uid);
  const run = call?.runs.findLast((i) => i < before) ?? call?.runs.at(-1) ?? call?.steps.at(-1);
  if (run === undefined || !call) return <span>{ctx.story.nameOf(uid)}</span>;
  const step = ctx.story.steps[run]!;
  return (
    <To ctx={ctx} change={{ n: step.n, panel: "step" }} title={step.text} kind="to-step">
      <b>{call.id}</b> {call.tool}
    </To>
  );
}

export function AgentLink({ ctx, rank }: { ctx: Ctx; rank: number | null | undefined }) {
  const name = ctx.story.agentOf(rank);
  if (rank === null || rank === undefined) return <b class="outside">{name}</b>;
  return <To ctx={ctx} change={{ agent: rank, panel: "agent" }} title={`Show agent ${name}`} kind="to-agent">{name}</To>;
}

export function KeyLink({ ctx, k }: { ctx: Ctx; k: string }) {
  return <To ctx={ctx} change={{ key: k, panel: "object" }} title={`Show ${k}`} kind="to-key">{k}</To>;
}

/** Who wrote a version: an agent's call, somebody outside, or nobody since the beginning. */
export function Writer({ ctx, who, step }: { ctx: Ctx; who: string | null; step?: number }) {
  if (who === null) return <span class="dim">as it was at the start</span>;
  if (who === "outside") return step === undefined ? <b class="outside">outside</b> : <StepLink ctx={ctx} index={step} short />;
  if (step !== undefined && ctx.story.steps[step]) {
    return (
      <>
        <StepLink ctx={ctx} index={step} short /> <span class="dim">of</span> <AgentLink ctx={ctx} rank={Number(who.split(":")[0])} />
      </>
    );
  }
  return <CallLink ctx={ctx} uid={who} />;
}
