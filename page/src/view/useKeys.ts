import { useEffect, useRef } from "preact/hooks";

/** Keys of the whole page; none while something is typed or a window stands over it. */
export function useKeys(keys: Record<string, () => void>): void {
  const now = useRef(keys);
  now.current = keys;
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const typing = target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
      if (typing && event.key === "Escape") target.blur();
      if (typing) return;
      const arrows = event.key.startsWith("Arrow");
      if (arrows && target.matches("input[type=range], [role=grid], [role=treegrid]")) return;
      if ((event.key === "Enter" || event.key === " ") && target.matches("button, a, summary, input")) return;
      const action = now.current[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}
