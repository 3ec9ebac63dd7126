/** What to look at first. */

import { useMemo } from "preact/hooks";
import { chains, unrepaired, writtenKeys, seenBy } from "../../model/why.ts";
import type { Ctx } from "../ctx.ts";
import { AgentLink, KeyLink, StepLink, Writer } from "../links.tsx";
import { Section } from "./StepPanel.tsx";

const PROTOCOL: Record<string, string> = {
  mtpo: "Agents are ordered. Each sees only what stands below it in the order, is told when that changes, and repairs its own work.",
  naive: "Nothing is coordinated: everybody sees what was written last, and nobody is told.",
  "2pl": "Agents lock what they touch, and wait for one another.",
  occ: "Agents are checked when they finish, and start again where something they read has changed.",
  serial: "Agents run one after another.",
};

const SHOWN = 40;

export function OverviewPanel({ ctx }: { ctx: Ctx }) {
  const { story, at, shown } = ctx;
  const all = useMemo(() => chains(story, story.length), [story, shown.version]);
  const found = useMemo(() => all.filter((one) => one.told <= at).map((one) => ({ ...one, repairs: one.repairs.filter((i) => i <= at) })), [all, at]);
  const keys = useMemo(() => writtenKeys(story, at), [story, shown.version, at]);
  const trouble = useMemo(() => {
    const bad: number[] = [];
    for (let i = 0; i <= at && bad.length < 200; i++) {
      const mark = story.marks[i];
      if (mark === "failed" || mark === "unknown" || mark === "stuck" || mark === "refused" || mark === "abort") bad.push(i);
    }
    return bad;
  }, [story, shown.version, at]);
  return (
    <>
      <h2 class="sr">Overview</h2>
      <p class="pad lead">{PROTOCOL[story.header.protocol]}{story.header.first > 0 && <span class="dim"> What was before record {story.header.first.toLocaleString()} is not shown: <code>--tail 0</code> shows all that is kept.</span>}</p>
      {found.length > 0 && (
        <Section title="Notices and their repairs" note={found.length.toLocaleString()}>
          {found.slice(0, SHOWN).map(({ cause, told, repairs }) => (
            <div class="card chain">
              {cause >= 0 ? <div class="line"><StepLink ctx={ctx} index={cause} short /> <span class="dim">of</span> <AgentLink ctx={ctx} rank={story.steps[cause]!.rank} /> <span class="dim">changed</span> {story.steps[told]!.notices?.slice(0, 1).map((notice) => <KeyLink ctx={ctx} k={notice.key} />)}</div> : null}
              <div class="line"><StepLink ctx={ctx} index={told} short /></div>
              {repairs.length ? repairs.slice(0, 4).map((i) => <div class="line"><StepLink ctx={ctx} index={i} short /> <span class="dim">repaired it</span></div>)
                : <div class="line dim">{unrepaired(story, told, at) === "kept" ? "and kept what it had done" : "and has repaired nothing so far"}</div>}
            </div>
          ))}
          {found.length > SHOWN && <p class="dim">and {(found.length - SHOWN).toLocaleString()} more: choose notices or repairs above, or an agent.</p>}
        </Section>
      )}
      {trouble.length > 0 && (
        <Section title="Trouble" note={String(trouble.length)}>
          <ul>{trouble.slice(0, 20).map((i) => <li><StepLink ctx={ctx} index={i} /></li>)}</ul>
        </Section>
      )}
      <Section title="What was written" note={`${keys.length} object${keys.length === 1 ? "" : "s"}`}>
        {keys.slice(0, SHOWN).map((key) => {
          const { entry } = seenBy(story, key, null, at);
          return <div class="changed-key"><KeyLink ctx={ctx} k={key} /><div class="line">{entry ? <><span class="dim">last by</span> <Writer ctx={ctx} who={entry.who} step={entry.step} /></> : <span class="dim">as it was at the start: what was written was taken back</span>}</div></div>;
        })}
        {keys.length > SHOWN && <p class="dim">and {keys.length - SHOWN} more under State</p>}
      </Section>
    </>
  );
}
