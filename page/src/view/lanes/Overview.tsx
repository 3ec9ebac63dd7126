/** The whole story in one strip, with the part that the lanes show; drag it, or click where to go. */

import { useEffect, useRef } from "preact/hooks";
import { inksOf } from "./canvas.ts";
import { GLYPHS, type Ink } from "../glyphs.ts";
import { PAD, type Scene } from "./scene.ts";

export interface Part {
  from: number;
  to: number;
}

const LOUD: Ink[] = ["bad", "repair", "notice"];

function strip(canvas: HTMLCanvasElement, scene: Scene): void {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d")!;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  const inks = inksOf(canvas);
  const columns = Math.max(1, Math.floor(width / 3));
  const all = new Uint32Array(columns);
  const loud = LOUD.map(() => new Uint32Array(columns));
  const { story, axis, matches } = scene;
  for (let i = 0; i < story.length; i++) {
    if (matches && !matches[i]) continue;
    const column = Math.min(columns - 1, Math.floor((axis.x[i]! / axis.max) * columns));
    all[column]! += 1;
    const ink = story.groups[i] === "repairs" ? "repair" : GLYPHS[story.marks[i]!].ink;
    const which = LOUD.indexOf(ink);
    if (which >= 0) loud[which]![column]! += 1;
  }
  const most = Math.max(1, ...all);
  const scale = (height - 4) / Math.log2(1 + most);
  for (let c = 0; c < columns; c++) {
    if (!all[c]) continue;
    const tall = Math.max(2, Math.log2(1 + all[c]!) * scale);
    ctx.fillStyle = inks.read;
    ctx.globalAlpha = 0.55;
    ctx.fillRect(c * 3, height - 2 - tall, 2.2, tall);
    ctx.globalAlpha = 1;
    let from = height - 2;
    LOUD.forEach((ink, k) => {
      if (!loud[k]![c]) return;
      const part = Math.max(2, (tall * loud[k]![c]!) / all[c]!);
      ctx.fillStyle = inks[ink];
      ctx.fillRect(c * 3, from - part, 2.2, part);
      from -= part;
    });
  }
}

export function OverviewStrip(props: { scene: Scene; part: Part; theme: string; width: number; gutter: number; onMove(from: number, to: number): void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { scene, part } = props;
  useEffect(() => {
    if (canvas.current) strip(canvas.current, scene);
  }, [scene.story, scene.axis, scene.matches, props.theme, props.width]);
  const from = Math.max(0, (part.from / scene.axis.max) * 100);
  const to = Math.min(100, (part.to / scene.axis.max) * 100);
  const at = ((scene.axis.x[scene.at] ?? scene.axis.max) / scene.axis.max) * 100;

  function start(event: PointerEvent): void {
    const box = event.currentTarget as HTMLElement;
    const { left, width } = box.getBoundingClientRect();
    const where = (x: number): number => ((x - left) / width) * scene.axis.max;
    const edge = (event.target as HTMLElement).dataset["edge"];
    const span = part.to - part.from;
    const grip = (event.target as HTMLElement).dataset["brush"] ? where(event.clientX) - part.from : span / 2;
    box.setPointerCapture(event.pointerId);
    const move = (x: number): void => {
      const w = where(x);
      if (edge === "from") props.onMove(Math.min(w, part.to - span * 0.02), part.to);
      else if (edge === "to") props.onMove(part.from, Math.max(w, part.from + span * 0.02));
      else props.onMove(w - grip, w - grip + span);
    };
    move(event.clientX);
    box.onpointermove = (moved) => move(moved.clientX);
    box.onpointerup = box.onpointercancel = () => {
      box.onpointermove = null;
    };
  }

  return (
    <div class="strip" style={{ paddingLeft: `${props.gutter + PAD}px` }} aria-hidden="true"><div class="strip-in" onPointerDown={start}>
      <canvas ref={canvas} />
      <div class="strip-out" style={{ left: 0, width: `${from}%` }} />
      <div class="strip-out" style={{ left: `${to}%`, right: 0 }} />
      <div class="brush" data-brush="1" style={{ left: `${from}%`, width: `${Math.max(0.6, to - from)}%` }}>
        <i data-edge="from" />
        <i data-edge="to" />
      </div>
      <div class="strip-at" style={{ left: `${at}%` }} />
    </div></div>
  );
}
