import { MARKS, WORD } from "../model/marks.ts";
import { Dialog } from "./Dialog.tsx";
import { Sign } from "./Sign.tsx";

const KEYS: [string, string][] = [
  ["← →", "the step before or after, in the same lane"],
  ["↑ ↓", "the nearest step in the lane above or below"],
  ["Enter", "open the chosen step"],
  ["Esc", "close, or let go of what is chosen"],
  ["/", "search"],
  ["space", "play and pause"],
  ["[ ]", "show everything as of one step earlier or later"],
  ["+ − 0", "zoom in, zoom out, show all"],
  ["f", "follow: the newest step on top, and its lane in view"],
  ["t", "table of all steps, and back"],
  ["?", "this help"],
];

export function Help({ onClose }: { onClose(): void }) {
  return (
    <Dialog title="Signs and keys" onClose={onClose}>
      <div class="dialog-body help" tabIndex={0}>
        <p>Each lane is an agent, the lowest in the serialization order on top. From left to right are its steps. An arrow is a notice: from the step that changed something to the step at which a reader of it was told.</p>
        <div class="legend">{MARKS.filter((mark) => mark !== "effect").map((mark) => <div><Sign mark={mark} /> {WORD[mark]}</div>)}</div>
        <p class="dim">Where signs would overlap, a bar stands for them with their number. A sign that is struck through was undone later. Hatched: waiting.</p>
        <p>Above its signs stands what an agent said, and at its beginning what it is to reach. Over time, a bar is a call that ran, as long as it took; a faint line is the time since its agent had heard something last: it thought, or did what no log knows of. Where nothing is drawn, nobody knows.</p>
        <table class="plain"><tbody>{KEYS.map(([key, words]) => <tr><th><kbd>{key}</kbd></th><td>{words}</td></tr>)}</tbody></table>
        <p class="dim">Wheel or pinch zooms, dragging moves, Shift with the wheel moves sideways.</p>
      </div>
    </Dialog>
  );
}
