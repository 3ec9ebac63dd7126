/** The state at the moment shown: live, or as one agent saw it. */

import { useMemo, useState } from "preact/hooks";
import { seenBy } from "../../model/why.ts";
import type { Ctx } from "../ctx.ts";
import { Rows } from "../Rows.tsx";
import { AsWhom } from "./ObjectPanel.tsx";

export function StatePanel({ ctx }: { ctx: Ctx }) {
  const { story, at, place } = ctx;
  const [changedOnly, setChangedOnly] = useState(true);
  const [cursor, setCursor] = useState(-1);
  const q = place.q.trim().toLowerCase().replaceAll("*", "");
  const keys = useMemo(
    () => story.keys().filter((key) => (!q || key.toLowerCase().includes(q)) && (!changedOnly || (story.objects.get(key)!.trajectory.written(at) && seenBy(story, key, place.as, at).entry !== null))),
    [story, ctx.shown.version, place.as, changedOnly, q, at],
  );
  return (
    <div class="state">
      <div class="pad facts">
        <AsWhom ctx={ctx} />
        <label><input type="checkbox" checked={changedOnly} onChange={(event) => setChangedOnly(event.currentTarget.checked)} /> only what was written</label>
        <span class="dim">{keys.length} object{keys.length === 1 ? "" : "s"}{at < story.length - 1 ? ` as of step ${story.steps[at]?.n}` : ""}</span>
      </div>
      <Rows
        count={keys.length} height={40} label="Objects" current={cursor} onMove={setCursor} onOpen={(i) => ctx.go({ key: keys[i]!, panel: "object" })}
        row={(i) => {
          const key = keys[i]!;
          const { v, entry } = seenBy(story, key, place.as, at);
          const live = seenBy(story, key, null, at);
          const value = ctx.values.get(v);
          const text = value === undefined ? "…" : value === null ? "not known" : value.kind === "absent" ? "does not exist" : value.kind === "binary" ? "binary" : value.text.slice(0, 200).replace(/\s+/g, " ");
          return {
            kind: entry ? "changed" : "", children: (
              <div role="gridcell" class="state-cell">
                <div><span class="key">{key}</span> <span class="dim">{entry ? story.nameOf(entry.who) : "start"}</span> {place.as !== null && live.v !== v && <span class="chip notice">live is another</span>}</div>
                <div class="dim value-line">{text}</div>
              </div>
            ),
          };
        }}
      />
    </div>
  );
}
