/** Moves through the story: everything is shown as of the chosen step. */

import type { Ctx } from "./ctx.ts";
import { clock } from "./lanes/words.ts";

export function Scrubber(props: { ctx: Ctx; playing: boolean; onPlay(): void; onAt(index: number): void; axis: "time" | "steps"; onAxis(): void; onZoom(factor: number): void; onFit(): void; hidden: boolean }) {
  const { ctx, playing } = props;
  const { story, at } = ctx;
  const last = story.length - 1;
  const step = story.steps[at];
  return (
    <div class="scrubber">
      <button class="play" onClick={props.onPlay} aria-label={playing ? "Pause" : "Play"} title={`${playing ? "Pause" : "Play"} (space)`}>{playing ? "❚❚" : "▶"}</button>
      <input type="range" min={0} max={Math.max(0, last)} value={at} aria-label="Show everything as of this step" aria-valuetext={step ? `step ${step.n}: ${step.text}` : ""} onInput={(event) => props.onAt(Number(event.currentTarget.value))} />
      <span class="at num" title={step?.text}>{ctx.place.at === null ? <><span class="words">step </span>{step?.n ?? 0}<span class="words">, the last</span></> : <><span class="words">as of </span>{step?.n} <span class="dim words">{clock(story.times[at] ?? NaN, story.times)}</span></>}</span>
      {ctx.place.at !== null && <button onClick={() => ctx.go({ at: null }, "replace")} title="Back to the last step">to the end</button>}
      <span class="spacer" />
      {props.hidden && <span class="dim hint">zoom in or choose a step to see its arrows</span>}
      <span class="tabs" role="group" aria-label="From left to right">
        {(["time", "steps"] as const).map((kind) => <button aria-pressed={props.axis === kind} onClick={() => props.axis !== kind && props.onAxis()} title={kind === "time" ? "Room by time; long pauses are cut" : "The same room for each step"}>{kind}</button>)}
      </span>
      <span class="zoom">
        <button onClick={() => props.onZoom(1 / 1.6)} aria-label="Zoom out" title="Zoom out (-)">−</button>
        <button onClick={props.onFit} title="Show all (0)">all</button>
        <button onClick={() => props.onZoom(1.6)} aria-label="Zoom in" title="Zoom in (+)">+</button>
      </span>
    </div>
  );
}
