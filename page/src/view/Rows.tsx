/** Rows of a long list: only those in view exist. Moves with the keyboard. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface RowsProps {
  count: number;
  height: number;
  label: string;
  /** Which row is the current one, or -1. */
  current: number;
  row(i: number): { children: ComponentChildren; kind?: string; expanded?: boolean; level?: number };
  onMove(i: number): void;
  onOpen(i: number): void;
  head?: ComponentChildren;
  /** Whether rows fold: only rows of such a tree may say that they are open. */
  tree?: boolean;
  onKey?(event: KeyboardEvent, i: number): boolean;
}

export function Rows(props: RowsProps) {
  const { count, height } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [room, setRoom] = useState(400);
  const id = useRef(`rows${Math.random().toString(36).slice(2, 8)}`).current;

  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setRoom(scroller.current!.clientHeight));
    watch.observe(scroller.current!);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    const box = scroller.current;
    if (!box || props.current < 0) return;
    const y = props.current * height;
    const headRoom = props.head ? 24 : 0;
    if (y < box.scrollTop) box.scrollTop = y - height;
    else if (y + height + headRoom > box.scrollTop + box.clientHeight) box.scrollTop = y + height * 2 + headRoom - box.clientHeight;
  }, [props.current, height]);

  const first = Math.max(0, Math.floor(top / height) - 4);
  const last = Math.min(count, Math.ceil((top + room) / height) + 4);

  function key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(room / height) - 1);
    const to: Record<string, number> = {
      ArrowDown: props.current + 1, ArrowUp: props.current - 1, PageDown: props.current + page, PageUp: props.current - page, Home: 0, End: count - 1,
    };
    if (event.key in to) {
      if (count) props.onMove(Math.max(0, Math.min(count - 1, to[event.key]!)));
    } else if (event.key === "Enter" && props.current >= 0) props.onOpen(props.current);
    else if (!props.onKey?.(event, props.current)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  const rows: ComponentChildren[] = [];
  for (let i = first; i < last; i++) {
    const { children, kind, expanded, level } = props.row(i);
    rows.push(
      <div
        key={i} id={`${id}-${i}`} role="row" aria-rowindex={i + 1 + (props.head ? 1 : 0)} aria-selected={i === props.current} aria-expanded={expanded} aria-level={level}
        class={`row ${kind ?? ""} ${i === props.current ? "current" : ""}`} style={{ height: `${height}px` }} onClick={() => props.onOpen(i)}
      >
        {children}
      </div>,
    );
  }
  return (
    <div
      class="rows" ref={scroller} role={props.tree ? "treegrid" : "grid"} aria-label={props.label} aria-rowcount={count + (props.head ? 1 : 0)} tabIndex={0}
      aria-activedescendant={props.current >= first && props.current < last ? `${id}-${props.current}` : undefined}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)} onKeyDown={key}
    >
      {props.head && <div class="row row-head" role="row" aria-rowindex={1}>{props.head}</div>}
      <div role="presentation" style={{ height: `${first * height}px` }} />
      {rows}
      <div role="presentation" style={{ height: `${Math.max(0, count - last) * height}px` }} />
    </div>
  );
}
