import { GLYPHS } from "./glyphs.ts";
import type { Mark } from "../model/marks.ts";

/** A sign within text. The words beside it say the same. */
export function Sign({ mark, repair }: { mark: Mark; repair?: boolean }) {
  const glyph = GLYPHS[mark];
  const ink = `var(--${repair && mark === "undo" ? "repair" : glyph.ink})`;
  return (
    <svg class="sign" viewBox="-8 -8 16 16" width="15" height="15" aria-hidden="true">
      <path d={glyph.d} fill={glyph.fill ? ink : "none"} stroke={glyph.fill ? "none" : ink} stroke-width={glyph.width ?? 0} stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
