/** An agent: where it stands in the order, what it was told, how it repaired. */

import { answersTo, isRepair, keysWritten, unrepaired } from "../../model/why.ts";
import type { Ctx } from "../ctx.ts";
import { AgentLink, KeyLink, StepLink } from "../links.tsx";
import { CountWords } from "../StepList.tsx";
import { Section } from "./StepPanel.tsx";

export function AgentPanel({ ctx }: { ctx: Ctx }) {
  const { story, at } = ctx;
  const agent = ctx.place.agent === null ? undefined : story.agents.get(ctx.place.agent);
  if (!agent) return <AgentList ctx={ctx} />;
  const phase = agent.phases.at(at);
  const active = agent.phases.last !== "committed" && agent.phases.last !== "aborted";
  const keys = new Set<string>();
  for (const i of agent.steps) {
    const uid = story.steps[i]!.call;
    if (uid && i <= at && story.calls.get(uid)!.states.at(at) === "done") for (const key of keysWritten(story, uid)) keys.add(key);
  }
  const tolds = agent.tolds.filter((i) => i <= at);
  const goal = agent.said.findLast((i) => story.steps[i]!.goal && i <= at);
  const words = agent.said.filter((i) => !story.steps[i]!.goal && i <= at);
  return (
    <>
      <header class="panel-head">
        <h2>{agent.name}</h2>
        <div class="facts">
          <span class={`phase ${phase ?? ""}`}>{phase ?? "has not joined yet"}</span>
          <span>order {agent.orders.at(at) ?? agent.orders.last}</span>
          <span class="dim">rank {agent.rank}</span>
        </div>
        {goal !== undefined && <p>{story.steps[goal]!.said}</p>}
        <p><CountWords counts={story.countsOf(agent, at)} /></p>
        {agent.orders.values.length > 1 && <p class="dim">Its place in the order changed: {agent.orders.values.join(" → ")}</p>}
        {ctx.session.actions && active && (
          <div class="buttons">
            <button onClick={() => ctx.ask({ act: "undo", agent: agent.rank })}>Undo all of {agent.name} …</button>
            <button onClick={() => ctx.ask({ act: "abort", agent: agent.rank })}>Abort {agent.name} …</button>
          </div>
        )}
      </header>
      {tolds.length > 0 && (
        <Section title="What it was told, and how it repaired">
          {tolds.slice(0, 60).map((i) => {
            const repairs = answersTo(story, i).filter((k) => isRepair(story.steps[k]!));
            return (
              <div class="card">
                <StepLink ctx={ctx} index={i} />
                {story.steps[i]!.notices?.slice(0, 4).map((notice) => {
                  const from = story.exactly(notice.cause?.n);
                  return <div class="line"><span class="dim">because of</span> {from >= 0 ? <StepLink ctx={ctx} index={from} short /> : notice.cause?.name ?? "outside"}</div>;
                })}
                {repairs.length ? repairs.slice(0, 8).map((k) => <div class="line"><span class="dim">repaired by</span> <StepLink ctx={ctx} index={k} short /></div>) : <div class="line dim">{unrepaired(story, i, at) === "kept" ? "no repair: kept" : "no repair so far"}</div>}
              </div>
            );
          })}
        </Section>
      )}
      {words.length > 0 && <Section title="What it said" note={words.length > 1 ? String(words.length) : undefined}><ul>{words.slice(-60).map((i) => <li><StepLink ctx={ctx} index={i} words /></li>)}</ul></Section>}
      {keys.size > 0 && <Section title="What it changed"><ul class="keys">{[...keys].sort().slice(0, 200).map((key) => <li><KeyLink ctx={ctx} k={key} /></li>)}</ul></Section>}
      <Section title="Its steps" note={String(agent.steps.length)}>
        <ul>{agent.steps.slice(0, 60).map((i) => <li class={i > at ? "later" : ""}><StepLink ctx={ctx} index={i} /></li>)}</ul>
        {agent.steps.length > 60 && <p class="dim">and {agent.steps.length - 60} more in the list</p>}
      </Section>
    </>
  );
}

function AgentList({ ctx }: { ctx: Ctx }) {
  return (
    <div class="pad">
      <p class="dim">Agents in serialization order, the lowest first:</p>
      <table class="plain">
        <tbody>{ctx.story.lanes().map((agent) => (
          <tr><td class="num">{agent.orders.at(ctx.at) ?? ""}</td><td><AgentLink ctx={ctx} rank={agent.rank} /></td><td><span class={`phase ${agent.phases.at(ctx.at) ?? ""}`}>{agent.phases.at(ctx.at) ?? ""}</span></td><td><CountWords counts={ctx.story.countsOf(agent, ctx.at)} /></td></tr>
        ))}</tbody>
      </table>
    </div>
  );
}
