/** Differences of two texts by lines, and who last changed each line. */

import { diffArrays } from "diff/lib/diff/array.js";

export interface DiffLine {
  kind: "same" | "add" | "del" | "skip";
  text: string;
}

const LIMIT = 4000;

export function linesOf(text: string): string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The lines of both texts: what went, what came, and `around` lines beside them. */
export function diffLines(before: string, after: string, around = 2): DiffLine[] {
  const lines = wholeDiff(linesOf(before), linesOf(after));
  const near = new Uint8Array(lines.length);
  lines.forEach((line, i) => {
    if (line.kind !== "same") near.fill(1, Math.max(0, i - around), i + around + 1);
  });
  const shown: DiffLine[] = [];
  let left = 0;
  lines.forEach((line, i) => {
    if (near[i]) {
      if (left) shown.push({ kind: "skip", text: `${left} line${left === 1 ? "" : "s"} the same` });
      left = 0;
      shown.push(line);
    } else left += 1;
  });
  if (left && shown.length) shown.push({ kind: "skip", text: `${left} line${left === 1 ? "" : "s"} the same` });
  return shown;
}

function wholeDiff(before: string[], after: string[]): DiffLine[] {
  // Beyond this many edits a comparison says nothing that a person could follow; everything counts as new then.
  const parts = diffArrays(before, after, { maxEditLength: LIMIT, timeout: 300 });
  if (!parts) {
    return [...before.map((text): DiffLine => ({ kind: "del", text })), ...after.map((text): DiffLine => ({ kind: "add", text }))];
  }
  return parts.flatMap((part) =>
    part.value.map((text): DiffLine => ({ kind: part.added ? "add" : part.removed ? "del" : "same", text })));
}

/** What came or went as a whole, perhaps in many lines: `(absent) -> value`, `value -> (absent)`. */
function cameOrWent(text: string): DiffLine[] | null {
  if (/^@@|^\/[^:\s]*: /.test(text)) return null;
  const came = /^\((absent|not known)\) -> ([^]*)$/.exec(text);
  const went = came ? null : /^([^]*) -> \(absent\)$/.exec(text);
  const lines = (kind: "add" | "del", value: string): DiffLine[] => linesOf(value).map((line) => ({ kind, text: line }));
  if (came) return [{ kind: "skip", text: came[1] === "absent" ? "did not exist" : "what was there is not known" }, ...(came[2] === "(absent)" ? [] : lines("add", came[2]!))];
  return went && [...lines("del", went[1]!), { kind: "skip", text: "does not exist any more" }];
}

/** A difference that was given as text: `+` and `-` at the heads of its lines, or `field: old -> new`. */
export function givenDiff(text: string): DiffLine[] {
  return cameOrWent(text) ?? linesOf(text).flatMap((line): DiffLine | DiffLine[] => {
    const short = /^(?:(\/[^:\s]*): )?(.*) -> (.*)$/s.exec(line);
    if (short && !/^[-+]/.test(line)) {
      // A field and its two values, as differences of JSON are told.
      const head: DiffLine[] = short[1] ? [{ kind: "skip", text: short[1] }] : [];
      return [...head, { kind: "del", text: short[2]! }, { kind: "add", text: short[3]! }];
    }
    if (line.startsWith("+") && !line.startsWith("+++")) return { kind: "add", text: line.slice(1) };
    if (line.startsWith("-") && !line.startsWith("---")) return { kind: "del", text: line.slice(1) };
    if (line.startsWith("@@")) return { kind: "skip", text: line };
    return { kind: "same", text: line.startsWith(" ") ? line.slice(1) : line };
  });
}

export interface BlamedLine<T> {
  text: string;
  by: T;
}

/** Each line of the last text with the version that last changed it. */
export function blame<T>(versions: readonly { by: T; text: string }[]): BlamedLine<T>[] {
  let lines: BlamedLine<T>[] = [];
  versions.forEach((version, i) => {
    const now = linesOf(version.text);
    if (i === 0) {
      lines = now.map((text) => ({ text, by: version.by }));
      return;
    }
    const next: BlamedLine<T>[] = [];
    let old = 0;
    for (const line of wholeDiff(lines.map((l) => l.text), now)) {
      if (line.kind === "same") next.push(lines[old++]!);
      else if (line.kind === "del") old += 1;
      else next.push({ text: line.text, by: version.by });
    }
    lines = next;
  });
  return lines;
}
