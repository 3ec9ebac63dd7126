/** The lanes with the strip below them and the scrubber. What moves with every frame is kept here. */

import { useState } from "preact/hooks";
import type { Ctx } from "./ctx.ts";
import type { LaneCanvas } from "./lanes/canvas.ts";
import { Lanes } from "./lanes/Lanes.tsx";
import { OverviewStrip } from "./lanes/Overview.tsx";
import { fromX, PAD, type Scene } from "./lanes/scene.ts";
import { Scrubber } from "./Scrubber.tsx";

interface View {
  from: number;
  to: number;
  hidden: boolean;
  width: number;
  gutter: number;
}

export interface TimelineProps {
  ctx: Ctx;
  scene: Scene;
  theme: string;
  narrow: boolean;
  handle: { current: LaneCanvas | null };
  playing: boolean;
  onPlay(): void;
  onAt(index: number): void;
}

export function Timeline(props: TimelineProps) {
  const { ctx, scene, handle } = props;
  const { story, place } = ctx;
  const [view, setView] = useState<View>({ from: 0, to: 1, hidden: false, width: 0, gutter: 0 });
  const label = `Lanes of ${story.agents.size} agents, ${story.length} steps. The list of steps says the same in words.`;
  const share = Math.min(62, Math.max(30, 12 + scene.lanes.length * 6));
  return (
    <section class="timeline" style={props.narrow ? undefined : { flexBasis: `${share}%` }} aria-label="Lanes">
      <Lanes
        scene={scene} theme={props.theme} label={label} handle={handle}
        onSelect={(index) => ctx.go({ n: story.steps[index]!.n, panel: "step" })}
        onAgent={(rank) => ctx.go(place.agent === rank ? { agent: null, panel: "overview" } : { agent: rank, panel: "agent" })}
        onView={(v, box, hidden) => {
          const next: View = { from: fromX(box, v, box.gutter + PAD), to: fromX(box, v, box.width - PAD), hidden, width: box.width, gutter: box.gutter };
          setView((before) => ((Object.keys(next) as (keyof View)[]).every((name) => before[name] === next[name]) ? before : next));
        }}
      />
      <OverviewStrip scene={scene} part={view} theme={props.theme} width={view.width} gutter={view.gutter} onMove={(from, to) => handle.current?.show(from, to)} />
      <Scrubber
        ctx={ctx} playing={props.playing} onPlay={props.onPlay} onAt={props.onAt} axis={scene.axis.kind} hidden={view.hidden}
        onAxis={() => ctx.go({ axis: scene.axis.kind === "time" ? "steps" : "time" }, "replace")} onZoom={(factor) => handle.current?.zoom(factor)} onFit={() => handle.current?.fit()}
      />
    </section>
  );
}
