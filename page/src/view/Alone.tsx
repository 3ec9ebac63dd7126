/** What stands there while there is no story to be shown. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Trouble } from "../data/source.ts";

export function Alone({ children }: { children: ComponentChildren }) {
  return <main class="alone"><h1>CoAgent</h1><p class="dim" role="status">{children}</p></main>;
}

/** Opens what the address of this tab names, with the token of another address. */
function enter(printed: string): boolean {
  const token = /[#&]token=([^&\s]+)/.exec(printed)?.[1] ?? /^\s*([\w-]{16,})\s*$/.exec(printed)?.[1];
  if (!token) return false;
  const place = location.hash.replace(/^#/, "");
  // Whoever listens to the address takes the token out of it again.
  location.hash = `${place}${place ? "&" : ""}token=${token}`;
  return true;
}

export function NoEntry({ trouble }: { trouble: Trouble }) {
  const [wrong, setWrong] = useState(false);
  return (
    <main class="alone">
      <h1>CoAgent</h1>
      <p class="bad" role="alert">{trouble.reason}</p>
      <p>{trouble.cure}</p>
      {trouble.status === 401 && (
        <form onSubmit={(event) => { event.preventDefault(); setWrong(!enter(new FormData(event.currentTarget).get("printed") as string)); }}>
          <label>The address that `coagent ui` printed <input name="printed" type="text" autofocus spellcheck={false} autocomplete="off" placeholder="http://127.0.0.1:…/#token=…" /></label>
          <button class="primary">Open</button>
          {wrong && <p class="bad" role="alert">There is no token in that.</p>}
        </form>
      )}
    </main>
  );
}
