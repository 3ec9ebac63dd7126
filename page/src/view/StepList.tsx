/** The list of steps: folded by agent, or as a table of all of them in order. */

import { useMemo, useState } from "preact/hooks";
import { keysOf } from "../model/filter.ts";
import { rowsByAgent, type Row } from "../model/groups.ts";
import { WORD } from "../model/marks.ts";
import type { Counts } from "../model/story.ts";
import type { Ctx } from "./ctx.ts";
import { clock } from "./lanes/words.ts";
import { Rows } from "./Rows.tsx";
import { Sign } from "./Sign.tsx";

const ROW = 26;

/** What an agent did, in counts; what failed apart from what waited. */
export function CountWords({ counts }: { counts: Counts }) {
  const parts: [string, string, number][] = [
    ["", counts.calls === 1 ? "call" : "calls", counts.calls], ["bad", "failed", counts.failed], ["waiting", "waiting", counts.waiting],
    ["notice", counts.notices === 1 ? "notice" : "notices", counts.notices], ["repair", counts.repairs === 1 ? "repair" : "repairs", counts.repairs],
    ["undone", "undone", counts.undone],
  ];
  return (
    <span class="counts">
      {parts.filter(([, word, count], i) => i === 0 || (count > 0 && word)).map(([kind, word, count]) => <span class={kind}><b>{count}</b> {word}</span>)}
    </span>
  );
}

function StepCells({ ctx, index, depth, flat }: { ctx: Ctx; index: number; depth: number; flat: boolean }) {
  const { story } = ctx;
  const step = story.steps[index]!;
  const mark = story.marks[index]!;
  const keys = flat ? [...new Set(keysOf(step))] : [];
  return (
    <>
      <span role="gridcell" class="c-n num" style={depth > 1 ? { paddingLeft: "10px" } : undefined}>{step.n}</span>
      <span role="gridcell" class="c-time num">{clock(story.times[index]!, story.times)}</span>
      {flat && <span role="gridcell" class="c-agent">{story.agentOf(step.rank)}</span>}
      <span role="gridcell" class="c-kind"><Sign mark={mark} repair={story.groups[index] === "repairs"} /> {step.goal ? "is to" : WORD[mark]}</span>
      <span role="gridcell" class="c-text" title={step.text}>{step.id && !step.text.startsWith(step.id) ? <b>{step.id} </b> : null}{step.said ?? step.text}{step.error ? <span class="bad"> {step.error}</span> : null}</span>
      {flat && <span role="gridcell" class="c-keys dim" title={keys.join("\n")}>{keys.slice(0, 2).join("  ")}{keys.length > 2 ? ` +${keys.length - 2}` : ""}</span>}
    </>
  );
}

export function StepList({ ctx, matches, flat, newest = false }: { ctx: Ctx; matches: Uint8Array | null; flat: boolean; newest?: boolean }) {
  const { story, shown, place } = ctx;
  const few = story.length <= 120;
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState<number | null>(null);
  /** The words under which the selected step is folded: those are open. */
  const hiding = useMemo(() => {
    const said = ctx.selected < 0 || story.words.has(ctx.selected) ? -1 : story.saidBefore(ctx.selected);
    return said < 0 ? "" : `w${story.steps[said]!.n}`;
  }, [story, ctx.selected]);
  const rows = useMemo((): Row[] | number[] => {
    const asked = (i: number): boolean => !matches || matches[i] === 1;
    if (flat) {
      const found: number[] = [];
      for (let i = 0; i < story.length; i++) if (asked(i) && !story.silent.has(i)) found.push(i);
      return newest ? found.reverse() : found;
    }
    // Few agents are open at first, many are closed; what was clicked is the other way round.
    const open = new Set<string>(few || place.agent !== null ? [...story.agents.keys(), -1].map((rank) => `a${rank}`) : []);
    for (const id of toggled) if (!open.delete(id)) open.add(id);
    if (hiding) open.add(hiding);
    return rowsByAgent(story, asked, open);
  }, [story, shown.version, matches, flat, newest, few, toggled, place.agent, hiding]);

  const rowAt = (i: number): Row | undefined => {
    const row = rows[i];
    return typeof row === "number" ? { kind: "step", index: row, depth: 0 } : row;
  };
  const selectedRow = useMemo(() => {
    if (ctx.selected < 0) return -1;
    return (rows as (Row | number)[]).findIndex((row) => row === ctx.selected || (typeof row !== "number" && (row.kind === "step" || row.kind === "said") && row.index === ctx.selected));
  }, [rows, ctx.selected]);
  const current = cursor !== null && rowAt(cursor) && !["step", "said"].includes(rowAt(cursor)!.kind) ? cursor : selectedRow;

  function toggle(id: string): void {
    setToggled((before) => {
      const after = new Set(before);
      if (!after.delete(id)) after.add(id);
      return after;
    });
  }
  function move(i: number): void {
    const row = rowAt(i);
    setCursor(i);
    if (row?.kind === "step" || row?.kind === "said") ctx.go({ n: story.steps[row.index]!.n, panel: "step" }, "replace");
  }
  function open(i: number): void {
    const row = rowAt(i);
    setCursor(i);
    if (row?.kind === "step") ctx.go({ n: story.steps[row.index]!.n, panel: "step" });
    else if (row?.kind === "agent") toggle(`a${row.rank}`);
    else if (row?.kind === "said") {
      ctx.go({ n: story.steps[row.index]!.n, panel: "step" });
      if (row.id) toggle(row.id);
    } else if (row) toggle(row.id);
  }
  function foldKey(event: KeyboardEvent, i: number): boolean {
    const row = rowAt(i);
    if (!row || row.kind === "step" || (row.kind === "said" && !row.id) || (event.key !== "ArrowLeft" && event.key !== "ArrowRight")) return false;
    if (row.open !== (event.key === "ArrowRight")) open(i);
    return true;
  }

  return (
    <Rows
      count={rows.length} height={ROW} label={flat ? "All steps" : "Steps by agent"} tree={!flat} current={current} onMove={move} onOpen={open} onKey={foldKey}
      head={flat ? (
        <>
          <span role="columnheader" class="c-n">step</span><span role="columnheader" class="c-time">time</span><span role="columnheader" class="c-agent">agent</span>
          <span role="columnheader" class="c-kind">kind</span><span role="columnheader" class="c-text">what</span><span role="columnheader" class="c-keys">objects</span>
        </>
      ) : undefined}
      row={(i) => {
        const row = rowAt(i)!;
        if (row.kind === "step") {
          const step = story.steps[row.index]!;
          const undone = step.call && step.kind !== "undo" && story.calls.get(step.call)?.states.at(ctx.at) === "undone";
          return { level: flat ? undefined : row.depth + 1, kind: `${row.index > ctx.at ? "later" : ""} ${undone ? "undone-call" : ""} depth${row.depth}`, children: <StepCells ctx={ctx} index={row.index} depth={row.depth} flat={flat} /> };
        }
        if (row.kind === "said") {
          const step = story.steps[row.index]!;
          return {
            kind: `said ${row.index > ctx.at ? "later" : ""}`, expanded: row.id ? row.open : undefined, level: 2, children: (
              <>
                <span role="gridcell" class="c-n num">{row.id ? (row.open ? "▾ " : "▸ ") : ""}{step.n}</span>
                <span role="gridcell" class="c-time num">{clock(story.times[row.index]!, story.times)}</span>
                <span role="gridcell" class="c-text" title={step.said}><Sign mark="said" /> {step.said}</span>
                {row.id && <span role="gridcell"><CountWords counts={story.countsIn(row.steps)} /></span>}
              </>
            ),
          };
        }
        if (row.kind === "fold") {
          const first = row.steps[0]!;
          const step = story.steps[first]!;
          return {
            kind: `fold depth${row.depth}`, expanded: row.open, level: row.depth + 1, children: (
              <>
                <span role="gridcell" class="c-n num">{row.open ? "▾" : "▸"} {step.n}</span>
                <span role="gridcell" class="c-time num">{clock(story.times[first]!, story.times)}</span>
                <span role="gridcell" class="c-kind"><Sign mark={story.marks[first]!} /> {row.steps.length} × {WORD[story.marks[first]!]}</span>
                <span role="gridcell" class="c-text dim">{step.tool} … {story.steps[row.steps.at(-1)!]!.text}</span>
              </>
            ),
          };
        }
        const agent = story.agents.get(row.rank);
        const said = agent ? story.saidBy(agent, ctx.at) : -1;
        return {
          kind: "agent", expanded: row.open, level: 1, children: (
            <>
              <span role="gridcell" class="c-fold">{row.open ? "▾" : "▸"}</span>
              <span role="gridcell" class="c-name">{story.agentOf(row.rank)}</span>
              <span role="gridcell" class={`phase ${agent?.phases.at(ctx.at) ?? ""}`}>{agent?.phases.at(ctx.at) ?? ""}</span>
              <span role="gridcell">{agent ? <CountWords counts={story.countsOf(agent, ctx.at)} /> : `${row.steps} step${row.steps === 1 ? "" : "s"}`}</span>
              <span role="gridcell" class="c-text c-said" title={story.steps[said]?.said}>{said >= 0 ? story.steps[said]!.said : ""}</span>
            </>
          ),
        };
      }}
    />
  );
}
