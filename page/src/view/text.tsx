/** Values and differences as text. All of it is other people's data: text nodes only. */

import { useMemo, useState } from "preact/hooks";
import { diffLines, givenDiff, type DiffLine } from "../model/diff.ts";
import type { Value } from "../model/steps.ts";
import type { Ctx } from "./ctx.ts";

const SHOWN_AT_FIRST = 60;

export function DiffView({ lines }: { lines: DiffLine[] }) {
  const [all, setAll] = useState(false);
  // What is new as a whole has no difference to be looked for in it.
  const whole = lines.length > 14 && lines.every((line) => line.kind === lines[0]!.kind);
  const shown = all ? lines : lines.slice(0, whole ? 12 : SHOWN_AT_FIRST);
  return (
    <pre class="diff">
      {shown.map((line) => (
        <div class={line.kind}>
          <i aria-hidden={line.kind === "same"}>{line.kind === "add" ? "+" : line.kind === "del" ? "−" : line.kind === "skip" ? "⋯" : " "}</i>
          {line.text || " "}
        </div>
      ))}
      {lines.length > shown.length && (
        <button class="more" onClick={() => setAll(true)}>{lines.length - shown.length} more lines</button>
      )}
    </pre>
  );
}

export function GivenDiff({ text }: { text: string }) {
  const lines = useMemo(() => givenDiff(text), [text]);
  return lines.length ? <DiffView lines={lines} /> : null;
}

function note(value: Value | null): string {
  if (value === null) return "not known";
  if (value.kind === "absent") return "does not exist";
  if (value.kind === "binary") return `binary, ${value.size} bytes`;
  return value.cut ? `the first ${value.text.length} of ${value.size} characters` : "";
}

/** What changed from one version to another. */
export function VersionDiff({ ctx, before, after }: { ctx: Ctx; before: number | null; after: number | null }) {
  const a = ctx.values.get(before);
  const b = ctx.values.get(after);
  const lines = useMemo(() => (a && b ? diffLines(a.text, b.text) : []), [a, b]);
  if (a === undefined || b === undefined) return <div class="dim wait-line">fetching the values …</div>;
  if (b === null) return <div class="dim">not known</div>;
  if (a === null) return <><div class="dim">what it replaced is not known</div><ValueView value={b} /></>;
  const head = a.kind === "absent" && b.kind === "absent" ? "does not exist, before and after"
    : a.kind === "absent" ? "created" : b.kind === "absent" ? "deleted" : "";
  return (
    <>
      {head && <div class="dim">{head}</div>}
      {b.kind === "binary" ? <div class="dim">{note(a)} → {note(b)}</div>
        : lines.length ? <DiffView lines={lines} />
        : !head && <div class="dim">{before === after || a.text === b.text ? "the same value" : ""}</div>}
      {(a.cut || b.cut) && b.kind !== "binary" && <div class="dim">only the beginning is kept here: {note(b.cut ? b : a)}</div>}
    </>
  );
}

export function ValueView({ value }: { value: Value | null | undefined }) {
  if (value === undefined) return <div class="dim wait-line">fetching the value …</div>;
  const words = note(value);
  return (
    <>
      {words && <div class="dim">{words}</div>}
      {value && value.kind !== "absent" && value.kind !== "binary" && <pre class="value">{value.text || "(empty)"}</pre>}
    </>
  );
}

/** A text that may be long: its beginning, and the rest when asked for. */
export function Long({ text, most = 600 }: { text: string; most?: number }) {
  const [all, setAll] = useState(false);
  if (text.length <= most || all) return <pre class="value">{text}</pre>;
  return (
    <pre class="value">
      {text.slice(0, most)}…<button class="more" onClick={() => setAll(true)}>{text.length - most} more characters</button>
    </pre>
  );
}
