/** The lanes of a story, with what is under the pointer in words. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { WORD } from "../../model/marks.ts";
import { spansWords } from "../../model/spans.ts";
import { LaneCanvas } from "./canvas.ts";
import type { Box, Scene, Viewport } from "./scene.ts";

export interface LanesProps {
  scene: Scene;
  theme: string;
  label: string;
  onSelect(index: number): void;
  onAgent(rank: number): void;
  onView?(view: Viewport, box: Box, hidden: boolean): void;
  handle?: { current: LaneCanvas | null };
}

interface Tip {
  steps: number[];
  x: number;
  y: number;
}

export function laneHeight(room: number, lanes: number, words: boolean): number {
  return Math.round(Math.max(26, Math.min(words ? 76 : 58, room / Math.max(1, lanes))));
}

function tipText(scene: Scene, steps: number[]): string[] {
  const { story } = scene;
  if (steps.length === 1) {
    const step = story.steps[steps[0]!]!;
    const lines = [`${step.n}  ${WORD[story.marks[steps[0]!]!]}${step.id ? `  ${step.id}` : ""}`, step.text];
    if (step.error) lines.push(step.error);
    const said = step.call ? story.saidBefore(steps[0]!) : -1;
    if (said >= 0) lines.push(`“${story.steps[said]!.said}”`);
    const spans = spansWords(story, steps[0]!);
    if (spans) lines.push(spans);
    return lines;
  }
  const counts = new Map<string, number>();
  for (const i of steps) counts.set(story.groups[i]!, (counts.get(story.groups[i]!) ?? 0) + 1);
  return [`${steps.length} steps`, [...counts].map(([group, count]) => `${count} ${group}`).join(", "), "Click to look closer."];
}

export function Lanes(props: LanesProps) {
  const root = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const lanes = useRef<LaneCanvas | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [tip, setTip] = useState<Tip | null>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const lane = laneHeight(size.height - 22, props.scene.lanes.length, props.scene.story.words.size > 0);

  useLayoutEffect(() => {
    const drawn = new LaneCanvas(canvas.current!, scroller.current!, {
      select: (index) => latest.current.onSelect(index),
      agent: (rank) => latest.current.onAgent(rank),
      hover: (steps, x, y) => setTip((before) => (steps.length ? { steps, x, y } : before && null)),
      viewed: (view, box, hidden) => latest.current.onView?.(view, box, hidden),
    });
    lanes.current = drawn;
    if (props.handle) props.handle.current = drawn;
    const watch = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = scroller.current!;
      setSize({ width: clientWidth, height: clientHeight });
    });
    watch.observe(scroller.current!);
    return () => {
      watch.disconnect();
      drawn.dispose();
    };
  }, []);
  useLayoutEffect(() => lanes.current?.resize(size.width, size.height, lane), [size, lane]);
  useLayoutEffect(() => lanes.current?.setScene(props.scene), [props.scene]);
  useEffect(() => lanes.current?.retheme(), [props.theme]);

  const text = tip && tip.steps.every((i) => i < props.scene.story.length) ? tipText(props.scene, tip.steps) : null;
  const left = tip ? Math.max(4, Math.min(tip.x + 12, size.width - 330)) : 0;
  return (
    <div class="lanes" ref={root} role="img" aria-label={props.label}>
      <div class="lanes-scroll" ref={scroller} tabIndex={-1}>
        <canvas ref={canvas} />
        <div style={{ height: `${Math.max(0, 22 + lane * props.scene.lanes.length - size.height)}px` }} />
      </div>
      {text && tip && (
        <div class="tip" style={{ left: `${left}px`, top: tip.y > size.height - 110 ? "auto" : `${tip.y + 16}px`, bottom: tip.y > size.height - 110 ? `${size.height - tip.y + 12}px` : "auto" }}>
          {text.map((line, i) => (i === 0 ? <b>{line}</b> : <div>{line}</div>))}
        </div>
      )}
    </div>
  );
}
