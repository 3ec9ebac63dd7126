/** Where the page stands, kept in the address so that links and the back button work. */

import { useEffect, useRef, useState } from "preact/hooks";
import { formatPlace, parsePlace, type Place } from "../model/link.ts";

export function usePlace(): [Place, (change: Partial<Place>, how?: "push" | "replace") => void] {
  const [place, setPlace] = useState<Place>(() => parsePlace(location.hash));
  const now = useRef(place);
  const later = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    const back = (): void => {
      now.current = parsePlace(location.hash);
      setPlace(now.current);
    };
    addEventListener("popstate", back);
    addEventListener("hashchange", back);
    return () => {
      removeEventListener("popstate", back);
      removeEventListener("hashchange", back);
    };
  }, []);
  function go(change: Partial<Place>, how: "push" | "replace" = "push"): void {
    const next = { ...now.current, ...change };
    const address = (): string => formatPlace(next) || location.pathname + location.search;
    if (later.current) clearTimeout(later.current);
    if (how === "push" && formatPlace(next) !== formatPlace(now.current)) history.pushState(null, "", address());
    // Browsers bound how often an address may be replaced; a scrub would pass that.
    else later.current = setTimeout(() => history.replaceState(null, "", address()), 250);
    now.current = next;
    setPlace(next);
  }
  return [place, go];
}

export type Theme = "auto" | "light" | "dark";

/** As the system has it, or as the person chose. */
export function useTheme(): [Theme, string, () => void] {
  const [theme, setTheme] = useState<Theme>(() => (stored("coagent-theme") as Theme | null) ?? "auto");
  const [dark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const changed = (): void => setDark(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  const drawn = theme === "auto" ? (dark ? "dark" : "light") : theme;
  document.documentElement.dataset["theme"] = drawn;
  function next(): void {
    const to = drawn === "dark" ? "light" : "dark";
    setTheme(to);
    try {
      localStorage.setItem("coagent-theme", to);
    } catch {
      // Where nothing may be stored, the choice holds for this visit.
    }
  }
  return [theme, drawn, next];
}

function stored(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
